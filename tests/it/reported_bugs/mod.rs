// SPDX-License-Identifier: Apache-2.0
//! Bugs that users of tools like this one have reported, each as a test that
//! says by its number and title which one it is.

mod changes;
mod documents;
mod layers;
mod layouts;
mod links;
mod overlay;
mod rootless;
mod whiteouts;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tar::{EntryType, Header};
use umoci::oci::{Algorithm, Digest};

use crate::harness::{Run, Sandbox, set_times, write};

/// The age of members of layers, in seconds since the epoch.
const AGE: i64 = 1_000_000_000;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A layer in the making, by other means than the program's own.
struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Adds a member whose header is changed before it is written.
    fn member(
        mut self,
        name: &str,
        kind: EntryType,
        body: &str,
        edit: impl Fn(&mut Header),
    ) -> Self {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(AGE.unsigned_abs());
        header.set_size(body.len() as u64);
        edit(&mut header);
        header.set_cksum();
        self.0.append(&header, body.as_bytes()).unwrap();
        self
    }

    fn file(self, name: &str, body: &str) -> Self {
        self.member(name, EntryType::Regular, body, |_| {})
    }

    fn dir(self, name: &str) -> Self {
        self.member(name, EntryType::Directory, "", |_| {})
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        let edit = |header: &mut Header| header.set_link_name_literal(target).unwrap();
        self.member(name, EntryType::Symlink, "", edit)
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        let edit = |header: &mut Header| header.set_link_name_literal(target).unwrap();
        self.member(name, EntryType::Link, "", edit)
    }

    /// Adds an extended header for the next member.
    fn pax(mut self, records: &[(&str, &str)]) -> Self {
        let records = records.iter().map(|(key, value)| (*key, value.as_bytes()));
        self.0.append_pax_extensions(records).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A sandbox whose image `img:latest` has these layers.
fn image<const N: usize>(layers: [Layer; N]) -> Sandbox {
    let sandbox = Sandbox::with_image();
    for layer in layers {
        add(&sandbox, &layer.bytes(), &[]);
    }
    sandbox
}

/// Adds an archive to `img:latest`.
#[track_caller]
fn add(sandbox: &Sandbox, archive: &[u8], flags: &[&str]) {
    write(sandbox.path("layer.tar"), archive);
    let words = [&["raw", "add-layer", "--image=img", "layer.tar"], flags].concat();
    sandbox.umoci(&words).succeeds_silently();
}

/// The root filesystem of an image.
struct Tree {
    sandbox: Sandbox,
}

/// Unpacks an image with these layers.
#[track_caller]
fn unpacked<const N: usize>(layers: [Layer; N]) -> Tree {
    let sandbox = image(layers);
    sandbox.umoci(&["raw", "unpack", "--image=img", "tree"]).succeeds();
    let tree = Tree { sandbox };
    // Whatever a layer holds, no mark of a layer is ever in the tree.
    for entry in walkdir::WalkDir::new(tree.path("")) {
        let name = entry.unwrap().file_name().to_owned();
        assert!(!name.as_encoded_bytes().starts_with(b".wh."), "{name:?}");
    }
    tree
}

/// Tries to unpack an image with these layers, and asserts that it fails and leaves nothing.
#[track_caller]
fn refused<const N: usize>(layers: [Layer; N], message: &str) {
    let sandbox = Sandbox::with_image();
    for layer in layers {
        sandbox.add_any_layer(&layer.bytes());
    }
    sandbox.umoci(&["raw", "unpack", "--image=img", "tree"]).fails_with(message);
    assert!(!sandbox.path("tree").exists());
    sandbox.umoci(&["unpack", "--image=img", "bundle"]).fails_with(message);
    assert!(!sandbox.path("bundle").exists());
}

impl Tree {
    fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path("tree").join(name)
    }

    #[track_caller]
    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    #[track_caller]
    fn stat(&self, name: &str) -> std::fs::Metadata {
        self.path(name).symlink_metadata().unwrap()
    }

    #[track_caller]
    fn mode(&self, name: &str) -> u32 {
        self.stat(name).mode() & 0o7777
    }
}

/// A sandbox with an image and a bundle of it, filled by a function and refreshed once.
fn bundle(fill: impl FnOnce(&std::path::Path)) -> Sandbox {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["unpack", "--image=img", "bundle"]).succeeds_silently();
    fill(&sandbox.path("bundle/rootfs"));
    // Whatever changes from now on changes the time of its directory.
    set_times(&sandbox.path("bundle/rootfs"), AGE);
    let words = ["repack", "--refresh-bundle", "--image=img", "bundle"];
    sandbox.umoci(&words).succeeds_silently();
    sandbox
}

/// Repacks the bundle as `img:new` and gives the members of the new layer.
#[track_caller]
fn repacked(sandbox: &Sandbox) -> Vec<String> {
    sandbox.umoci(&["repack", "--image=img:new", "bundle"]).succeeds_silently();
    let before = sandbox.layers("img", "latest").len();
    if sandbox.layers("img", "new").len() == before {
        return Vec::new();
    }
    sandbox.top_members("img", "new")
}

/// Stores a blob in the layout `img` and gives its descriptor.
fn put(sandbox: &Sandbox, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::of(Algorithm::Sha256, bytes).to_string();
    write(sandbox.path("img/blobs/sha256").join(&digest[7..]), bytes);
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// As [`put`], for a document.
fn put_json(sandbox: &Sandbox, media_type: &str, document: &Value) -> Value {
    put(sandbox, media_type, document.to_string().as_bytes())
}

/// Names a descriptor.
fn named(mut descriptor: Value, name: &str) -> Value {
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    descriptor
}

/// Replaces the index of the layout `img`.
fn set_index(sandbox: &Sandbox, manifests: &[Value]) {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    write(sandbox.path("img/index.json"), index.to_string());
}

/// Changes the manifest of `img:latest`.
fn edit_manifest(sandbox: &Sandbox, edit: impl FnOnce(&mut Value)) {
    let (_, mut manifest) = sandbox.manifest("img", "latest");
    edit(&mut manifest);
    let descriptor = put_json(sandbox, MANIFEST, &manifest);
    set_index(sandbox, &[named(descriptor, "latest")]);
}

/// Changes the configuration of `img:latest`.
fn edit_config(sandbox: &Sandbox, edit: impl FnOnce(&mut Value)) {
    let mut config = sandbox.config("latest");
    edit(&mut config);
    let media_type = "application/vnd.oci.image.config.v1+json";
    let descriptor = put_json(sandbox, media_type, &config);
    edit_manifest(sandbox, |manifest| manifest["config"] = descriptor);
}

/// Runs a command on `img`, and asserts that it says nothing.
#[track_caller]
fn quietly(sandbox: &Sandbox, words: &[&str]) {
    sandbox.umoci(words).succeeds_silently();
}

/// Runs the program with system calls that fail. What is not traced would not fail.
#[track_caller]
fn with_failing(sandbox: &Sandbox, strace: &Path, calls: &str, fault: &str, words: &[&str]) -> Run {
    let [trace, inject] = [format!("trace={calls}"), format!("inject={calls}:{fault}")];
    let traced = ["-f", "-qq", "-o", "calls", "-e", &trace, "-e", &inject];
    let run = sandbox.peer(strace, &[&traced[..], &[env!("CARGO_BIN_EXE_umoci")], words].concat());
    let calls = std::fs::read_to_string(sandbox.path("calls")).unwrap();
    assert!(calls.contains("(INJECTED)"), "nothing failed: {words:?}");
    run
}

/// Asserts that a run did not panic.
#[track_caller]
fn clean_failure(run: &Run, message: &str) {
    run.fails_with(message);
    assert!(!run.stderr().contains("panicked"), "{}", run.stderr());
}
