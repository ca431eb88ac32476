// SPDX-License-Identifier: Apache-2.0
//! Everything that a layer keeps of a tree of files, read from disk without
//! this project's own code, and what distinguishes two trees in readable lines.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use umoci::oci::{Algorithm, Digest};

/// How many differences a failing test shows.
const SHOWN: usize = 40;

/// A tree: what is at each path, `""` being its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree(pub(crate) BTreeMap<PathBuf, Node>);

/// What is at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, i64),
    /// The number of a device.
    pub(crate) device: u64,
    /// The first name of the inode, and how many it has; not of directories.
    pub(crate) inode: Option<(PathBuf, u64)>,
    /// Of a file its size and digest, of a link its target.
    pub(crate) contents: Option<String>,
    pub(crate) xattrs: BTreeMap<String, String>,
}

impl Tree {
    /// Reads a tree.
    pub(crate) fn of(top: &Path) -> Self {
        let mut names: HashMap<(u64, u64), PathBuf> = HashMap::new();
        let entries = walkdir::WalkDir::new(top).sort_by_file_name().into_iter().map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(top).unwrap().to_owned();
            let node = Node::of(entry.path(), |identity| {
                names.entry(identity).or_insert_with(|| path.clone()).clone()
            });
            (path, node)
        });
        Self(entries.collect())
    }

    /// The tree without what is at a path and below.
    pub(crate) fn without(mut self, path: &str) -> Self {
        self.0.retain(|name, _| !name.starts_with(path));
        self
    }

    /// The tree with every time in whole seconds, as layers have them.
    pub(crate) fn in_whole_seconds(self) -> Self {
        self.map(|node| node.mtime.1 = 0)
    }

    /// The tree with something changed of everything in it.
    pub(crate) fn map(mut self, change: impl FnMut(&mut Node)) -> Self {
        self.0.values_mut().for_each(change);
        self
    }

    /// Asserts that another tree is the same.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self) {
        let mut lines = String::new();
        let paths = self.0.keys().chain(other.0.keys().filter(|path| !self.0.contains_key(*path)));
        let differing: Vec<_> =
            paths.filter(|path| self.0.get(*path) != other.0.get(*path)).collect();
        for path in differing.iter().take(SHOWN) {
            match (self.0.get(*path), other.0.get(*path)) {
                (Some(node), None) => writeln!(lines, "- {path:?} {node}").unwrap(),
                (None, Some(node)) => writeln!(lines, "+ {path:?} {node}").unwrap(),
                (one, two) => {
                    let (one, two) = (one.unwrap().to_string(), two.unwrap().to_string());
                    writeln!(lines, "- {path:?} {one}\n+ {path:?} {two}").unwrap();
                }
            }
        }
        let count = differing.len();
        assert!(count == 0, "{count} paths differ (- left, + right), among them\n{lines}");
    }
}

impl Node {
    fn of(path: &Path, first_name: impl FnOnce((u64, u64)) -> PathBuf) -> Self {
        let metadata = std::fs::symlink_metadata(path).unwrap();
        let (kind, contents) = match metadata.file_type() {
            kind if kind.is_dir() => ('d', None),
            kind if kind.is_file() => {
                let digest = Digest::of(Algorithm::Sha256, std::fs::read(path).unwrap());
                ('-', Some(format!("{} bytes {digest}", metadata.len())))
            }
            kind if kind.is_symlink() => {
                ('l', Some(format!("-> {:?}", std::fs::read_link(path).unwrap())))
            }
            kind if kind.is_char_device() => ('c', None),
            kind if kind.is_block_device() => ('b', None),
            kind if kind.is_fifo() => ('p', None),
            kind => panic!("{path:?} is a {kind:?}"),
        };
        let inode =
            (kind != 'd').then(|| (first_name((metadata.dev(), metadata.ino())), metadata.nlink()));
        Self {
            kind,
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            device: metadata.rdev(),
            inode,
            contents,
            xattrs: xattrs(path),
        }
    }
}

/// All attributes of a file or link itself, those that only root sees among them.
fn xattrs(path: &Path) -> BTreeMap<String, String> {
    let names = xattr::list(path).unwrap();
    let read = |name: std::ffi::OsString| {
        let value = xattr::get(path, &name).unwrap().unwrap_or_default();
        (name.as_bytes().escape_ascii().to_string(), value.escape_ascii().to_string())
    };
    names.map(read).collect()
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (uid, gid) = self.owner;
        let (seconds, nanoseconds) = self.mtime;
        write!(f, "{}{:04o} {uid}:{gid} {seconds}.{nanoseconds:09}", self.kind, self.mode)?;
        if self.device != 0 {
            write!(f, " device {:#x}", self.device)?;
        }
        if let Some((first, count)) = &self.inode {
            write!(f, " inode of {first:?} with {count} names")?;
        }
        if let Some(contents) = &self.contents {
            write!(f, " {contents}")?;
        }
        if !self.xattrs.is_empty() {
            write!(f, " {:?}", self.xattrs)?;
        }
        Ok(())
    }
}
