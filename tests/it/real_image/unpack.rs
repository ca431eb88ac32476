// SPDX-License-Identifier: Apache-2.0
//! `unpack` gives the tree that Debian's umoci gives, and a bundle that it takes.

use std::path::Path;

use super::fixture::Fixture;
use super::tree::Tree;
use crate::harness::Sandbox;

#[test]
fn a_single_layer_gives_the_same_tree() {
    let Some(fixture) = Fixture::get() else { return };
    let sandbox = fixture.sandbox();
    sandbox.umoci(&["unpack", "--image=img:single", "ours"]).succeeds_silently();
    fixture.single.assert_same(&Tree::of(&sandbox.path("ours/rootfs")));
}

#[test]
fn layers_give_the_same_tree_and_bundles_that_both_programs_take() {
    let Some(fixture) = Fixture::get() else { return };
    let sandbox = fixture.sandbox();
    sandbox.umoci(&["unpack", "--image=img:layers", "ours"]).succeeds_silently();
    sandbox.peer(&fixture.go, &["unpack", "--image", "img:layers", "theirs"]).succeeds();
    fixture.layers.assert_same(&Tree::of(&sandbox.path("ours/rootfs")));
    fixture.layers.assert_same(&Tree::of(&sandbox.path("theirs/rootfs")));
    assert_eq!(config(&sandbox, "ours"), config(&sandbox, "theirs"));
    let (ours, theirs) = (mtree(&sandbox, "ours"), mtree(&sandbox, "theirs"));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }

    // Neither finds a change in the other's bundle.
    let before = layers(&sandbox, "layers");
    let words = |image, bundle| ["repack", "--image", image, bundle];
    sandbox.peer(&fixture.go, &words("img:go", "ours")).succeeds();
    sandbox.umoci(&words("img:here", "theirs")).succeeds_silently();
    sandbox.umoci(&words("img:own", "ours")).succeeds_silently();
    for tag in ["go", "here", "own"] {
        assert_eq!(layers(&sandbox, tag), before, "{tag}");
    }
}

/// The lines of a bundle's manifest that describe the tree.
fn mtree(sandbox: &Sandbox, bundle: &str) -> Vec<String> {
    let is_manifest = |path: &Path| path.extension().is_some_and(|extension| extension == "mtree");
    let entries = std::fs::read_dir(sandbox.path(bundle)).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path()).filter(|path| is_manifest(path));
    let text = std::fs::read_to_string(paths.next().unwrap()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        // The size of a directory is the filesystem's affair.
        let is_size = |word: &&str| line.contains("type=dir") && word.starts_with("size=");
        let mut words: Vec<&str> = line.split(' ').filter(|word| !is_size(word)).collect();
        // Attributes are in the order in which the filesystem lists them, or sorted.
        words.sort_by_key(|word| word.strip_prefix("xattr."));
        words.join(" ")
    });
    lines.collect()
}

/// What the runtime configuration says, but for where it is known to have changed
/// since: the version, the cgroup namespace, and annotations without a value.
fn config(sandbox: &Sandbox, bundle: &str) -> serde_json::Value {
    let mut config = sandbox.json(format!("{bundle}/config.json"));
    config["ociVersion"].take();
    let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "cgroup");
    config["annotations"].as_object_mut().unwrap().retain(|_, value| value != "");
    config
}

fn layers(sandbox: &Sandbox, tag: &str) -> serde_json::Value {
    sandbox.manifest("img", tag).1["layers"].clone()
}
