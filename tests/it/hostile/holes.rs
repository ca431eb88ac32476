// SPDX-License-Identifier: Apache-2.0
//! Holes: an image says in a few bytes what takes long to hash.

use super::archive::Archive;
use super::arena::{Arena, Layer, Limits};
use super::dialects::pax_sparse;
use crate::harness::{Run, needs_root};

/// The file `hole`, which would take many minutes to hash.
fn large_hole() -> Archive {
    hole(Archive::new(), "hole", 1 << 40)
}

/// Adds a file that is nothing but a hole.
fn hole(archive: Archive, name: &str, size: u64) -> Archive {
    archive.raw(&pax_sparse(name, &size.to_string(), "0\n", b"").open_end())
}

/// Unpacks an image of this layer, by the words of a shell before the program.
#[track_caller]
fn unpack(arena: &Arena, archive: Archive, before: &str) -> Run {
    arena.tag("bad", arena.image(&[Layer::plain(archive.end())]));
    let program = env!("CARGO_BIN_EXE_umoci");
    let words = "unpack --image=img:bad --max-unpacked-size=none bundle";
    let script = format!("{before} {program} {words}");
    Arena::run_watched(arena.sandbox.program("bash", &["-c", &script]), Limits::default())
}

/// Files that wait for a worker are open, and those that are holes take no buffers to wait for.
#[test]
fn many_sparse_files_take_few_handles() {
    const FILES: usize = 300;
    const SIZE: u64 = 8 << 20;
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    let add = |archive, number| hole(archive, &format!("f{number}"), SIZE);
    let archive = (0..FILES).fold(Archive::new(), add);
    unpack(&arena, archive, "ulimit -n 96; exec").succeeds();
    for number in 0..FILES {
        assert_eq!(arena.metadata(&format!("f{number}")).len(), SIZE);
    }
}

#[test]
fn a_signal_ends_the_hashing_of_a_hole() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    let stopped_after_two_seconds = "exec timeout --preserve-status --kill-after=20 2";
    let run = unpack(&arena, large_hole(), stopped_after_two_seconds);
    assert_eq!(run.status(), Some(143), "{}", run.stderr());
    let text = run.stderr();
    assert!(text.ends_with("interrupted\n") && text.lines().count() == 1, "{text}");
    assert!(!arena.path("bundle").exists());
}

/// What is wrong behind a hole is told at once.
#[test]
fn an_error_ends_the_hashing_of_a_hole() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    let run = unpack(&arena, large_hole().file(".wh.", ""), "exec timeout --kill-after=1 20");
    arena.refused("a bad member behind a hole", &run);
    assert!(run.stderr().contains("unpack entry: .wh.: "), "{}", run.stderr());
}
