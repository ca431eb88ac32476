// SPDX-License-Identifier: Apache-2.0
//! Capture and diff together, on real trees.

mod changes;
mod counting;
mod deception;
mod laws;
mod peer;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::{
    CaptureOptions, Change, DiffOptions, Known, NothingKnown, Snapshot, StatIndex, Trust, capture,
    diff, read_mtree,
};
use crate::error::Result;
use crate::rootfs::{FileTime, Native};

/// A tree in a directory of its own.
struct Tree {
    place: tempfile::TempDir,
}

/// What was captured of a tree.
struct State {
    manifest: Vec<u8>,
    sum: [u8; 32],
    index: Vec<u8>,
}

impl Tree {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("rootfs")).unwrap();
        Self { place }
    }

    fn root(&self) -> PathBuf {
        self.place.path().join("rootfs")
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    fn write(&self, path: &str, contents: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    fn native(&self) -> Native {
        Native::open(&self.root()).unwrap()
    }

    /// Sets mtimes of all to the same old second, so that only what a test
    /// changes differs.
    fn settle(&self) {
        let old = filetime::FileTime::from_unix_time(1_000_000_000, 0);
        for entry in walkdir::WalkDir::new(self.root()).contents_first(true) {
            let path = entry.unwrap().into_path();
            filetime::set_symlink_file_times(path, old, old).unwrap();
        }
    }

    /// The clock of the filesystem.
    fn now(&self) -> FileTime {
        let probe = self.place.path().join("probe");
        fs::write(&probe, "x").unwrap();
        let metadata = fs::metadata(&probe).unwrap();
        let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap();
        FileTime { seconds: metadata.mtime(), nanoseconds }
    }

    /// Waits for the next tick of that clock.
    fn tick(&self) -> FileTime {
        let before = self.now();
        loop {
            let now = self.now();
            if now > before {
                return now;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    fn capture(&self) -> State {
        let taken = self.tick();
        let state = self.capture_at(taken, &mut NothingKnown);
        // Whatever comes next shows in a ctime.
        self.tick();
        state
    }

    fn capture_at(&self, taken: FileTime, known: &mut dyn Known) -> State {
        let (mut manifest, mut index) = (Vec::new(), Vec::new());
        let options = CaptureOptions { taken, ..CaptureOptions::default() };
        let captured = capture(&self.native(), known, &mut manifest, &mut index, &options).unwrap();
        State { manifest, sum: captured.manifest, index }
    }

    /// The differences in three ways, which must agree.
    fn diff(&self, state: &State) -> Vec<String> {
        let index = state.index();
        let fs = self.native();
        let snapshot = || state.snapshot();
        let with = diff(&fs, snapshot, Some(&index), &DiffOptions::default()).unwrap();
        let without = diff(&fs, snapshot, None, &DiffOptions::default()).unwrap();
        let rehash = DiffOptions { trust: Trust::Contents, ..DiffOptions::default() };
        assert_eq!(with, without);
        assert_eq!(with, diff(&fs, snapshot, Some(&index), &rehash).unwrap());
        with.iter().map(|diff| format!("{}{}", sigil(diff.change), diff.path)).collect()
    }
}

impl State {
    fn index(&self) -> StatIndex {
        StatIndex::parse(self.index.clone(), &self.sum).unwrap()
    }

    fn snapshot(&self) -> Result<Snapshot> {
        read_mtree(&self.manifest[..])
    }
}

fn sigil(change: Change) -> char {
    match change {
        Change::Added => '+',
        Change::Modified => '*',
        Change::Deleted => '-',
    }
}
