// SPDX-License-Identifier: Apache-2.0
//! An image with everything that an ordinary user cannot make, and what is
//! asked of trees and layers.

use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use filetime::FileTime;

use crate::harness::{Run, Sandbox};

/// A file capability as layers hold it: `cap_net_raw=ep`, version 2.
pub(super) const CAPABILITY: &[u8] =
    b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";

pub(super) fn set_mode(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

pub(super) fn run(program: &str, words: &[&str], directory: &Path) {
    let status = Command::new(program).args(words).current_dir(directory).status().unwrap();
    assert!(status.success(), "{program} {words:?}");
}

/// Fills a root filesystem. Needs root.
fn populate(rootfs: &Path) {
    let at = |name: &str| rootfs.join(name);
    for dir in ["etc", "dev", "bin", "var/www", "locked/inner", "sealed"] {
        std::fs::create_dir_all(at(dir)).unwrap();
    }
    for (file, mode, uid, gid) in [
        ("etc/passwd", 0o644, 0, 0),
        ("etc/shadow", 0o640, 0, 42),
        ("etc/gshadow", 0o000, 0, 42),
        ("var/www/page", 0o444, 33, 33),
        ("bin/ping", 0o755, 0, 0),
        ("bin/su", 0o4755, 7, 0),
        ("locked/inner/secret", 0o000, 1000, 1000),
        ("sealed/file", 0o644, 0, 0),
    ] {
        std::fs::write(at(file), format!("{file}\n")).unwrap();
        lchown(at(file), Some(uid), Some(gid)).unwrap();
        set_mode(at(file), mode);
    }
    std::fs::hard_link(at("etc/gshadow"), at("etc/gshadow-")).unwrap();
    for words in [["dev/null", "c", "1", "3"], ["dev/disk", "b", "8", "0"]] {
        run("mknod", &words, rootfs);
    }
    run("mkfifo", &["dev/pipe"], rootfs);
    set_mode(at("dev/null"), 0o666);
    lchown(at("dev/disk"), Some(0), Some(6)).unwrap();
    lchown(at("dev/pipe"), Some(5), Some(5)).unwrap();
    symlink("page", at("var/www/link")).unwrap();
    lchown(at("var/www/link"), Some(33), Some(33)).unwrap();
    xattr::set(at("bin/ping"), "security.capability", CAPABILITY).unwrap();
    xattr::set(at("var/www/page"), "user.note", b"kept").unwrap();
    xattr::set(at("etc"), "trusted.note", b"kept too").unwrap();
    lchown(at("var/www"), Some(33), Some(0)).unwrap();
    lchown(at("locked"), Some(1000), Some(1000)).unwrap();
    set_mode(at("sealed"), 0o555);
    set_mode(at("locked/inner"), 0o000);
    set_mode(at("locked"), 0o000);
}

/// A sandbox with the image `img:full`, which an ordinary user may read and
/// write, and the bundle `root` that root has unpacked from it. Needs root.
pub(super) fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["unpack", "--image=img", "first"]).succeeds_silently();
    populate(&sandbox.path("first/rootfs"));
    sandbox.umoci(&["repack", "--image=img:full", "first"]).succeeds_silently();
    sandbox.umoci(&["unpack", "--image=img:full", "root"]).succeeds_silently();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    sandbox.give_to_ordinary_user("img");
    sandbox.give_to_ordinary_user("home");
    sandbox
}

/// Everything of a tree, without its top.
pub(super) fn paths(top: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(top).min_depth(1).sort_by_file_name().into_iter();
    entries.map(|entry| entry.unwrap().into_path()).collect()
}

/// Gives all of a tree another time of change.
pub(super) fn touch(top: &Path) {
    let time = FileTime::from_unix_time(1_234_567_890, 0);
    for path in paths(top).iter().map(PathBuf::as_path).chain([top]) {
        filetime::set_symlink_file_times(path, time, time).unwrap();
    }
}

/// The digest of the last layer of an image, without compression.
pub(super) fn last_layer(sandbox: &Sandbox, tag: &str) -> String {
    let (_, manifest) = sandbox.manifest("img", tag);
    manifest["layers"].as_array().unwrap().last().unwrap()["digest"].as_str().unwrap().to_owned()
}

/// The members of the last layer, as GNU tar lists them.
pub(super) fn members(sandbox: &Sandbox, tag: &str) -> String {
    let layer = last_layer(sandbox, tag);
    let blob = format!("img/blobs/sha256/{}", layer.strip_prefix("sha256:").unwrap());
    let words = ["--numeric-owner", "--full-time", "-tvf", &blob];
    Run::of(Command::new("tar").args(words).current_dir(sandbox.path(""))).succeeds()
}

/// The header of a member without contents. A device is `/dev/null`.
pub(super) fn empty_member(kind: tar::EntryType, owner: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_size(0);
    if kind.is_character_special() {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    }
    header
}
