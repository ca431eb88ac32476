// SPDX-License-Identifier: Apache-2.0
//! How much memory the program takes: little for each entry, nothing for each byte, and never
//! more than so much.

mod bytes;
mod entries;
mod threads;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::harness::{Run, Sandbox, peer};

/// What the program may take at most, in bytes.
const MOST: u64 = 64_000_000;

/// The most memory that a command of the program has had, in bytes; `None` where that cannot be
/// told. It succeeds, and takes no more than it may.
#[track_caller]
fn peak<S: AsRef<OsStr>>(sandbox: &Sandbox, words: &[S]) -> Option<u64> {
    peak_of(sandbox, Path::new(env!("CARGO_BIN_EXE_umoci")), words, &[])
}

/// As [`peak`], of a program in an environment.
#[track_caller]
fn peak_of<S: AsRef<OsStr>>(
    sandbox: &Sandbox,
    program: &Path,
    words: &[S],
    environment: &[(&str, &str)],
) -> Option<u64> {
    // By a small process, since a child begins with the peak of its parent.
    let time = peer("time")?;
    let mut command = sandbox.program(&time, &["-q", "-f", "%M", "-o", "peak"]);
    command.arg(program).args(words).envs(environment.iter().copied());
    let run = Run::of(&mut command);
    run.succeeds();
    let kibibytes = fs::read_to_string(sandbox.path("peak")).unwrap();
    let peak = kibibytes.trim().parse::<u64>().unwrap() << 10;
    assert!(peak <= MOST, "{command:?} took {} KiB", peak >> 10);
    Some(peak)
}
