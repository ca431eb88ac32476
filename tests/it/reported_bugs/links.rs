// SPDX-License-Identifier: Apache-2.0
//! Hard links and symbolic links in layers.

use std::os::unix::fs::{MetadataExt, symlink};

use tar::{EntryType, Header};

use super::{Layer, image, quietly, refused, unpacked, with_failing};
use crate::harness::{Sandbox, needs_root};

#[test]
fn case_4_a_hard_link_is_one_inode() {
    if !needs_root() {
        return;
    }
    let link = |header: &mut Header| {
        header.set_link_name_literal("a").unwrap();
        header.set_mode(0o4777);
        header.set_uid(5);
        header.set_mtime(7);
    };
    let tree = unpacked([Layer::new().file("a", "x").member("b", EntryType::Link, "", link)]);
    let (a, b) = (tree.stat("a"), tree.stat("b"));
    assert_eq!((a.ino(), a.nlink()), (b.ino(), 2));
    assert_eq!((a.mode() & 0o7777, a.uid(), a.mtime()), (0o644, 0, super::AGE));
}

#[test]
fn case_28_links_to_directories_are_kept_on_request_only() {
    if !needs_root() {
        return;
    }
    let lower = Layer::new().dir("real/").symlink("one", "two").symlink("two", "/real");
    let lower = lower.symlink("loop", "loop").symlink("out", "../../..").symlink("broken", "no");
    let upper = Layer::new().dir("one/").file("one/x", "").dir("loop/").file("loop/x", "");
    let sandbox = image([lower, upper.dir("out/").file("out/y", "").dir("broken/")]);
    quietly(&sandbox, &["raw", "unpack", "--keep-dirlinks", "--image=img", "kept"]);
    quietly(&sandbox, &["raw", "unpack", "--image=img", "replaced"]);
    let is_link = |name: &str| sandbox.path(name).is_symlink();
    let exists = |name: &str| sandbox.path(name).exists();
    assert!(is_link("kept/one") && exists("kept/real/x") && exists("kept/loop/x"));
    assert!(is_link("kept/out") && exists("kept/y") && !exists("y"));
    assert!(!is_link("kept/broken") && exists("kept/broken"));
    for name in ["one", "loop", "out", "broken"] {
        assert!(!is_link(&format!("replaced/{name}")), "{name}");
    }
    assert!(exists("replaced/one/x") && !exists("replaced/real/x"));
}

#[test]
fn case_37_a_hard_link_that_is_refused_becomes_a_copy() {
    if !needs_root() {
        return;
    }
    let Some(strace) = crate::harness::strace() else { return };
    let sandbox = image([Layer::new().file("a", "x").hard_link("b", "a")]);
    let words = ["unpack", "--image=img", "bundle"];
    let run = with_failing(&sandbox, &strace, "linkat", "error=EPERM", &words);
    run.succeeds();
    assert!(run.stderr().contains("1 hard link as a copy"), "{}", run.stderr());
    let [a, b] = ["a", "b"].map(|name| sandbox.path("bundle/rootfs").join(name));
    assert_eq!(std::fs::read(&b).unwrap(), b"x");
    assert_ne!(a.metadata().unwrap().ino(), b.metadata().unwrap().ino());
    // What was emulated is no change.
    assert_eq!(super::repacked(&sandbox), [""; 0]);
}

#[test]
fn case_63_the_other_name_of_what_a_whiteout_removes() {
    if !needs_root() {
        return;
    }
    let lower = Layer::new().file("a", "contents").hard_link("b", "a");
    let tree = unpacked([lower, Layer::new().file(".wh.a", "")]);
    assert!(!tree.has("a"));
    assert_eq!((tree.read("b").as_str(), tree.stat("b").nlink()), ("contents", 1));
}

#[test]
fn case_65_links_take_the_place_of_what_is_there() {
    if !needs_root() {
        return;
    }
    let lower = Layer::new().file("a", "a").file("b", "b").dir("d/").file("d/x", "").file("e", "e");
    let upper = Layer::new().hard_link("b", "a").symlink("d", "a").symlink("e", "a");
    let tree = unpacked([lower, upper]);
    assert_eq!(tree.stat("a").ino(), tree.stat("b").ino());
    assert!(tree.path("d").is_symlink() && tree.path("e").is_symlink());
}

#[test]
fn case_66_a_hard_link_before_its_target() {
    if !needs_root() {
        return;
    }
    let tree = unpacked([Layer::new().hard_link("d/b", "a").file("a", "x")]);
    assert_eq!(tree.read("d/b"), "x");
    assert_eq!(tree.stat("d/b").ino(), tree.stat("a").ino());
    // Targets are taken from the root of the tree.
    let lower = Layer::new().file("t", "lower");
    let tree = unpacked([lower, Layer::new().hard_link("l", "/t").hard_link("m", "../../t")]);
    assert_eq!((tree.read("l"), tree.read("m")), ("lower".into(), "lower".into()));
    refused([Layer::new().hard_link("l", "missing")], "no such file");
}

#[test]
fn case_67_a_hard_link_names_an_inode() {
    if !needs_root() {
        return;
    }
    let lower = Layer::new().file("a", "old").hard_link("b", "a");
    let tree = unpacked([lower, Layer::new().file("a", "new")]);
    assert_eq!((tree.read("a"), tree.read("b")), ("new".into(), "old".into()));
    refused([Layer::new().hard_link("a", "b").hard_link("b", "a")], "no such file");
    let tree = unpacked([
        Layer::new().file("a", "x"),
        Layer::new().hard_link("b", "a").hard_link("a", "b"),
    ]);
    assert_eq!((tree.read("a"), tree.read("b")), ("x".into(), "x".into()));
}

#[test]
fn case_72_a_hard_link_with_a_long_target() {
    if !needs_root() {
        return;
    }
    let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    builder.append_data(&mut header, &long, &b"x"[..]).unwrap();
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Link);
    header.set_size(0);
    builder.append_link(&mut header, "gnu", &long).unwrap();
    let pax = Layer(builder).pax(&[("linkpath", &long)]).hard_link("pax", "short");
    let tree = unpacked([pax]);
    assert_eq!((tree.read("gnu"), tree.read("pax")), ("x".into(), "x".into()));
    assert_eq!(tree.stat("gnu").nlink(), 3);
}

#[test]
fn case_73_a_mode_below_a_link() {
    if !needs_root() {
        return;
    }
    let lower = Layer::new().dir("real/").symlink("etc", "/real").file("etc/group", "x");
    let edit = |header: &mut Header| header.set_mode(0o600);
    let upper = Layer::new().member("etc/group", EntryType::Regular, "y", edit);
    let tree = unpacked([lower, upper]);
    assert_eq!((tree.read("real/group").as_str(), tree.mode("real/group")), ("y", 0o600));
}

#[test]
fn case_74_a_destination_behind_a_link() {
    if !needs_root() {
        return;
    }
    let sandbox: Sandbox = image([Layer::new().file("f", "x")]);
    std::fs::create_dir(sandbox.path("real")).unwrap();
    symlink("real", sandbox.path("link")).unwrap();
    quietly(&sandbox, &["unpack", "--image=img", "link/bundle"]);
    quietly(&sandbox, &["raw", "unpack", "--image=img", "link/tree"]);
    quietly(&sandbox, &["unpack", "--image=img", "link"]);
    for name in ["real/bundle/rootfs/f", "real/tree/f", "real/rootfs/f"] {
        assert!(sandbox.path(name).exists(), "{name}");
    }
}
