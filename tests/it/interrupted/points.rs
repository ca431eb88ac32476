// SPDX-License-Identifier: Apache-2.0
//! Where a command can be interrupted: the system calls that it makes, counted
//! by strace. Each call by itself, so that `(name, n)` is the `n`th of its name
//! in one of the program's threads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::scene::Task;
use crate::harness::{Run, Sandbox, is_slow};

/// System calls that change files.
pub(super) const CHANGING: &[&str] = &[
    "openat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "chmod",
    "fchmod",
    "fchmodat",
    "fchown",
    "fchownat",
    "utimensat",
    "ftruncate",
    "flock",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "symlinkat",
    "linkat",
    "mknodat",
];

/// System calls that only read.
pub(super) const READING: &[&str] =
    &["openat", "openat2", "read", "getdents64", "newfstatat", "statx", "clone3"];

/// How strace runs: with the threads of the program, and quietly.
pub(super) const STRACE: [&str; 3] = ["-f", "-qq", "-ELD_LIBRARY_PATH"];
/// Lets the program run at full speed between the calls that strace is to look at. A signal
/// that is injected is lost then.
const FAST: &str = "--seccomp-bpf";

/// What happens instead of a system call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// The program is killed.
    Kill,
    /// The call fails with the error of this name.
    Error(&'static str),
}

/// The calls of those named `calls` that a command makes once its own code runs: all of them
/// in a slow run, else of each name at most `most`, spread over the run.
pub(super) fn points(
    sandbox: &Sandbox,
    strace: &Path,
    task: &Task,
    calls: &[&str],
    most: usize,
) -> Vec<(String, u32)> {
    let log = sandbox.path("trace");
    let filter = format!("trace=poll,{}", calls.join(","));
    let program = task.scene.program(sandbox);
    let traced = ["-o", log.to_str().unwrap(), "-e", &filter, program.to_str().unwrap()];
    let words = [&STRACE[..], &[FAST], &traced, task.words].concat();
    task.scene.run(sandbox, strace, &words).succeeds();
    let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    std::fs::remove_file(&log).unwrap();
    let mut points = own_calls(&text);
    points.remove("poll");
    let most = if is_slow() { usize::MAX } else { most };
    let points = points.into_iter().flat_map(|(name, numbers)| {
        let step = numbers.len().div_ceil(most).max(1);
        numbers.into_iter().step_by(step).map(move |number| (name.to_owned(), number))
    });
    points.collect()
}

/// The numbers of the calls by name, without those of the loader.
fn own_calls(trace: &str) -> BTreeMap<&str, BTreeSet<u32>> {
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let (mut own, mut foreign): (BTreeMap<_, BTreeSet<_>>, BTreeSet<_>) = Default::default();
    // The language's runtime polls the standard streams before `main`.
    let mut is_own_code = false;
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(char::is_whitespace) else { continue };
        // The rest of a call that another thread's came into the middle of.
        if rest.trim_start().starts_with('<') {
            continue;
        }
        let Some((name, arguments)) = rest.trim_start().split_once('(') else { continue };
        let count = counts.entry((thread, name)).or_default();
        *count += 1;
        is_own_code |= name == "poll";
        if is_own_code && !arguments.contains("\"/proc/") {
            own.entry(name).or_default().insert(*count);
        } else {
            foreign.insert((name, *count));
        }
    }
    // Threads count their calls each by itself, the loader's among them.
    for (name, count) in foreign {
        own.entry(name).or_default().remove(&count);
    }
    own
}

/// Runs a command with a fault in the place of one of its system calls.
pub(super) fn inject(
    sandbox: &Sandbox,
    strace: &Path,
    task: &Task,
    (call, at): &(String, u32),
    fault: Fault,
) -> Run {
    let filter = format!("trace={call}");
    let (speed, fault) = match fault {
        Fault::Kill => (&[][..], "signal=KILL".to_owned()),
        Fault::Error(name) => (&[FAST][..], format!("error={name}")),
    };
    let fault = format!("inject={call}:{fault}:when={at}");
    let program = task.scene.program(sandbox);
    let program = program.to_str().unwrap();
    let traced = ["-o", "/dev/null", "-e", &filter, "-e", &fault, program];
    task.scene.run(sandbox, strace, &[&STRACE[..], speed, &traced, task.words].concat())
}
