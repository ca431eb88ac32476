// SPDX-License-Identifier: Apache-2.0
//! Several commands of an ordinary user at once on one tree that is closed to its owner.

use std::path::Path;
use std::process::{Child, Output, Stdio};

use super::scene::{self, set_mode};
use crate::harness::{Sandbox, needs_root, strace};
use crate::traced::Traced;

const CROWD: usize = 3;

/// A tree in which directories and files are closed.
fn closed_tree(sandbox: &Sandbox) {
    let source = sandbox.path("home/source");
    for dir in 0..40 {
        let dir = source.join(format!("{dir:02}"));
        std::fs::create_dir_all(dir.join("inner")).unwrap();
        for file in ["a", "inner/b"] {
            std::fs::write(dir.join(file), "x").unwrap();
        }
    }
    sandbox.give_to_ordinary_user("home/source");
    for dir in 0..40 {
        let dir = source.join(format!("{dir:02}"));
        for closed in ["inner/b", "inner", "a", ""] {
            set_mode(dir.join(closed), 0o000);
        }
    }
}

/// Starts an `insert` whose result gets a tag of its own.
fn start(sandbox: &Sandbox, source: &str, tag: &str) -> Child {
    let tag = format!("--tag={tag}");
    let words = ["insert", "--rootless", "--image=img:full", &tag, source, "/s"];
    let mut command = sandbox.command_of_ordinary_user(&words);
    command.stderr(Stdio::piped()).spawn().unwrap()
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn inserts_of_one_tree_do_not_take_open_doors_for_real() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    closed_tree(&sandbox);
    let source = sandbox.path("home/source");
    for (meant, mode) in [("home/source", 0o755), ("home/source", 0o000), ("home/source/07", 0o755)]
    {
        set_mode(&source, mode);
        succeeds(&start(&sandbox, meant, "alone").wait_with_output().unwrap());
        let alone = scene::last_layer(&sandbox, "alone");
        for round in 0..6 {
            let tag = |one: usize| format!("crowd{one}");
            let crowd: Vec<_> = (0..CROWD).map(|one| start(&sandbox, meant, &tag(one))).collect();
            for child in crowd {
                succeeds(&child.wait_with_output().unwrap());
            }
            for one in 0..CROWD {
                let layer = scene::last_layer(&sandbox, &tag(one));
                assert_eq!(layer, alone, "{meant} {mode:o}, round {round}");
            }
        }
        assert_eq!(mode_of(&source), mode);
    }
    assert!(scene::paths(&source).iter().all(|path| mode_of(path) == 0));
}

fn mode_of(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o7777
}

/// Who only reads does not wait for others who do so; for one who has it alone it does, as long
/// as nobody stops it.
#[test]
fn who_reads_a_tree_waits_only_for_who_has_it_alone() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let source = sandbox.path("home/source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "x").unwrap();
    sandbox.give_to_ordinary_user("home/source");
    let lock = std::fs::File::open(&source).unwrap();
    lock.lock_shared().unwrap();
    succeeds(&start(&sandbox, "home/source", "shared").wait_with_output().unwrap());
    lock.lock().unwrap();
    let mut waiting = start(&sandbox, "home/source", "waited");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(waiting.try_wait().unwrap().is_none());
    lock.unlock().unwrap();
    succeeds(&waiting.wait_with_output().unwrap());
    assert_eq!(scene::last_layer(&sandbox, "waited"), scene::last_layer(&sandbox, "shared"));
}

/// While permission bits have stepped aside for one who reads a tree, nobody takes them for the
/// real ones: neither root nor who compares the tree with a manifest.
#[test]
fn nobody_takes_open_doors_for_real() {
    let (Some(strace), true) = (strace(), needs_root()) else { return };
    let sandbox = scene::sandbox();
    closed_tree(&sandbox);
    let source = sandbox.path("home/source");
    let insert = ["insert", "--rootless", "--image=img:full", "--tag=alone", "home/source", "/s"];
    sandbox.umoci(&insert).succeeds();
    sandbox.give_to_ordinary_user("img");
    let alone = scene::last_layer(&sandbox, "alone");
    let manifest = "#mtree v2.0\n. type=dir mode=0755\n00 type=dir mode=0000\n..\n..\n";
    std::fs::write(sandbox.path("manifest"), manifest).unwrap();
    let tree = "home/source/00";
    set_mode(sandbox.path(tree), 0);
    std::fs::write(sandbox.path("own"), "#mtree v2.0\n. type=dir mode=0000\n..\n").unwrap();
    let check =
        |manifest, path| ["raw", "mtree-validate", "--rootless", "-f", manifest, "-p", path];
    let open = || scene::paths(&source).iter().any(|path| mode_of(path) != 0);
    let slow = "inject=chmod,fchmod,fchmodat:delay_exit=1000000:when=1";
    let program = sandbox.copy_for_others();
    let traced = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=chmod,fchmod,fchmodat", "-e", slow];
    let traced = [&traced[..], &[program.to_str().unwrap()]].concat();
    let begin = |words: &[&str]| {
        let words = [&traced[..], words].concat();
        let mut first = Traced::start(&mut sandbox.peer_of_ordinary_user(&strace, &words));
        assert!(first.reaches(open), "nothing steps aside");
        first
    };
    for words in [&insert[..], &check("manifest", "home/source")] {
        let first = begin(words);
        let root = sandbox.umoci(&[&insert[..4], &["home/source", "/s"]].concat());
        root.succeeds();
        assert_eq!(scene::last_layer(&sandbox, "alone"), alone);
        first.ends();
        sandbox.give_to_ordinary_user("img");
    }
    for (manifest, path) in [("manifest", "home/source"), ("own", tree)] {
        let first = begin(&insert);
        let run = sandbox.umoci_as_ordinary_user(&check(manifest, path));
        assert!(!run.stdout().contains("mode"), "{}", run.stdout());
        first.ends().succeeds();
    }
    assert!(!open());
}

/// Anybody can lock directories such as `/etc` and `/tmp`.
#[test]
fn nobody_keeps_root_from_his_own_directories() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let source = sandbox.path("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "x").unwrap();
    let lock = std::fs::File::open(&source).unwrap();
    lock.lock().unwrap();
    for meant in ["source", "source/file"] {
        sandbox.umoci(&["insert", "--image=img:full", meant, "/s"]).succeeds_silently();
    }
    // In a tree of another's, root waits for who has it alone.
    std::os::unix::fs::chown(&source, Some(1000), Some(1000)).unwrap();
    let words = ["insert", "--image=img:full", "source", "/s"];
    let mut waiting = sandbox.command(&words).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(waiting.try_wait().unwrap().is_none());
    lock.unlock().unwrap();
    assert!(waiting.wait().unwrap().success());
}
