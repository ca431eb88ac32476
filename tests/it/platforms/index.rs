// SPDX-License-Identifier: Apache-2.0
//! `umoci index`: several tags become one, and back.

use serde_json::{Value, json};

use super::{INDEX, PLATFORMS, digests, entries, index_of, multi, push, put, run, tag_of};
use crate::harness::{Sandbox, peer};

#[test]
fn tags_become_one_in_their_order() {
    let sandbox = multi();
    let made = entries(&sandbox, "multi");
    for (entry, platform) in made.iter().zip(PLATFORMS) {
        let (digest, _) = sandbox.manifest("img", &tag_of(platform));
        assert_eq!(entry["digest"], digest.as_str());
        let parts: Vec<&str> = platform.split('/').collect();
        let mut expected = json!({"architecture": parts[1], "os": parts[0]});
        if let Some(variant) = parts.get(2) {
            expected["variant"] = (*variant).into();
        }
        assert_eq!(entry["platform"], expected);
        assert_eq!(entry.get("annotations"), None);
    }
    let first = sandbox.manifest("img", "multi").0;
    run(
        &sandbox,
        &["index", "create", "--image=img:again", "amd64", "arm64-v8", "arm-v7", "arm-v6"],
    );
    assert_eq!(sandbox.manifest("img", "again").0, first, "equal commands, equal bytes");
    run(&sandbox, &["index", "create", "--image=img:turned", "arm-v6", "amd64"]);
    assert_eq!(entries(&sandbox, "turned"), [made[3].clone(), made[0].clone()]);
    sandbox
        .umoci(&["index", "create", "--image=img:twice", "amd64", "arm-v6", "amd64"])
        .fails_with("create index: amd64 is for linux/amd64, as another source is");
    sandbox
        .umoci(&["index", "create", "--image=img:x", "amd64", "nothing"])
        .fails_with("tag not found: nothing");
    sandbox.umoci(&["index", "create", "--image=img:x"]).fails_with("at least one <tag>");
    assert!(!sandbox.umoci(&["ls", "--layout=img"]).succeeds().contains('x'));
}

#[test]
fn entries_are_added_replaced_and_removed() {
    let sandbox = multi();
    let made = entries(&sandbox, "multi");
    run(&sandbox, &["index", "create", "--image=img:some", "amd64"]);
    run(&sandbox, &["index", "add", "--image=img:some", "arm-v6", "arm64-v8"]);
    assert_eq!(
        digests(&entries(&sandbox, "some")),
        [0, 3, 1].map(|at| made[at]["digest"].as_str().unwrap())
    );
    // A second time changes nothing; a new image takes its place.
    let before = index_of(&sandbox, "some");
    run(&sandbox, &["index", "add", "--image=img:some", "arm-v6"]);
    assert_eq!(index_of(&sandbox, "some"), before);
    run(&sandbox, &["config", "--image=img:arm-v6", "--author=x"]);
    run(&sandbox, &["index", "add", "--image=img:some", "arm-v6"]);
    assert_eq!(
        entries(&sandbox, "some")[1]["digest"],
        sandbox.manifest("img", "arm-v6").0.as_str()
    );
    run(
        &sandbox,
        &[
            "index",
            "remove",
            "--image=img:some",
            "linux/arm/6",
            made[0]["digest"].as_str().unwrap(),
        ],
    );
    assert_eq!(entries(&sandbox, "some"), [made[1].clone()]);
    let before = sandbox.tree("img");
    sandbox
        .umoci(&["index", "rm", "--image=img:some", "linux/arm/v7"])
        .fails_with("no entry for linux/arm/v7");
    sandbox
        .umoci(&["index", "rm", "--image=img:some", "linux/arm64"])
        .fails_with("an index without entries is no image");
    sandbox.umoci(&["index", "rm", "--image=img:some"]).fails_with("at least one <entry>");
    sandbox.umoci(&["index", "rm", "--image=img:some", "arm64"]).fails_with("invalid entry: ");
    for command in ["add", "remove", "annotate"] {
        let word = match command {
            "add" => "amd64",
            "remove" => "linux/amd64",
            _ => "a=b",
        };
        let image = sandbox.umoci(&["index", command, "--image=img:amd64", word]);
        image.fails_with("tag amd64 leads to an image, not to an index of images");
        assert_eq!(image.hint().unwrap(), "`umoci index create` makes an index.");
    }
    sandbox.umoci(&["index", "list", "--image=img:amd64"]).fails_with("not to an index");
    assert_eq!(sandbox.tree("img"), before);
}

#[test]
fn attestations_go_with_their_image() {
    let sandbox = multi();
    let mut document = index_of(&sandbox, "multi");
    let about = |image: usize| {
        let all = entries(&sandbox, "multi");
        json!({
            "mediaType": all[2]["mediaType"], "digest": all[2]["digest"], "size": all[2]["size"],
            "platform": {"architecture": "unknown", "os": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest",
                            "vnd.docker.reference.digest": all[image]["digest"]},
        })
    };
    let list = document["manifests"].as_array_mut().unwrap();
    list.extend([about(0), about(1)]);
    push(&sandbox, "attested", put(&sandbox, INDEX, &document));
    let text = run(&sandbox, &["index", "list", "--image=img:attested"]);
    assert_eq!(text.lines().filter(|line| line.contains("  about sha256:")).count(), 2, "{text}");
    run(&sandbox, &["index", "remove", "--image=img:attested", "linux/arm64"]);
    let mut expected = document["manifests"].as_array().unwrap().clone();
    expected.remove(5);
    expected.remove(1);
    assert_eq!(entries(&sandbox, "attested"), expected);
}

#[test]
fn the_list_is_for_people_and_for_programs() {
    let sandbox = multi();
    run(&sandbox, &["index", "create", "--image=img:outer", "multi"]);
    let text = run(&sandbox, &["index", "list", "--image=img:outer"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("PLATFORM") && lines[1].starts_with("- "), "{text}");
    assert!(lines[1].ends_with("  index") && lines[2].starts_with("  linux/amd64 "), "{text}");
    let json_text = run(&sandbox, &["index", "ls", "--image=img:outer", "--json"]);
    let listed = listed_in(&json_text);
    let depths: Vec<_> = listed.iter().map(|entry| entry["depth"].as_u64().unwrap()).collect();
    assert_eq!(depths, [0, 1, 1, 1, 1]);
    for (listed, entry) in listed[1..].iter().zip(entries(&sandbox, "multi")) {
        assert_eq!((&listed["descriptor"], &listed["platform"]), (&entry, &entry["platform"]));
        let manifest: Value =
            serde_json::from_slice(&sandbox.blob(entry["digest"].as_str().unwrap())).unwrap();
        let parts = manifest["layers"].as_array().unwrap().iter();
        let parts = parts.chain([&manifest["config"], &entry]);
        let size: u64 = parts.map(|part| part["size"].as_u64().unwrap()).sum();
        assert_eq!(listed["size"], size);
    }
    // An image that is not there, as in copies of some platforms only.
    let gone = entries(&sandbox, "multi")[1]["digest"].as_str().unwrap().to_owned();
    std::fs::remove_file(sandbox.path("img/blobs/sha256").join(&gone[7..])).unwrap();
    let text = run(&sandbox, &["index", "list", "--image=img:multi"]);
    assert!(text.contains("  image (not in the layout)\n"), "{text}");
    let json_text = run(&sandbox, &["index", "list", "--image=img:multi", "--json"]);
    let missing = |entry: &Value| entry["missing"].as_bool().unwrap();
    assert_eq!(
        listed_in(&json_text).iter().map(missing).collect::<Vec<_>>(),
        [false, true, false, false]
    );
    // Damage is told with the entry that it is behind.
    let bad = entries(&sandbox, "multi")[2]["digest"].as_str().unwrap().to_owned();
    crate::harness::write(sandbox.path("img/blobs/sha256").join(&bad[7..]), "{");
    let listed = sandbox.umoci(&["index", "list", "--image=img:multi"]);
    assert!(listed.succeeds().contains("  image (cannot be read)\n"));
    assert!(listed.stderr().starts_with(&format!("umoci: warn: {bad}: ")), "{}", listed.stderr());
    let json_text = run(&sandbox, &["index", "list", "--image=img:multi", "--json"]);
    assert!(listed_in(&json_text)[2]["problem"].is_string(), "{json_text}");
    run(&sandbox, &["stat", "--image=img:multi", "--platform=linux/arm/v6"]);
}

/// The entries of a list for programs.
fn listed_in(text: &str) -> Vec<Value> {
    let list: Value = serde_json::from_str(text).unwrap();
    assert_eq!(list["version"], 1);
    list["entries"].as_array().unwrap().clone()
}

#[test]
fn nested_indexes_are_kept_or_flattened() {
    let sandbox = multi();
    run(&sandbox, &["index", "create", "--image=img:arms", "arm-v7", "arm-v6"]);
    run(&sandbox, &["index", "create", "--image=img:nested", "amd64", "arms", "arm64-v8"]);
    let nested = entries(&sandbox, "nested");
    assert_eq!(
        (nested.len(), &nested[1]["mediaType"], nested[1].get("platform")),
        (3, &json!(INDEX), None)
    );
    run(
        &sandbox,
        &["index", "create", "--image=img:flat", "--flatten", "amd64", "arms", "arm64-v8"],
    );
    let made = entries(&sandbox, "multi");
    assert_eq!(entries(&sandbox, "flat"), [0, 2, 3, 1].map(|at| made[at].clone()));
    run(&sandbox, &["index", "create", "--image=img:added", "amd64"]);
    run(&sandbox, &["index", "add", "--image=img:added", "--flatten", "nested"]);
    assert_eq!(entries(&sandbox, "added"), entries(&sandbox, "flat"));
}

#[test]
fn annotations_of_the_index_and_of_entries() {
    let sandbox = multi();
    run(&sandbox, &["index", "annotate", "--image=img:multi", "a=b=c", "d="]);
    assert_eq!(index_of(&sandbox, "multi")["annotations"], json!({"a": "b=c", "d": ""}));
    run(&sandbox, &["index", "annotate", "--image=img:multi", "--entry=linux/arm/v6", "e=f"]);
    assert_eq!(entries(&sandbox, "multi")[3]["annotations"], json!({"e": "f"}));
    run(&sandbox, &["index", "annotate", "--image=img:multi", "--remove=a", "--remove=x", "g=h"]);
    assert_eq!(index_of(&sandbox, "multi")["annotations"], json!({"d": "", "g": "h"}));
    // The flags of other commands mean the same here.
    let annotate = |more: &[&str]| {
        sandbox.umoci(&[&["index", "annotate", "--image=img:multi"], more].concat())
    };
    annotate(&["--annotation=index:g=i", "--remove-annotation=d", "--annotation", "j=k"])
        .succeeds_silently();
    assert_eq!(index_of(&sandbox, "multi")["annotations"], json!({"g": "i", "j": "k"}));
    annotate(&[
        "--entry=linux/arm/v6",
        "--annotation=l=m",
        "--annotation=index:j=n",
        "--remove-annotation=descriptor:e",
    ])
    .succeeds_silently();
    assert_eq!(index_of(&sandbox, "multi")["annotations"], json!({"g": "i", "j": "n"}));
    assert_eq!(entries(&sandbox, "multi")[3]["annotations"], json!({"l": "m"}));
    annotate(&["--annotation=descriptor:a=b"]).fails_with("--entry says whose descriptor");
    annotate(&["manifest:a=b"]).fails_with("annotation \"a\" is not of an index or its entries");
    annotate(&[]).fails_with("expected <name>=<value>");
    sandbox.umoci(&["index", "annotate", "--image=img:multi", "a"]).fails_with("must contain '='");
    run(&sandbox, &["index", "create", "--image=img:noted", "--annotation=a=b", "amd64"]);
    assert_eq!(index_of(&sandbox, "noted")["annotations"], json!({"a": "b"}));
}

#[test]
fn others_read_what_was_made() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = multi();
    run(&sandbox, &["index", "remove", "--image=img:multi", "linux/arm/v7"]);
    let raw = sandbox.peer(&skopeo, &["inspect", "--raw", "oci:img:multi"]).succeeds();
    assert_eq!(serde_json::from_str::<Value>(&raw).unwrap(), index_of(&sandbox, "multi"));
    sandbox
        .peer(&skopeo, &["copy", "--all", "--quiet", "oci:img:multi", "oci:copy:multi"])
        .succeeds();
    assert_eq!(sandbox.manifest("copy", "multi").0, sandbox.manifest("img", "multi").0);
    for (arch, variant, platform) in
        [("arm", "v6", "linux/arm/v6"), ("arm64", "v8", "linux/arm64/v8")]
    {
        let to = format!("oci:{arch}:one");
        let choice = ["--override-arch", arch, "--override-variant", variant];
        let copy = ["copy", "--quiet", "oci:img:multi", &to];
        sandbox.peer(&skopeo, &[&choice[..], &copy].concat()).succeeds();
        assert_eq!(sandbox.manifest(arch, "one").0, sandbox.manifest("img", &tag_of(platform)).0);
    }
}

/// An entry whose digest is of an algorithm that is not registered.
fn unread() -> Value {
    json!({"mediaType": super::MANIFEST, "digest": "blake3:00ff", "size": 7,
           "platform": {"architecture": "riscv64", "os": "linux"}})
}

#[test]
fn entries_that_cannot_be_read_stay_in_their_place() {
    let sandbox = multi();
    let images = entries(&sandbox, "multi");
    let all = [images[0].clone(), unread(), images[1].clone(), images[2].clone()];
    let inner = put(&sandbox, INDEX, &json!({"schemaVersion": 2, "manifests": all}));
    push(&sandbox, "inner", inner);
    run(&sandbox, &["index", "create", "--image=img:flat", "--flatten", "inner", "arm-v6"]);
    assert_eq!(entries(&sandbox, "flat"), [&all[..], &images[3..]].concat());
    // The order is that of the others, when one before it goes.
    run(&sandbox, &["index", "remove", "--image=img:flat", "linux/amd64"]);
    assert_eq!(entries(&sandbox, "flat"), [&all[1..], &images[3..]].concat());
    run(&sandbox, &["index", "annotate", "--image=img:flat", "a=b"]);
    assert_eq!(entries(&sandbox, "flat")[0], unread());
    let text = run(&sandbox, &["index", "list", "--image=img:flat"]);
    let line = text.lines().nth(1).unwrap();
    assert!(line.starts_with("linux/riscv64   blake3:00ff "), "{text}");
    assert!(line.ends_with("image (cannot be read)"), "{text}");
    let text = run(&sandbox, &["index", "list", "--image=img:flat", "--json"]);
    let listed = listed_in(&text);
    assert_eq!(listed[0]["descriptor"], unread());
    // Docker's format has no place for it.
    let convert = ["convert", "--format=docker", "--image=img:inner"];
    sandbox.umoci(&convert).fails_with("no place for the entry \"blake3:00ff\"");
    run(&sandbox, &[&convert[..], &["--lossy", "--tag=lost"]].concat());
    assert_eq!(entries(&sandbox, "lost").len(), 3);
    run(&sandbox, &["index", "remove", "--image=img:flat", "blake3:00ff"]);
    assert_eq!(entries(&sandbox, "flat"), [&images[1..]].concat());
    sandbox
        .umoci(&["index", "remove", "--image=img:flat", "blake3:00ff"])
        .fails_with("no entry for blake3:00ff");
}

#[test]
fn sources_are_named_like_images() {
    let sandbox = multi();
    let images = entries(&sandbox, "multi");
    let mut index = sandbox.json("img/index.json");
    for entry in index["manifests"].as_array_mut().unwrap() {
        if entry["annotations"]["org.opencontainers.image.ref.name"] == "amd64" {
            entry["annotations"]["io.containerd.image.name"] = "docker.io/library/app:amd64".into();
        }
    }
    crate::harness::write(sandbox.path("img/index.json"), index.to_string());
    let digest = images[1]["digest"].as_str().unwrap();
    let pinned = format!("multi@{}", images[2]["digest"].as_str().unwrap());
    run(&sandbox, &["index", "create", "--image=img:x", "app:amd64", digest]);
    run(&sandbox, &["index", "add", "--image=img:x", &pinned]);
    assert_eq!(entries(&sandbox, "x"), images[..3]);
}

#[test]
fn no_two_images_for_one_platform() {
    let sandbox = multi();
    run(&sandbox, &["index", "create", "--image=img:arms", "arm-v7", "arm-v6"]);
    run(&sandbox, &["tag", "--image=img:arm-v6", "other"]);
    run(&sandbox, &["config", "--image=img:other", "--author=x"]);
    let before = sandbox.json("img/index.json");
    for words in [
        &["index", "create", "--image=img:x", "arms", "other"][..],
        &["index", "create", "--image=img:x", "other", "arms"],
    ] {
        sandbox.umoci(words).fails_with(", of an index within, would both be for linux/arm/v6");
    }
    // Without an index there is nothing within.
    for [one, other] in [["other", "arms"], ["arms", "other"]] {
        sandbox
            .umoci(&["index", "create", "--image=img:x", "--flatten", one, other])
            .fails_with(&format!("{other} is for linux/arm/v6, as another source is"));
    }
    sandbox
        .umoci(&["index", "add", "--image=img:arms", "arms"])
        .fails_with("an index cannot be an entry of itself");
    assert_eq!(sandbox.json("img/index.json"), before);
    // The same image is no second one.
    run(&sandbox, &["index", "create", "--image=img:x", "arm-v6", "arms"]);
    run(&sandbox, &["index", "create", "--image=img:x", "--flatten", "arm-v6", "arms"]);
}

/// An attestation about an image, of the bytes of another.
fn attestation(about: &Value, bytes: &Value) -> Value {
    json!({
        "mediaType": bytes["mediaType"], "digest": bytes["digest"], "size": bytes["size"],
        "platform": {"architecture": "unknown", "os": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest",
                        "vnd.docker.reference.digest": about["digest"]},
    })
}

fn push_index(sandbox: &Sandbox, tag: &str, manifests: &[Value]) -> Value {
    let index = put(sandbox, INDEX, &json!({"schemaVersion": 2, "manifests": manifests}));
    push(sandbox, tag, index.clone());
    index
}

#[test]
fn what_is_added_flat_takes_the_place_of_images() {
    let sandbox = multi();
    let images = entries(&sandbox, "multi");
    let old = [
        images[0].clone(),
        images[1].clone(),
        attestation(&images[1], &images[3]),
        attestation(&images[0], &images[3]),
    ];
    push_index(&sandbox, "app", &old);
    run(&sandbox, &["index", "create", "--image=img:outer", "app"]);
    run(&sandbox, &["config", "--image=img:arm64-v8", "--author=new"]);
    let mut new = images[1].clone();
    let (digest, _) = sandbox.manifest("img", "arm64-v8");
    new["size"] = sandbox.blob(&digest).len().into();
    new["digest"] = digest.into();
    let about_new = attestation(&new, &images[2]);
    push_index(&sandbox, "in", &[new.clone(), about_new.clone(), images[2].clone()]);
    for tag in ["app", "outer"] {
        let image = format!("--image=img:{tag}");
        run(&sandbox, &["index", "add", "--flatten", &image, "in"]);
        let expected =
            [images[0].clone(), new.clone(), old[3].clone(), about_new.clone(), images[2].clone()];
        assert_eq!(entries(&sandbox, tag), expected, "{tag}");
        // A second time changes nothing.
        run(&sandbox, &["index", "add", "--flatten", &image, "in"]);
        assert_eq!(entries(&sandbox, tag), expected, "{tag}");
    }
}

#[test]
fn flattening_keeps_the_platforms_that_are_stated() {
    let sandbox = multi();
    let mut stated = entries(&sandbox, "multi")[1].clone();
    stated["platform"]["variant"] = "v9".into();
    push_index(&sandbox, "inner", &[stated.clone()]);
    run(&sandbox, &["index", "create", "--image=img:flat", "--flatten", "inner"]);
    assert_eq!(entries(&sandbox, "flat"), [stated]);
}

#[test]
fn attestations_about_images_in_other_indexes() {
    let sandbox = multi();
    let images = entries(&sandbox, "multi");
    let bytes = &images[3];
    let inner = push_index(&sandbox, "inner", &[images[0].clone(), attestation(&images[2], bytes)]);
    let [about_inner, about_outer] = [0, 2].map(|at| attestation(&images[at], bytes));
    let outer = [inner.clone(), images[2].clone(), about_inner, about_outer];
    push_index(&sandbox, "outer", &outer);
    let stale = |tag: &str| {
        let image = format!("--image=img:{tag}");
        let report = sandbox.umoci(&["validate", "--json", &image]).succeeds();
        report.matches("attestation-stale").count()
    };
    assert_eq!(stale("outer"), 0);
    run(&sandbox, &["index", "remove", "--stale", "--image=img:outer"]);
    assert_eq!(entries(&sandbox, "outer"), outer);
    // With the image goes what is about it, wherever it is.
    run(&sandbox, &["tag", "--image=img:outer", "other"]);
    run(&sandbox, &["index", "remove", "--image=img:other", "linux/arm/v7"]);
    let other = entries(&sandbox, "other");
    assert_eq!((other.len(), &other[1]), (2, &outer[2]));
    let within: Value =
        serde_json::from_slice(&sandbox.blob(other[0]["digest"].as_str().unwrap())).unwrap();
    assert_eq!(within["manifests"], json!([images[0]]));
    run(&sandbox, &["index", "remove", "--image=img:outer", inner["digest"].as_str().unwrap()]);
    assert_eq!(entries(&sandbox, "outer"), [outer[1].clone(), outer[3].clone()]);
}

#[test]
fn attestations_about_nothing_in_an_index_within() {
    let sandbox = multi();
    let images = entries(&sandbox, "multi");
    let gone = attestation(&images[1], &images[3]);
    let only = push_index(&sandbox, "only", std::slice::from_ref(&gone));
    let inner = push_index(&sandbox, "inner", &[images[2].clone(), gone]);
    push_index(&sandbox, "outer", &[images[0].clone(), only, inner.clone(), inner.clone()]);
    let report = sandbox.umoci(&["validate", "--json", "--image=img:outer"]).succeeds();
    assert_eq!(report.matches("attestation-stale").count(), 2, "{report}");
    run(&sandbox, &["index", "remove", "--stale", "--image=img:outer"]);
    let outer = entries(&sandbox, "outer");
    assert_eq!((outer.len(), &outer[0], &outer[1]), (3, &images[0], &outer[2]));
    let within: Value =
        serde_json::from_slice(&sandbox.blob(outer[1]["digest"].as_str().unwrap())).unwrap();
    assert_eq!(within["manifests"], json!([images[2]]));
    // Nobody knows what is in an index that is not there.
    let file = &outer[1]["digest"].as_str().unwrap()[7..];
    std::fs::remove_file(sandbox.path("img/blobs/sha256").join(file)).unwrap();
    sandbox
        .umoci(&["index", "remove", "--stale", "--image=img:outer"])
        .fails_with("is not in the layout");
}

#[test]
fn entries_of_indexes_within_are_reached() {
    let sandbox = multi();
    run(&sandbox, &["index", "create", "--image=img:arms", "arm-v7", "arm-v6"]);
    run(&sandbox, &["index", "create", "--image=img:outer", "amd64", "arms"]);
    let annotate = ["index", "annotate", "--image=img:outer", "--entry=linux/arm/v6", "a=b"];
    run(&sandbox, &annotate);
    let inner = |outer: &[Value]| -> Value {
        serde_json::from_slice(&sandbox.blob(outer[1]["digest"].as_str().unwrap())).unwrap()
    };
    let outer = entries(&sandbox, "outer");
    assert_eq!(inner(&outer)["manifests"][1]["annotations"], json!({"a": "b"}));
    assert_eq!(outer[0], entries(&sandbox, "multi")[0]);
    run(&sandbox, &["index", "remove", "--image=img:outer", "linux/arm/v7"]);
    let outer = entries(&sandbox, "outer");
    assert_eq!(inner(&outer)["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(inner(&outer)["manifests"][0]["annotations"], json!({"a": "b"}));
    // With its last entry an index goes too, but not the one that has the tag.
    run(&sandbox, &["index", "remove", "--image=img:outer", "linux/arm/v6"]);
    assert_eq!(entries(&sandbox, "outer"), outer[..1]);
    sandbox
        .umoci(&["index", "remove", "--image=img:outer", "linux/amd64"])
        .fails_with("an index without entries is no image");
    sandbox.umoci(&["validate", "--layout=img"]).succeeds();
}

#[test]
fn an_entry_must_be_the_only_one_that_is_meant() {
    let sandbox = multi();
    let mut images = entries(&sandbox, "multi");
    for (image, version) in images.iter_mut().zip(["10.0.1", "10.0.2"]) {
        image["platform"] =
            json!({"architecture": "amd64", "os": "windows", "os.version": version});
    }
    let index = json!({"schemaVersion": 2, "manifests": images[..2]});
    push(&sandbox, "windows", put(&sandbox, INDEX, &index));
    let digests = digests(&images[..2]);
    for words in [
        &["index", "remove", "--image=img:windows", "windows/amd64"][..],
        &["index", "annotate", "--image=img:windows", "--entry=windows/amd64", "a=b"],
    ] {
        let failed = sandbox.umoci(words);
        failed.fails_with("several entries are for windows/amd64: ");
        for digest in &digests {
            failed.fails_with(digest);
        }
    }
    let text = run(&sandbox, &["index", "list", "--image=img:windows"]);
    assert!(text.contains("windows/amd64 10.0.1  "), "{text}");
    run(&sandbox, &["index", "remove", "--image=img:windows", digests[0]]);
    assert_eq!(entries(&sandbox, "windows"), images[1..2]);
}

#[test]
fn annotations_make_an_index_of_images_for_docker_one_of_oci() {
    let sandbox = multi();
    run(&sandbox, &["convert", "--format=docker", "--image=img:amd64"]);
    run(&sandbox, &["index", "create", "--image=img:plain", "amd64"]);
    assert_ne!(index_of(&sandbox, "plain")["mediaType"], INDEX);
    run(&sandbox, &["index", "create", "--image=img:noted", "--annotation=a=b", "amd64"]);
    assert_eq!(index_of(&sandbox, "noted")["mediaType"], INDEX);
    assert_eq!(index_of(&sandbox, "noted")["annotations"], json!({"a": "b"}));
}

#[test]
fn attestations_about_nothing_can_be_dropped() {
    let sandbox = multi();
    let images = entries(&sandbox, "multi");
    let mut stale = images[0].clone();
    stale["annotations"] = json!({"vnd.docker.reference.digest": images[1]["digest"]});
    let index = json!({"schemaVersion": 2, "manifests": [images[0], stale]});
    push(&sandbox, "stale", put(&sandbox, INDEX, &index));
    run(&sandbox, &["index", "remove", "--image=img:stale", "--stale"]);
    assert_eq!(entries(&sandbox, "stale"), images[..1]);
}

#[test]
fn one_platform_is_validated_alone() {
    let sandbox = multi();
    let damaged = entries(&sandbox, "multi")[2]["digest"].as_str().unwrap().to_owned();
    crate::harness::write(sandbox.path("img/blobs/sha256").join(&damaged[7..]), "x");
    let validate = |more: &[&str]| sandbox.umoci(&[&["validate"], more].concat());
    validate(&["--image=img:multi", "--platform=linux/arm64"]).succeeds();
    for more in [&["--image=img:multi"][..], &["--image=img:multi", "--platform=linux/arm/v7"]] {
        assert_eq!(validate(more).status(), Some(3));
    }
    validate(&["--image=img:multi", "--platform=linux/s390x"]).fails_with("no image for");
    validate(&["--layout=img", "--platform=linux/arm"]).fails_with("exclude each other");
}
