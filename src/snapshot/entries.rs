// SPDX-License-Identifier: Apache-2.0
//! What is recorded of a tree: [`Snapshot`]. It has an entry for each name, millions for some
//! trees, and keeps them packed: about 60 bytes for a file besides its name.

use std::fmt;

use super::entry::{SnapshotEntry, key};
use super::packed::{Taker, code_of, kind_of, put, put_bytes, put_owner, put_signed, put_xattrs};
use crate::rootfs::RootPath;

/// The recorded state of a tree: one entry per path, ordered by directory and
/// then by name, both bytewise, so that the names in a directory are together.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The paths of directories. One that comes again after others is there again.
    directories: Vec<u8>,
    /// Where the directory of the latest entry is in `directories`.
    directory: usize,
    /// Entries, each with the place of its directory in `directories` before its name.
    packed: Vec<u8>,
    /// Where entries begin in `packed`, in their order.
    order: Vec<usize>,
}

/// Beside the byte of a type: there is a target, there is a digest.
const HAS_TARGET: u8 = 1 << 3;
const HAS_DIGEST: u8 = 1 << 4;
/// The bits of a type.
const KIND: u8 = 7;

impl Snapshot {
    /// Orders entries. Of two with the same path the later one counts.
    pub fn new(entries: impl IntoIterator<Item = SnapshotEntry>) -> Self {
        let mut snapshot = Self::default();
        entries.into_iter().for_each(|entry| snapshot.push(&entry));
        snapshot.sort();
        snapshot
    }

    /// All entries in order; the root, if it is there, is the first.
    pub fn entries(&self) -> impl Iterator<Item = SnapshotEntry> {
        self.order.iter().filter_map(|at| self.entry(*at))
    }

    /// How many entries it has.
    pub fn count(&self) -> usize {
        self.order.len()
    }

    /// The entry of a path.
    pub fn get(&self, path: &RootPath) -> Option<SnapshotEntry> {
        let wanted = key(path);
        let found = self.order.binary_search_by(|at| self.key(*at).cmp(&wanted)).ok()?;
        self.order.get(found).and_then(|at| self.entry(*at))
    }

    /// The entries of the names in a directory, sorted by name.
    pub fn children<'s>(
        &'s self,
        directory: &RootPath,
    ) -> impl Iterator<Item = SnapshotEntry> + use<'s> {
        self.children_between(directory, None, None)
    }

    /// As [`Snapshot::children`], of the names after one and up to another.
    pub(super) fn children_between<'s>(
        &'s self,
        directory: &RootPath,
        after: Option<&[u8]>,
        up_to: Option<&[u8]>,
    ) -> impl Iterator<Item = SnapshotEntry> + use<'s> {
        let directory = directory.as_bytes();
        // Only the root has no name.
        let after = (directory, after.unwrap_or_default());
        let start = self.order.partition_point(|at| self.key(*at) <= after);
        let rest = self.order.get(start..).unwrap_or_default();
        let count = rest.partition_point(|at| {
            let (place, name) = self.key(*at);
            place == directory && up_to.is_none_or(|last| name <= last)
        });
        rest.get(..count).unwrap_or_default().iter().filter_map(|at| self.entry(*at))
    }

    /// Adds an entry. What is asked before all is sorted is not found.
    pub(super) fn push(&mut self, entry: &SnapshotEntry) {
        let (directory, name) = key(&entry.path);
        if self.order.is_empty() || self.directory(self.directory) != directory {
            self.directory = self.directories.len();
            put_bytes(directory, &mut self.directories);
        }
        self.order.push(self.packed.len());
        let out = &mut self.packed;
        put(self.directory as u64, out);
        put_bytes(name, out);
        let target = entry.target.as_ref().map_or(0, |_| HAS_TARGET);
        let digest = entry.digest.map_or(0, |_| HAS_DIGEST);
        out.push(code_of(entry.kind) | target | digest);
        put(entry.mode.into(), out);
        put_owner(entry.owner, out);
        put(entry.size, out);
        put(entry.nlink, out);
        put_signed(entry.mtime, out);
        entry.target.iter().for_each(|target| put_bytes(target, out));
        entry.digest.iter().for_each(|digest| out.extend_from_slice(digest));
        put_xattrs(&entry.xattrs, out);
    }

    /// Puts the entries in order. Of two with the same path the later one stays.
    pub(super) fn sort(&mut self) {
        let mut order = std::mem::take(&mut self.order);
        order.sort_by(|one, other| self.key(*one).cmp(&self.key(*other)));
        order.dedup_by(|later, kept| {
            let same = self.key(*later) == self.key(*kept);
            if same {
                *kept = *later;
            }
            same
        });
        self.order = order;
    }

    fn directory(&self, at: usize) -> &[u8] {
        Taker(self.directories.get(at..).unwrap_or_default()).bytes().unwrap_or_default()
    }

    /// The directory and the name of an entry.
    fn key(&self, at: usize) -> (&[u8], &[u8]) {
        let mut taker = Taker(self.packed.get(at..).unwrap_or_default());
        self.take_key(&mut taker).unwrap_or_default()
    }

    fn take_key<'a>(&'a self, taker: &mut Taker<'a>) -> Option<(&'a [u8], &'a [u8])> {
        let directory = usize::try_from(taker.number()?).ok()?;
        Some((self.directory(directory), taker.bytes()?))
    }

    /// What was packed at a place.
    fn entry(&self, at: usize) -> Option<SnapshotEntry> {
        let mut taker = Taker(self.packed.get(at..)?);
        let (directory, name) = self.take_key(&mut taker)?;
        let head = taker.byte()?;
        Some(SnapshotEntry {
            path: RootPath::clean([directory, b"/", name].concat()).ok()?,
            kind: kind_of(head & KIND)?,
            mode: taker.number32()?,
            owner: taker.owner()?,
            size: taker.number()?,
            nlink: taker.number()?,
            mtime: taker.signed()?,
            target: if head & HAS_TARGET == 0 { None } else { Some(taker.bytes()?.into()) },
            digest: if head & HAS_DIGEST == 0 { None } else { taker.take(32)?.try_into().ok() },
            xattrs: taker.xattrs()?.into(),
        })
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.entries().eq(other.entries())
    }
}

impl Eq for Snapshot {}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::mtree::testing::file;

    fn path(path: &str) -> RootPath {
        RootPath::clean(path).unwrap()
    }

    #[test]
    fn keeps_the_names_of_a_directory_together() {
        let all = ["d/e/x", "d-x", "d/a", "d", ".", "d/e", "d/e-1", "a", "d/b", "d/e/y", "z"];
        let snapshot = Snapshot::new(all.map(file));
        let children = |place: &str| -> Vec<_> {
            snapshot.children(&path(place)).map(|entry| entry.path.to_string()).collect()
        };
        assert_eq!(children("."), ["a", "d", "d-x", "z"]);
        assert_eq!(children("d"), ["d/a", "d/b", "d/e", "d/e-1"]);
        assert_eq!(children("d/e"), ["d/e/x", "d/e/y"]);
        assert!(children("d/a").is_empty() && children("nowhere").is_empty());
        for one in all.map(path) {
            assert_eq!(snapshot.get(&one).unwrap().path, one);
        }
        assert!(snapshot.get(&path("d/c")).is_none());
    }

    #[test]
    fn gives_a_part_of_a_directory() {
        let snapshot = Snapshot::new([".", "d", "d/a", "d/b", "d/c", "d/e", "e"].map(file));
        let part = |after: Option<&str>, up_to: Option<&str>| -> String {
            let [after, up_to] = [after, up_to].map(|name| name.map(str::as_bytes));
            let part = snapshot.children_between(&path("d"), after, up_to);
            part.map(|entry| entry.path.name().unwrap().as_os_str().to_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(part(None, None), "abce");
        assert_eq!(part(Some("b"), None), "ce");
        assert_eq!(part(Some("bb"), Some("d")), "c");
        assert_eq!(part(None, Some("b")), "ab");
        assert_eq!(part(Some("e"), None), "");
    }

    #[test]
    fn the_later_of_two_entries_counts() {
        let mut later = file("a");
        later.size = 9;
        let snapshot = Snapshot::new([file("a"), file("b"), later.clone()]);
        assert_eq!(snapshot.entries().collect::<Vec<_>>(), [later, file("b")]);
    }

    #[test]
    fn is_small() {
        let names = (0..1000).map(|at| format!("usr/lib/x86_64-linux-gnu/libsomething.so.{at:04}"));
        let snapshot = Snapshot::new(names.map(|name| file(&name)));
        let Snapshot { directories, packed, order, .. } = snapshot;
        assert!(directories.len() < 30, "the directory is there once");
        let order = order.len() * size_of::<usize>();
        assert!(packed.len() + order < (60 + "libsomething.so.0000".len()) * 1000);
    }
}
