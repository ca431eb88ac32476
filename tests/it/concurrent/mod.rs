// SPDX-License-Identifier: Apache-2.0
//! Several processes that work on one layout at once: nobody loses anything,
//! nobody sees anything half-way, and nobody waits for the dead.

mod crowd;
mod foreign;
mod handed_down;
mod locks;
mod places;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Output, Stdio};

use umoci::layout::{Layout, walk};
use umoci::oci::Descriptor;

use crate::harness::Sandbox;

/// Every name leads to an image, for one platform or several, and all of that image is there.
#[track_caller]
fn all_is_there(sandbox: &Sandbox) -> BTreeSet<String> {
    let layout = Layout::open(sandbox.path("img")).unwrap();
    for entry in layout.index().unwrap().manifests {
        verify_all(&layout, entry).unwrap();
    }
    layout.references().unwrap().into_iter().collect()
}

/// Reads all that an entry of the index leads to.
fn verify_all(layout: &Layout, entry: Descriptor) -> umoci::Result<()> {
    walk(layout, vec![entry], |descriptor| layout.blob(descriptor)?.verify().map(drop))
}

/// A command under way, of which is known why it waits.
struct Waiting {
    child: Child,
    messages: BufReader<std::process::ChildStderr>,
    /// Its message.
    why: String,
}

impl Waiting {
    /// Starts a command and comes back when it says that it waits.
    #[track_caller]
    fn start(sandbox: &Sandbox, words: &[&str]) -> Self {
        let mut command = sandbox.command(&[&["--verbose"], words].concat());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut messages = BufReader::new(child.stderr.take().unwrap());
        let mut why = String::new();
        while !why.contains("waiting for ") {
            why.clear();
            assert_ne!(messages.read_line(&mut why).unwrap(), 0, "{words:?} did not wait");
        }
        Self { child, messages, why }
    }

    /// The process that it waits for.
    #[track_caller]
    fn holder(&self) -> String {
        let (_, rest) = self.why.split_once("waiting for process ").unwrap();
        rest.chars().take_while(char::is_ascii_digit).collect()
    }

    /// Waits for its end, and gives all that it said since.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        while self.messages.read_line(&mut rest).unwrap() > 0 {}
        (self.child.wait().unwrap().code(), rest)
    }
}

/// A writer in the middle of a blob: it waits for more of its archive.
struct HalfWritten {
    child: Child,
    archive: ChildStdin,
}

/// The archive that a [`HalfWritten`] gets in two halves.
fn whole_archive() -> Vec<u8> {
    crate::raw::archive(&[("half/written", &"some text ".repeat(100_000))])
}

impl HalfWritten {
    /// Starts to add a layer with the tag `slow` to `img:latest`.
    fn start(sandbox: &Sandbox) -> Self {
        Self::start_with(sandbox, &["--tag=slow"])
    }

    /// Starts to add a layer to `img:latest`.
    fn start_with(sandbox: &Sandbox, flags: &[&str]) -> Self {
        let words = ["raw", "add-layer", "--image=img", "--compress=none", "-"];
        let mut command = sandbox.command(&[&words, flags].concat());
        let command = command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut archive = child.stdin.take().unwrap();
        let whole = whole_archive();
        std::io::Write::write_all(&mut archive, &whole[..whole.len() / 2]).unwrap();
        Self { child, archive }
    }

    #[track_caller]
    fn finish(self) {
        let output = self.end();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }

    /// Sends the rest.
    fn end(mut self) -> Output {
        let whole = whole_archive();
        std::io::Write::write_all(&mut self.archive, &whole[whole.len() / 2..]).unwrap();
        drop(self.archive);
        self.child.wait_with_output().unwrap()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Kills a process of a test's own.
fn kill(process: &str) {
    assert!(std::process::Command::new("kill").args(["-9", process]).status().unwrap().success());
}
