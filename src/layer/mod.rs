// SPDX-License-Identifier: Apache-2.0
//! The stream of a layer (image-spec `layer.md`): tar members as values,
//! whiteouts, and the compression around them. It knows readers and writers
//! only; blobs and layouts are others' business.

mod apply;
mod bodies;
mod buffer;
pub mod compress;
pub mod entry;
mod format;
mod ledger;
mod pack;
mod unpack;
mod whiteout;
mod write;

pub use apply::{ApplyOptions, DirLinks};
pub use bodies::FileDigests;
pub use entry::{Chunk, Entry, EntryKind, Limits, Members};
pub use format::DiskFormat;
pub use pack::{Owners, PackOptions, RootName, TreePacker, pack_tree};
pub use unpack::{LayerFailure, LayerSource, Unpacked, unpack_layer, unpack_layers};
pub use whiteout::{OPAQUE_MARKER, WHITEOUT_PREFIX, Whiteout, classify};
pub use write::{LayerOptions, LayerWriter};
