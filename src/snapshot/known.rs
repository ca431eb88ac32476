// SPDX-License-Identifier: Apache-2.0
//! [`Known`]: what the caller has at hand of a tree already when it is captured (digests and
//! states from writing the files, files that are known to have no attributes), so that it is
//! not read again.

use std::io;

use super::entries::Snapshot;
use super::stat_index::{Cursor, StatIndex};
use crate::rootfs::{Kind, RootPath, Stat};

/// Whether a file or directory may have extended attributes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum XattrHint {
    /// Ask the filesystem.
    #[default]
    Ask,
    /// It has none for certain.
    None,
}

/// What is known of a regular file or directory before it is captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KnownEntry {
    /// The SHA-256 of a regular file; `None` to have it read.
    pub digest: Option<[u8; 32]>,
    /// Whether it may have attributes. What a system adds by itself (labels, inherited
    /// ACLs) counts too.
    pub xattrs: XattrHint,
}

/// What is known of a tree before it is captured.
pub trait Known: Send {
    /// What a name is and what else is known of it. Called once for every name of the tree, the
    /// root among them, in the order of the walk, which is ahead of what is written.
    ///
    /// # Errors
    /// Those of `look`, which asks the filesystem what the name is: for whoever does not know.
    fn entry(
        &mut self,
        path: &RootPath,
        look: &dyn Fn() -> io::Result<Stat>,
    ) -> io::Result<(Stat, KnownEntry)>;
}

/// Nothing is known: everything is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct NothingKnown;

impl Known for NothingKnown {
    fn entry(
        &mut self,
        _: &RootPath,
        look: &dyn Fn() -> io::Result<Stat>,
    ) -> io::Result<(Stat, KnownEntry)> {
        Ok((look()?, KnownEntry::default()))
    }
}

/// An earlier snapshot of the same tree is known, with its index: files that
/// have not been touched since are not read again.
#[derive(Debug)]
pub struct Unchanged<'a> {
    snapshot: &'a Snapshot,
    index: &'a StatIndex,
    /// The directory that was asked for last, and where in it.
    place: Option<(RootPath, Cursor<'a>)>,
}

impl<'a> Unchanged<'a> {
    /// Takes a snapshot and the index that goes with it.
    pub fn new(snapshot: &'a Snapshot, index: &'a StatIndex) -> Self {
        Self { snapshot, index, place: None }
    }

    fn vouches_for(&mut self, path: &RootPath, stat: &Stat) -> bool {
        let Some((parent, name)) = path.split() else { return false };
        if self.place.as_ref().is_none_or(|(place, _)| *place != parent) {
            self.place = self.index.cursor(&parent).map(|cursor| (parent, cursor));
        }
        let place = self.place.as_mut();
        let record = place.and_then(|(_, cursor)| cursor.seek(name.as_bytes()).record);
        record.is_some_and(|record| self.index.vouches_for(&record, stat))
    }
}

impl Known for Unchanged<'_> {
    fn entry(
        &mut self,
        path: &RootPath,
        look: &dyn Fn() -> io::Result<Stat>,
    ) -> io::Result<(Stat, KnownEntry)> {
        let stat = look()?;
        let known = stat.kind == Kind::File && self.vouches_for(path, &stat);
        let entry = if known { self.snapshot.get(path) } else { None };
        let digest = entry.and_then(|entry| entry.digest);
        Ok((stat, KnownEntry { digest, xattrs: XattrHint::Ask }))
    }
}
