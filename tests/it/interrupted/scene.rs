// SPDX-License-Identifier: Apache-2.0
//! Layouts with images, garbage and a changed bundle; the commands that work
//! on them; and what has to hold after each, however it ended.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use umoci::bundle::BundleMetadata;
use umoci::layout::{Layout, REF_NAME, walk};
use umoci::oci::{Algorithm, Digest};

use crate::harness::{Run, Sandbox, set_mode};
use crate::raw::archive;

/// A command and what it promises.
pub(super) struct Task {
    pub(super) scene: Scene,
    pub(super) words: &'static [&'static str],
    /// The tag that it makes, changes or removes.
    tag: Option<&'static str>,
    pub(super) promise: fn(&Sandbox) -> bool,
    /// What it says when it finds its own work done already, if it minds.
    pub(super) once: Option<&'static str>,
}

/// Where a command works, and who gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scene {
    /// A layout and a bundle, for root.
    Root,
    /// The same with images for several platforms.
    Platforms,
    /// A layout and a bundle of an ordinary user, with directories that are closed to him.
    OrdinaryUser,
}

impl Scene {
    pub(super) fn make(self) -> Sandbox {
        match self {
            Self::Root => scene(),
            Self::Platforms => scene_of_platforms(),
            Self::OrdinaryUser => scene_of_ordinary_user(),
        }
    }

    /// The program for whoever gives the commands here.
    pub(super) fn program(self, sandbox: &Sandbox) -> PathBuf {
        match self {
            Self::Root | Self::Platforms => env!("CARGO_BIN_EXE_umoci").into(),
            Self::OrdinaryUser => sandbox.copy_for_others(),
        }
    }

    /// Runs a program as whoever gives the commands here.
    pub(super) fn run(self, sandbox: &Sandbox, program: &Path, words: &[&str]) -> Run {
        Run::of(&mut self.command(sandbox, program, words))
    }

    /// A program for whoever gives the commands here, not yet started.
    pub(super) fn command(self, sandbox: &Sandbox, program: &Path, words: &[&str]) -> Command {
        match self {
            Self::Root | Self::Platforms => sandbox.peer_as_root(program, words),
            Self::OrdinaryUser => sandbox.peer_of_ordinary_user(program, words),
        }
    }
}

pub(super) const INIT: Task = Task {
    scene: Scene::Root,
    words: &["init", "--layout=new"],
    tag: None,
    promise: |sandbox| {
        Layout::open(sandbox.path("new")).is_ok_and(|new| new.index().is_ok())
            && sandbox.path("new/blobs/sha256").exists()
    },
    once: Some("already exists"),
};
pub(super) const NEW: Task = Task {
    scene: Scene::Root,
    words: &["new", "--image=img:new"],
    tag: Some("new"),
    promise: |sandbox| tags(sandbox).contains_key("new"),
    once: None,
};
pub(super) const CONFIG: Task = Task {
    scene: Scene::Root,
    words: &["config", "--image=img:two", "--author=somebody"],
    tag: Some("two"),
    promise: |sandbox| sandbox.config("two")["author"] == "somebody",
    once: None,
};
pub(super) const TAG: Task = Task {
    scene: Scene::Root,
    words: &["tag", "--image=img:two", "one"],
    tag: Some("one"),
    promise: |sandbox| tags(sandbox)["one"] == tags(sandbox)["two"],
    once: None,
};
pub(super) const REMOVE: Task = Task {
    scene: Scene::Root,
    words: &["rm", "--image=img:one"],
    tag: Some("one"),
    promise: |sandbox| !tags(sandbox).contains_key("one"),
    once: None,
};
pub(super) const GC: Task = Task {
    scene: Scene::Root,
    words: &["gc", "--layout=img"],
    tag: None,
    promise: |sandbox| blobs(sandbox) == reachable(sandbox),
    once: None,
};
/// The index changes, then blobs go.
pub(super) const GC_UNTAGGED: Task = Task {
    scene: Scene::Root,
    words: &["gc", "--layout=img", "--untagged"],
    tag: None,
    promise: |sandbox| unnamed(sandbox) == 0 && blobs(sandbox) == reachable(sandbox),
    once: None,
};
pub(super) const REPACK: Task = Task {
    scene: Scene::Root,
    words: &["repack", "--image=img:three", "bundle"],
    tag: Some("three"),
    promise: |sandbox| layers(sandbox, "three") == Some(3),
    once: None,
};
pub(super) const REFRESH: Task = Task {
    scene: Scene::Root,
    words: &["repack", "--refresh-bundle", "--image=img:two", "bundle"],
    tag: Some("two"),
    promise: |sandbox| {
        layers(sandbox, "two") == Some(3)
            && record_of_bundle(sandbox).is_some_and(|of| Some(&of) == tags(sandbox).get("two"))
    },
    once: None,
};
/// Nothing changes but the bundle's own files, all of which keep their names.
pub(super) const REFRESH_IN_PLACE: Task = Task {
    scene: Scene::Root,
    words: &[
        "repack",
        "--refresh-bundle",
        "--no-history",
        "--image=img:two",
        "--mask-path=etc",
        "--mask-path=usr",
        "bundle",
    ],
    tag: Some("two"),
    promise: |sandbox| {
        layers(sandbox, "two") == Some(2)
            && record_of_bundle(sandbox).is_some_and(|of| Some(&of) == tags(sandbox).get("two"))
    },
    once: None,
};
pub(super) const INSERT: Task = Task {
    scene: Scene::Root,
    words: &["insert", "--image=img:two", "source", "/srv"],
    tag: Some("two"),
    promise: |sandbox| sandbox.top_members("img", "two").contains(&"srv/file".to_owned()),
    once: None,
};
pub(super) const ADD_LAYER: Task = Task {
    scene: Scene::Root,
    words: &["raw", "add-layer", "--image=img:two", "--tag=more", "layer.tar"],
    tag: Some("more"),
    promise: |sandbox| layers(sandbox, "more") == Some(3),
    once: None,
};
pub(super) const UNPACK: Task = Task {
    scene: Scene::Root,
    // With the check, it would not come to a write that fails for want of space.
    words: &["unpack", "--no-space-check", "--image=img:two", "fresh"],
    tag: None,
    promise: |sandbox| bundle_is_whole(sandbox, "fresh"),
    once: Some("already exists"),
};

pub(super) const RAW_UNPACK: Task = Task {
    scene: Scene::Root,
    words: &["raw", "unpack", "--no-space-check", "--image=img:two", "fresh"],
    tag: None,
    promise: |sandbox| std::fs::read(sandbox.path("fresh/bin/sh")).is_ok_and(|sh| sh == b"#!"),
    once: None,
};
pub(super) const INDEX_CREATE: Task = Task {
    scene: Scene::Platforms,
    words: &["index", "create", "--image=img:all", "two", "arm64"],
    tag: Some("all"),
    promise: |sandbox| entries(sandbox, "all") == Some(2),
    once: None,
};
pub(super) const INDEX_ADD: Task = Task {
    scene: Scene::Platforms,
    words: &["index", "add", "--image=img:multi", "arm64"],
    tag: Some("multi"),
    promise: |sandbox| entries(sandbox, "multi") == Some(3),
    once: None,
};
pub(super) const INDEX_REMOVE: Task = Task {
    scene: Scene::Platforms,
    words: &["index", "remove", "--image=img:multi", "linux/riscv64"],
    tag: Some("multi"),
    promise: |sandbox| entries(sandbox, "multi") == Some(1),
    once: Some("the index has no entry for linux/riscv64"),
};
pub(super) const INDEX_ANNOTATE: Task = Task {
    scene: Scene::Platforms,
    words: &["index", "annotate", "--image=img:multi", "note=x"],
    tag: Some("multi"),
    promise: |sandbox| sandbox.manifest("img", "multi").1["annotations"]["note"] == "x",
    once: None,
};
pub(super) const CONVERT: Task = Task {
    scene: Scene::Platforms,
    words: &["convert", "--format=docker", "--image=img:multi", "--tag=docker"],
    tag: Some("docker"),
    promise: |sandbox| entries(sandbox, "docker") == Some(2),
    once: None,
};
pub(super) const ROOTLESS_UNPACK: Task = Task {
    scene: Scene::OrdinaryUser,
    words: &["unpack", "--rootless", "--no-space-check", "--image=img:two", "fresh"],
    tag: None,
    promise: |sandbox| {
        // Permission bits that cannot be set are recorded.
        let record = std::fs::read_to_string(sandbox.path("fresh/rootless.jsonl"));
        let is_recorded = record.is_ok_and(|record| record.contains(",\"mode\":0,"));
        bundle_is_whole(sandbox, "fresh") && (is_closed(sandbox, "fresh") || is_recorded)
    },
    once: Some("already exists"),
};
pub(super) const ROOTLESS_REPACK: Task = Task {
    scene: Scene::OrdinaryUser,
    words: &["repack", "--compress=none", "--image=img:three", "bundle"],
    tag: Some("three"),
    promise: |sandbox| has_closed(sandbox, "three", "closed/inner/secret"),
    once: None,
};
pub(super) const ROOTLESS_REFRESH: Task = Task {
    scene: Scene::OrdinaryUser,
    words: &["repack", "--compress=none", "--refresh-bundle", "--image=img:two", "bundle"],
    tag: Some("two"),
    promise: |sandbox| {
        is_closed(sandbox, "bundle")
            && layers(sandbox, "two") == Some(4)
            && record_of_bundle(sandbox).is_some_and(|of| Some(&of) == tags(sandbox).get("two"))
    },
    once: None,
};
pub(super) const ROOTLESS_INSERT: Task = Task {
    scene: Scene::OrdinaryUser,
    words: &[
        "insert",
        "--rootless",
        "--compress=none",
        "--image=img:two",
        "--tag=more",
        "bundle/rootfs/closed",
        "/srv",
    ],
    tag: Some("more"),
    promise: |sandbox| has_closed(sandbox, "more", "srv/inner/secret"),
    once: None,
};

/// Makes a layout with images and garbage, and a bundle that has changed.
pub(super) fn scene() -> Sandbox {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["tag", "--image=img", "one"]).succeeds();
    sandbox.umoci(&["rm", "--image=img"]).succeeds();
    sandbox.umoci(&["unpack", "--image=img:one", "bundle"]).succeeds();
    let rootfs = sandbox.path("bundle/rootfs");
    fill(&rootfs);
    sandbox.umoci(&["repack", "--refresh-bundle", "--image=img:two", "bundle"]).succeeds();
    change(&rootfs);
    sandbox.umoci(&["repack", "--refresh-bundle", "--image=img:two", "bundle"]).succeeds();
    // An image whose tag another tool has moved.
    sandbox.umoci(&["new", "--image=img:loose"]).succeeds();
    let index = std::fs::read_to_string(sandbox.path("img/index.json")).unwrap();
    let name = ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"loose\"}";
    assert!(index.contains(name));
    std::fs::write(sandbox.path("img/index.json"), index.replace(name, "")).unwrap();
    // What the next repack is to find.
    std::fs::write(rootfs.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    std::fs::remove_file(rootfs.join("usr/bin/alias")).unwrap();
    crate::harness::write(sandbox.path("source/file"), "inserted");
    crate::harness::write(sandbox.path("layer.tar"), archive(&[("opt/file", "added")]));
    sandbox
}

fn scene_of_platforms() -> Sandbox {
    let sandbox = scene();
    for platform in ["arm64", "riscv64"] {
        let (image, platform) = (format!("--image=img:{platform}"), format!("linux/{platform}"));
        sandbox.umoci(&["new", &image, "--platform", &platform]).succeeds();
        sandbox.umoci(&["insert", &image, "source", "/srv"]).succeeds();
    }
    sandbox.umoci(&["index", "create", "--image=img:multi", "two", "riscv64"]).succeeds();
    sandbox
}

fn scene_of_ordinary_user() -> Sandbox {
    let sandbox = scene();
    let secret = "bundle/rootfs/closed/inner/secret";
    crate::harness::write(sandbox.path(secret), "x");
    close(&sandbox, "bundle");
    sandbox.umoci(&["repack", "--refresh-bundle", "--image=img:two", "bundle"]).succeeds();
    std::fs::remove_dir_all(sandbox.path("bundle")).unwrap();
    sandbox.give_to_ordinary_user("");
    let words = ["unpack", "--rootless", "--image=img:two", "bundle"];
    sandbox.umoci_as_ordinary_user(&words).succeeds();
    std::fs::remove_file(sandbox.copy_for_others()).unwrap();
    std::fs::write(sandbox.path("bundle/rootfs/etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    std::fs::write(sandbox.path(secret), "changed").unwrap();
    sandbox
}

/// What is closed to its owner in a tree.
const CLOSED: [&str; 3] = ["closed/inner/secret", "closed/inner", "closed"];

fn close(sandbox: &Sandbox, bundle: &str) {
    for path in CLOSED {
        set_mode(sandbox.path(bundle).join("rootfs").join(path), 0);
    }
}

fn is_closed(sandbox: &Sandbox, bundle: &str) -> bool {
    let rootfs = sandbox.path(bundle).join("rootfs");
    let mode = |path| rootfs.join(path).symlink_metadata().unwrap().permissions().mode() & 0o7777;
    CLOSED.iter().all(|path| mode(path) == 0)
}

/// Whether a file is in an image's topmost layer as it is in the tree, closed, and still so there.
fn has_closed(sandbox: &Sandbox, tag: &str, path: &str) -> bool {
    let Some(top) = layers(sandbox, tag).and_then(|_| sandbox.layers("img", tag).pop()) else {
        return false;
    };
    let mut archive = tar::Archive::new(&top[..]);
    let mode = archive.entries().unwrap().map(Result::unwrap).find_map(|entry| {
        (entry.path_bytes() == path.as_bytes()).then(|| entry.header().mode().unwrap())
    });
    mode == Some(0) && is_closed(sandbox, "bundle")
}

/// How many entries the index has that a tag leads to.
fn entries(sandbox: &Sandbox, tag: &str) -> Option<usize> {
    if !tags(sandbox).contains_key(tag) {
        return None;
    }
    sandbox.manifest("img", tag).1["manifests"].as_array().map(Vec::len)
}

/// How many entries of the index have no name.
fn unnamed(sandbox: &Sandbox) -> usize {
    let index = sandbox.json("img/index.json");
    let entries = index["manifests"].as_array().unwrap();
    entries.iter().filter(|entry| entry.get("annotations").is_none()).count()
}

fn fill(rootfs: &Path) {
    for directory in ["usr/bin", "etc", "dev", "var/lib/empty"] {
        std::fs::create_dir_all(rootfs.join(directory)).unwrap();
    }
    let big: Vec<u8> =
        (0..700_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(rootfs.join("usr/bin/tool"), big).unwrap();
    std::fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    std::fs::hard_link(rootfs.join("usr/bin/tool"), rootfs.join("usr/bin/alias")).unwrap();
    symlink("usr/bin", rootfs.join("bin")).unwrap();
    std::os::unix::fs::chown(rootfs.join("etc/passwd"), Some(7), Some(8)).unwrap();
    run("mkfifo", &[rootfs.join("dev/fifo").to_str().unwrap()]);
    run("mknod", &[rootfs.join("dev/null").to_str().unwrap(), "c", "1", "3"]);
    // Not every temporary directory can hold attributes.
    let _ = std::fs::File::open(rootfs.join("etc/passwd"))
        .and_then(|file| xattr::FileExt::set_xattr(&file, "user.note", b"x"));
}

fn change(rootfs: &Path) {
    std::fs::remove_dir(rootfs.join("var/lib/empty")).unwrap();
    std::fs::remove_file(rootfs.join("bin")).unwrap();
    std::fs::create_dir(rootfs.join("bin")).unwrap();
    std::fs::write(rootfs.join("bin/sh"), "#!").unwrap();
}

fn run(program: &str, words: &[&str]) {
    assert!(Command::new(program).args(words).status().unwrap().success(), "{program}");
}

/// A copy of a sandbox.
pub(super) fn copy(scene: &Sandbox) -> Sandbox {
    let copy = Sandbox::new();
    copy_into(scene, &copy);
    copy
}

/// Copies what is in a sandbox.
pub(super) fn copy_into(scene: &Sandbox, sandbox: &Sandbox) {
    let from = format!("{}/.", scene.path("").display());
    run("cp", &["-a", &from, sandbox.path("").to_str().unwrap()]);
}

/// All tags with the digests of what they mean, each verified to its last layer.
#[track_caller]
pub(super) fn tags(sandbox: &Sandbox) -> BTreeMap<String, String> {
    verified_tags(sandbox).unwrap()
}

fn verified_tags(sandbox: &Sandbox) -> umoci::Result<BTreeMap<String, String>> {
    let layout = Layout::open(sandbox.path("img"))?;
    let mut tags = BTreeMap::new();
    for entry in layout.index()?.manifests {
        let Some(name) = entry.annotations.get(REF_NAME) else { continue };
        tags.insert(name.clone(), entry.digest.to_string());
        walk(&layout, vec![entry], |descriptor| layout.blob(descriptor)?.verify().map(drop))?;
    }
    Ok(tags)
}

fn layers(sandbox: &Sandbox, tag: &str) -> Option<usize> {
    if !tags(sandbox).contains_key(tag) {
        return None;
    }
    sandbox.manifest("img", tag).1["layers"].as_array().map(Vec::len)
}

/// The image that a bundle is one of, if the record of the tree is the one that belongs to it.
pub(super) fn record_of_bundle(sandbox: &Sandbox) -> Option<String> {
    let metadata = std::fs::read(sandbox.path("bundle/umoci.json")).ok()?;
    let metadata = BundleMetadata::parse(&metadata).ok()?;
    let image = &metadata.from.target().digest;
    let name = format!("bundle/sha256_{}.mtree", image.hex());
    let mtree = Digest::of(Algorithm::Sha256, std::fs::read(sandbox.path(name)).ok()?);
    let is_own = metadata.mtree.is_none_or(|record| record.digest == mtree);
    is_own.then(|| image.to_string())
}

fn blobs(sandbox: &Sandbox) -> BTreeSet<String> {
    names(sandbox, "img/blobs/sha256")
}

fn reachable(sandbox: &Sandbox) -> BTreeSet<String> {
    let layout = Layout::open(sandbox.path("img")).unwrap();
    let mut found = BTreeSet::new();
    walk(&layout, layout.index().unwrap().manifests, |descriptor| {
        found.insert(descriptor.digest.hex().to_owned());
        Ok(())
    })
    .unwrap();
    found
}

/// The names in a directory; none if it is not there.
pub(super) fn names(sandbox: &Sandbox, directory: &str) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(sandbox.path(directory)) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn bundle_is_whole(sandbox: &Sandbox, bundle: &str) -> bool {
    let names = names(sandbox, bundle);
    let has = |name: &str| names.iter().any(|found| found.ends_with(name));
    ["rootfs", "config.json", "umoci.json", ".mtree"].into_iter().all(has)
        && std::fs::read(sandbox.path(bundle).join("rootfs/bin/sh")).is_ok_and(|sh| sh == b"#!")
}

impl Task {
    /// Asserts all that holds after the command has ended somehow, and that it can be
    /// run again and what it left behind can be removed. `run` is `None` if it was killed.
    #[track_caller]
    pub(super) fn check(
        &self,
        before: &BTreeMap<String, String>,
        sandbox: &Sandbox,
        run: Option<&Run>,
    ) {
        let words = self.words;
        self.check_tags(before, sandbox);
        if let Some(run) = run {
            if run.status() == Some(0) {
                assert!((self.promise)(sandbox), "{words:?} said it was done");
            } else {
                assert_eq!(run.status(), Some(1), "{}", run.stderr());
                if !run.says_that_it_cannot_clean_up() {
                    self.nothing_half_there(sandbox);
                }
            }
        }
        let again = self.scene.run(sandbox, &self.scene.program(sandbox), words);
        match self.once {
            Some(message) if again.status() != Some(0) => again.fails_with(message),
            _ => drop(again.succeeds()),
        }
        assert!((self.promise)(sandbox), "{words:?} run again");
        self.check_tags(before, sandbox);
        self.check_garbage(sandbox);
    }

    #[track_caller]
    fn check_tags(&self, before: &BTreeMap<String, String>, sandbox: &Sandbox) {
        assert_eq!(self.loss(before, sandbox), None, "{:?}", self.words);
    }

    /// What is lost of the images that there were, or is there half; the command may have been
    /// interrupted anywhere.
    pub(super) fn loss(
        &self,
        before: &BTreeMap<String, String>,
        sandbox: &Sandbox,
    ) -> Option<String> {
        let now = match verified_tags(sandbox) {
            Ok(now) => now,
            Err(error) => return Some(error.to_string()),
        };
        let is_own = |name: &&String| Some(name.as_str()) == self.tag;
        let others = |tags: &BTreeMap<String, String>| {
            let others = tags.iter().filter(|(name, _)| !is_own(name));
            others.map(|(name, digest)| format!("{name}={digest}")).collect::<Vec<_>>()
        };
        if others(before) != others(&now) {
            return Some(format!("there were {before:?}, there are {now:?}"));
        }
        if record_of_bundle(sandbox).is_none() {
            return Some("the bundle's record is lost".to_owned());
        }
        let half = sandbox.path("new").exists() && !(INIT.promise)(sandbox);
        half.then(|| "half a layout".to_owned())
    }

    /// After a failure of which the command could tell, it has cleaned up. Only where that
    /// failed, too, what is left is for the next run: threads count their calls each by itself,
    /// so an error at the first call of its name meets one that lists and one that removes.
    #[track_caller]
    pub(super) fn nothing_half_there(&self, sandbox: &Sandbox) {
        assert_eq!(names(sandbox, "fresh"), BTreeSet::new(), "{:?}", self.words);
        // Permission bits that could not be put back stay noted.
        self.nothing_temporary(sandbox, &[".umoci-aside"]);
    }

    #[track_caller]
    fn nothing_temporary(&self, sandbox: &Sandbox, except: &[&str]) {
        let is_temporary = |name: &&String| {
            let looks_so = name.starts_with(".umoci-") || name.contains(".tmp-");
            looks_so && !except.contains(&name.as_str())
        };
        for directory in ["", "img", "bundle", "fresh"] {
            let names = names(sandbox, directory);
            let left = names.iter().find(is_temporary);
            assert_eq!(left, None, "in {directory:?} after {:?}", self.words);
        }
    }

    #[track_caller]
    fn check_garbage(&self, sandbox: &Sandbox) {
        sandbox.umoci(GC.words).succeeds_silently();
        assert_eq!(blobs(sandbox), reachable(sandbox), "{:?}", self.words);
        self.nothing_temporary(sandbox, &[]);
    }
}

/// A failure is said in one line; warnings and a hint may come with it.
#[track_caller]
pub(super) fn says_one_error(run: &Run) {
    let stderr = run.stderr();
    let more = ["umoci: hint: ", "umoci: warn: "];
    let lines = stderr.lines().filter(|line| !more.iter().any(|kind| line.starts_with(kind)));
    let lines: Vec<&str> = lines.collect();
    assert!(matches!(lines[..], [line] if line.starts_with("umoci: ")), "{stderr}");
}
