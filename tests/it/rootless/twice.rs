// SPDX-License-Identifier: Apache-2.0
//! A second signal, a while after the first, to somebody whom cleaning up takes too long: the
//! program ends at once, and the next one finds all that it needs to clean up itself.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::killed::{NOTE, REPACK, modes, sandbox};
use super::scene::last_layer;
use crate::harness::{Sandbox, needs_root, strace};
use crate::traced::Traced;

/// From then on a signal is one of its own.
const SAME_WISH: Duration = Duration::from_secs(1);

/// A command of an ordinary user that takes long for each call of some kind.
fn slow(sandbox: &Sandbox, calls: &str, words: &[&str]) -> Option<Traced> {
    let strace = strace()?;
    let program = sandbox.copy_for_others();
    let delay = format!("inject={calls}:delay_enter=3000000");
    let filter = format!("trace={calls},symlinkat");
    // The image's only link, in the middle of it, gives a test the time to look.
    let middle = "inject=symlinkat:delay_enter=1000000";
    let traced = ["-f", "-qq", "-o", "/dev/null", "-e", &filter, "-e", &delay, "-e", middle];
    let words = [&traced[..], &[program.to_str().unwrap()], words].concat();
    Some(Traced::start(&mut sandbox.peer_of_ordinary_user(&strace, &words)))
}

/// Sends a signal that lets it go on, and one that ends it at once: by the signal, as soon as strace
/// lets go of the call that it is at, and not with an exit status when all is cleaned up.
#[track_caller]
fn ends_at_the_second(mut traced: Traced) {
    traced.signal(Signal::SIGTERM);
    std::thread::sleep(SAME_WISH / 10);
    traced.signal(Signal::SIGTERM);
    // Whoever takes the signals may not be woken at once.
    std::thread::sleep(SAME_WISH * 2);
    assert!(traced.is_running(), "it takes no time");
    traced.signal(Signal::SIGTERM);
    let run = traced.ends();
    // What strace may say itself is another matter.
    let stderr = run.stderr();
    assert!(run.status().is_none() && !stderr.contains("umoci: "), "{stderr}");
}

/// The permission bits that are not back in time are put back by the next command.
#[test]
fn while_permission_bits_are_put_back() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox();
    let repack = || {
        sandbox.umoci_as_ordinary_user(&REPACK).succeeds();
        last_layer(&sandbox, "new")
    };
    let (expected, before) = (repack(), modes(&sandbox));
    let Some(mut traced) = slow(&sandbox, "chmod,fchmod,fchmodat", &REPACK) else { return };
    assert!(traced.reaches(|| modes(&sandbox) != before));
    ends_at_the_second(traced);
    assert_ne!(modes(&sandbox), before);
    assert!(sandbox.path(NOTE).exists());
    assert_eq!(repack(), expected);
    assert_eq!(modes(&sandbox), before);
    assert!(!sandbox.path(NOTE).exists());
}

/// What an unpack has not yet removed the next one removes.
#[test]
fn while_what_was_unpacked_is_removed() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox();
    let words = ["unpack", "--rootless", "--image=img:full", "home/new"];
    let Some(mut traced) = slow(&sandbox, "unlinkat,rmdir", &words) else { return };
    let has = |name: &str| {
        let names = std::fs::read_dir(sandbox.path("home/new")).into_iter().flatten();
        names.filter_map(Result::ok).any(|entry| entry.path().join(name).exists())
    };
    assert!(traced.reaches(|| has("rootfs/etc/passwd")));
    ends_at_the_second(traced);
    assert!(has("rootfs/etc/passwd"));
    sandbox.umoci_as_ordinary_user(&words).emulates();
    assert!(!has("rootfs/etc/passwd") && sandbox.path("home/new/rootfs/etc/passwd").exists());
}
