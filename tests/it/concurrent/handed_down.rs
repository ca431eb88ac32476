// SPDX-License-Identifier: Apache-2.0
//! Scripts that keep others away themselves, with `flock(1)` on the very directories that the
//! program locks: it does not wait for whoever has started it.

use std::time::Duration;

use super::{all_is_there, whole_archive};
use crate::harness::{Sandbox, needs_root, peer, set_mode, write};

/// Less than the limit to any waiting.
const SOON: &str = "20";

#[test]
fn a_lock_of_the_caller_is_no_obstacle() {
    if peer("flock").is_none() || !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    write(sandbox.path("source/file"), "x");
    sandbox.umoci(&["tag", "--image=img", "base"]).succeeds_silently();
    sandbox.umoci(&["unpack", "--image=img", "bundle"]).succeeds_silently();
    write(sandbox.path("bundle/rootfs/file"), "x");
    for (place, command) in [
        ("img", "insert --image=img:latest --tag=one source /source"),
        ("img", "config --image=img --author=me"),
        ("img", "gc --layout=img --untagged"),
        ("source", "insert --image=img --tag=two source /source"),
        (".", "insert --image=img --tag=three source/file /file"),
        ("bundle", "repack --image=img:four bundle"),
        ("bundle", "repack --refresh-bundle --image=img:five bundle"),
        ("bundle", "insert --image=img --tag=six bundle/rootfs /rootfs"),
        ("other", "unpack --image=img other"),
    ] {
        let script = format!("mkdir -p other; timeout {SOON} flock {place} umoci {command}");
        sandbox.shell(&script).succeeds();
        // Also from a shell that holds it.
        let rm = "rm -rf other; mkdir other";
        let script = format!("{rm}; exec 9<{place}; flock 9; timeout {SOON} umoci {command}");
        sandbox.shell(&script).succeeds();
    }
    assert_eq!(all_is_there(&sandbox).len(), 8);
}

/// Nor where the tree is closed to whoever has locked it.
#[test]
fn a_closed_tree_that_the_caller_has_locked() {
    let (Some(flock), true) = (peer("flock"), needs_root()) else { return };
    let sandbox = Sandbox::with_image();
    write(sandbox.path("source/closed/file"), "x");
    for name in ["img", "source"] {
        sandbox.give_to_ordinary_user(name);
    }
    set_mode(sandbox.path("source/closed"), 0);
    let own = sandbox.copy_for_others();
    let words = ["source", "timeout", SOON, own.to_str().unwrap()];
    let insert = ["insert", "--rootless", "--image=img", "source", "/s"];
    let words = [&words[..], &insert].concat();
    let run = sandbox.peer_of_ordinary_user(&flock, &words).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    let members = sandbox.top_members("img", "latest");
    assert_eq!(members, ["s/", "s/closed/", "s/closed/file"]);
}

/// Those who have the same caller keep out of each other's way all the same, and everybody else
/// waits for the caller.
#[test]
fn those_whom_one_caller_starts_do_not_harm_each_other() {
    if peer("flock").is_none() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let whole = whole_archive();
    let (first, second) = whole.split_at(whole.len() / 2);
    write(sandbox.path("first"), first);
    write(sandbox.path("second"), second);
    // Not with descriptor 3: flock hands its lock down as the lowest that is free.
    let script = "mkfifo archive\n\
        umoci raw add-layer --image=img --tag=slow archive & writer=$!\n\
        exec 9>archive; cat first >&9; while ! ls -d img/.umoci-*; do sleep 0.01; done\n\
        umoci --verbose gc --layout=img 9>&- 2>told & collector=$!\n\
        while ! grep -q 'waiting for' told; do sleep 0.01; done; touch waiting\n\
        while [ ! -e go ]; do sleep 0.01; done\n\
        cat second >&9; exec 9>&-; wait $writer; wait $collector";
    write(sandbox.path("script"), script);
    std::thread::scope(|scope| {
        let family = scope.spawn(|| sandbox.shell("flock img bash -eu script"));
        while !sandbox.path("waiting").exists() {
            assert!(!family.is_finished(), "{}", family.join().unwrap().stderr());
            std::thread::sleep(Duration::from_millis(10));
        }
        let waiting = super::Waiting::start(&sandbox, &["tag", "--image=img", "stranger"]);
        std::fs::write(sandbox.path("go"), "").unwrap();
        family.join().unwrap().succeeds();
        assert_eq!(waiting.end().0, Some(0));
    });
    let there = all_is_there(&sandbox);
    assert!(there.contains("slow") && there.contains("stranger"), "{there:?}");
}
