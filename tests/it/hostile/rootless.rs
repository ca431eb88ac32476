// SPDX-License-Identifier: Apache-2.0
//! What makes directories accessible for an ordinary user does so inside of
//! the root filesystem only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::archive::Archive;
use super::arena::{Arena, Layer, Limits};
use crate::harness::{Run, needs_root};

const UNPACK: [&str; 4] = ["unpack", "--rootless", "--image=img:bad", "bundle"];

/// Makes all of the arena an ordinary user's, with what is outside closed.
fn give_away(arena: &Arena) {
    for name in ["outside/closed/below", "outside/closed/canary"] {
        fs::create_dir_all(arena.path("outside/closed")).unwrap();
        fs::write(arena.path(name), "x").unwrap();
    }
    arena.sandbox.give_to_ordinary_user(".");
    for name in ["outside/closed/canary", "outside/closed"] {
        fs::set_permissions(arena.path(name), PermissionsExt::from_mode(0o0)).unwrap();
    }
}

fn run(arena: &Arena, words: &[&str]) -> Run {
    Arena::run_watched(arena.sandbox.command_of_ordinary_user(words), Limits::default())
}

fn outside(arena: &Arena) -> Vec<(PathBuf, String)> {
    let all = arena.surroundings().into_iter();
    all.filter(|(path, _)| path.starts_with("outside")).collect()
}

type Upper = fn(Archive, &str) -> Archive;

#[test]
fn nothing_outside_is_opened_up() {
    if !needs_root() {
        return;
    }
    let uppers: [(&str, Upper); 8] = [
        ("a file", |tar, out| tar.symlink("d", out).file("d/f", "y")),
        ("the file that is there", |tar, out| tar.symlink("d", out).file("d/canary", "y")),
        ("a whiteout", |tar, out| tar.symlink("d", out).file("d/.wh.canary", "")),
        ("all", |tar, out| tar.symlink("d", out).file("d/.wh..wh..opq", "")),
        ("a hard link", |tar, out| tar.symlink("d", out).link("l", "d/canary")),
        ("a link to a link", |tar, out| tar.symlink("s", &format!("{out}/canary")).link("l", "s")),
        ("a mode", |tar, out| tar.symlink("d", out).dir_with_mode("d/x", 0o777)),
        ("two links", |tar, out| {
            tar.symlink("e", out).symlink("d", "e").dir_with_mode("d/x", 0o777)
        }),
    ];
    for (name, upper) in uppers {
        let arena = Arena::new();
        let out = format!("{}/closed", arena.outside());
        let lower = Archive::new().dir_with_mode("d", 0).file("d/f", "x");
        let layers = [lower, upper(Archive::new(), &out)];
        arena.tag("bad", arena.image(&layers.map(|tar| Layer::plain(tar.end()))));
        give_away(&arena);
        let before = outside(&arena);
        let unpacked = run(&arena, &UNPACK);
        if unpacked.status() == Some(0) {
            run(&arena, &["repack", "--image=img:again", "bundle"]).succeeds();
        } else {
            arena.refused(name, &unpacked);
        }
        assert_eq!(outside(&arena), before, "{name}");
    }
}

/// The attribute in which an owner is kept is no business of a layer.
#[test]
fn owners_are_not_forged() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    // The uid and the gid, 5 each.
    let forged = [("SCHILY.xattr.user.rootlesscontainers", &b"\x08\x05\x10\x05"[..])];
    let layer = Archive::new().pax(&forged).file("f", "x").end();
    arena.tag("bad", arena.image(&[Layer::plain(layer)]));
    give_away(&arena);
    run(&arena, &UNPACK).succeeds();
    assert_eq!(xattr::get(arena.rootfs("f"), "user.rootlesscontainers").unwrap(), None);
    fs::write(arena.rootfs("f"), "changed").unwrap();
    run(&arena, &["repack", "--compress=none", "--image=img:again", "bundle"]).succeeds();
    let top = arena.sandbox.layers("img", "again").pop().unwrap();
    for entry in tar::Archive::new(&top[..]).entries().unwrap() {
        assert_eq!(entry.unwrap().header().uid().unwrap(), 0);
    }
}
