// SPDX-License-Identifier: Apache-2.0
//! Laws: putting the differences on a copy of the old tree gives the new one,
//! hard links and all, and an index never changes what is found.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 7] = ["a", "b", "c", "d", "d/a", "d/b", "d/e"];

/// Something a build does to a tree.
#[derive(Debug, Clone)]
enum Step {
    Write(usize, u8),
    Directory(usize),
    Symlink(usize, usize),
    Link(usize, usize),
    Rename(usize, usize),
    Remove(usize),
    Mode(usize, u32),
    /// Replaces a file by a copy, so that its links are broken.
    Copy(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        3 => (name.clone(), 0u8..2).prop_map(|(name, contents)| Step::Write(name, contents)),
        1 => name.clone().prop_map(Step::Directory),
        1 => (name.clone(), name.clone()).prop_map(|(name, target)| Step::Symlink(name, target)),
        4 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Link(from, to)),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => name.clone().prop_map(Step::Remove),
        1 => (name.clone(), 0u32..2).prop_map(|(name, mode)| Step::Mode(name, mode)),
        2 => name.prop_map(Step::Copy),
    ]
}

/// Does a step as far as it can be done. All inodes get the same mtime, so that
/// nothing but the contents of an inode tells it from others.
fn take(tree: &Tree, step: &Step) {
    let path = |name: &usize| tree.path(NAMES[*name]);
    match step {
        Step::Write(name, contents) => {
            remove(&path(name));
            drop(fs::write(path(name), [*contents]));
        }
        Step::Directory(name) => drop(fs::create_dir(path(name))),
        Step::Symlink(name, target) => drop(symlink(NAMES[*target], path(name))),
        Step::Link(from, to) if from != to && path(from).is_file() => {
            remove(&path(to));
            drop(fs::hard_link(path(from), path(to)));
        }
        Step::Rename(from, to) => drop(fs::rename(path(from), path(to))),
        Step::Remove(name) => remove(&path(name)),
        Step::Mode(name, mode) => {
            let mode = fs::Permissions::from_mode(0o700 + mode);
            if !path(name).is_symlink() {
                drop(fs::set_permissions(path(name), mode));
            }
        }
        Step::Copy(name) if path(name).is_file() && !path(name).is_symlink() => {
            let copy = tree.path("copy");
            fs::copy(path(name), &copy).unwrap();
            fs::rename(&copy, path(name)).unwrap();
        }
        Step::Link(..) | Step::Copy(_) => {}
    }
}

fn remove(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path).unwrap();
    } else {
        drop(fs::remove_file(path));
    }
}

/// Puts differences on a copy of the old tree the way a layer does: names of
/// one inode are linked only among those that are in the layer.
fn apply(diffs: &[String], new: &Path, old: &Path) {
    let mut written: BTreeMap<u64, std::path::PathBuf> = BTreeMap::new();
    for diff in diffs {
        let (sigil, path) = diff.split_at(1);
        let (from, to) = (new.join(path), old.join(path));
        let metadata = fs::symlink_metadata(&from).ok();
        let is_dir = metadata.as_ref().is_some_and(fs::Metadata::is_dir);
        if !(is_dir && to.is_dir() && !to.is_symlink()) {
            remove(&to);
        }
        if sigil == "-" {
            continue;
        }
        let metadata = metadata.unwrap();
        if is_dir {
            drop(fs::create_dir(&to));
            fs::set_permissions(&to, metadata.permissions()).unwrap();
        } else if let Some(first) = written.get(&metadata.ino()) {
            fs::hard_link(first, &to).unwrap();
        } else {
            run("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
            written.insert(metadata.ino(), to);
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success());
}

/// A tree as text, with numbers for inodes in the order in which they are met.
fn describe(root: &Path) -> Vec<String> {
    let mut inodes = BTreeMap::new();
    let walk = walkdir::WalkDir::new(root).sort_by_file_name().into_iter();
    let describe = |entry: walkdir::DirEntry| {
        let metadata = entry.path().symlink_metadata().unwrap();
        let next = inodes.len();
        let inode = *inodes.entry(metadata.ino()).or_insert(next);
        let contents = fs::read_link(entry.path()).map(std::path::PathBuf::into_os_string).ok();
        let bytes = fs::read(entry.path()).ok().filter(|_| metadata.is_file());
        let path = entry.path().strip_prefix(root).unwrap().to_owned();
        format!("{path:?} {inode} {:o} {contents:?} {bytes:?}", metadata.mode())
    };
    walk.map(|entry| entry.unwrap()).map(describe).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn differences_lead_from_the_old_tree_to_the_new(
        before in proptest::collection::vec(step(), 0..14),
        after in proptest::collection::vec(step(), 0..6),
    ) {
        let tree = Tree::new();
        fs::create_dir(tree.path("d")).unwrap();
        for step in &before {
            take(&tree, step);
        }
        tree.settle();
        let old = tree.place.path().join("old");
        run("cp", &["-a", tree.root().to_str().unwrap(), old.to_str().unwrap()]);
        let state = tree.capture();
        for step in &after {
            take(&tree, step);
        }
        tree.settle();
        let diffs = tree.diff(&state);
        apply(&diffs, &tree.root(), &old);
        prop_assert_eq!(describe(&old), describe(&tree.root()), "{:?}", diffs);
    }
}
