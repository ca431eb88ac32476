// SPDX-License-Identifier: Apache-2.0
//! A disk that is full.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::scene::{self, Task, copy_into, tags};
use crate::harness::{Sandbox, needs_root, skip};

/// A small filesystem in a mount namespace of its own, which ends with the process that
/// keeps it, and that ends with this one.
struct SmallDisk {
    keeper: Child,
    path: PathBuf,
}

impl SmallDisk {
    fn new(size: &str, place: &Path) -> Option<Self> {
        let script = "mount -t tmpfs -o size=\"$1\" none \"$2\" && echo mounted && read -r _";
        let mut keeper = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh", size])
            .arg(place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut answer = String::new();
        BufReader::new(keeper.stdout.take()?).read_line(&mut answer).unwrap();
        let path = format!("/proc/{}/root{}", keeper.id(), place.display()).into();
        let disk = Self { keeper, path };
        if answer == "mounted\n" { Some(disk) } else { skip("leave to mount a tmpfs") }
    }

    fn fill(&self) {
        let filler = std::fs::File::create(self.path.join("filler")).unwrap();
        let zeros = [0; 4096];
        while std::io::Write::write_all(&mut &filler, &zeros).is_ok() {}
    }

    /// Leaves room for so many bytes.
    fn leave(&self, room: u64) {
        self.fill();
        let filler = std::fs::File::options().write(true).open(self.path.join("filler")).unwrap();
        let size = filler.metadata().unwrap().len();
        filler.set_len(size.saturating_sub(room)).unwrap();
    }

    fn make_room(&self) {
        // A child that another test is about to start may still have it open, and all that is in it.
        std::fs::write(self.path.join("filler"), "").unwrap();
        std::fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Runs a command with ever more room, until it is enough.
fn needs_room(task: &Task) {
    if !needs_root() {
        return;
    }
    let scene = task.scene.make();
    let before = tags(&scene);
    let mount = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::new("16m", mount.path()) else { return };
    let mut room = 0;
    loop {
        let sandbox = Sandbox::at(tempfile::tempdir_in(&disk.path).unwrap());
        copy_into(&scene, &sandbox);
        disk.leave(room);
        let run = task.scene.run(&sandbox, &task.scene.program(&sandbox), task.words);
        disk.make_room();
        eprintln!("{:?} with {room} bytes: {:?} {}", task.words, run.status(), run.stderr());
        if run.status() != Some(0) {
            run.fails_with("no space left on device");
        }
        task.check(&before, &sandbox, Some(&run));
        if run.status() == Some(0) {
            break;
        }
        room = (room * 2).max(4096);
        assert!(room < 16 << 20, "never enough");
    }
    assert!(room > 0, "it needs no room");
}

#[test]
fn init() {
    needs_room(&scene::INIT);
}

#[test]
fn config() {
    needs_room(&scene::CONFIG);
}

#[test]
fn repack() {
    needs_room(&scene::REPACK);
}

#[test]
fn repack_and_refresh() {
    needs_room(&scene::REFRESH);
}

#[test]
fn new() {
    needs_room(&scene::NEW);
}

#[test]
fn tag() {
    needs_room(&scene::TAG);
}

#[test]
fn insert() {
    needs_room(&scene::INSERT);
}

#[test]
fn add_layer() {
    needs_room(&scene::ADD_LAYER);
}

#[test]
fn index_create() {
    needs_room(&scene::INDEX_CREATE);
}

#[test]
fn index_add() {
    needs_room(&scene::INDEX_ADD);
}

#[test]
fn index_remove() {
    needs_room(&scene::INDEX_REMOVE);
}

#[test]
fn index_annotate() {
    needs_room(&scene::INDEX_ANNOTATE);
}

#[test]
fn convert() {
    needs_room(&scene::CONVERT);
}

#[test]
fn refresh_in_place() {
    needs_room(&scene::REFRESH_IN_PLACE);
}

#[test]
fn unpack() {
    needs_room(&scene::UNPACK);
}

/// Garbage collection and the removal of a tag are how a user gets room.
#[test]
fn gc_needs_no_room() {
    if !needs_root() {
        return;
    }
    let scene = scene::scene();
    let mount = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::new("16m", mount.path()) else { return };
    let sandbox = Sandbox::at(tempfile::tempdir_in(&disk.path).unwrap());
    copy_into(&scene, &sandbox);
    disk.fill();
    sandbox.umoci(scene::GC.words).succeeds_silently();
    let run = sandbox.umoci(scene::REMOVE.words);
    disk.make_room();
    scene::REMOVE.check(&tags(&scene), &sandbox, Some(&run));
}
