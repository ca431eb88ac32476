// SPDX-License-Identifier: Apache-2.0
//! The stream of a layer (image-spec `layer.md`): tar members as values,
//! whiteouts, and the compression around them. It knows readers and writers
//! only; blobs and layouts are others' business.
//!
//! A tree on disk is a root filesystem, or one layer of it in the form that
//! overlayfs takes ([`DiskFormat`]). Layers are unpacked and packed in the same way:
//!
//! ```
//! use umoci::layer::{ApplyOptions, DiskFormat, PackOptions, pack_tree, unpack_layer};
//! use umoci::rootfs::{Native, OverlayNamespace};
//!
//! # fn main() -> umoci::Result<()> {
//! # let place = tempfile::tempdir()?;
//! # let (one, other) = (place.path().join("one"), place.path().join("other"));
//! # std::fs::create_dir_all(one.join("d"))?;
//! # std::fs::create_dir_all(&other)?;
//! let format = DiskFormat::Overlay(OverlayNamespace::User);
//! let layer = pack_tree(
//!     &Native::open(&one)?,
//!     Vec::new(),
//!     &PackOptions { format, ..Default::default() },
//! )?;
//! let options = ApplyOptions { format, ..Default::default() };
//! unpack_layer(&Native::open(&other)?, &layer[..], &options)?;
//! # assert!(other.join("d").is_dir());
//! # Ok(())
//! # }
//! ```

mod apply;
mod bodies;
mod buffer;
pub mod compress;
mod dirs;
pub mod entry;
mod format;
mod ledger;
mod limits;
mod owners;
mod pack;
mod unpack;
mod whiteout;
mod write;

pub use apply::{ApplyOptions, DirLinks};
pub use bodies::FileDigests;
pub(crate) use bodies::start_thread;
pub(crate) use buffer::{BufferPool, BufferReader, SharedBuffer};
pub use entry::{Chunk, Entry, EntryKind, MemberLimits, Members};
pub use format::DiskFormat;
pub use limits::Limits;
pub use owners::{OwnerCheck, Owners};
pub(crate) use owners::{Side, Unmapped};
pub use pack::{PackOptions, RootMember, RootName, TreePacker, pack_tree};
pub(crate) use unpack::unpack_layers_telling;
pub use unpack::{LayerFailure, LayerSource, Unpacked, Written, unpack_layer, unpack_layers};
pub use whiteout::{OPAQUE_MARKER, WHITEOUT_PREFIX, Whiteout, classify};
pub use write::{LayerOptions, LayerWriter};
pub(crate) use write::{check_lengths, expected_size};
