// SPDX-License-Identifier: Apache-2.0
//! What counts as a change and what does not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;

/// A tree with one of each.
fn tree() -> Tree {
    let tree = Tree::new();
    for (path, contents) in [
        ("a", "aaaa"),
        ("b", "bbbb"),
        ("d/x", "x"),
        ("d/e/y", "y"),
        ("d-x", ""),
        ("o\nd\\d\u{ff} #*/f g", "odd"),
        ("twin", "twin"),
    ] {
        tree.write(path, contents);
    }
    symlink("a", tree.path("link")).unwrap();
    for name in ["twin2", "d/twin3"] {
        fs::hard_link(tree.path("twin"), tree.path(name)).unwrap();
    }
    tree.settle();
    tree
}

fn set_mtime(path: &Path, seconds: i64, nanoseconds: u32) {
    let time = filetime::FileTime::from_unix_time(seconds, nanoseconds);
    filetime::set_symlink_file_times(path, time, time).unwrap();
}

/// Does something to the tree and compares the differences; mtimes of
/// directories are put back.
fn check(change: impl FnOnce(&Tree), expected: &[&str]) {
    let tree = tree();
    let state = tree.capture();
    assert_eq!(tree.diff(&state), [""; 0], "before the change");
    change(&tree);
    for directory in [".", "d", "d/e"] {
        if tree.path(directory).is_dir() {
            set_mtime(&tree.path(directory), 1_000_000_000, 0);
        }
    }
    assert_eq!(tree.diff(&state), expected);
}

#[test]
fn metadata_counts() {
    let chmod =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    check(|tree| chmod(&tree.path("a"), 0o4755), &["*a"]);
    check(|tree| chmod(&tree.path("d/e"), 0o1700), &["*d/e"]);
    check(|tree| chmod(&tree.path("."), 0o711), &["*."]);
    check(|tree| set_mtime(&tree.path("a"), 1_000_000_001, 0), &["*a"]);
    check(|tree| set_mtime(&tree.path("link"), 1, 0), &["*link"]);
    check(|tree| set_mtime(&tree.path("d-x"), -1, 0), &["*d-x"]);
    check(|tree| set_mtime(&tree.path("a"), 1_000_000_000, 999_999_999), &[]);
}

#[test]
fn contents_count_even_with_the_old_mtime() {
    let rewrite = |tree: &Tree, path: &str, contents: &str| {
        tree.write(path, contents);
        set_mtime(&tree.path(path), 1_000_000_000, 0);
    };
    check(|tree| rewrite(tree, "a", "AAAA"), &["*a"]);
    check(|tree| rewrite(tree, "a", "longer"), &["*a"]);
    check(|tree| rewrite(tree, "a", "aaaa"), &[]);
    check(|tree| rewrite(tree, "o\nd\\d\u{ff} #*/f g", "ODD"), &["*o\\nd\\\\d\\xc3\\xbf #*/f g"]);
}

#[test]
fn links_count_by_their_target() {
    let relink = |tree: &Tree, target: &str| {
        fs::remove_file(tree.path("link")).unwrap();
        symlink(target, tree.path("link")).unwrap();
        set_mtime(&tree.path("link"), 1_000_000_000, 0);
    };
    check(|tree| relink(tree, "b"), &["*link"]);
    check(|tree| relink(tree, "a"), &[]);
}

#[test]
fn attributes_count() {
    let set = |tree: &Tree, path: &str, value: &[u8]| {
        // Not every filesystem that tests run on takes them.
        xattr::set(tree.path(path), "user.test", value).is_ok()
    };
    if !set(&tree(), "a", b"probe") {
        return;
    }
    for path in ["a", "d/e", "."] {
        let expected = format!("*{path}");
        check(|tree| assert!(set(tree, path, &[0, 255])), &[&expected]);
    }
    let tree = tree();
    assert!(set(&tree, "a", &[b'v'; 3000]) && set(&tree, "d", b"") && set(&tree, ".", b"root"));
    let state = tree.capture();
    assert_eq!(tree.diff(&state), [""; 0]);
    assert!(set(&tree, "a", &[b'w'; 3000]));
    xattr::remove(tree.path("d"), "user.test").unwrap();
    assert_eq!(tree.diff(&state), ["*a", "*d"]);
}

#[test]
fn names_come_and_go() {
    check(|tree| tree.write("new/n", ""), &["+new", "+new/n"]);
    check(|tree| tree.write("0", ""), &["+0"]);
    check(|tree| fs::remove_file(tree.path("d/x")).unwrap(), &["-d/x"]);
    check(|tree| fs::remove_dir_all(tree.path("d/e")).unwrap(), &["-d/e"]);
    check(
        |tree| {
            fs::rename(tree.path("d/e"), tree.path("d/f")).unwrap();
        },
        &["-d/e", "+d/f", "+d/f/y"],
    );
}

#[test]
fn nothing_is_deleted_below_what_is_no_directory_any_more() {
    let replace = |tree: &Tree| fs::remove_dir_all(tree.path("d/e")).unwrap();
    check(
        |tree| {
            replace(tree);
            symlink("..", tree.path("d/e")).unwrap();
        },
        &["*d/e"],
    );
    check(
        |tree| {
            replace(tree);
            tree.write("d/e", "now a file");
        },
        &["*d/e"],
    );
    check(
        |tree| {
            fs::remove_file(tree.path("a")).unwrap();
            tree.write("a/below", "now a directory");
        },
        &["*a", "+a/below"],
    );
}

#[test]
fn lost_names_are_only_deleted() {
    check(|tree| fs::remove_file(tree.path("twin")).unwrap(), &["-twin"]);
    let two = |tree: &Tree| {
        fs::remove_file(tree.path("twin2")).unwrap();
        fs::remove_file(tree.path("d/twin3")).unwrap();
    };
    check(two, &["-d/twin3", "-twin2"]);
    let overwritten = |tree: &Tree| {
        tree.write("new", "other");
        fs::rename(tree.path("new"), tree.path("twin2")).unwrap();
    };
    check(overwritten, &["*twin2"]);
}

#[test]
fn gained_names_bring_the_others_along() {
    let link = |tree: &Tree, from: &str, to: &str| {
        let _ = fs::remove_file(tree.path(to));
        fs::hard_link(tree.path(from), tree.path(to)).unwrap();
    };
    check(|tree| link(tree, "a", "c"), &["*a", "+c"]);
    check(|tree| link(tree, "twin", "d/new"), &["+d/new", "*d/twin3", "*twin", "*twin2"]);
    // One lost, one gained: the count is as before.
    check(
        |tree| {
            fs::remove_file(tree.path("twin2")).unwrap();
            link(tree, "twin", "z");
        },
        &["*d/twin3", "*twin", "-twin2", "+z"],
    );
    // What was another file before.
    check(|tree| link(tree, "a", "b"), &["*a", "*b"]);
}

#[test]
fn links_from_outside_do_not_count() {
    check(
        |tree| {
            for name in ["a", "twin"] {
                fs::hard_link(tree.path(name), tree.place.path().join(name)).unwrap();
            }
        },
        &[],
    );
    let tree = tree();
    fs::hard_link(tree.path("a"), tree.place.path().join("a")).unwrap();
    let state = tree.capture();
    assert_eq!(tree.diff(&state), [""; 0]);
    fs::remove_file(tree.place.path().join("a")).unwrap();
    assert_eq!(tree.diff(&state), [""; 0]);
}

#[test]
fn a_split_inode_shows_though_nothing_else_changed() {
    let split = |tree: &Tree, path: &str| {
        fs::copy(tree.path(path), tree.path("copy")).unwrap();
        set_mtime(&tree.path("copy"), 1_000_000_000, 0);
        fs::rename(tree.path("copy"), tree.path(path)).unwrap();
    };
    check(|tree| split(tree, "twin2"), &["*twin2"]);
    check(|tree| split(tree, "d/twin3"), &["*twin", "*twin2"]);
}

#[test]
fn a_change_in_the_tick_of_the_index_is_seen() {
    for _ in 0..50 {
        let tree = Tree::new();
        tree.write("f", "old");
        let taken = tree.now();
        let state = tree.capture_at(taken, &mut NothingKnown);
        let before = fs::metadata(tree.path("f")).unwrap().modified().unwrap();
        tree.write("f", "new");
        let file = fs::File::options().write(true).open(tree.path("f")).unwrap();
        file.set_modified(before).unwrap();
        assert_eq!(tree.diff(&state), ["*f"]);
    }
}

#[test]
fn moving_the_tree_keeps_the_index_good() {
    let mut tree = tree();
    let state = tree.capture();
    let other = tempfile::tempdir_in(tree.place.path().parent().unwrap()).unwrap();
    fs::rename(tree.root(), other.path().join("rootfs")).unwrap();
    tree.place = other;
    let unread = || -> Result<Snapshot> { panic!("the manifest is read") };
    let diffs = diff(&tree.native(), unread, Some(&state.index()), &DiffOptions::default());
    assert!(diffs.unwrap().is_empty());
}

/// More names than are handed over together, with changes where one part ends and the next begins.
#[test]
fn large_directories_come_in_parts() {
    let tree = Tree::new();
    for number in 0..1500 {
        tree.write(&format!("d/{number:04}"), "x");
    }
    tree.write("d/0600-/y", "y");
    tree.settle();
    let state = tree.capture();
    let paths = state.snapshot().unwrap().count();
    assert_eq!((paths, tree.diff(&state)), (1504, Vec::new()));
    let mut expected: Vec<String> = vec!["*d".into(), "*d/0600-/y".into(), "*d/1499".into()];
    for number in [0, 1, 510, 511, 512, 513, 1023, 1024, 1025, 1498] {
        fs::remove_file(tree.path(&format!("d/{number:04}"))).unwrap();
        expected.push(format!("-d/{number:04}"));
    }
    for path in ["d/0600-/y", "d/1499"] {
        tree.write(path, "z");
    }
    for path in ["d/0511+", "d/0512+", "d/1500"] {
        tree.write(path, "new");
        expected.push(format!("+{path}"));
    }
    expected.sort_by(|one, other| one[1..].cmp(&other[1..]));
    assert_eq!(tree.diff(&state), expected);
    for number in 256..1400 {
        let _ = fs::remove_file(tree.path(&format!("d/{number:04}")));
    }
    assert_eq!(tree.diff(&state).len(), expected.len() + 1144 - 7);
}
