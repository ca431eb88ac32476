// SPDX-License-Identifier: Apache-2.0
//! What an unpack has put where: which paths come from the layer being
//! applied (whiteouts must spare them) and which body a regular file got.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::Arc;

use super::bodies::{BodyId, FilledFiles};
use crate::rootfs::{RootPath, Steps};

/// How many components may be looked at for each entry; few directories are as deep.
const STEPS_PER_ENTRY: u64 = 64;
/// Over how many tables the paths are spread. A table that grows is there twice for a moment,
/// and they do not all grow at the same moment.
const TABLES: usize = 32;

/// The paths that were written since the start, all of them free of symbolic links.
///
/// It keeps 128 bits of each, whatever its length, so that deep paths take no
/// more memory than others. The keys of these hashes are this process's own:
/// nobody can make two paths meet.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    marks: [HashMap<PathHash, Mark, BuildHasherDefault<AsItIs>>; TABLES],
    keys: (RandomState, RandomState),
    /// The directory that was noted last for the current layer: most members come next to others.
    directory: Option<Box<[u8]>>,
    layer: u32,
    entries: u64,
    holes: u64,
    /// For the links on the way to entries of all layers; a few more with each entry.
    pub(crate) steps: Steps,
    /// What is known of the bodies that the marks name.
    files: Arc<FilledFiles>,
}

/// 128 bits in the place of a path; packed, so that a mark leaves no gap beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(Rust, packed(4))]
struct PathHash(u64, u64);

impl PathHash {
    /// Which table it is in. The tables look at the other half.
    fn table(self) -> usize {
        usize::try_from(self.1 % TABLES as u64).unwrap_or_default()
    }
}

impl Hash for PathHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Takes the hash that a [`PathHash`] is already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// What is known of one path.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    layer: u32,
    /// The body of a regular file.
    pub(crate) body: Option<BodyId>,
    /// Whether its layer gave it extended attributes.
    pub(crate) has_xattrs: bool,
    /// Whether a link, or a copy, was made of it.
    pub(crate) is_linked: bool,
    /// Whether its inode is another one than that of the body, with the same contents.
    pub(crate) is_copy: bool,
}

impl Ledger {
    /// Lets go of what `files` knows of a file when something takes its place.
    pub(crate) fn new(files: Arc<FilledFiles>) -> Self {
        Self { files, ..Self::default() }
    }

    /// What follows belongs to the next layer.
    pub(crate) fn next_layer(&mut self) {
        self.layer += 1;
        self.directory = None;
    }

    /// Notes a path and the directories above it as part of the current layer.
    pub(crate) fn insert(&mut self, path: &RootPath, body: Option<BodyId>, has_xattrs: bool) {
        self.mark(path, Mark { layer: self.layer, body, has_xattrs, ..Mark::default() });
    }

    /// Notes a path that was made another name of `target`, whose inode changes by it.
    pub(crate) fn link(&mut self, path: &RootPath, target: &RootPath) {
        let target = self.mark_linked(target);
        self.mark(path, Mark { layer: self.layer, ..target });
    }

    /// Notes a path that was made a copy of `target`.
    pub(crate) fn copy(&mut self, path: &RootPath, target: &RootPath) {
        let target = self.mark_linked(target);
        self.mark(path, Mark { layer: self.layer, is_copy: true, ..target });
    }

    fn mark_linked(&mut self, target: &RootPath) -> Mark {
        let mut mark = self.get(target).unwrap_or_default();
        mark.is_linked = true;
        let key = self.hash(target.as_bytes());
        if let Some(target) = self.marks[key.table()].get_mut(&key) {
            *target = mark;
        }
        mark
    }

    fn mark(&mut self, path: &RootPath, mark: Mark) {
        let directory = parent(path.as_bytes());
        if directory.is_some() && directory != self.directory.as_deref() {
            self.note_directories(directory);
            self.directory = directory.map(Into::into);
        }
        let key = self.hash(path.as_bytes());
        let former = self.marks[key.table()].insert(key, mark);
        self.let_go(former);
    }

    /// Nobody will ask for a body whose only mark has gone.
    fn let_go(&self, former: Option<Mark>) {
        if let Some(Mark { body: Some(body), is_linked: false, .. }) = former {
            self.files.forget(body);
        }
    }

    fn note_directories(&mut self, mut above: Option<&[u8]>) {
        while let Some(directory) = above {
            let key = self.hash(directory);
            let mark = self.marks[key.table()].entry(key).or_default();
            if mark.layer == self.layer {
                break;
            }
            mark.layer = self.layer;
            above = parent(directory);
        }
    }

    fn hash(&self, path: &[u8]) -> PathHash {
        PathHash(self.keys.0.hash_one(path), self.keys.1.hash_one(path))
    }

    /// The path is no part of the current layer any more.
    pub(crate) fn forget(&mut self, path: &RootPath) {
        let key = self.hash(path.as_bytes());
        let former = self.marks[key.table()].remove(&key);
        self.let_go(former);
        self.directory = None;
    }

    /// Counts one more member, and tells how many there are.
    pub(crate) fn count_entry(&mut self) -> u64 {
        self.steps.add(STEPS_PER_ENTRY);
        self.entries = self.entries.saturating_add(1);
        self.entries
    }

    /// Counts the holes of one more sparse file, and tells how many bytes there are. They cost
    /// their author nothing, but have to be hashed like all others.
    pub(crate) fn add_holes(&mut self, bytes: u64) -> u64 {
        self.holes = self.holes.saturating_add(bytes);
        self.holes
    }

    /// Whether the path, or something below it, is part of the current layer.
    pub(crate) fn is_current(&self, path: &RootPath) -> bool {
        self.get(path).is_some_and(|mark| mark.layer == self.layer)
    }

    /// Whether layers below the current one have put a regular file at the path. If anything is
    /// there, it is that file.
    pub(crate) fn is_lower_file(&self, path: &RootPath) -> bool {
        self.get(path).is_some_and(|mark| mark.body.is_some() && mark.layer != self.layer)
    }

    /// What is known of a path. Stale where the path has been removed since.
    pub(crate) fn get(&self, path: &RootPath) -> Option<Mark> {
        let key = self.hash(path.as_bytes());
        self.marks[key.table()].get(&key).copied()
    }
}

/// The directory that a path is in; `None` for the root.
fn parent(path: &[u8]) -> Option<&[u8]> {
    let cut = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..cut).filter(|_| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_small() {
        assert!(size_of::<(PathHash, Mark)>() <= 28);
    }

    /// Also where there can be no more links to a file, but to its copy.
    #[test]
    fn a_link_to_a_copy_is_none_to_the_body() {
        let path = |path: &str| RootPath::clean(path).unwrap();
        let mut ledger = Ledger::default();
        ledger.insert(&path("file"), BodyId::new(7), false);
        ledger.link(&path("link"), &path("file"));
        ledger.copy(&path("copy"), &path("file"));
        ledger.link(&path("other"), &path("copy"));
        let marks = ["file", "link", "copy", "other"].map(|name| ledger.get(&path(name)).unwrap());
        assert!(marks.iter().all(|mark| mark.is_linked && mark.body == BodyId::new(7)));
        assert_eq!(marks.map(|mark| mark.is_copy), [false, false, true, true]);
    }

    #[test]
    fn members_and_holes_add_up() {
        let mut ledger = Ledger::default();
        assert_eq!((ledger.count_entry(), ledger.count_entry()), (1, 2));
        assert_eq!((ledger.add_holes(5), ledger.add_holes(7)), (5, 12));
        assert_eq!(ledger.add_holes(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_path_takes_its_directories_along() {
        let path = |path: &str| RootPath::clean(path).unwrap();
        let mut ledger = Ledger::default();
        ledger.next_layer();
        let body = BodyId::new(7);
        ledger.insert(&path("a/b/c"), body, false);
        assert!(ledger.is_current(&path("a")) && ledger.is_current(&RootPath::root()));
        assert_eq!(ledger.get(&path("a/b/c")).unwrap().body, body);
        ledger.next_layer();
        assert!(!ledger.is_current(&path("a/b")));
        ledger.insert(&path("a/x"), None, false);
        assert!(ledger.is_current(&path("a")) && !ledger.is_current(&path("a/b/c")));
    }
}
