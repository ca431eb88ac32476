// SPDX-License-Identifier: Apache-2.0
//! Runtime bundles: an unpacked image with what a runtime needs to run it and
//! what this crate needs to find out later what has changed.

mod aside;
mod clock;
mod emulation;
pub mod metadata;
mod moved;
mod owners;
pub mod passwd;
mod places;
mod publish;
mod record;
mod renew;
mod repack;
mod rootfs;
mod runtime_config;
pub mod runtime_spec;
mod source;
mod space;
mod staging;
mod temp_file;
mod unpack;
mod written;

pub use crate::rootfs::Strictness;
pub use metadata::{BundleMetadata, MtreeRecord, Privileges};
pub use passwd::{Accounts, User};
pub use repack::{Bundle, Refresh, RepackOptions, Volumes, repack};
pub use rootfs::unpack_into;
pub use runtime_config::{RuntimeConfigOptions, write_runtime_config};
pub use runtime_spec::{RuntimeSpec, RuntimeSpecOptions, runtime_spec};
pub use source::{open_tree, tree_notes_at};
pub use space::SpaceCheck;
pub use unpack::{UnpackOptions, unpack};

use crate::oci::Digest;

/// The name of the manifest of a bundle's tree, after the image's manifest.
fn mtree_name(manifest: &Digest) -> String {
    format!("{}_{}.mtree", manifest.algorithm().as_str(), manifest.hex())
}

/// The name of the stat index beside it.
fn stat_index_name(manifest: &Digest) -> String {
    format!("{}_{}.stat", manifest.algorithm().as_str(), manifest.hex())
}
