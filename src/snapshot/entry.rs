// SPDX-License-Identifier: Apache-2.0
//! What is recorded of a tree: [`SnapshotEntry`], one name, and [`Snapshot`], all of them.

use crate::rootfs::{Kind, Owner, RootPath, Stat, Xattr};

/// What is recorded of one name in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// Where it is.
    pub path: RootPath,
    /// Its type.
    pub kind: Kind,
    /// Permission, setuid, setgid and sticky bits (`0o7777`).
    pub mode: u32,
    /// Its owner as it is on disk, not as the container sees it.
    pub owner: Owner,
    /// Its size in bytes; means something only for a regular file.
    pub size: u64,
    /// How many names it had.
    pub nlink: u64,
    /// When its contents last changed, in whole seconds, rounded down.
    pub mtime: i64,
    /// Where a symbolic link leads.
    pub target: Option<Box<[u8]>>,
    /// The SHA-256 of a regular file's contents.
    pub digest: Option<[u8; 32]>,
    /// Extended attributes of a regular file or directory, sorted by name.
    pub xattrs: Box<[Xattr]>,
}

impl SnapshotEntry {
    /// An entry with what `stat` tells; target, digest and attributes are still to be filled in.
    pub(super) fn of(path: RootPath, stat: &Stat) -> Self {
        Self {
            path,
            kind: stat.kind,
            mode: stat.mode,
            owner: stat.owner,
            size: stat.size,
            nlink: stat.nlink,
            mtime: stat.mtime.seconds,
            target: None,
            digest: None,
            xattrs: Box::default(),
        }
    }
}

/// The recorded state of a tree: one entry per path, ordered by directory and
/// then by name, both bytewise, so that the names in a directory are together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    entries: Vec<SnapshotEntry>,
}

impl Snapshot {
    /// Orders entries. Of two with the same path the later one counts.
    pub fn new(mut entries: Vec<SnapshotEntry>) -> Self {
        entries.sort_by(|one, other| key(&one.path).cmp(&key(&other.path)));
        entries.dedup_by(|later, kept| {
            let same = later.path == kept.path;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        Self { entries }
    }

    /// All entries in order; the root, if it is there, is the first.
    pub fn entries(&self) -> &[SnapshotEntry] {
        &self.entries
    }

    /// The entry of a path.
    pub fn get(&self, path: &RootPath) -> Option<&SnapshotEntry> {
        let at = self.entries.binary_search_by(|entry| key(&entry.path).cmp(&key(path))).ok()?;
        self.entries.get(at)
    }

    /// The entries of the names in a directory, sorted by name.
    pub fn children(&self, directory: &RootPath) -> &[SnapshotEntry] {
        let directory = directory.as_bytes();
        let start = self.entries.partition_point(|entry| key(&entry.path) <= (directory, b""));
        let below = self.entries.get(start..).unwrap_or_default();
        let count = below.partition_point(|entry| key(&entry.path).0 == directory);
        below.get(..count).unwrap_or_default()
    }
}

/// The directory and the name; both are empty for the root.
fn key(path: &RootPath) -> (&[u8], &[u8]) {
    let bytes = path.as_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(cut) => (&bytes[..cut], &bytes[cut + 1..]),
        None => (b"", bytes),
    }
}

/// The last component of an entry's path; empty for the root.
pub(super) fn name_of(path: &RootPath) -> &[u8] {
    key(path).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::mtree::testing::file;

    fn paths(entries: &[SnapshotEntry]) -> Vec<String> {
        entries.iter().map(|entry| entry.path.to_string()).collect()
    }

    #[test]
    fn keeps_the_names_of_a_directory_together() {
        let all = ["d/e/x", "d-x", "d/a", "d", ".", "d/e", "d/e-1", "a", "d/b", "d/e/y", "z"];
        let snapshot = Snapshot::new(all.iter().map(|path| file(path)).collect());
        let children = |path: &str| paths(snapshot.children(&RootPath::clean(path).unwrap()));
        assert_eq!(children("."), ["a", "d", "d-x", "z"]);
        assert_eq!(children("d"), ["d/a", "d/b", "d/e", "d/e-1"]);
        assert_eq!(children("d/e"), ["d/e/x", "d/e/y"]);
        assert!(children("d/a").is_empty() && children("nowhere").is_empty());
        for path in all {
            let path = RootPath::clean(path).unwrap();
            assert_eq!(snapshot.get(&path).unwrap().path, path);
        }
        assert!(snapshot.get(&RootPath::clean("d/c").unwrap()).is_none());
    }

    #[test]
    fn the_later_of_two_entries_counts() {
        let mut later = file("a");
        later.size = 9;
        let snapshot = Snapshot::new(vec![file("a"), file("b"), later.clone()]);
        assert_eq!(snapshot.entries(), [later, file("b")]);
    }

    #[test]
    fn is_small() {
        assert!(size_of::<SnapshotEntry>() <= 136);
    }
}
