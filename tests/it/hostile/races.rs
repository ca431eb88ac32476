// SPDX-License-Identifier: Apache-2.0
//! Somebody who swaps directories for symbolic links, and files for each
//! other, where the program is at work.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::PathBuf;

use umoci::layer::{Entry, EntryKind, Members};

use super::archive::{Archive, flag};
use super::arena::{Arena, Layer};
use super::attacker::Order;
use crate::harness::{Run, is_slow, needs_root};

/// What must not get into a layer.
const SECRET: &str = "what is outside is no part of the image";

fn rounds() -> usize {
    if is_slow() { 2000 } else { 40 }
}

/// Layers that work in a few directories in every way there is.
fn layers() -> [Layer; 2] {
    let mut lower =
        Archive::new().dir("d").dir("d/e").file("d/canary", "x").file("d/e/canary", "x");
    let mut upper = Archive::new().dir("d");
    for number in 0..12 {
        lower = lower
            .dir(&format!("d/e/dir{number}"))
            .file(&format!("d/e/file{number}"), "x")
            .link(&format!("d/link{number}"), "d/e/canary")
            .symlink(&format!("d/symlink{number}"), "x");
        upper = upper
            .dir_with_mode(&format!("d/e/dir{number}"), 0o777)
            .file(&format!("d/e/.wh.file{number}"), "")
            .member(&format!("d/pipe{number}"), flag::FIFO, |_| {}, b"")
            .device(&format!("d/e/null{number}"), 1, 3)
            .file(&format!("d/e/new{number}"), "x");
    }
    upper = upper.file("d/.wh.canary", "").file("d/e/.wh..wh..opq", "");
    [Layer::plain(lower.end()), Layer::plain(upper.end())]
}

/// An arena with an image `bad`, and outside of it names that its layers would work on.
fn arena() -> Arena {
    let arena = Arena::new();
    arena.tag("bad", arena.image(&layers()));
    for directory in ["", "e", "d", "d/e", "sha256", "rootfs"] {
        let directory = arena.path("outside").join(directory);
        fs::create_dir_all(directory.join("dir1")).unwrap();
        for name in ["canary", "file1", "new1", "link1", "null1", &"0".repeat(64)] {
            fs::write(directory.join(name), SECRET).unwrap();
        }
    }
    arena
}

/// Does `work` again and again beside an attacker, and asserts that the outside stays as it is.
/// It is no matter whether the work succeeds.
fn under_attack(arena: &Arena, order: &Order, mut work: impl FnMut(usize) -> Run) {
    let before = canaries(arena);
    let attacker = order.start();
    let mut succeeded = 0;
    for round in 0..rounds() {
        let run = work(round);
        let status = run.status();
        assert!(matches!(status, Some(0 | 1)), "round {round}: {status:?} {}", run.stderr());
        succeeded += usize::from(status == Some(0));
    }
    let swaps = attacker.stop();
    assert_eq!(canaries(arena), before);
    assert!(swaps > rounds() as u64, "there was no race");
    assert!(succeeded > 0, "nothing was done");
}

fn order(arena: &Arena, roots: &[&str], names: &[&'static str]) -> Order {
    // The attacker takes no way that leads through links.
    let top = arena.path(".").canonicalize().unwrap();
    let roots = roots.iter().map(|root| top.join(root)).collect();
    Order { outside: arena.path("outside"), roots, names: names.to_vec(), pairs: Vec::new() }
}

fn canaries(arena: &Arena) -> Vec<(PathBuf, String)> {
    let all = arena.surroundings().into_iter();
    all.filter(|(path, _)| path.starts_with("outside")).collect()
}

/// Asserts that no layer of an image holds what is outside.
fn no_secret(arena: &Arena, tag: &str) {
    for layer in arena.sandbox.layers("img", tag) {
        assert!(!layer.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
    }
}

/// The attacker may be at work in it.
fn remove_bundle(arena: &Arena) {
    while fs::remove_dir_all(arena.path("bundle"))
        .is_err_and(|error| error.kind() != std::io::ErrorKind::NotFound)
    {}
}

#[test]
fn unpack() {
    if !needs_root() {
        return;
    }
    let arena = arena();
    let roots = ["bundle/*/rootfs", "bundle/*", "bundle"];
    let order = order(&arena, &roots, &["d", "d/e", "rootfs"]);
    for command in [&["unpack"][..], &["unpack", "--keep-dirlinks"], &["raw", "unpack"]] {
        under_attack(&arena, &order, |_| {
            let run = arena.sandbox.umoci(&[command, &["--image=img:bad", "bundle"]].concat());
            remove_bundle(&arena);
            run
        });
    }
}

#[test]
fn repack() {
    if !needs_root() {
        return;
    }
    let arena = arena();
    arena.sandbox.umoci(&["unpack", "--image=img:bad", "bundle"]).succeeds();
    // Not by its name, which may mean the outside.
    let rootfs = File::open(arena.path("bundle/rootfs")).unwrap();
    let inside = PathBuf::from(format!("/proc/self/fd/{}", rootfs.as_raw_fd()));
    let order = order(&arena, &["bundle/rootfs", "bundle"], &["d", "d/e", "rootfs"]);
    under_attack(&arena, &order, |round| {
        let _ = fs::write(inside.join(format!("round{}", round % 30)), format!("{round}"));
        let words = ["repack", "--compress=none", "--image=img:raced", "bundle"];
        let refresh = if round % 4 == 3 { &["--refresh-bundle"][..] } else { &[] };
        let run = arena.sandbox.umoci(&[&words[..], refresh].concat());
        if run.status() == Some(0) {
            no_secret(&arena, "raced");
        }
        run
    });
}

/// Makes all of an arena an ordinary user's. What is outside is closed to him as well, so that
/// it shows when permission bits there step aside.
fn give_away(arena: &Arena) {
    arena.sandbox.give_to_ordinary_user(".");
    for path in ["outside/e/dir1", "outside/d/e", "outside/canary", "outside/file1"] {
        fs::set_permissions(arena.path(path), PermissionsExt::from_mode(0o0)).unwrap();
    }
}

/// A layer in which directories and files are closed to their owner.
fn closed() -> Layer {
    let tar = Archive::new().dir_with_mode("d/e", 0).dir_with_mode("d/e/dir1", 0);
    Layer::plain(tar.dir_with_mode("d", 0).end())
}

#[test]
fn unpack_of_an_ordinary_user() {
    if !needs_root() {
        return;
    }
    let arena = arena();
    let [lower, upper] = layers();
    let again = Layer::plain(Archive::new().file("d/e/late", "x").file("d/late", "x").end());
    arena.tag("closed", arena.image(&[lower, closed(), upper, closed(), again]));
    give_away(&arena);
    let roots = ["bundle/*/rootfs", "bundle/*", "bundle"];
    let order = order(&arena, &roots, &["d", "d/e", "rootfs"]);
    for command in [&["unpack", "--rootless"][..], &["unpack", "--rootless", "--keep-dirlinks"]] {
        under_attack(&arena, &order, |_| {
            let words = [command, &["--image=img:closed", "bundle"]].concat();
            let run = arena.sandbox.umoci_as_ordinary_user(&words);
            remove_bundle(&arena);
            run
        });
    }
}

#[test]
fn repack_of_an_ordinary_user() {
    if !needs_root() {
        return;
    }
    let arena = arena();
    arena.tag("closed", arena.image(&[layers()[0].clone(), closed()]));
    give_away(&arena);
    let unpack = ["unpack", "--rootless", "--image=img:closed", "bundle"];
    arena.sandbox.umoci_as_ordinary_user(&unpack).succeeds();
    let rootfs = File::open(arena.path("bundle/rootfs")).unwrap();
    let inside = PathBuf::from(format!("/proc/self/fd/{}", rootfs.as_raw_fd()));
    let order = order(&arena, &["bundle/rootfs", "bundle"], &["d", "d/e", "rootfs"]);
    under_attack(&arena, &order, |round| {
        let _ = fs::write(inside.join("round"), format!("{round}"));
        let words = ["repack", "--compress=none", "--image=img:raced", "bundle"];
        let refresh = if round % 2 == 1 { &["--refresh-bundle"][..] } else { &[] };
        let run = arena.sandbox.umoci_as_ordinary_user(&[&words[..], refresh].concat());
        if run.status() == Some(0) {
            no_secret(&arena, "raced");
        }
        run
    });
    // Whatever went wrong in between, nothing has been left open.
    let last = arena.sandbox.umoci_as_ordinary_user(&["repack", "--image=img:raced", "bundle"]);
    last.succeeds();
    for closed in ["d", "d/e", "d/e/dir1"] {
        let mode = inside.join(closed).symlink_metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0, "{closed}");
    }
}

#[test]
fn insert_of_an_ordinary_user() {
    if !needs_root() {
        return;
    }
    let arena = arena();
    for directory in ["source/d/e/dir1", "source/d/dir1"] {
        fs::create_dir_all(arena.path(directory)).unwrap();
    }
    for name in ["d/canary", "d/new1", "d/e/canary", "d/e/file1"] {
        fs::write(arena.path("source").join(name), "inside").unwrap();
    }
    give_away(&arena);
    for closed in ["d/e/canary", "d/e/dir1", "d/e", "d"] {
        let path = arena.path("source").join(closed);
        fs::set_permissions(path, PermissionsExt::from_mode(0o0)).unwrap();
    }
    under_attack(&arena, &order(&arena, &["source"], &["d", "d/e"]), |_| {
        let words = ["insert", "--rootless", "--compress=none", "--image=img:bad", "--tag=raced"];
        let words = [&words[..], &["source", "/s"]].concat();
        let run = arena.sandbox.umoci_as_ordinary_user(&words);
        if run.status() == Some(0) {
            no_secret(&arena, "raced");
        }
        run
    });
}

#[test]
fn insert() {
    if !needs_root() {
        return;
    }
    let arena = arena();
    for directory in ["source/d/e/dir1", "source/d/dir1"] {
        fs::create_dir_all(arena.path(directory)).unwrap();
    }
    for name in ["d/canary", "d/new1", "d/e/canary", "d/e/file1"] {
        fs::write(arena.path("source").join(name), "inside").unwrap();
    }
    under_attack(&arena, &order(&arena, &["source"], &["d", "d/e"]), |_| {
        let words = ["insert", "--compress=none", "--image=img:bad", "--tag=raced", "source", "/s"];
        let run = arena.sandbox.umoci(&words);
        if run.status() == Some(0) {
            no_secret(&arena, "raced");
        }
        run
    });
}

#[test]
fn gc() {
    let arena = arena();
    let blobs = File::open(arena.path("img/blobs/sha256")).unwrap();
    let inside = PathBuf::from(format!("/proc/self/fd/{}", blobs.as_raw_fd()));
    let kept: BTreeSet<_> = names(&inside);
    under_attack(&arena, &order(&arena, &["img"], &["blobs", "blobs/sha256"]), |round| {
        fs::write(inside.join(format!("{round:064x}")), "garbage").unwrap();
        arena.sandbox.umoci(&["gc", "--layout=img"])
    });
    assert!(names(&inside).is_superset(&kept));
    arena.sandbox.umoci(&["gc", "--layout=img"]).succeeds_silently();
    assert_eq!(names(&inside), kept);
}

fn names(directory: &PathBuf) -> BTreeSet<std::ffi::OsString> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

/// How many files and how many links change places.
const NUMBERS: u32 = 64;

/// Files and links that change places: every member is one of them, never a mixture.
#[test]
fn members_are_of_one_inode() {
    if !needs_root() {
        return;
    }
    let arena = arena();
    arena.sandbox.umoci(&["unpack", "--image=img:good", "bundle"]).succeeds();
    let rootfs = arena.path("bundle/rootfs");
    for number in 0..NUMBERS {
        let (file, link) =
            (rootfs.join(format!("file{number}")), rootfs.join(format!("link{number}")));
        fs::write(&file, format!("{number:04}").repeat(2500)).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o400 + number)).unwrap();
        std::os::unix::fs::symlink(format!("{number:04}"), &link).unwrap();
        for path in [&file, &link] {
            lchown(path, Some(number), Some(number)).unwrap();
            xattr::set(path, "trusted.number", format!("{number:04}").as_bytes()).unwrap();
        }
    }
    let neighbours = |kind: &str| {
        let pair = |number: u32| (format!("{kind}{number}"), format!("{kind}{}", number ^ 1));
        (0..NUMBERS).map(pair).collect::<Vec<_>>()
    };
    let pairs = [neighbours("file"), neighbours("link")].concat();
    let order = Order { pairs, ..order(&arena, &["bundle/rootfs"], &[]) };
    let mut seen = 0;
    under_attack(&arena, &order, |_| {
        let words = ["repack", "--compress=none", "--image=img:raced", "bundle"];
        let run = arena.sandbox.umoci(&words);
        if run.status() == Some(0) {
            let top = arena.sandbox.layers("img", "raced").pop().unwrap();
            seen += each_is_whole(&top);
        }
        run
    });
    assert!(seen > 0, "nothing was packed");
}

/// Asserts of each file and link that all that is said of it is of the same number. Counts them.
fn each_is_whole(layer: &[u8]) -> usize {
    let mut members = Members::new(layer);
    let mut seen = 0;
    while let Some(entry) = members.next_member().unwrap() {
        let Entry { path, kind, mode, owner, xattrs, .. } = &entry;
        let said = match kind {
            EntryKind::File { size: 10_000 } => {
                assert_eq!(*mode, 0o400 + owner.uid, "{}", path.escape_ascii());
                members.body().unwrap().unwrap().bytes[..4].to_vec()
            }
            EntryKind::Symlink { target } if target.len() == 4 => target.clone(),
            _ => continue,
        };
        assert_eq!(format!("{:04}", owner.uid).as_bytes(), said, "{}", path.escape_ascii());
        assert_eq!(*xattrs[0].value, *said, "{}", path.escape_ascii());
        seen += 1;
    }
    seen
}
