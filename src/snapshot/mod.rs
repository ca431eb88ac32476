// SPDX-License-Identifier: Apache-2.0
//! The state of a tree: taking it down ([`capture`]), reading it back
//! ([`Snapshot`], from an mtree manifest), and telling what has changed since
//! ([`diff`]). A [`StatIndex`] beside the manifest makes that cheap.
//!
//! Nothing here knows of layers, images or bundles.

mod capture;
mod contents;
mod diff;
mod entries;
mod entry;
mod hardlink;
mod known;
mod mask;
mod mtree;
mod packed;
mod stat_index;
mod validate;
pub(crate) mod vis;
mod walk;

pub use capture::{CaptureOptions, Captured, capture};
pub use diff::{Change, DiffEntry, DiffOptions, DiskOwners, Trust, diff};
pub use entries::Snapshot;
pub use entry::SnapshotEntry;
pub use known::{Known, KnownEntry, NothingKnown, Unchanged, XattrHint};
pub use mask::Masks;
pub use mtree::{MtreeHeader, MtreeWriter, read_mtree};
pub(crate) use mtree::{parse_type, type_name};
pub use stat_index::StatIndex;
pub use validate::{Difference, Finding, Keyword, ValidateOptions, validate};

#[cfg(test)]
mod tests;
