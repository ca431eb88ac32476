// SPDX-License-Identifier: Apache-2.0
//! How often the filesystem is asked: speed that does not depend on a clock.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::rootfs::{
    Change as MetadataChange, Device, Dir, FsOps, Inode, Kind, Metadata, Name, Names, RootPath,
    Stat, Xattr,
};
use crate::snapshot::{KnownEntry, Unchanged, XattrHint};

/// A filesystem that counts the calls that read.
#[derive(Debug)]
pub(super) struct Counting {
    inner: Native,
    /// What is added to inode numbers.
    shift: u64,
    stats: AtomicUsize,
    opened: AtomicUsize,
    xattrs: AtomicUsize,
}

impl Counting {
    pub(super) fn new(inner: Native) -> Self {
        let zero = AtomicUsize::default;
        Self { inner, shift: 0, stats: zero(), opened: zero(), xattrs: zero() }
    }

    /// Gives other inode numbers than the filesystem does.
    pub(super) fn renumbered(self, shift: u64) -> Self {
        Self { shift, ..self }
    }

    /// How many files and links were read.
    pub(super) fn opened(&self) -> usize {
        self.counts()[1]
    }

    fn renumber(&self, mut stat: Stat) -> Stat {
        stat.identity.ino += self.shift;
        stat
    }

    fn counts(&self) -> [usize; 3] {
        [&self.stats, &self.opened, &self.xattrs].map(|count| count.load(Ordering::Relaxed))
    }
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl FsOps for Counting {
    fn open_dir(&self, path: &RootPath) -> io::Result<Dir> {
        self.inner.open_dir(path)
    }
    fn open_child(&self, dir: &Dir, name: Name<'_>) -> io::Result<Dir> {
        self.inner.open_child(dir, name)
    }
    fn is_mount_point(&self, dir: &Dir, name: Name<'_>) -> io::Result<bool> {
        self.inner.is_mount_point(dir, name)
    }

    fn read_dir(&self, dir: &Dir) -> io::Result<Names> {
        self.inner.read_dir(dir)
    }
    fn stat(&self, dir: &Dir, name: Name<'_>) -> io::Result<Stat> {
        count(&self.stats);
        Ok(self.renumber(self.inner.stat(dir, name)?))
    }
    fn stat_dir(&self, dir: &Dir) -> io::Result<Stat> {
        count(&self.stats);
        Ok(self.renumber(self.inner.stat_dir(dir)?))
    }
    fn read_link(&self, dir: &Dir, name: Name<'_>) -> io::Result<Vec<u8>> {
        count(&self.opened);
        self.inner.read_link(dir, name)
    }
    fn open_file(&self, dir: &Dir, name: Name<'_>) -> io::Result<File> {
        count(&self.opened);
        self.inner.open_file(dir, name)
    }
    fn xattrs(&self, dir: &Dir, name: Name<'_>) -> io::Result<Vec<Xattr>> {
        count(&self.xattrs);
        self.inner.xattrs(dir, name)
    }
    fn dir_xattrs(&self, dir: &Dir) -> io::Result<Vec<Xattr>> {
        count(&self.xattrs);
        self.inner.dir_xattrs(dir)
    }
    fn inode(&self, dir: &Dir, name: Name<'_>) -> io::Result<Inode> {
        count(&self.opened);
        self.inner.inode(dir, name)
    }
    fn dir_inode(&self, dir: &Dir) -> io::Result<Inode> {
        self.inner.dir_inode(dir)
    }
    fn create_file(&self, _: &Dir, _: Name<'_>, _: u32) -> io::Result<File> {
        read_only()
    }
    fn create_dir(&self, _: &Dir, _: Name<'_>) -> io::Result<()> {
        read_only()
    }
    fn create_symlink(&self, _: &[u8], _: &Dir, _: Name<'_>) -> io::Result<()> {
        read_only()
    }
    fn create_link(&self, _: &Dir, _: Name<'_>, _: &Dir, _: Name<'_>) -> io::Result<()> {
        read_only()
    }
    fn create_node(&self, _: &Dir, _: Name<'_>, _: Kind, _: Device) -> io::Result<()> {
        read_only()
    }
    fn remove_file(&self, _: &Dir, _: Name<'_>) -> io::Result<()> {
        read_only()
    }
    fn remove_dir(&self, _: &Dir, _: Name<'_>) -> io::Result<()> {
        read_only()
    }
    fn set_file_metadata(&self, _: &File, _: &MetadataChange<'_>) -> io::Result<Stat> {
        read_only()
    }
    fn set_dir_metadata(&self, _: &Dir, _: &MetadataChange<'_>) -> io::Result<()> {
        read_only()
    }
    fn set_node_metadata(&self, _: &Dir, _: Name<'_>, _: &MetadataChange<'_>) -> io::Result<()> {
        read_only()
    }
    fn set_xattr(&self, _: &File, _: &Xattr) -> io::Result<()> {
        read_only()
    }
    fn set_dir_times(&self, _: &Dir, _: &Metadata) -> io::Result<()> {
        read_only()
    }
}

/// 10 files and a link in each of 5 directories: 61 names with the root.
fn tree() -> Tree {
    let tree = Tree::new();
    for directory in 0..5 {
        for file in 0..10 {
            tree.write(&format!("d{directory}/f{file}"), "contents");
        }
        std::os::unix::fs::symlink("f0", tree.path(&format!("d{directory}/l"))).unwrap();
    }
    tree
}

#[test]
fn an_unchanged_tree_costs_a_stat_per_name() {
    let tree = tree();
    let (fs, state) = (Counting::new(tree.native()), tree.capture());
    let unread = || -> Result<Snapshot> { panic!("the manifest is read") };
    let diffs = diff(&fs, unread, Some(&state.index()), &DiffOptions::default()).unwrap();
    assert!(diffs.is_empty());
    assert_eq!(fs.counts(), [61, 0, 1]);
}

#[test]
fn one_change_costs_little_more() {
    let tree = tree();
    let (fs, state) = (Counting::new(tree.native()), tree.capture());
    tree.write("d3/f7", "CONTENTS");
    let diffs = diff(&fs, || state.snapshot(), Some(&state.index()), &DiffOptions::default());
    assert_eq!(diffs.unwrap().len(), 1);
    let [stats, opened, _] = fs.counts();
    assert!(stats == 61 && opened <= 1, "{stats} {opened}");
}

#[test]
fn what_is_known_is_not_read_again() {
    struct AllKnown(Snapshot);
    impl Known for AllKnown {
        fn entry(
            &mut self,
            path: &RootPath,
            look: &dyn Fn() -> io::Result<Stat>,
        ) -> io::Result<(Stat, KnownEntry)> {
            let digest = self.0.get(path).and_then(|entry| entry.digest);
            Ok((look()?, KnownEntry { digest, xattrs: XattrHint::None }))
        }
    }
    let tree = tree();
    let (fs, state) = (Counting::new(tree.native()), tree.capture());
    let (mut manifest, mut index) = (Vec::new(), Vec::new());
    let mut known = AllKnown(state.snapshot().unwrap());
    let options = CaptureOptions { taken: tree.tick(), ..CaptureOptions::default() };
    let captured = capture(&fs, &mut known, &mut manifest, &mut index, &options).unwrap();
    assert_eq!(captured.entries, 61);
    // The links, and the attributes of the root.
    assert_eq!(fs.counts(), [61, 5, 1]);
    assert_eq!(manifest, state.manifest);
}

#[test]
fn a_new_capture_reads_only_what_has_changed() {
    let tree = tree();
    let (fs, state) = (Counting::new(tree.native()), tree.capture());
    tree.write("d3/f7", "changed");
    let (snapshot, index) = (state.snapshot().unwrap(), state.index());
    let mut manifest = Vec::new();
    let mut known = Unchanged::new(&snapshot, &index);
    let options = CaptureOptions { taken: tree.tick(), ..CaptureOptions::default() };
    capture(&fs, &mut known, &mut manifest, io::sink(), &options).unwrap();
    let [_, opened, _] = fs.counts();
    assert_eq!(opened, 5 + 1);
    assert_eq!(manifest, tree.capture().manifest);
}
