// SPDX-License-Identifier: Apache-2.0
//! A program that strace holds up at some of its system calls, for a test to do something meanwhile.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::Run;

/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);
/// How often a test looks whether something has come.
const PAUSE: Duration = Duration::from_millis(1);
/// For how many looks a thread stands still that is held up on purpose.
const LOOKS: u32 = 20;

/// The program and strace, neither of which outlives the test.
pub(crate) struct Traced {
    line: String,
    strace: Option<Child>,
}

impl Traced {
    /// Starts strace, which starts the program.
    pub(crate) fn start(strace: &mut Command) -> Self {
        let line = format!("{strace:?}");
        let strace = strace.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { line, strace: Some(strace) }
    }

    fn strace(&mut self) -> &mut Child {
        self.strace.as_mut().unwrap()
    }

    /// Whether it goes on.
    pub(crate) fn is_running(&mut self) -> bool {
        self.strace().try_wait().unwrap().is_none()
    }

    /// The program, if it has been started and is still there.
    pub(crate) fn program(&mut self) -> Option<Pid> {
        let path = format!("/proc/{0}/task/{0}/children", self.strace().id());
        let children = std::fs::read_to_string(path).unwrap_or_default();
        children.split_whitespace().next().map(|id| Pid::from_raw(id.parse().unwrap()))
    }

    /// Sends the program a signal, if it is still there.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if let Some(program) = self.program() {
            let _ = kill(program, signal);
        }
    }

    /// Waits for something, or for the end of the program. Gives whether it has come.
    pub(crate) fn reaches(&mut self, come: impl Fn() -> bool) -> bool {
        let start = Instant::now();
        while !come() {
            assert!(start.elapsed() < LIMIT, "{}: what was to come does not come", self.line);
            if !self.is_running() {
                return come();
            }
            std::thread::sleep(PAUSE);
        }
        true
    }

    /// Waits until one of its threads is held up at a call. Gives whether it comes to that.
    pub(crate) fn is_held_up(&mut self) -> bool {
        let start = Instant::now();
        let mut looks = 0;
        while looks < LOOKS {
            assert!(start.elapsed() < LIMIT, "{}: it is not held up", self.line);
            if !self.is_running() {
                return false;
            }
            looks = if self.stands_still() { looks + 1 } else { 0 };
            std::thread::sleep(PAUSE);
        }
        true
    }

    fn stands_still(&mut self) -> bool {
        let Some(program) = self.program() else { return false };
        let threads = std::fs::read_dir(format!("/proc/{program}/task")).into_iter().flatten();
        threads.filter_map(Result::ok).any(|thread| is_stopped(&thread.path()))
    }

    /// Waits for the end.
    pub(crate) fn ends(mut self) -> Run {
        let start = Instant::now();
        while self.is_running() {
            assert!(start.elapsed() < LIMIT, "{}: it does not end", self.line);
            std::thread::sleep(PAUSE);
        }
        let output = self.strace.take().unwrap().wait_with_output().unwrap();
        Run::ended(std::mem::take(&mut self.line), output)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.strace.is_some() {
            self.signal(Signal::SIGKILL);
            let _ = self.strace().kill();
            let _ = self.strace().wait();
        }
    }
}

/// Whether a thread is in the hands of its tracer.
fn is_stopped(thread: &Path) -> bool {
    let stat = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
    // The name, in parentheses, may hold any character.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('t'))
}
