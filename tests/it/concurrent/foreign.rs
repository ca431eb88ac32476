// SPDX-License-Identifier: Apache-2.0
//! Programs that know nothing of this one's locks, but lock a `.umoci-*`
//! directory while they write: neither side takes anything from the other.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{HalfWritten, Waiting, all_is_there, whole_archive};
use crate::harness::{Run, Sandbox, go_umoci, is_slow};

/// Garbage collection waits while the other program is in the middle of a blob.
#[test]
fn garbage_collection_waits_for_it() {
    let Some(go) = go_umoci() else { return };
    let sandbox = Sandbox::with_image();
    assert!(sandbox.program("mkfifo", &["archive"]).status().unwrap().success());
    let words = ["raw", "add-layer", "--image=img", "--tag=slow", "archive"];
    let mut writer = sandbox.program(&go, &words).spawn().unwrap();
    let mut archive = std::fs::File::options().write(true).open(sandbox.path("archive")).unwrap();
    let whole = whole_archive();
    archive.write_all(&whole[..whole.len() / 2]).unwrap();
    let collector = Waiting::start(&sandbox, &["gc", "--layout=img"]);
    assert!(collector.why.contains("another program"), "{}", collector.why);
    archive.write_all(&whole[whole.len() / 2..]).unwrap();
    drop(archive);
    assert!(writer.wait().unwrap().success());
    assert_eq!(collector.end().0, Some(0));
    assert!(all_is_there(&sandbox).contains("slow"));
}

/// A collector of the other program leaves a living writer's files alone.
#[test]
fn its_garbage_collection_spares_a_living_writer() {
    let Some(go) = go_umoci() else { return };
    let sandbox = Sandbox::with_image();
    let writer = HalfWritten::start(&sandbox);
    for _ in 0..3 {
        sandbox.peer(&go, &["gc", "--layout=img"]).succeeds();
    }
    writer.finish();
    assert!(all_is_there(&sandbox).contains("slow"));
    // Of a dead one it takes them.
    HalfWritten::start(&sandbox).kill();
    sandbox.peer(&go, &["gc", "--layout=img"]).succeeds();
    assert_eq!(std::fs::read_dir(sandbox.path("img")).unwrap().count(), 3);
}

/// One writer of the other program and any number of collectors and readers of this one. (With
/// two writers nothing could be promised, since the other program does not lock the index.)
#[test]
fn nothing_is_taken_from_its_writers() {
    let Some(go) = go_umoci() else { return };
    let sandbox = Sandbox::with_image();
    let at_least = if is_slow() { 200 } else { 10 };
    let (done, collected) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut rounds = 0;
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                sandbox.umoci(&["gc", "--layout=img"]).succeeds_silently();
                collected.fetch_add(1, Ordering::AcqRel);
            }
        });
        let write = |words: &[&str]| Run::of(&mut sandbox.program(&go, words)).succeeds();
        let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // A collector that waits pauses longer each time, so one run of it may see ten writers.
            // One that has waited too long has failed.
            let lacks_turns = || collected.load(Ordering::Acquire) < 3 && !collector.is_finished();
            while rounds < at_least || lacks_turns() {
                let (author, tag) = (format!("--author={rounds}"), format!("--tag=g{rounds}"));
                write(&["config", "--image=img", &author, &tag]);
                if rounds % 3 == 2 {
                    write(&["rm", &format!("--image=img:g{}", rounds - 1)]);
                }
                rounds += 1;
            }
        }));
        done.store(true, Ordering::Release);
        collector.join().unwrap();
        written.unwrap();
    });
    assert_eq!(all_is_there(&sandbox).len(), 1 + rounds - rounds / 3);
}
