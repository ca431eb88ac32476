// SPDX-License-Identifier: Apache-2.0
//! The power fails, at any moment of a command or after it.
//!
//! A command is recorded call by call, and its calls are replayed on a disk
//! that loses what was not synced ([`disk`]). Whatever such a disk may hold
//! when the power is back, the tags that there were lead to whole images. If
//! the command had said that it was done, that is there, too.
//!
//! `unpack` promises that only while the power lasts: a bundle can be made again
//! of its image, and syncing a whole root filesystem would take longer than
//! making it. What of a bundle cannot be made again is what a user has changed
//! there, and a repack that has succeeded holds that in the layout. Also notes
//! of permission bits that have stepped aside are not synced: they are for those
//! who are killed.

mod disk;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use disk::{Disk, Luck, Tree, restore};
use trace::{Call, record};

use super::scene::{self, Task, copy};
use crate::harness::{Sandbox, is_slow, needs_root, strace};

/// A command on its way.
struct Recording<'a> {
    task: &'a Task,
    scene: Sandbox,
    /// The tags before it, with what they mean.
    before: BTreeMap<String, String>,
    start: Disk,
    calls: Vec<Call>,
}

impl<'a> Recording<'a> {
    /// `None` where a command cannot be recorded.
    fn of(task: &'a Task) -> Option<Self> {
        let strace = strace()?;
        if !needs_root() {
            return None;
        }
        let scene = task.scene.make();
        let before = scene::tags(&scene);
        let start = Disk::of(&scene);
        let sandbox = copy(&scene);
        let calls = record(&sandbox, &strace, task.words);
        let recording = Self { task, scene, before, start, calls };
        // The model is as good as the disk, as long as the power lasts.
        let model = recording.at_end().after_power_cut(Luck::All);
        assert!(model == Disk::of(&sandbox).after_power_cut(Luck::All), "{:?}", task.words);
        Some(recording)
    }

    fn at_end(&self) -> Disk {
        let mut disk = self.start.clone();
        for call in &self.calls {
            disk.apply(call);
        }
        disk
    }

    /// The first thing that is lost or broken, if anything can be.
    fn loss(&self) -> Option<String> {
        let mut disk = self.start.clone();
        let mut seen = BTreeSet::new();
        for call in &self.calls {
            if disk.apply(call) {
                for tree in states(&disk).filter(|tree| seen.insert(tree.clone())) {
                    if let Some(loss) = self.loss_in(&tree, Done::No) {
                        return Some(format!("{loss} after {} {:?}", call.name, call.result));
                    }
                }
            }
        }
        let states: BTreeSet<Tree> = states(&disk).collect();
        let counts = (seen.len(), states.len());
        eprintln!(
            "{:?}: {counts:?} states of the disk, on the way and at the end",
            self.task.words
        );
        states.iter().find_map(|tree| self.loss_in(tree, Done::Yes))
    }

    fn loss_in(&self, tree: &Tree, done: Done) -> Option<String> {
        let sandbox = Sandbox::new();
        restore(tree, &sandbox);
        self.task.loss(&self.before, &sandbox).or_else(|| {
            let is_there = done == Done::No || (self.task.promise)(&sandbox);
            (!is_there).then(|| "what was promised is lost".to_owned())
        })
    }

    /// Where the calls are that sync something, and what that is.
    fn syncs(&self) -> Vec<(usize, PathBuf)> {
        let mut disk = self.start.clone();
        let mut syncs = Vec::new();
        for (at, call) in self.calls.iter().enumerate() {
            disk.apply(call);
            if call.name == "fsync" {
                syncs.extend(disk.path_of(call.number(0).unwrap()).map(|path| (at, path)));
            }
        }
        syncs
    }

    /// The states that the disk can have when the command is cut off, each once.
    fn moments(&self) -> Vec<(Disk, Tree)> {
        let mut disk = self.start.clone();
        let mut moments = Vec::new();
        for call in &self.calls {
            let before = disk.clone();
            if disk.apply(call) {
                let tree = before.after_power_cut(Luck::All);
                moments.push((before, tree));
            }
        }
        moments.dedup_by(|one, other| one.1 == other.1);
        let step = if is_slow() { 1 } else { moments.len().div_ceil(8).max(1) };
        moments.into_iter().step_by(step).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    No,
    Yes,
}

/// What a disk may hold when the power is back.
fn states(disk: &Disk) -> impl Iterator<Item = Tree> {
    let chances = if is_slow() { 40 } else { 4 };
    let luck = [Luck::None, Luck::Names, Luck::All].into_iter();
    luck.chain((1..=chances).map(Luck::Chance)).map(|luck| disk.after_power_cut(luck))
}

/// The power may fail at any moment of a command, and after it.
fn survives(task: &Task) {
    let Some(recording) = Recording::of(task) else { return };
    assert_eq!(recording.loss(), None, "{:?}", task.words);
    goes_on(&recording);
    done_means_done_after_a_kill(&recording);
}

/// What the power leaves of a command can be worked with: the same command does its work, and
/// garbage is collected.
fn goes_on(recording: &Recording<'_>) {
    let every = [Luck::None, Luck::Names, Luck::Chance(1)];
    let mut count = 0;
    for (at, (disk, _)) in recording.moments().iter().enumerate() {
        let one = &every[at % every.len()..][..1];
        for luck in if is_slow() { &every[..] } else { one } {
            let sandbox = copy(&recording.scene);
            restore(&disk.after_power_cut(*luck), &sandbox);
            recording.task.check(&recording.before, &sandbox, None);
            count += 1;
        }
    }
    assert!(count > 0);
    eprintln!("{:?}: went on after {count} cuts", recording.task.words);
}

/// A command is killed, and run again with success; then the power fails. What the killed one
/// had left unsynced is lost, unless the second has seen to it.
fn done_means_done_after_a_kill(recording: &Recording<'_>) {
    let (task, Some(strace)) = (recording.task, strace()) else { return };
    let mut count = 0;
    for (mut disk, tree) in recording.moments() {
        let sandbox = copy(&recording.scene);
        restore(&tree, &sandbox);
        if task.once.is_some() && (task.promise)(&sandbox) {
            continue;
        }
        disk.close_all();
        for call in record(&sandbox, &strace, task.words) {
            disk.apply(&call);
        }
        for tree in states(&disk) {
            assert_eq!(recording.loss_in(&tree, Done::Yes), None, "{:?}", task.words);
        }
        count += 1;
    }
    eprintln!("{:?}: done after {count} kills", task.words);
}

#[test]
fn init() {
    survives(&scene::INIT);
}

#[test]
fn new() {
    survives(&scene::NEW);
}

#[test]
fn config() {
    survives(&scene::CONFIG);
}

#[test]
fn tag() {
    survives(&scene::TAG);
}

#[test]
fn remove() {
    survives(&scene::REMOVE);
}

#[test]
fn gc() {
    survives(&scene::GC);
}

#[test]
fn gc_of_entries() {
    survives(&scene::GC_UNTAGGED);
}

#[test]
fn repack() {
    survives(&scene::REPACK);
}

#[test]
fn repack_and_refresh() {
    survives(&scene::REFRESH);
}

#[test]
fn refresh_in_place() {
    survives(&scene::REFRESH_IN_PLACE);
}

#[test]
fn insert() {
    survives(&scene::INSERT);
}

#[test]
fn add_layer() {
    survives(&scene::ADD_LAYER);
}

#[test]
fn index_create() {
    survives(&scene::INDEX_CREATE);
}

#[test]
fn index_add() {
    survives(&scene::INDEX_ADD);
}

#[test]
fn index_remove() {
    survives(&scene::INDEX_REMOVE);
}

#[test]
fn index_annotate() {
    survives(&scene::INDEX_ANNOTATE);
}

#[test]
fn convert() {
    survives(&scene::CONVERT);
}

/// Leaves out one sync after the other, and gives those that nothing depends on.
fn spared_syncs(task: &Task) -> Option<Vec<String>> {
    let mut recording = Recording::of(task)?;
    let whole = recording.calls.clone();
    let mut spared = Vec::new();
    for (at, path) in recording.syncs() {
        recording.calls.clone_from(&whole);
        recording.calls.remove(at);
        let loss = recording.loss();
        eprintln!("{:?} without the sync of {path:?}: {loss:?}", task.words);
        if loss.is_none() {
            // Names of new files end in a number.
            let path = path.to_str().unwrap();
            spared.push(path.rsplit_once('-').map_or(path, |(kind, _)| kind).to_owned());
        }
    }
    Some(spared)
}

/// The model notices when a sync is missing: without any of them but these, something is lost.
#[test]
fn no_sync_can_be_left_out() {
    // The directory of all blobs is new only for another algorithm, or after a kill.
    let blobs = &["img/blobs"][..];
    // The stat index may be lost: files are read again then. What comes last before `umoci.json`
    // syncs the directory for all that came before.
    let bundle = &["img/blobs", "bundle", "bundle/.umoci-new", "bundle"][..];
    let long = [(&scene::INSERT, blobs), (&scene::REPACK, blobs), (&scene::REFRESH, bundle)];
    let short = [
        (&scene::TAG, &[][..]),
        (&scene::REMOVE, &[]),
        (&scene::INIT, &[]),
        (&scene::CONFIG, blobs),
    ];
    for (task, expected) in short.iter().chain(if is_slow() { &long[..] } else { &[] }) {
        let Some(spared) = spared_syncs(task) else { return };
        let spared: Vec<&str> = spared.iter().map(String::as_str).collect();
        assert_eq!(spared, *expected, "{:?}", task.words);
    }
}
