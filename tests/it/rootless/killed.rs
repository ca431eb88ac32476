// SPDX-License-Identifier: Apache-2.0
//! An ordinary user's command that is killed while permission bits of a bundle
//! have stepped aside for it: the next one finds the tree as it was.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::scene::{self, last_layer, touch};
use crate::harness::{Run, Sandbox, needs_root, set_mode, strace};
use crate::traced::Traced;

/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);
/// The calls that set permission bits.
const CHMOD: [&str; 3] = ["chmod", "fchmod", "fchmodat"];
pub(super) const NOTE: &str = "home/b/.umoci-aside";
pub(super) const REPACK: [&str; 4] = ["repack", "--compress=none", "--image=img:new", "home/b"];

/// A sandbox with a bundle `home/b` of an ordinary user, all of which has changed.
pub(super) fn sandbox() -> Sandbox {
    let sandbox = scene::sandbox();
    let words = ["unpack", "--rootless", "--image=img:full", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).emulates();
    touch(&sandbox.path("home/b/rootfs"));
    sandbox
}

pub(super) fn modes(sandbox: &Sandbox) -> BTreeMap<PathBuf, u32> {
    let top = sandbox.path("home/b/rootfs");
    let paths = scene::paths(&top).into_iter().chain([top]);
    let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode();
    paths.map(|path| (path.clone(), mode(&path))).collect()
}

/// Runs a command of an ordinary user that is killed at a call. Gives whether it came to that.
pub(super) fn is_killed(
    sandbox: &Sandbox,
    strace: &Path,
    words: &[&str],
    call: &str,
    at: u32,
) -> bool {
    let program = sandbox.copy_for_others();
    let fault = format!("inject={call}:signal=KILL:when={at}");
    let filter = format!("trace={call}");
    let traced = ["-f", "-qq", "-o", "/dev/null", "-e", &filter, "-e", &fault];
    let words = [&traced[..], &[program.to_str().unwrap()], words].concat();
    let run = Run::of(&mut sandbox.peer_of_ordinary_user(strace, &words));
    assert!(matches!(run.status(), None | Some(0)), "{}", run.stderr());
    run.status().is_none()
}

/// Kills a command at every call that sets permission bits, and asserts that after `next` all
/// is as it was before. Gives how often that was not so in between.
fn killed_everywhere(sandbox: &Sandbox, words: &[&str], next: impl Fn()) -> usize {
    let Some(strace) = strace() else { return usize::MAX };
    let before = modes(sandbox);
    let mut widened = 0;
    for call in CHMOD {
        for at in 1.. {
            if !is_killed(sandbox, &strace, words, call, at) {
                break;
            }
            if modes(sandbox) != before {
                widened += 1;
                assert!(sandbox.path(NOTE).exists(), "{call} {at}");
            }
            next();
            assert_eq!(modes(sandbox), before, "{call} {at}");
            assert!(!sandbox.path(NOTE).exists(), "{call} {at}");
        }
    }
    widened
}

#[test]
fn a_repack() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox();
    let repack = || {
        sandbox.umoci_as_ordinary_user(&REPACK).succeeds();
        last_layer(&sandbox, "new")
    };
    let expected = repack();
    let next = || assert_eq!(repack(), expected);
    assert!(killed_everywhere(&sandbox, &REPACK, next) > 10);
    let members = scene::members(&sandbox, "new");
    assert!(
        members.lines().any(|line| line.starts_with("d---------") && line.ends_with(" locked/"))
    );
}

#[test]
fn a_repack_that_root_follows() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox();
    sandbox.umoci_as_ordinary_user(&REPACK).succeeds();
    let expected = last_layer(&sandbox, "new");
    let next = || {
        sandbox.umoci(&REPACK).succeeds();
        assert_eq!(last_layer(&sandbox, "new"), expected);
        sandbox.give_to_ordinary_user("img");
    };
    assert!(killed_everywhere(&sandbox, &REPACK, next) > 10);
}

/// Also where the root of the tree is closed itself.
#[test]
fn an_insert_of_a_part_of_the_tree() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox();
    set_mode(sandbox.path("home/b/rootfs"), 0o000);
    let words = |source| {
        ["insert", "--rootless", "--compress=none", "--image=img:full", "--tag=new", source, "/x"]
    };
    let (whole, part) = (words("home/b/rootfs"), words("home/b/rootfs/"));
    let insert = |words: &[&str]| {
        sandbox.umoci_as_ordinary_user(words).succeeds();
        last_layer(&sandbox, "new")
    };
    let expected = insert(&whole);
    let next = || assert_eq!(insert(&whole), expected);
    assert!(killed_everywhere(&sandbox, &part, next) > 10);
}

#[test]
fn a_check_against_a_manifest() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox();
    let mut names = std::fs::read_dir(sandbox.path("home/b")).unwrap().map(Result::unwrap);
    let mtree = names.find(|name| name.path().extension().is_some_and(|end| end == "mtree"));
    let manifest = mtree.unwrap().path();
    let manifest = manifest.to_str().unwrap();
    // The times are those of `touch`.
    let keywords = "type,mode,sha256digest";
    let words = ["raw", "mtree-validate", "--rootless", "-k", keywords, "-f", manifest, "-p"];
    let words = [&words[..], &["home/b/rootfs"]].concat();
    let next = || drop(sandbox.umoci_as_ordinary_user(&words).succeeds());
    next();
    assert!(killed_everywhere(&sandbox, &words, next) > 10);
}

/// The words for a configuration whose user is looked up in the bundle.
const LOOKUP: [&str; 6] = [
    "raw",
    "runtime-config",
    "--rootless",
    "--image=img:full",
    "--rootfs=home/b/rootfs",
    "home/config.json",
];

/// As [`sandbox`], with a user who is looked up in closed files; all of the way is closed.
fn closed_accounts() -> Sandbox {
    let sandbox = sandbox();
    let user = ["config", "--image=img:full", "--config.user=ann"];
    sandbox.umoci(&user).succeeds();
    sandbox.give_to_ordinary_user("img");
    let passwd = sandbox.path("home/b/rootfs/etc/passwd");
    std::fs::write(&passwd, "ann:x:7:8::/home/ann:/bin/sh\n").unwrap();
    for closed in ["rootfs/etc/passwd", "rootfs/etc", "rootfs"] {
        set_mode(sandbox.path("home/b").join(closed), 0o000);
    }
    sandbox
}

#[test]
fn a_lookup_of_users() {
    if !needs_root() {
        return;
    }
    let sandbox = closed_accounts();
    let next = || {
        sandbox.umoci_as_ordinary_user(&LOOKUP).succeeds();
        let user = &sandbox.json("home/config.json")["process"]["user"];
        assert_eq!((user["uid"].as_u64(), user["gid"].as_u64()), (Some(7), Some(8)));
    };
    next();
    assert!(killed_everywhere(&sandbox, &LOOKUP, next) > 2);
}

/// Looks users up, and sends SIGTERM while a call that sets permission bits is held up. `None` when
/// there are not so many of them.
fn stopped_at(sandbox: &Sandbox, strace: &Path, at: u32) -> Option<Run> {
    let (calls, program) = (CHMOD.join(","), sandbox.copy_for_others());
    let (filter, fault) =
        (format!("trace={calls}"), format!("inject={calls}:delay_exit=200000:when={at}"));
    let traced = ["-f", "-qq", "-o", "home/trace", "-e", &filter, "-e", &fault];
    let words = [&traced[..], &[program.to_str().unwrap()], &LOOKUP].concat();
    loop {
        let mut lookup = Traced::start(&mut sandbox.peer_of_ordinary_user(strace, &words));
        let is_held_up = lookup.is_held_up();
        if is_held_up {
            lookup.signal(Signal::SIGTERM);
        }
        let run = lookup.ends();
        if is_held_up {
            return Some(run);
        }
        run.succeeds();
        // It may have been while this test was held up itself.
        let trace = std::fs::read_to_string(sandbox.path("home/trace")).unwrap();
        if !trace.contains("(DELAYED)") {
            return None;
        }
    }
}

/// SIGTERM while permission bits have stepped aside, in a bundle and in any other tree.
#[test]
fn a_lookup_of_users_that_is_stopped() {
    let (Some(strace), true) = (strace(), needs_root()) else { return };
    let sandbox = closed_accounts();
    for is_bundle in [true, false] {
        if !is_bundle {
            std::fs::remove_file(sandbox.path("home/b/umoci.json")).unwrap();
        }
        let before = modes(&sandbox);
        let mut stopped = 0;
        for at in 1.. {
            let Some(run) = stopped_at(&sandbox, &strace, at) else { break };
            // Before it has begun, the signal ends it at once.
            assert!(matches!(run.status(), None | Some(0 | 143)), "{}", run.stderr());
            stopped += usize::from(run.status() == Some(143));
            assert_eq!(modes(&sandbox), before, "{at}");
            assert!(!sandbox.path(NOTE).exists());
        }
        assert!(stopped > 2, "{stopped}");
    }
}

/// A tree in which nothing is closed needs no note, nor the calls for it.
#[test]
fn nothing_is_noted_without_need() {
    let (Some(strace), true) = (strace(), needs_root()) else { return };
    let sandbox = Sandbox::with_image();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    sandbox.umoci(&["unpack", "--rootless", "--image=img", "home/b"]).succeeds();
    std::fs::write(sandbox.path("home/b/rootfs/file"), "x").unwrap();
    sandbox.give_to_ordinary_user("home");
    sandbox.give_to_ordinary_user("img");
    let program = sandbox.copy_for_others();
    std::fs::create_dir(sandbox.path("home/traces")).unwrap();
    sandbox.give_to_ordinary_user("home/traces");
    // One file for each thread: nobody interrupts another's line.
    let traced = ["-ff", "-qq", "-o", "home/traces/of", program.to_str().unwrap()];
    let words = [&traced[..], &REPACK].concat();
    Run::of(&mut sandbox.peer_of_ordinary_user(&strace, &words)).succeeds();
    let traces = std::fs::read_dir(sandbox.path("home/traces")).unwrap();
    let trace = traces.map(|of| std::fs::read_to_string(of.unwrap().path()).unwrap());
    let trace: String = trace.collect();
    let lines: Vec<&str> = trace.lines().filter(|line| line.contains(".umoci-aside")).collect();
    // It is looked for once, and not there.
    assert!(matches!(lines[..], [line] if line.contains("ENOENT")), "{lines:?}");
    assert!(!trace.contains("chmod("), "{trace}");
}

/// The notes of a stranger's bundle change nothing but permission bits inside of its tree.
#[test]
fn notes_are_not_trusted() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox();
    std::fs::write(sandbox.path("home/outside"), "x").unwrap();
    sandbox.give_to_ordinary_user("home/outside");
    set_mode(sandbox.path("home/outside"), 0o640);
    std::os::unix::fs::symlink("../../../outside", sandbox.path("home/b/rootfs/link")).unwrap();
    let outside = sandbox.path("home/outside").metadata().unwrap();
    let before = modes(&sandbox);
    let note = format!("{} {} - 6777 640\n", outside.dev(), outside.ino());
    let long = "1 1 - 0 0\n".repeat(200_000);
    for (text, message) in [
        (note.as_str(), None),
        ("", None),
        ("no note\n\n1\n1 2 3 4 5 6\n1 1 x.y 0 0\n1 1 - 10000 0\n-1 1 - 0 0\n\u{e9} \n", None),
        ("1 1 - 0 0", None),
        (&long, Some("larger than")),
    ] {
        std::fs::write(sandbox.path(NOTE), text).unwrap();
        sandbox.give_to_ordinary_user("home/b/.umoci-aside");
        let run = sandbox.umoci_as_ordinary_user(&REPACK);
        match message {
            None => drop(run.succeeds()),
            Some(message) => run.fails_with(message),
        }
        assert_eq!(modes(&sandbox), before);
        let mode = sandbox.path("home/outside").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
    }
    std::fs::remove_file(sandbox.path(NOTE)).unwrap();
    std::os::unix::fs::symlink("../outside", sandbox.path(NOTE)).unwrap();
    sandbox.umoci_as_ordinary_user(&REPACK).fails_with(".umoci-aside");
    std::fs::remove_file(sandbox.path(NOTE)).unwrap();
    let fifo = crate::harness::peer("mkfifo").unwrap();
    Run::of(&mut sandbox.peer_of_ordinary_user(&fifo, &[NOTE])).succeeds();
    sandbox.umoci_as_ordinary_user(&REPACK).fails_with("not a regular file");
}

/// A command that stands still while permission bits have stepped aside for it.
struct Standing(Traced);

impl Standing {
    /// Comes back when it has been so for a while.
    fn start(sandbox: &Sandbox, strace: &Path, words: &[&str]) -> Self {
        let fault = "inject=chmod,fchmod:signal=STOP:when=1";
        let program = sandbox.copy_for_others();
        let traced = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=chmod,fchmod", "-e", fault];
        let words = [&traced[..], &[program.to_str().unwrap()], words].concat();
        let before = modes(sandbox);
        let mut standing = Traced::start(&mut sandbox.peer_of_ordinary_user(strace, &words));
        let so = Cell::new(0);
        let is_long_so = || {
            so.set(if modes(sandbox) == before { 0 } else { so.get() + 1 });
            so.get() > 50
        };
        assert!(standing.reaches(is_long_so), "nothing steps aside");
        Self(standing)
    }

    /// Lets it go on to its end. Each of its threads stops once.
    fn ends(mut self) -> Option<i32> {
        let start = Instant::now();
        while self.0.is_running() && start.elapsed() < LIMIT {
            self.0.signal(Signal::SIGCONT);
            std::thread::sleep(Duration::from_millis(20));
        }
        self.0.ends().status()
    }
}

/// While permission bits have stepped aside for one, nobody else takes them for the real ones.
#[test]
fn only_one_at_a_time() {
    let (Some(strace), true) = (strace(), needs_root()) else { return };
    let sandbox = sandbox();
    sandbox.umoci_as_ordinary_user(&REPACK).succeeds();
    let expected = last_layer(&sandbox, "new");
    let before = modes(&sandbox);
    let mut first = Standing::start(&sandbox, &strace, &REPACK);
    let busy = &format!("is in use by process {}", first.0.program().unwrap());
    sandbox.umoci_as_ordinary_user(&REPACK).fails_with(busy);
    sandbox.umoci(&REPACK).fails_with(busy);
    let insert = ["insert", "--rootless", "--image=img:full", "home/b/rootfs/etc", "/x"];
    sandbox.umoci_as_ordinary_user(&insert).fails_with(busy);
    assert_eq!(first.ends(), Some(0));
    assert_eq!(last_layer(&sandbox, "new"), expected);
    sandbox.umoci_as_ordinary_user(&REPACK).succeeds();
    assert_eq!(last_layer(&sandbox, "new"), expected);
    assert_eq!(modes(&sandbox), before);
}
