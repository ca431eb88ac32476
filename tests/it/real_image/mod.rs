// SPDX-License-Identifier: Apache-2.0
//! The whole way with the root filesystem of a real distribution: unpacked as
//! Debian's umoci does, changed, repacked, and taken by other programs.

mod bytes;
mod fixture;
mod options;
mod programs;
mod repack;
mod tree;
mod unpack;
