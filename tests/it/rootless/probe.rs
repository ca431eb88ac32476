// SPDX-License-Identifier: Apache-2.0
//! What a filesystem can do is tried in the tree itself where there is no other place: whatever is
//! there, and whoever is killed meanwhile.

use std::path::Path;

use super::filesystem::with_limits;
use super::scene;
use crate::harness::{Sandbox, needs_root, strace, write};

const UNPACK: [&str; 4] = ["raw", "unpack", "--image=img:full", "tree"];

/// Runs a raw unpack that is killed at a call. Gives whether it came to that.
fn is_killed(sandbox: &Sandbox, strace: &Path, call: &str, at: u32) -> bool {
    let fault = format!("inject={call}:signal=KILL:when={at}");
    let traced = ["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &fault];
    let words = [&traced[..], &[env!("CARGO_BIN_EXE_umoci")], &UNPACK].concat();
    sandbox.peer(strace, &words).status().is_none()
}

/// The names in the tree that are none of the image's.
fn left(sandbox: &Sandbox) -> usize {
    let names = std::fs::read_dir(sandbox.path("tree")).unwrap().map(Result::unwrap);
    names.filter(|name| name.file_name().to_str().unwrap().starts_with(".umoci-")).count()
}

#[test]
fn what_a_killed_unpack_leaves_the_next_removes() {
    let (Some(strace), true) = (strace(), needs_root()) else { return };
    let sandbox = scene::sandbox();
    let mut leftovers = 0;
    for call in ["linkat", "mknodat", "fchown", "fchmod", "unlinkat"] {
        for at in 1..=3 {
            std::fs::create_dir(sandbox.path("tree")).unwrap();
            if is_killed(&sandbox, &strace, call, at) && left(&sandbox) > 0 {
                leftovers += 1;
                // Whoever packs it all the same is told.
                let words = ["insert", "--tag=left", "--image=img:full", "tree", "/tree"];
                let run = sandbox.umoci(&words);
                run.succeeds();
                let told = run.stderr();
                assert!(told.contains("looks like what a killed command has left"), "{told}");
                assert_eq!(told.lines().count(), 1, "{told}");
            }
            sandbox.umoci(&UNPACK).succeeds_silently();
            assert_eq!(left(&sandbox), 0, "{call} {at}");
            std::fs::remove_dir_all(sandbox.path("tree")).unwrap();
        }
    }
    assert!(leftovers > 5, "{leftovers}");
}

/// What others have put into the tree under such a name blinds nobody, and stays what it was.
#[test]
fn nothing_in_the_tree_is_in_the_way() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    for name in [".umoci-probe", ".umoci-probe-0123456789abcdef"] {
        write(sandbox.path("full").join(name).join("File"), "somebody's");
    }
    write(sandbox.path("outside/File"), "not here");
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    // Who does not try it does not see what this filesystem fails to do.
    let script = "mkdir shown; cp -a full empty shown\n\
        ln -s ../../outside shown/full/.umoci-probe-0000000000000001\n\
        mkfifo shown/full/.umoci-probe-0000000000000002\n\
        limited stubborn; for d in empty full; do $umoci raw unpack --image=img:full m/$d; done\n\
        ls -A m/full | grep umoci; cat m/full/.umoci-prob*[ef1]/File";
    let Some(run) = with_limits(&sandbox, script) else { return };
    let names = ".umoci-probe\n.umoci-probe-0000000000000001\n.umoci-probe-0000000000000002\n\
                 .umoci-probe-0123456789abcdef\n";
    assert_eq!(run.succeeds(), format!("{names}not heresomebody'ssomebody's"));
    let told = run.stderr();
    let (empty, full) = told.split_at(told.len() / 2);
    assert!(empty.contains("emulated: 10 owners in the record, 16 modes in the record"), "{told}");
    assert_eq!(empty.replace("m/empty", "m/full"), full);
}
