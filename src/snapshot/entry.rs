// SPDX-License-Identifier: Apache-2.0
//! What is recorded of one name in a tree: [`SnapshotEntry`].

use crate::rootfs::{Kind, Owner, RootPath, Stat, Xattr};

/// What is recorded of one name in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

/// The directory and the name; both are empty for the root.
pub(super) fn key(path: &RootPath) -> (&[u8], &[u8]) {
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
