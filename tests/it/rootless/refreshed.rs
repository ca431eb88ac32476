// SPDX-License-Identifier: Apache-2.0
//! A bundle that becomes one of the new image: what was told of it is not told again.

use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use super::killed::is_killed;
use super::scene::{self, last_layer, set_mode, touch};
use crate::harness::{Run, Sandbox, needs_root, strace};

const REFRESH: [&str; 4] = ["repack", "--refresh-bundle", "--image=img:new", "home/b"];
const TOLD: &str = "4 objects are no longer what was recorded\n";

/// Unpacks `home/b` as an ordinary user and puts other objects in the places of four that the
/// record is about, of which one has other names meanwhile.
fn replace(sandbox: &Sandbox) {
    if sandbox.path("home/b").exists() {
        std::fs::remove_dir_all(sandbox.path("home/b")).unwrap();
    }
    let words = ["unpack", "--rootless", "--image=img:full", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).emulates();
    let at = |name: &str| sandbox.path("home/b/rootfs").join(name);
    for name in ["dev/another", "dev/other"] {
        std::fs::hard_link(at("dev/disk"), at(name)).unwrap();
    }
    for name in ["dev/disk", "dev/null", "bin/ping"] {
        std::fs::remove_file(at(name)).unwrap();
        std::fs::write(at(name), "new").unwrap();
        set_mode(at(name), 0o644);
    }
    std::fs::remove_file(at("var/www/link")).unwrap();
    symlink("elsewhere", at("var/www/link")).unwrap();
}

fn refresh(sandbox: &Sandbox) -> Run {
    sandbox.umoci_as_ordinary_user(&REFRESH)
}

/// Asserts that a refreshed bundle is that of its image, to which nothing is to be added or said.
#[track_caller]
fn is_settled(sandbox: &Sandbox) {
    let before = last_layer(sandbox, "new");
    refresh(sandbox).succeeds_silently();
    assert_eq!(last_layer(sandbox, "new"), before);
}

/// Asserts that the image has what was put there, and all else as it was.
fn check(sandbox: &Sandbox) {
    sandbox.umoci(&["unpack", "--image=img:new", "check"]).succeeds_silently();
    let of = |name: &str| sandbox.path("check/rootfs").join(name).symlink_metadata().unwrap();
    for name in ["dev/disk", "dev/null", "bin/ping"] {
        assert!(of(name).is_file() && of(name).uid() == 0, "{name}");
    }
    assert_eq!(xattr::list(sandbox.path("check/rootfs/bin/ping")).unwrap().count(), 0);
    assert_eq!(of("var/www/link").uid(), 0);
    assert!(of("dev/other").file_type().is_block_device());
    assert_eq!((of("dev/other").rdev(), of("dev/other").gid()), (8 << 8, 6));
    assert_eq!(of("dev/pipe").uid(), 5);
    std::fs::remove_dir_all(sandbox.path("check")).unwrap();
}

/// The lines of the record after the head.
fn record(bundle: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(bundle.join("rootless.jsonl")).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn what_was_told_is_not_told_again() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    replace(&sandbox);
    let bundle = sandbox.path("home/b");
    let before = record(&bundle);
    let run = refresh(&sandbox);
    run.succeeds();
    assert!(run.stderr().contains(TOLD), "{}", run.stderr());
    // What is still good stays as it was, and what has another name is found by that.
    let after = record(&bundle);
    let others: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert_eq!((before.len() - after.len(), others.len()), (3, 1), "{after:#?}");
    assert!(others[0].contains("\"dev/other\""), "{}", others[0]);
    is_settled(&sandbox);
    check(&sandbox);
    // Also when all of it is packed, and by whoever wants nothing made up.
    touch(&sandbox.path("home/b/rootfs"));
    assert!(refresh(&sandbox).emulates().contains("1 device as an empty file"));
    check(&sandbox);
    let strict = ["repack", "--strict", "--image=img:strict", "home/b"];
    sandbox.umoci_as_ordinary_user(&strict).succeeds_silently();
    // Something new.
    std::fs::remove_file(sandbox.path("home/b/rootfs/dev/pipe")).unwrap();
    std::fs::write(sandbox.path("home/b/rootfs/dev/pipe"), "new").unwrap();
    let told = refresh(&sandbox).stderr();
    assert!(told.contains("1 object is no longer what was recorded\n"), "{told}");
    is_settled(&sandbox);
}

/// It is the same tree still, in which what is recorded is found wherever it has been moved to.
#[test]
fn what_is_moved_afterwards_keeps_what_is_recorded() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    replace(&sandbox);
    refresh(&sandbox).succeeds();
    let at = |name: &str| sandbox.path("home/b/rootfs").join(name);
    for (name, to) in [("dev/pipe", "dev/moved-pipe"), ("dev/other", "dev/moved-disk")] {
        std::fs::rename(at(name), at(to)).unwrap();
    }
    refresh(&sandbox).emulates();
    sandbox.umoci(&["unpack", "--image=img:new", "check"]).succeeds_silently();
    let of = |name: &str| sandbox.path("check/rootfs").join(name).symlink_metadata().unwrap();
    assert_eq!(of("dev/moved-pipe").uid(), 5);
    assert!(of("dev/moved-disk").file_type().is_block_device());
}

/// A copy has inodes of its own, and stays a copy.
#[test]
fn nor_in_a_copy() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    replace(&sandbox);
    std::fs::rename(sandbox.path("home/b"), sandbox.path("home/original")).unwrap();
    let cp = crate::harness::peer("cp").unwrap();
    sandbox.peer(&cp, &["-a", "home/original", "home/b"]).succeeds();
    let run = refresh(&sandbox);
    run.succeeds();
    assert!(run.stderr().contains(TOLD), "{}", run.stderr());
    is_settled(&sandbox);
    touch(&sandbox.path("home/b/rootfs"));
    let told = refresh(&sandbox).emulates();
    assert!(told.contains("owners in the record"), "{told}");
    is_settled(&sandbox);
}

/// Whenever it is killed, the next one comes to the same end.
#[test]
fn whoever_is_killed_leaves_nothing_untold() {
    let (Some(strace), true) = (strace(), needs_root()) else { return };
    let sandbox = scene::sandbox();
    let mut kills = 0;
    for call in ["rename", "renameat", "renameat2"] {
        for at in 1.. {
            replace(&sandbox);
            if !is_killed(&sandbox, &strace, &REFRESH, call, at) {
                break;
            }
            kills += 1;
            let run = refresh(&sandbox);
            run.succeeds();
            // Unless all was done.
            let is_told = run.stderr().contains(TOLD);
            assert!(is_told || run.stderr().is_empty(), "{call} {at}: {}", run.stderr());
            is_settled(&sandbox);
            check(&sandbox);
        }
    }
    assert!(kills > 6, "{kills}");
}
