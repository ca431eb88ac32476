// SPDX-License-Identifier: Apache-2.0
//! Places that are not made for several processes: where nothing can be
//! locked, and where nothing can be written.

use std::process::Command;

use super::all_is_there;
use crate::harness::{Run, Sandbox, needs_root, skip, strace};

/// What filesystems without locks answer.
const NO_LOCKS: [&str; 4] = ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EINVAL"];

const WRITERS: [&[&str]; 5] = [
    &["new", "--image=img:new"],
    &["tag", "--image=img", "other"],
    &["config", "--image=img", "--author=x"],
    &["insert", "--image=img", "--whiteout", "/x"],
    &["rm", "--image=img:other"],
];
const READERS: [&[&str]; 2] = [&["ls", "--layout=img"], &["stat", "--image=img"]];

/// Who changes a layout goes on, with one line of warning. Who would delete blobs does not.
#[test]
fn where_nothing_can_be_locked() {
    let Some(strace) = strace() else { return };
    for errno in NO_LOCKS {
        let sandbox = Sandbox::with_image();
        let fault = format!("inject=flock:error={errno}");
        let unlocked = |words: &[&str]| {
            let traced = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", &fault];
            let own = [env!("CARGO_BIN_EXE_umoci")];
            sandbox.peer(&strace, &[&traced[..], &own, words].concat())
        };
        for words in WRITERS {
            let run = unlocked(words);
            run.succeeds();
            let text = run.stderr();
            assert_eq!(text.lines().count(), 1, "{words:?} with {errno}: {text}");
            assert!(text.starts_with("umoci: warn: "), "{text}");
            assert!(text.contains("cannot be locked"), "{text}");
        }
        for words in READERS {
            assert_eq!(unlocked(words).stderr(), "");
        }
        unlocked(&["init", "--layout=another"]).succeeds_silently();
        unlocked(&["unpack", "--rootless", "--image=img", "bundle"]).succeeds();
        let before = sandbox.tree("img");
        unlocked(&["gc", "--layout=img"]).fails_with("cannot be locked");
        assert_eq!(sandbox.tree("img"), before);
        all_is_there(&sandbox);
    }
}

/// Runs a command where the layout `img` cannot be written to.
fn read_only(sandbox: &Sandbox, words: &[&str]) -> Run {
    let script = "mount --bind img img && mount -o remount,bind,ro img && exec \"$@\"";
    let mut command = sandbox.program("unshare", &["--mount", "sh", "-c", script, "sh"]);
    Run::of(command.arg(env!("CARGO_BIN_EXE_umoci")).args(words))
}

fn can_mount() -> bool {
    let words = ["--mount", "mount", "-t", "tmpfs", "none", "/mnt"];
    let probe = Command::new("unshare").args(words).output();
    probe.is_ok_and(|run| run.status.success()) || skip::<()>("leave to mount").is_some()
}

#[test]
fn where_nothing_can_be_written() {
    if !needs_root() || !can_mount() {
        return;
    }
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["config", "--image=img", "--author=x"]).succeeds_silently();
    let before = sandbox.tree("img");
    for words in READERS {
        assert_eq!(read_only(&sandbox, words).stderr(), "");
    }
    read_only(&sandbox, &["unpack", "--image=img", "bundle"]).succeeds_silently();
    // What the removed author has left is garbage.
    for words in WRITERS.iter().chain(&[&["gc", "--layout=img"][..]]) {
        read_only(&sandbox, words).fails_with("read-only file system");
    }
    read_only(&sandbox, &["repack", "--image=img:new", "bundle"]).fails_with("read-only");
    assert_eq!(sandbox.tree("img"), before);
    sandbox.umoci(&["gc", "--layout=img"]).succeeds_silently();
    // There is nothing that would have to be deleted.
    read_only(&sandbox, &["gc", "--layout=img"]).succeeds_silently();
}
