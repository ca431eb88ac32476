// SPDX-License-Identifier: Apache-2.0
//! `validate`: every kind of damage gets its code, and what other tools make gets none.

mod command;
mod damage;
mod differential;
mod layers;
mod peers;
mod scene;
