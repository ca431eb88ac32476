// SPDX-License-Identifier: Apache-2.0
//! The only door to the crates `nix` and `xattr`: what the standard library
//! lacks, one room for each of the two places it is needed in.

pub(crate) mod layout;
pub(crate) mod rootfs;
