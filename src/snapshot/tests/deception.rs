// SPDX-License-Identifier: Apache-2.0
//! Changes that look like none: whatever is done about size and times, and
//! whatever becomes of the tree, an index never hides that contents differ.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::counting::Counting;
use super::*;

/// A tree whose file `f` holds `before`, and what was captured of it.
fn tree() -> (Tree, State) {
    let tree = Tree::new();
    tree.write("f", "before");
    tree.write("other", "other");
    tree.settle();
    let state = tree.capture();
    assert_eq!(tree.diff(&state), [""; 0]);
    (tree, state)
}

fn times(path: &Path) -> (filetime::FileTime, filetime::FileTime) {
    let metadata = fs::metadata(path).unwrap();
    (
        filetime::FileTime::from_last_access_time(&metadata),
        filetime::FileTime::from_last_modification_time(&metadata),
    )
}

/// Changes `f` and puts its times back to the nanosecond, and those of the root.
fn deceive(change: impl FnOnce(&Path)) {
    let (tree, state) = tree();
    let (file, root) = (tree.path("f"), tree.root());
    let before = [&file, &root].map(|path| times(path));
    change(&file);
    for (path, (atime, mtime)) in [&file, &root].into_iter().zip(before) {
        filetime::set_file_times(path, atime, mtime).unwrap();
    }
    assert_eq!(times(&file), before[0]);
    assert_eq!(fs::metadata(&file).unwrap().len(), 6);
    assert_eq!(tree.diff(&state), ["*f"]);
}

#[test]
fn an_edit_of_the_same_size_with_the_old_mtime() {
    deceive(|file| fs::write(file, "AFTER!").unwrap());
}

#[test]
fn a_file_in_the_place_of_another() {
    deceive(|file| {
        let new = file.with_file_name("new");
        fs::write(&new, "AFTER!").unwrap();
        fs::rename(&new, file).unwrap();
    });
}

#[test]
fn a_write_through_memory() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: python3 is not installed");
        return;
    }
    deceive(|file| {
        let script = "import mmap,sys\nwith open(sys.argv[1],'r+b') as f:\n m=mmap.mmap(f.fileno(),0);m[:]=b'AFTER!'";
        let written = Command::new("python3").args(["-c", script]).arg(file).status();
        assert!(written.unwrap().success());
        assert_eq!(fs::read(file).unwrap(), b"AFTER!");
    });
}

#[test]
fn a_copy_is_read() {
    let (tree, state) = tree();
    let copy = Tree::new();
    let copied = Command::new("cp").arg("-a").arg(tree.path(".")).arg(copy.root()).status();
    assert!(copied.unwrap().success());
    assert_eq!(copy.diff(&state), [""; 0]);
    let (atime, mtime) = times(&copy.path("f"));
    fs::write(copy.path("f"), "AFTER!").unwrap();
    filetime::set_file_times(copy.path("f"), atime, mtime).unwrap();
    assert_eq!(copy.diff(&state), ["*f"]);
}

/// A clock that is set back makes new changes look old, and old ones look new.
#[test]
fn a_clock_that_is_set_back() {
    let (tree, _) = tree();
    // As if the capture came an hour before the files were written.
    let now = tree.tick();
    let earlier = FileTime { seconds: now.seconds - 3600, ..now };
    let state = tree.capture_at(earlier, &mut NothingKnown);
    let fs = Counting::new(tree.native());
    let diffs = diff(&fs, || state.snapshot(), Some(&state.index()), &DiffOptions::default());
    assert!(diffs.unwrap().is_empty());
    assert_eq!(fs.opened(), 2, "what is younger than the index is read");
}

#[test]
fn inode_numbers_that_do_not_stay() {
    let (tree, state) = tree();
    let fs = Counting::new(tree.native()).renumbered(1 << 20);
    let changes = || diff(&fs, || state.snapshot(), Some(&state.index()), &DiffOptions::default());
    assert!(changes().unwrap().is_empty());
    assert_eq!(fs.opened(), 2, "an inode with another number is read");
    let (atime, mtime) = times(&tree.path("f"));
    std::fs::write(tree.path("f"), "AFTER!").unwrap();
    filetime::set_file_times(tree.path("f"), atime, mtime).unwrap();
    assert_eq!(changes().unwrap().len(), 1);
}
