// SPDX-License-Identifier: Apache-2.0
//! The line of counts says what the tree is like in the end, not what was done on the way: of
//! layers that replace, remove and repeat what is below them it says what it says of the same
//! tree in one layer.

use std::collections::BTreeSet;

use super::filesystem::with_limits;
use super::namespace::alone;
use super::scene::{empty_member, touch};
use crate::harness::{Run, Sandbox, needs_root};

/// A layer of an image that is made of several.
struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn add(self, name: &str, kind: tar::EntryType, owner: u64) -> Self {
        self.member(name, kind, owner, "")
    }

    fn file(self, name: &str, owner: u64) -> Self {
        self.add(name, tar::EntryType::Regular, owner)
    }

    fn dir(self, name: &str, owner: u64) -> Self {
        self.add(name, tar::EntryType::Directory, owner)
    }

    fn device(self, name: &str, owner: u64) -> Self {
        self.add(name, tar::EntryType::Char, owner)
    }

    fn noted(self, name: &str, owner: u64) -> Self {
        self.with("SCHILY.xattr.trusted.note").file(name, owner)
    }

    /// An attribute of the member that comes next.
    fn with(mut self, attribute: &str) -> Self {
        self.0.append_pax_extensions([(attribute, &b"x"[..])]).unwrap();
        self
    }

    fn symlink(self, name: &str, owner: u64) -> Self {
        self.member(name, tar::EntryType::Symlink, owner, "nowhere")
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.member(name, tar::EntryType::Link, 0, target)
    }

    fn member(mut self, name: &str, kind: tar::EntryType, owner: u64, target: &str) -> Self {
        let mut header = empty_member(kind, owner);
        match kind {
            tar::EntryType::Symlink | tar::EntryType::Link => {
                self.0.append_link(&mut header, name, target).unwrap();
            }
            _ => self.0.append_data(&mut header, name, std::io::empty()).unwrap(),
        }
        self
    }
}

/// The images `img:layers`, and `img:flat` with the tree that root makes of it in one layer, if
/// the layers go together.
fn sandbox(layers: impl IntoIterator<Item = Layer>) -> Option<Sandbox> {
    let sandbox = Sandbox::with_image();
    for image in ["img:layers", "img:flat"] {
        sandbox.umoci(&["new", "--image", image]).succeeds_silently();
    }
    for layer in layers {
        std::fs::write(sandbox.path("layer.tar"), layer.0.into_inner().unwrap()).unwrap();
        sandbox.umoci(&["raw", "add-layer", "--image=img:layers", "layer.tar"]).succeeds_silently();
    }
    let run = sandbox.umoci(&["raw", "unpack", "--image=img:layers", "tree"]);
    if run.status() != Some(0) {
        return None;
    }
    sandbox.umoci(&["insert", "--image=img:flat", "tree", "/"]).succeeds_silently();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    sandbox.give_to_ordinary_user("home");
    sandbox.give_to_ordinary_user("img");
    Some(sandbox)
}

/// What is said at the end, or nothing.
fn counts(run: &Run) -> String {
    run.succeeds();
    let told = run.stderr();
    let line = told.lines().last().unwrap_or_default();
    line.split_once("emulated: ").map(|(_, counts)| counts.to_owned()).unwrap_or_default()
}

/// Whoever unpacks without root's privileges: with `--rootless` as an ordinary user, or as root
/// of a namespace.
#[derive(Clone, Copy)]
enum User {
    Ordinary,
    InNamespace,
}

impl User {
    fn run(self, sandbox: &Sandbox, words: &[&str]) -> Option<Run> {
        match self {
            Self::Ordinary => Some(sandbox.umoci_as_ordinary_user(words)),
            Self::InNamespace => alone(sandbox, words),
        }
    }

    /// The words of a command that takes `--rootless` after its name.
    fn words(self, command: &[&'static str], rest: &[&'static str]) -> Vec<&'static str> {
        let flag: &[_] = match self {
            Self::Ordinary => &["--rootless"],
            Self::InNamespace => &[],
        };
        [command, flag, rest].concat()
    }
}

/// Asserts that all is counted as in one layer, on the way to the disk and back, and gives the
/// counts.
#[track_caller]
fn counts_of_all(sandbox: &Sandbox, user: User) -> Option<String> {
    let unpack = |image, bundle| user.run(sandbox, &user.words(&["unpack"], &[image, bundle]));
    let flat = counts(&unpack("--image=img:flat", "home/flat")?);
    let layers = counts(&unpack("--image=img:layers", "home/b")?);
    assert_eq!(layers, flat);
    let raw = |image, tree| user.run(sandbox, &user.words(&["raw", "unpack"], &[image, tree]));
    let one = raw("--image=img:flat", "home/flat-tree")?;
    assert_eq!(counts(&raw("--image=img:layers", "home/tree")?), counts(&one));

    touch(&sandbox.path("home/b/rootfs"));
    let repacked = user.run(sandbox, &["repack", "--image=img:new", "home/b"])?;
    assert_eq!(counts(&repacked), flat);
    let words = ["--image=img:layers", "--tag=new", "home/b/rootfs", "/all"];
    let inserted = user.run(sandbox, &user.words(&["insert"], &words))?;
    assert_eq!(counts(&inserted), flat);
    Some(flat)
}

fn replaced_removed_and_repeated() -> [Layer; 3] {
    let lower = Layer::new()
        .dir("srv", 33)
        .file("srv/page", 33)
        .link("srv/second", "srv/page")
        .symlink("srv/link", 33)
        .device("null", 0)
        .link("second-null", "null")
        .device("old", 6)
        .noted("noted", 0)
        .noted("replaced", 7)
        .dir("hidden", 5)
        .dir("hidden/below", 5)
        .device("hidden/below/device", 5)
        .dir("emptied", 5)
        .file("emptied/file", 5)
        .noted("emptied/noted", 5)
        .dir("given", 5)
        .symlink("becomes-dir", 5);
    let upper = Layer::new()
        // Again as it was; its other name is still the file of the lower layer.
        .dir("srv", 33)
        .file("srv/page", 33)
        .symlink("srv/link", 0)
        .file("null", 0)
        .file(".wh.old", 0)
        .file("replaced", 0)
        .file(".wh.hidden", 0)
        .file("emptied/.wh..wh..opq", 0)
        .file("emptied/new", 5)
        .dir("given", 0)
        .dir("becomes-dir", 5);
    let twice = Layer::new()
        .file("twice", 9)
        .file("twice", 0)
        .file("twice", 9)
        .device("hidden", 0)
        .file("srv/page", 33);
    [lower, upper, twice]
}

#[test]
fn what_layers_replace_remove_and_repeat_counts_as_it_is_in_the_end() {
    if !needs_root() {
        return;
    }
    for (user, expected) in [
        (
            User::Ordinary,
            // srv, page, second; emptied, new; becomes-dir; twice - and two devices.
            "7 owners in attributes, 2 devices as empty files, 1 attribute in the record",
        ),
        (
            User::InNamespace,
            "7 owners in the record, 2 devices as empty files, 1 attribute in the record",
        ),
    ] {
        let sandbox = sandbox(replaced_removed_and_repeated()).unwrap();
        let Some(counts) = counts_of_all(&sandbox, user) else { return };
        assert_eq!(counts, expected);
        // The record has a line for each name of what is in it.
        let record = std::fs::read_to_string(sandbox.path("home/b/rootless.jsonl")).unwrap();
        let objects = record.lines().skip(1).map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["inode"].as_u64().unwrap()
        });
        let expected = match user {
            User::Ordinary => 3,
            User::InNamespace => 10,
        };
        assert_eq!(objects.collect::<BTreeSet<_>>().len(), expected, "{record}");
    }
}

#[test]
fn what_is_removed_again_is_listed_as_that() {
    if !needs_root() {
        return;
    }
    let layers = [Layer::new().device("old", 0), Layer::new().file(".wh.old", 0)];
    let sandbox = sandbox(layers).unwrap();
    let words = ["--log=debug", "unpack", "--rootless", "--image=img:layers", "home/b"];
    let run = sandbox.umoci_as_ordinary_user(&words);
    run.succeeds();
    let told = run.stderr();
    let lines: Vec<_> = told.lines().filter(|line| line.contains("\"old\": ")).collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].ends_with("an empty file stands for the device 1:3"), "{told}");
    assert!(lines[1].ends_with("removed again"), "{told}");
    assert!(!told.contains("emulated: "), "{told}");
    assert!(!sandbox.path("home/b/rootless.jsonl").exists());
}

#[test]
fn labels_and_copies_that_are_gone_do_not_count() {
    if !needs_root() {
        return;
    }
    let label = "SCHILY.xattr.security.selinux";
    let lower = Layer::new()
        .with(label)
        .file("labelled", 0)
        .with(label)
        .file("no-more", 0)
        .with(label)
        .dir("dir", 0);
    let upper = Layer::new().file("no-more", 0).dir("dir", 0);
    let labels = sandbox([lower, upper]).unwrap();
    for words in [["raw", "unpack", "again"].as_slice(), &["unpack", "b"]] {
        let run = labels.umoci(&[words, &["--image=img:layers"]].concat());
        assert_eq!(counts(&run), "1 label of the host left out", "{words:?}");
    }

    let links = Layer::new().file("one", 0).link("removed", "one").link("replaced", "one");
    let upper = Layer::new().file(".wh.removed", 0).file("replaced", 0).link("kept", "one");
    let again = Layer::new().link("kept", "one");
    let copies = sandbox([links, upper, again]).unwrap();
    for command in ["raw unpack", "unpack"] {
        let script = format!("limited numbers; $umoci {command} --image=img:layers m/{command}");
        let Some(run) = with_limits(&copies, &script.replace("m/raw ", "m/raw-")) else { return };
        assert_eq!(counts(&run), "1 hard link as a copy", "{command}");
    }
}

/// Nothing that is made up ever gets to the disk, not even for a while.
#[test]
fn strictly_nothing_is_made_up_that_would_be_removed_again_either() {
    if !needs_root() {
        return;
    }
    let layers = [Layer::new().device("old", 0), Layer::new().file(".wh.old", 0)];
    let sandbox = sandbox(layers).unwrap();
    let words = ["unpack", "--rootless", "--strict", "--image=img:layers", "home/b"];
    let line = sandbox.umoci_as_ordinary_user(&words).fails();
    let what = "unpack entry: old: an empty file stands for the device 1:3 (strict)";
    assert!(line.ends_with(what), "{line}");
    assert!(!sandbox.path("home/b").exists());
}

/// Numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Members at few paths, so that they often meet.
fn any_layer(random: &mut Random) -> Layer {
    let mut layer = Layer::new();
    let mut files: Vec<String> = Vec::new();
    for _ in 0..=random.below(25) {
        let dir = random.of(&["", "a/", "a/b/", "c/"]);
        let (name, owner) = (random.of(&["a", "b", "f", "g", "h"]), random.of(&[0, 0, 5, 7]));
        let path = format!("{dir}{name}");
        layer = match random.below(9) {
            0 | 1 => layer.dir(&path, owner),
            2 => layer.device(&path, owner),
            3 => layer.symlink(&path, owner),
            4 => layer.noted(&path, owner),
            5 => layer.file(&format!("{dir}.wh.{name}"), 0),
            6 => layer.file(&format!("{dir}.wh..wh..opq"), 0),
            7 if !files.is_empty() => {
                let target = &files[random.below(files.len())];
                if *target == path { layer } else { layer.link(&path, target) }
            }
            _ => {
                files.push(path.clone());
                layer.file(&path, owner)
            }
        };
    }
    layer
}

#[test]
fn any_layers_count_as_one() {
    if !needs_root() {
        return;
    }
    let rounds = if crate::harness::is_slow() { 200 } else { 12 };
    let (mut random, mut done) = (Random(0x2545_f491_4f6c_dd1d), 0);
    for _ in 0..10 * rounds {
        let layers: Vec<_> = (0..4).map(|_| any_layer(&mut random)).collect();
        let Some(sandbox) = sandbox(layers) else { continue };
        let user = [User::Ordinary, User::InNamespace][done % 2];
        if counts_of_all(&sandbox, user).is_none() {
            return;
        }
        done += 1;
        if done == rounds {
            return;
        }
    }
    panic!("only {done} images of {} were sound", 10 * rounds);
}
