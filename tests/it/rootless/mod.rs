// SPDX-License-Identifier: Apache-2.0
//! Work without root's privileges, in user namespaces, and where a filesystem
//! or an interruption gets in the way.

mod access;
mod case;
mod clashes;
mod elsewhere;
pub(crate) mod filesystem;
mod interrupt;
mod killed;
mod layered;
mod left_out;
mod mounts;
mod namespace;
mod overlays;
mod peers;
mod privileges;
mod probe;
mod refreshed;
mod round_trip;
mod scene;
mod stopped;
mod strict;
mod times;
mod together;
mod twice;
mod unmapped;
