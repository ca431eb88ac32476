// SPDX-License-Identifier: Apache-2.0
//! Who waits for whom, until when, and what they find when it is their turn.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{HalfWritten, Waiting, all_is_there, kill};
use crate::harness::{Sandbox, strace, write};
use crate::raw::archive;

/// Far less than the limit to any waiting.
const SOON: Duration = Duration::from_secs(20);

/// A collector waits for a writer in the middle of a blob, and takes nothing from it.
#[test]
fn garbage_collection_waits_for_a_living_writer() {
    let sandbox = Sandbox::with_image();
    let writer = HalfWritten::start(&sandbox);
    let collector = Waiting::start(&sandbox, &["gc", "--layout=img"]);
    assert_eq!(collector.holder(), writer.child.id().to_string());
    writer.finish();
    assert_eq!(collector.end().0, Some(0));
    assert!(all_is_there(&sandbox).contains("slow"));
}

/// A lock ends with its process, however that ends, and so does the waiting for it.
#[test]
fn nobody_waits_for_a_dead_writer() {
    let sandbox = Sandbox::with_image();
    let writer = HalfWritten::start(&sandbox);
    let collector = Waiting::start(&sandbox, &["gc", "--layout=img"]);
    let started = Instant::now();
    writer.kill();
    assert_eq!(collector.end().0, Some(0));
    assert!(started.elapsed() < SOON);
    let left: Vec<_> = std::fs::read_dir(sandbox.path("img")).unwrap().collect();
    assert_eq!(left.len(), 3, "the dead writer's files stay: {left:?}");
}

/// Commands that stand still while they hold a lock, until they are killed: the collector,
/// which holds that of the layout alone, and a writer that holds that of the index.
#[test]
fn nobody_waits_for_the_dead_holder_of_any_lock() {
    let Some(strace) = strace() else { return };
    let holders: [(&str, &[&str], &[&str]); 4] = [
        ("getdents64", &["gc", "--layout=img"], &["tag", "--image=img", "next"]),
        ("getdents64", &["gc", "--layout=img"], &["gc", "--layout=img"]),
        ("renameat", &["rm", "--image=img:other"], &["tag", "--image=img", "next"]),
        ("renameat", &["rm", "--image=img:other"], &["gc", "--layout=img"]),
    ];
    for (call, holder, waiter) in holders {
        let sandbox = Sandbox::with_image();
        sandbox.umoci(&["tag", "--image=img", "other"]).succeeds_silently();
        let fault = format!("inject={call}:signal=STOP:when=1");
        let filter = format!("trace={call}");
        let traced = ["-qq", "-o", "/dev/null", "-e", &filter, "-e", &fault];
        let own = [env!("CARGO_BIN_EXE_umoci")];
        let mut command = sandbox.program(&strace, &[&traced[..], &own, holder].concat());
        let mut tracer = command.spawn().unwrap();
        let waiter = waits_for_holder(&sandbox, waiter);
        let started = Instant::now();
        kill(&waiter.holder());
        let (status, messages) = waiter.end();
        assert_eq!(status, Some(0), "{messages}");
        assert!(started.elapsed() < SOON, "{holder:?}");
        tracer.wait().unwrap();
        assert!(all_is_there(&sandbox).contains("latest"));
        sandbox.umoci(&["gc", "--layout=img"]).succeeds_silently();
    }
}

/// Starts a command when another one holds a lock that it needs.
fn waits_for_holder(sandbox: &Sandbox, words: &[&str]) -> Waiting {
    let inode = |name: &str| {
        let inode = std::fs::metadata(sandbox.path(name)).unwrap().ino();
        format!(":{inode} ")
    };
    let (layout, index) = (inode("img"), inode("img/oci-layout"));
    let is_held = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let alone = |line: &str| line.contains(" WRITE ") && line.contains(&layout);
        locks.lines().any(|line| alone(line) || line.contains(&index))
    };
    while !is_held() {
        std::thread::sleep(Duration::from_millis(5));
    }
    Waiting::start(sandbox, words)
}

/// What a command is about to change, or to give another name, it looks up when nobody can
/// take it away any more.
#[test]
fn what_was_removed_while_a_command_waited_is_not_named_again() {
    for words in [
        &["tag", "--image=img:gone", "again"][..],
        &["config", "--image=img:gone", "--tag=again", "--author=x"],
        &["insert", "--image=img:gone", "--tag=again", "--whiteout", "/x"],
        &["raw", "add-layer", "--image=img:gone", "--tag=again", "layer.tar"],
        &["repack", "--image=img:again", "bundle"],
    ] {
        let sandbox = Sandbox::with_image();
        let before = State::of(&sandbox);
        write(sandbox.path("layer.tar"), archive(&[("x", "x")]));
        let add = ["raw", "add-layer", "--image=img", "--tag=gone", "layer.tar"];
        sandbox.umoci(&add).succeeds_silently();
        sandbox.umoci(&["unpack", "--rootless", "--image=img:gone", "bundle"]).succeeds();
        // The part of a collector that comes after the removal of the tag.
        let layout = File::open(sandbox.path("img")).unwrap();
        layout.lock().unwrap();
        let waiting = Waiting::start(&sandbox, words);
        before.restore(&sandbox);
        layout.unlock().unwrap();
        let (status, messages) = waiting.end();
        assert_eq!(status, Some(1), "{words:?}: {messages}");
        assert_eq!(all_is_there(&sandbox).len(), 1, "{words:?}");
    }
}

/// The index and the blobs of a layout.
struct State {
    index: Vec<u8>,
    blobs: BTreeSet<PathBuf>,
}

impl State {
    fn blobs(sandbox: &Sandbox) -> BTreeSet<PathBuf> {
        let blobs = std::fs::read_dir(sandbox.path("img/blobs/sha256")).unwrap();
        blobs.map(|blob| blob.unwrap().path()).collect()
    }

    fn of(sandbox: &Sandbox) -> Self {
        let index = std::fs::read(sandbox.path("img/index.json")).unwrap();
        Self { index, blobs: Self::blobs(sandbox) }
    }

    fn restore(&self, sandbox: &Sandbox) {
        std::fs::write(sandbox.path("img/index.json"), &self.index).unwrap();
        for blob in Self::blobs(sandbox).difference(&self.blobs) {
            std::fs::remove_file(blob).unwrap();
        }
    }
}
