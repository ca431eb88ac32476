// SPDX-License-Identifier: Apache-2.0
//! A layout with images, garbage and a changed bundle; the commands that work
//! on them; and what has to hold after each, however it ended.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use umoci::bundle::BundleMetadata;
use umoci::image::Image;
use umoci::layout::Layout;
use umoci::oci::{Algorithm, Digest};

use crate::harness::{Run, Sandbox};
use crate::raw::archive;

/// A command and what it promises.
pub(super) struct Task {
    pub(super) words: &'static [&'static str],
    /// The tag that it makes, changes or removes.
    tag: Option<&'static str>,
    pub(super) promise: fn(&Sandbox) -> bool,
    /// Whether it may find its own work done already, and says so.
    pub(super) once: bool,
}

pub(super) const INIT: Task = Task {
    words: &["init", "--layout=new"],
    tag: None,
    promise: |sandbox| {
        Layout::open(sandbox.path("new")).is_ok_and(|new| new.index().is_ok())
            && sandbox.path("new/blobs/sha256").exists()
    },
    once: true,
};
pub(super) const NEW: Task = Task {
    words: &["new", "--image=img:new"],
    tag: Some("new"),
    promise: |sandbox| tags(sandbox).contains_key("new"),
    once: false,
};
pub(super) const CONFIG: Task = Task {
    words: &["config", "--image=img:two", "--author=somebody"],
    tag: Some("two"),
    promise: |sandbox| sandbox.config("two")["author"] == "somebody",
    once: false,
};
pub(super) const TAG: Task = Task {
    words: &["tag", "--image=img:two", "one"],
    tag: Some("one"),
    promise: |sandbox| tags(sandbox)["one"] == tags(sandbox)["two"],
    once: false,
};
pub(super) const REMOVE: Task = Task {
    words: &["rm", "--image=img:one"],
    tag: Some("one"),
    promise: |sandbox| !tags(sandbox).contains_key("one"),
    once: false,
};
pub(super) const GC: Task = Task {
    words: &["gc", "--layout=img"],
    tag: None,
    promise: |sandbox| blobs(sandbox) == reachable(sandbox),
    once: false,
};
/// The index changes, then blobs go.
pub(super) const GC_UNTAGGED: Task = Task {
    words: &["gc", "--layout=img", "--untagged"],
    tag: None,
    promise: |sandbox| unnamed(sandbox) == 0 && blobs(sandbox) == reachable(sandbox),
    once: false,
};
pub(super) const REPACK: Task = Task {
    words: &["repack", "--image=img:three", "bundle"],
    tag: Some("three"),
    promise: |sandbox| layers(sandbox, "three") == Some(3),
    once: false,
};
pub(super) const REFRESH: Task = Task {
    words: &["repack", "--refresh-bundle", "--image=img:two", "bundle"],
    tag: Some("two"),
    promise: |sandbox| {
        layers(sandbox, "two") == Some(3)
            && record_of_bundle(sandbox).is_some_and(|of| Some(&of) == tags(sandbox).get("two"))
    },
    once: false,
};
/// Nothing changes but the bundle's own files, all of which keep their names.
pub(super) const REFRESH_IN_PLACE: Task = Task {
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
    once: false,
};
pub(super) const INSERT: Task = Task {
    words: &["insert", "--image=img:two", "source", "/srv"],
    tag: Some("two"),
    promise: |sandbox| sandbox.top_members("img", "two").contains(&"srv/file".to_owned()),
    once: false,
};
pub(super) const ADD_LAYER: Task = Task {
    words: &["raw", "add-layer", "--image=img:two", "--tag=more", "layer.tar"],
    tag: Some("more"),
    promise: |sandbox| layers(sandbox, "more") == Some(3),
    once: false,
};
pub(super) const UNPACK: Task = Task {
    // With the check, it would not come to a write that fails for want of space.
    words: &["unpack", "--no-space-check", "--image=img:two", "fresh"],
    tag: None,
    promise: |sandbox| bundle_is_whole(sandbox, "fresh"),
    once: true,
};

/// Makes the scene.
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
    let verified = |name: String| {
        let path = layout.resolve(&name.parse()?)?;
        let digest = path.root().digest.to_string();
        let image = Image::load(&layout, path)?;
        for (layer, _) in image.layers() {
            layout.blob(layer)?.verify()?;
        }
        Ok((name, digest))
    };
    layout.references()?.into_iter().map(verified).collect()
}

fn layers(sandbox: &Sandbox, tag: &str) -> Option<usize> {
    if !tags(sandbox).contains_key(tag) {
        return None;
    }
    sandbox.manifest("img", tag).1["layers"].as_array().map(Vec::len)
}

/// The image that a bundle is one of, if the record of the tree is the one that belongs to it.
fn record_of_bundle(sandbox: &Sandbox) -> Option<String> {
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
    umoci::layout::walk(&layout, layout.index().unwrap().manifests, |descriptor| {
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
        let again = sandbox.umoci(self.words);
        if self.once && again.status() != Some(0) {
            again.fails_with("already exists");
        } else {
            again.succeeds();
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
    fn nothing_half_there(&self, sandbox: &Sandbox) {
        assert_eq!(names(sandbox, "fresh"), BTreeSet::new(), "{:?}", self.words);
        self.nothing_temporary(sandbox);
    }

    #[track_caller]
    fn nothing_temporary(&self, sandbox: &Sandbox) {
        let is_temporary = |name: &&String| name.starts_with(".umoci-") || name.contains(".tmp-");
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
        self.nothing_temporary(sandbox);
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
