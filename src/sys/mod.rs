// SPDX-License-Identifier: Apache-2.0
//! The only door to the crates `nix` and `xattr`: what the standard library
//! lacks. Every call takes an open directory and a name in it, and none
//! follows a symbolic link in the last component unless it says so.

pub(crate) mod files;
pub(crate) mod rootfs;
