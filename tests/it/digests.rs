// SPDX-License-Identifier: Apache-2.0
//! Blobs and layers under SHA-384 and SHA-512, and entries under algorithms that nobody knows.

use std::fs;

use serde_json::{Value, json};
use umoci::image::validate::{ValidateOptions, validate};

use crate::harness::{Sandbox, needs_root, peer};

const TAG: &str = "org.opencontainers.image.ref.name";

/// A layout `img` with an image whose digests are of an algorithm.
fn image(algorithm: &str) -> Sandbox {
    let sandbox = Sandbox::with_layout();
    fs::write(sandbox.path("file"), "x").unwrap();
    let script = format!(
        "umoci new --image img --digest-algorithm {algorithm}
        umoci insert --image img file /file
        umoci config --image img --author somebody"
    );
    sandbox.shell(&script).succeeds();
    sandbox
}

/// Every digest in the documents of an image.
fn digests(sandbox: &Sandbox, tag: &str) -> Vec<String> {
    let run = sandbox.umoci(&["stat", "--image", &format!("img:{tag}"), "--json"]);
    let stat: Value = serde_json::from_str(&run.succeeds()).unwrap();
    let manifest = &stat["manifest"];
    let layers = manifest["blob"]["layers"].as_array().unwrap();
    let diff_ids = stat["config"]["blob"]["rootfs"]["diff_ids"].as_array().unwrap();
    let all = [&manifest["descriptor"]["digest"], &manifest["blob"]["config"]["digest"]];
    let all = all.into_iter().chain(layers.iter().map(|layer| &layer["digest"])).chain(diff_ids);
    all.map(|digest| digest.as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_image_keeps_its_algorithm() {
    for algorithm in ["sha256", "sha384", "sha512"] {
        let sandbox = image(algorithm);
        let all = digests(&sandbox, "latest");
        assert_eq!(all.len(), 4);
        let prefix = format!("{algorithm}:");
        assert!(all.iter().all(|digest| digest.starts_with(&prefix)), "{all:?}");
        // Garbage goes, and what is needed stays.
        let blobs =
            || fs::read_dir(sandbox.path(format!("img/blobs/{algorithm}"))).unwrap().count();
        assert!(blobs() > 3);
        sandbox.umoci(&["gc", "--layout", "img"]).succeeds();
        assert_eq!(blobs(), 3);
        let report = validate(sandbox.path("img"), &ValidateOptions::default()).unwrap();
        assert!(report.findings.is_empty() && report.blobs == 3, "{:?}", report.findings);
        // A damaged one is noticed.
        let layer = sandbox.path("img/blobs").join(all[2].replace(':', "/"));
        let mut bytes = fs::read(&layer).unwrap();
        bytes[20] ^= 1;
        fs::write(&layer, bytes).unwrap();
        sandbox.umoci(&["unpack", "--rootless", "--image", "img", "bundle"]).fails_with(&all[2]);
    }
    let sandbox = Sandbox::with_layout();
    let run = sandbox.umoci(&["new", "--image", "img", "--digest-algorithm", "md5"]);
    run.fails_with("invalid --digest-algorithm: unsupported digest algorithm \"md5\"");
}

#[test]
fn a_bundle_goes_there_and_back() {
    if !needs_root() {
        return;
    }
    let sandbox = image("sha512");
    sandbox.umoci(&["unpack", "--image", "img", "bundle"]).succeeds();
    let name = digests(&sandbox, "latest")[0].replace(':', "_");
    assert!(sandbox.path(format!("bundle/{name}.mtree")).exists());
    fs::write(sandbox.path("bundle/rootfs/new"), "new").unwrap();
    sandbox.umoci(&["repack", "--refresh-bundle", "--image", "img:new", "bundle"]).succeeds();
    let all = digests(&sandbox, "new");
    assert_eq!(all.len(), 6);
    assert!(all.iter().all(|digest| digest.starts_with("sha512:")), "{all:?}");
    assert!(sandbox.path(format!("bundle/{}.mtree", all[0].replace(':', "_"))).exists());
    sandbox.umoci(&["unpack", "--image", "img:new", "again"]).succeeds();
    assert_eq!(fs::read(sandbox.path("again/rootfs/new")).unwrap(), b"new");
    let report = validate(sandbox.path("img"), &ValidateOptions::default()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings);
}

#[test]
fn an_address_and_an_index_may_be_of_any_algorithm() {
    let sandbox = image("sha512");
    let digest = digests(&sandbox, "latest").remove(0);
    sandbox.umoci(&["stat", "--image", &format!("img@{digest}")]).succeeds();
    sandbox.umoci(&["index", "create", "--image", "img:list", "latest"]).succeeds();
    sandbox.umoci(&["config", "--image", "img:list", "--author", "y"]).succeeds();
    let entry = sandbox.json("img/index.json")["manifests"][1].clone();
    assert!(entry["digest"].as_str().unwrap().starts_with("sha512:"), "{entry}");
    let list = sandbox.umoci(&["ls", "--layout", "img", "--long"]).succeeds();
    assert!(list.contains(&digest), "{list}");
}

/// Blobs and layers have the digests that other programs find, by which another tool finds them.
#[test]
fn other_programs_find_the_same_digests() {
    for algorithm in ["sha384", "sha512"] {
        let sandbox = image(algorithm);
        sandbox.umoci(&["gc", "--layout", "img"]).succeeds();
        let [manifest, _, layer, diff_id] = &digests(&sandbox, "latest")[..] else { panic!() };
        let hex = |digest: &str| digest.split_once(':').unwrap().1.to_owned();
        let script = format!(
            "cd img/blobs/{algorithm}
            for blob in *; do echo \"$blob  $blob\"; done | {algorithm}sum --check
            gzip -dc {} | {algorithm}sum",
            hex(layer)
        );
        let text = sandbox.shell(&script).succeeds();
        assert_eq!(text.matches(": OK\n").count(), 3, "{text}");
        assert!(text.contains(&format!("{}  -\n", hex(diff_id))), "{text}");
        let Some(skopeo) = peer("skopeo") else { continue };
        let raw = sandbox.peer(&skopeo, &["inspect", "--raw", "oci:img:latest"]).succeeds();
        assert_eq!(raw.as_bytes(), sandbox.blob(manifest), "{algorithm}");
    }
}

/// Puts an entry of an algorithm that is not registered between others.
fn with_unknown() -> (Sandbox, Value) {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["tag", "--image", "img", "second"]).succeeds();
    let mut index = sandbox.json("img/index.json");
    let unknown = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": "blake3:00ff",
        "size": 12_345_678_901_234_567_890_u64,
        "annotations": {TAG: "future"},
        "x-new": [1.50, null],
    });
    index["manifests"].as_array_mut().unwrap().insert(1, unknown.clone());
    fs::write(sandbox.path("img/index.json"), index.to_string()).unwrap();
    (sandbox, unknown)
}

#[test]
fn an_entry_that_cannot_be_read_is_kept() {
    let (sandbox, unknown) = with_unknown();
    assert_eq!(sandbox.umoci(&["ls", "--layout", "img"]).succeeds(), "latest\nfuture\nsecond\n");
    sandbox.umoci(&["stat", "--image", "img"]).succeeds();
    sandbox.umoci(&["config", "--image", "img:second", "--author", "x"]).succeeds();
    sandbox.umoci(&["tag", "--image", "img", "third"]).succeeds();
    let index = sandbox.json("img/index.json");
    assert_eq!(index["manifests"][1], unknown);
    assert_eq!(
        sandbox.umoci(&["ls", "--layout", "img"]).succeeds(),
        "latest\nfuture\nsecond\nthird\n"
    );
    // Only its use is an error.
    for words in [
        &["stat", "--image", "img:future"][..],
        &["unpack", "--image", "img:future", "bundle"],
        &["tag", "--image", "img:future", "x"],
        &["config", "--image", "img:future", "--author", "x"],
    ] {
        let text = "future: the digest blake3:00ff is of an algorithm that is not known";
        sandbox.umoci(words).fails_with(text);
    }
    // What it refers to cannot be known, so nothing is garbage for sure.
    let before = sandbox.tree("img");
    sandbox.umoci(&["gc", "--layout", "img"]).fails_with("blake3:00ff");
    assert_eq!(sandbox.tree("img"), before);
    sandbox.umoci(&["rm", "--image", "img:future"]).succeeds();
    assert_eq!(sandbox.umoci(&["ls", "--layout", "img"]).succeeds(), "latest\nsecond\nthird\n");
    sandbox.umoci(&["gc", "--layout", "img"]).succeeds();
}

#[test]
fn a_name_that_cannot_be_read_can_be_given_anew() {
    let (sandbox, _) = with_unknown();
    sandbox.umoci(&["tag", "--image", "img", "future"]).succeeds();
    assert_eq!(sandbox.umoci(&["ls", "--layout", "img"]).succeeds(), "latest\nsecond\nfuture\n");
    sandbox.umoci(&["stat", "--image", "img:future"]).succeeds();
}

/// Entries that break the rules in some way.
fn broken() -> Vec<Value> {
    let mut all: Vec<Value> = ["sha256:00", "blake3", "blake3:", "BLAKE3:00", "blake3:../../x", ""]
        .map(|digest| json!({"digest": digest, "size": 1}))
        .into();
    let sum = format!("sha256:{:064}", 0);
    all.push(json!({"digest": sum, "size": -1}));
    all.push(json!({"digest": sum, "size": 1, "annotations": {"a": 1}}));
    all.push(json!({"digest": sum, "size": 1, "platform": "x"}));
    all.extend([json!({}), json!({"digest": null})]);
    all
}

#[test]
fn an_entry_that_breaks_the_rules_leaves_the_others_usable() {
    for mut entry in broken() {
        let (sandbox, _) = with_unknown();
        if entry["annotations"].is_null() {
            entry["annotations"] = json!({TAG: "bad"});
        } else {
            entry["annotations"][TAG] = "bad".into();
        }
        let mut index = sandbox.json("img/index.json");
        index["manifests"][1] = entry.clone();
        fs::write(sandbox.path("img/index.json"), index.to_string()).unwrap();
        let ls = || sandbox.umoci(&["ls", "--layout", "img"]).succeeds();
        assert_eq!(ls(), "latest\nbad\nsecond\n");
        sandbox.umoci(&["config", "--image", "img:second", "--author", "x"]).succeeds();
        // It keeps its place, whatever goes before it.
        sandbox.umoci(&["tag", "--image", "img:second", "third"]).succeeds();
        sandbox.umoci(&["rm", "--image", "img"]).succeeds();
        assert_eq!(ls(), "bad\nsecond\nthird\n");
        assert_eq!(sandbox.json("img/index.json")["manifests"][0], entry);
        // Lists show it, and what is wrong with it.
        let long = sandbox.umoci(&["ls", "--layout", "img", "--long"]);
        assert!(long.succeeds().lines().nth(1).unwrap().starts_with("bad "));
        assert!(long.stderr().starts_with("umoci: warn: "), "{}", long.stderr());
        let list = sandbox.umoci(&["ls", "--layout", "img", "--json"]).succeeds();
        let list: Value = serde_json::from_str(&list).unwrap();
        assert_eq!(list["entries"][0]["descriptor"], entry);
        assert!(list["entries"][0]["problem"].is_string());
        // Its use is an error, and what it needs cannot be known.
        sandbox.umoci(&["stat", "--image", "img:bad"]).fails_with("bad: ");
        let before = sandbox.tree("img");
        let gc = sandbox.umoci(&["gc", "--layout", "img"]);
        gc.fails_with("an entry of the index cannot be read");
        assert_eq!(gc.hint().unwrap(), "`umoci rm --image img:bad` removes it.");
        assert_eq!(sandbox.tree("img"), before);
        sandbox.umoci(&["rm", "--image", "img:bad"]).succeeds();
        sandbox.umoci(&["gc", "--layout", "img"]).succeeds();
        assert_eq!(ls(), "second\nthird\n");
    }
}

#[test]
fn what_cannot_be_read_and_has_no_name_is_removed_by_what_it_has_for_a_digest() {
    for digest in ["sha256:00", "blake3:00ff"] {
        let (sandbox, _) = with_unknown();
        let mut index = sandbox.json("img/index.json");
        index["manifests"][1] = json!({"digest": digest, "size": 1});
        fs::write(sandbox.path("img/index.json"), index.to_string()).unwrap();
        let image = format!("img@{digest}");
        sandbox.umoci(&["stat", "--image", &image]).fails_with(digest);
        let gc = sandbox.umoci(&["gc", "--layout", "img"]);
        assert_eq!(gc.hint().unwrap(), format!("`umoci rm --image {image}` removes it."));
        sandbox.umoci(&["rm", "--image", &image]).succeeds_silently();
        sandbox.umoci(&["gc", "--layout", "img"]).succeeds();
        sandbox.umoci(&["rm", "--image", &image]).fails_with(digest);
    }
}
