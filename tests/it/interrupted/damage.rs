// SPDX-License-Identifier: Apache-2.0
//! Blobs that are not what their digests say, and digests that are wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::scene::{self, copy, names};
use crate::harness::{Sandbox, needs_root};

type Damage = fn(&mut Vec<u8>);

/// What can happen to a file.
const DAMAGES: [(&str, Damage); 6] = [
    ("first byte changed", |bytes| bytes[0] ^= 1),
    ("middle byte changed", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
    }),
    ("last byte changed", |bytes| *bytes.last_mut().unwrap() ^= 0x80),
    ("last byte missing", |bytes| bytes.truncate(bytes.len() - 1)),
    ("empty", Vec::clear),
    ("a byte too long", |bytes| bytes.push(0)),
];

/// The blobs of an image: its manifest, configuration and layers.
fn blobs_of(sandbox: &Sandbox, tag: &str) -> BTreeMap<String, PathBuf> {
    let (manifest, document) = sandbox.manifest("img", tag);
    let layers = document["layers"].as_array().unwrap().clone();
    let digest = |value: &serde_json::Value| value["digest"].as_str().unwrap().to_owned();
    let mut blobs = BTreeMap::from([
        ("manifest".to_owned(), manifest),
        ("config".to_owned(), digest(&document["config"])),
    ]);
    for (at, layer) in layers.iter().enumerate() {
        blobs.insert(format!("layer {at}"), digest(layer));
    }
    let path = |digest: String| sandbox.path("img/blobs/sha256").join(&digest["sha256:".len()..]);
    blobs.into_iter().map(|(name, digest)| (name, path(digest))).collect()
}

#[test]
fn every_blob_damaged_in_every_way() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::scene();
    let blobs = blobs_of(&sandbox, "two");
    assert_eq!(blobs.len(), 4);
    for (name, path) in &blobs {
        let good = std::fs::read(path).unwrap();
        for (what, damage) in DAMAGES {
            let mut bad = good.clone();
            damage(&mut bad);
            std::fs::write(path, bad).unwrap();
            let before = sandbox.tree("img");
            let line = sandbox.umoci(&["unpack", "--image=img:two", "fresh"]).fails();
            let texts = ["digest mismatch", "size mismatch"];
            assert!(texts.iter().any(|text| line.contains(text)), "{name} {what}: {line}");
            let hex = path.file_name().unwrap().to_str().unwrap();
            assert!(line.contains(hex), "{name} {what}: {line}");
            assert!(names(&sandbox, "fresh").is_empty(), "{name} {what}");
            assert_eq!(sandbox.tree("img"), before);
        }
        std::fs::write(path, good).unwrap();
    }
    sandbox.umoci(&["unpack", "--image=img:two", "fresh"]).succeeds_silently();
}

/// Writers and garbage collection stop at damage before they change anything.
#[test]
fn nothing_is_built_on_damage() {
    if !needs_root() {
        return;
    }
    let scene = scene::scene();
    for name in ["manifest", "config"] {
        let sandbox = copy(&scene);
        let path = &blobs_of(&sandbox, "two")[name];
        let mut bytes = std::fs::read(path).unwrap();
        bytes[9] ^= 1;
        std::fs::write(path, bytes).unwrap();
        let before = sandbox.tree("img");
        for words in [
            &["config", "--image=img:two", "--author=x"][..],
            &["repack", "--image=img:three", "bundle"],
            &["gc", "--layout=img"],
            &["stat", "--image=img:two"],
        ] {
            sandbox.umoci(words).fails_with("digest mismatch");
        }
        assert_eq!(sandbox.tree("img"), before);
    }
}

/// Blobs that match their digests, but a configuration that tells another diff id.
#[test]
fn a_wrong_diff_id() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::scene();
    let mut config = sandbox.config("two");
    let right = config["rootfs"]["diff_ids"][1].as_str().unwrap().to_owned();
    let wrong = format!("sha256:{}", "7".repeat(64));
    config["rootfs"]["diff_ids"][1] = wrong.clone().into();
    let (_, mut manifest) = sandbox.manifest("img", "two");
    let layout = umoci::layout::Layout::open(sandbox.path("img")).unwrap();
    let writer = layout.writer().unwrap();
    let put = |value: &serde_json::Value, media_type: &str| {
        writer.put(&serde_json::to_vec(value).unwrap(), media_type).unwrap()
    };
    let config = put(&config, umoci::oci::media_type::IMAGE_CONFIG);
    manifest["config"] = serde_json::to_value(&config).unwrap();
    let manifest = put(&manifest, umoci::oci::media_type::IMAGE_MANIFEST);
    writer.tag(&"wrong".parse().unwrap(), manifest).unwrap();
    drop(writer);
    let line = sandbox.umoci(&["unpack", "--image=img:wrong", "fresh"]).fails();
    for text in ["diffid mismatch", &format!("got {right}"), &format!("expected {wrong}")] {
        assert!(line.contains(text), "{line}");
    }
    assert!(names(&sandbox, "fresh").is_empty());
    sandbox.umoci(&["unpack", "--image=img:two", "fresh"]).succeeds_silently();
}
