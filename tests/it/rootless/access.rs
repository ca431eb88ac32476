// SPDX-License-Identifier: Apache-2.0
//! Directories and files that their owner may not get at.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::scene::{self, set_mode};
use crate::harness::{Run, Sandbox, needs_root};

fn mode(sandbox: &Sandbox, name: &str) -> u32 {
    sandbox.path(name).symlink_metadata().unwrap().permissions().mode() & 0o7777
}

/// An image whose second layer changes what the first has closed. Needs root.
fn second_layer() -> Sandbox {
    let sandbox = scene::sandbox();
    let at = |name: &str| sandbox.path("root/rootfs").join(name);
    std::fs::write(at("locked/inner/secret"), "new\n").unwrap();
    std::fs::write(at("locked/inner/other"), "other\n").unwrap();
    std::fs::remove_file(at("sealed/file")).unwrap();
    std::fs::write(at("sealed/added"), "added\n").unwrap();
    std::fs::remove_file(at("etc/gshadow")).unwrap();
    std::fs::write(at("etc/gshadow"), "upper\n").unwrap();
    sandbox.umoci(&["repack", "--image=img:second", "root"]).succeeds_silently();
    sandbox.give_to_ordinary_user("img");
    sandbox
}

#[test]
fn a_second_layer_gets_into_closed_directories() {
    if !needs_root() {
        return;
    }
    let sandbox = second_layer();
    let words = ["unpack", "--rootless", "--image=img:second", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).emulates();
    let read =
        |name: &str| std::fs::read_to_string(sandbox.path("home/b/rootfs").join(name)).unwrap();
    assert_eq!(read("locked/inner/secret"), "new\n");
    assert_eq!(read("locked/inner/other"), "other\n");
    assert_eq!(read("sealed/added"), "added\n");
    assert!(!sandbox.path("home/b/rootfs/sealed/file").exists());
    // The other name of a replaced file keeps what it had.
    assert_eq!(
        (read("etc/gshadow"), read("etc/gshadow-")),
        ("upper\n".into(), "etc/gshadow\n".into())
    );
    for name in ["locked", "locked/inner", "locked/inner/secret"] {
        assert_eq!(mode(&sandbox, &format!("home/b/rootfs/{name}")), 0, "{name}");
    }
    assert_eq!(mode(&sandbox, "home/b/rootfs/sealed"), 0o555);
}

#[test]
fn a_raw_unpack_goes_over_closed_directories() {
    if !needs_root() {
        return;
    }
    let sandbox = second_layer();
    for _ in 0..2 {
        let words = ["raw", "unpack", "--rootless", "--image=img:second", "home/tree"];
        let counts = sandbox.umoci_as_ordinary_user(&words).emulates();
        assert!(counts.contains("2 devices as empty files"), "{counts}");
        assert!(counts.ends_with("; without a bundle, the record is lost"), "{counts}");
    }
    assert_eq!(mode(&sandbox, "home/tree/locked"), 0);
}

#[test]
fn a_failed_unpack_leaves_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = second_layer();
    // The first layer is fine and leaves closed directories; the second is not what it should be.
    let layer = scene::last_layer(&sandbox, "second");
    let blob = sandbox.path("img/blobs/sha256").join(layer.strip_prefix("sha256:").unwrap());
    let mut bytes = std::fs::read(&blob).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    set_mode(&blob, 0o644);
    std::fs::write(&blob, bytes).unwrap();
    for words in [
        ["unpack", "--rootless", "--image=img:second", "home/b"].as_slice(),
        &["raw", "unpack", "--rootless", "--image=img:second", "home/b/rootfs"],
    ] {
        sandbox.umoci_as_ordinary_user(words).fails();
        assert!(!sandbox.path("home/b").exists());
    }
}

/// The bundle `home/b` of an ordinary user, of an image whose root is closed. Needs root.
fn closed_root() -> Sandbox {
    let sandbox = scene::sandbox();
    set_mode(sandbox.path("root/rootfs"), 0o000);
    sandbox.umoci(&["repack", "--image=img:closed", "root"]).succeeds_silently();
    sandbox.give_to_ordinary_user("img");
    let words = ["unpack", "--rootless", "--image=img:closed", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).emulates();
    sandbox
}

#[test]
fn a_closed_root_is_no_obstacle() {
    if !needs_root() {
        return;
    }
    let sandbox = closed_root();
    assert_eq!(mode(&sandbox, "home/b/rootfs"), 0);
    std::fs::write(sandbox.path("home/b/rootfs/added"), "").unwrap();
    let words = ["repack", "--refresh-bundle", "--image=img:new", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).succeeds_silently();
    assert_eq!(mode(&sandbox, "home/b/rootfs"), 0);
    assert!(scene::members(&sandbox, "new").contains(" added\n"));
    let words = ["raw", "unpack", "--rootless", "--image=img:new", "home/b/rootfs"];
    sandbox.umoci_as_ordinary_user(&words).emulates();
    assert_eq!(mode(&sandbox, "home/b/rootfs"), 0);
}

/// Also where there is no bundle around the root filesystem; the permission bits come back.
#[test]
fn users_are_looked_up_in_closed_files() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    std::fs::write(sandbox.path("root/rootfs/etc/passwd"), "ann:x:7:8::/home:/bin/sh\n").unwrap();
    let closed = ["etc/passwd", "etc", ""];
    for name in closed {
        set_mode(sandbox.path("root/rootfs").join(name), 0o000);
    }
    sandbox.umoci(&["repack", "--image=img:closed", "root"]).succeeds_silently();
    sandbox.umoci(&["config", "--image=img:closed", "--config.user=ann"]).succeeds();
    sandbox.give_to_ordinary_user("img");
    for words in [
        &["unpack", "--rootless", "--image=img:closed", "home/b"][..],
        &["raw", "unpack", "--rootless", "--image=img:closed", "home/rootfs"],
    ] {
        sandbox.umoci_as_ordinary_user(words).emulates();
    }
    let made = sandbox.json("home/b/config.json")["process"]["user"].clone();
    assert_eq!((made["uid"].as_u64(), made["gid"].as_u64()), (Some(7), Some(8)));
    for rootfs in ["home/b/rootfs", "home/rootfs"] {
        let place = format!("--rootfs={rootfs}");
        let words =
            ["raw", "runtime-config", "--rootless", "--image=img:closed", &place, "home/c.json"];
        sandbox.umoci_as_ordinary_user(&words).succeeds();
        assert_eq!(sandbox.json("home/c.json")["process"]["user"], made);
        assert!(closed.iter().all(|name| mode(&sandbox, &format!("{rootfs}/{name}")) == 0));
        std::fs::remove_file(sandbox.path("home/c.json")).unwrap();
    }
    // Where it is not asked for, nothing steps aside.
    let words =
        ["raw", "runtime-config", "--image=img:closed", "--rootfs=home/rootfs", "home/c.json"];
    let run = sandbox.umoci_as_ordinary_user(&words);
    run.fails_with("open rootfs \"home/rootfs\": permission denied");
}

/// Also where the root itself is closed; the permission bits come back.
#[test]
fn a_closed_tree_is_validated() {
    if !needs_root() {
        return;
    }
    let sandbox = closed_root();
    let (digest, _) = sandbox.manifest("img", "closed");
    let manifest = format!("--file=home/b/{}.mtree", digest.replace(':', "_"));
    let words = ["raw", "mtree-validate", &manifest, "--path=home/b/rootfs", "--rootless"];
    let closed = ["", "/locked", "/locked/inner", "/locked/inner/secret"]
        .map(|name| format!("home/b/rootfs{name}"));
    let are_closed = || closed.iter().all(|name| mode(&sandbox, name) == 0);
    assert!(are_closed());
    sandbox.umoci_as_ordinary_user(&words).succeeds_silently();
    assert!(are_closed());
    sandbox.umoci_as_ordinary_user(&words[..4]).fails_with("open root: permission denied");

    let secret = sandbox.path("home/b/rootfs/locked/inner/secret");
    let age = secret.symlink_metadata().unwrap().modified().unwrap();
    std::fs::write(&secret, "locked/inner/SECRET\n").unwrap();
    std::fs::File::open(&secret).unwrap().set_modified(age).unwrap();
    let run = sandbox.umoci_as_ordinary_user(&words);
    assert_eq!(run.fails(), "validation failed: 1 differences found");
    let line = "\"locked/inner/secret\": keyword \"sha256digest\": ";
    assert!(run.stdout().starts_with(line) && run.stdout().lines().count() == 1);
    assert!(are_closed());
}

/// Runs the program as an ordinary user with this umask, in `home`. Needs root.
fn umoci_with_umask(sandbox: &Sandbox, mask: u32, words: &str) -> Run {
    let program = sandbox.copy_for_others();
    let script = format!("cd home; umask {mask:o}; exec {} {words}", program.display());
    Run::of(&mut sandbox.peer_of_ordinary_user(Path::new("sh"), &["-c", &script]))
}

/// A layout and two bundles of it, with all commands that make files, and the modes of what is made.
fn modes_with_umask(mask: u32) -> Vec<u32> {
    let sandbox = Sandbox::new();
    crate::harness::write(sandbox.path("home/file"), "");
    sandbox.give_to_ordinary_user("home");
    for words in [
        "init --layout img",
        "new --image img:a",
        "insert --rootless --image img:a file /d/file",
        "config --image img:a --author somebody",
        "unpack --rootless --image img:a b",
        "repack --image img:b b",
        "raw unpack --rootless --image img:b tree",
        "raw runtime-config --rootless --image img:b config.json",
    ] {
        umoci_with_umask(&sandbox, mask, words).succeeds_silently();
    }
    let names =
        ["img/oci-layout", "img/index.json", "b/config.json", "b/umoci.json", "config.json"];
    let trees = ["b", "b/rootfs", "b/rootfs/d", "b/rootfs/d/file", "tree", "tree/d"];
    let names = ["img", "img/blobs"].into_iter().chain(names).chain(trees);
    names.map(|name| mode(&sandbox, &format!("home/{name}"))).collect()
}

/// Of the umask, the bits for others count; those for the owner would only be in the way.
#[test]
fn a_umask_closes_nothing_to_the_owner() {
    if !needs_root() {
        return;
    }
    let trees = [0o700, 0o755, 0o755, 0o644, 0o755, 0o755];
    for (masks, directory, file) in [([0o777, 0o077], 0o700, 0o600), ([0o722, 0o022], 0o755, 0o644)]
    {
        let expected: Vec<u32> = [[directory; 2].as_slice(), &[file; 5], &trees].concat();
        for mask in masks {
            assert_eq!(modes_with_umask(mask), expected, "{mask:o}");
        }
    }
}
