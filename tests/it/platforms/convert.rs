// SPDX-License-Identifier: Apache-2.0
//! `umoci convert`: the same image in another format.

use serde_json::{Value, json};

use super::docker::export;
use super::{INDEX, MANIFEST, PLATFORMS, entries, index_of, multi, platform_in, push, put, run};
use crate::harness::{peer, write};

const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

#[test]
fn there_and_back_again() {
    let sandbox = multi();
    let before = sandbox.manifest("img", "multi");
    run(&sandbox, &["convert", "--format=docker", "--image=img:multi", "--tag=docker"]);
    let list = index_of(&sandbox, "docker");
    assert_eq!(list["mediaType"], LIST);
    for (old, new) in entries(&sandbox, "multi").iter().zip(entries(&sandbox, "docker")) {
        assert_eq!(
            (&new["platform"], &new["mediaType"]),
            (&old["platform"], &json!(DOCKER_MANIFEST))
        );
        let manifest = |entry: &Value| -> Value {
            serde_json::from_slice(&sandbox.blob(entry["digest"].as_str().unwrap())).unwrap()
        };
        let (old, new) = (manifest(old), manifest(&new));
        assert_eq!(new["mediaType"], DOCKER_MANIFEST);
        assert_eq!(new["config"]["digest"], old["config"]["digest"], "the image id");
        assert_eq!(new["config"]["mediaType"], "application/vnd.docker.container.image.v1+json");
        assert_eq!(new["layers"][0]["digest"], old["layers"][0]["digest"]);
        assert_eq!(
            new["layers"][0]["mediaType"],
            "application/vnd.docker.image.rootfs.diff.tar.gzip"
        );
        assert_eq!(new["layers"][0].get("annotations"), None);
    }
    for platform in PLATFORMS {
        assert_eq!(
            platform_in(&sandbox, &["--image=img:docker", "--platform", platform]),
            platform
        );
    }
    run(&sandbox, &["convert", "--format=oci", "--image=img:docker"]);
    assert_eq!(index_of(&sandbox, "docker"), {
        let mut index = before.1.clone();
        // The size that layers have without compression is a remark that Docker's format lost.
        for (entry, now) in
            index["manifests"].as_array_mut().unwrap().iter_mut().zip(entries(&sandbox, "docker"))
        {
            entry["digest"] = now["digest"].clone();
            entry["size"] = now["size"].clone();
        }
        index
    });
    // What is in the format already keeps its digest, tag by tag.
    run(&sandbox, &["convert", "--format=oci", "--image=img:multi"]);
    assert_eq!(sandbox.manifest("img", "multi"), before);
    assert_eq!(entries(&sandbox, "docker")[0]["mediaType"], MANIFEST);
}

#[test]
fn others_read_the_result() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = multi();
    run(&sandbox, &["convert", "--format=docker", "--image=img:multi", "--tag=docker"]);
    export(&sandbox, "docker", "out");
    let words = ["copy", "--all", "--quiet", "dir:out", "dir:copy"];
    sandbox.peer(&skopeo, &words).succeeds();
    let raw = sandbox.peer(&skopeo, &["inspect", "--raw", "dir:copy"]).succeeds();
    assert_eq!(serde_json::from_str::<Value>(&raw).unwrap(), index_of(&sandbox, "docker"));
    let words = ["--override-arch=arm64", "copy", "--quiet", "dir:out", "docker-archive:a.tar:a:b"];
    sandbox.peer(&skopeo, &words).succeeds();
    let words =
        ["--override-arch=arm64", "copy", "--quiet", "docker-archive:a.tar", "oci:img:back"];
    sandbox.peer(&skopeo, &words).succeeds();
    let words = ["--image=img:back", "--platform=linux/arm64"];
    assert_eq!(platform_in(&sandbox, &words), "linux/arm64/v8");
    // The id of the image in the archive, for which a configuration is named there.
    let mut archive = tar::Archive::new(std::fs::File::open(sandbox.path("a.tar")).unwrap());
    let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
    let (_, manifest) = sandbox.manifest("img", "arm64-v8");
    let id = manifest["config"]["digest"].as_str().unwrap().replace("sha256:", "") + ".json";
    assert!(names.collect::<Vec<_>>().contains(&id.into()));
}

#[test]
fn zstd_becomes_gzip_for_docker() {
    let sandbox = multi();
    write(sandbox.path("file"), "new".repeat(100_000));
    run(&sandbox, &["insert", "--image=img:amd64", "--compress=zstd", "file", "/new"]);
    run(&sandbox, &["insert", "--image=img:amd64", "--compress=none", "file", "/plain"]);
    let (_, before) = sandbox.manifest("img", "amd64");
    assert!(before["layers"][1]["mediaType"].as_str().unwrap().ends_with("+zstd"));
    run(&sandbox, &["convert", "--format=docker", "--image=img:amd64", "--tag=docker"]);
    let (_, after) = sandbox.manifest("img", "docker");
    let types: Vec<&str> = after["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| {
            layer["mediaType"]
                .as_str()
                .unwrap()
                .strip_prefix("application/vnd.docker.image.rootfs.")
                .unwrap()
        })
        .collect();
    assert_eq!(types, ["diff.tar.gzip", "diff.tar.gzip", "diff.tar"]);
    assert_eq!(after["config"]["digest"], before["config"]["digest"]);
    assert_eq!(sandbox.layers("img", "docker"), sandbox.layers("img", "amd64"));
    for kept in [0, 2] {
        assert_eq!(after["layers"][kept]["digest"], before["layers"][kept]["digest"]);
    }
    assert_ne!(after["layers"][1]["digest"], before["layers"][1]["digest"]);
    assert_eq!(platform_in(&sandbox, &["--image=img:docker"]), "linux/amd64");
    // A damaged layer is no layer in any format.
    let path = sandbox
        .path("img/blobs/sha256")
        .join(&before["layers"][1]["digest"].as_str().unwrap()[7..]);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let tags = sandbox.json("img/index.json");
    let words = ["convert", "--format=docker", "--image=img:amd64", "--tag=broken"];
    sandbox.umoci(&words).fails_with("compress layer");
    assert_eq!(sandbox.json("img/index.json"), tags);
}

#[test]
fn what_docker_has_no_place_for() {
    let sandbox = multi();
    let all = entries(&sandbox, "multi");
    let index =
        |entries: Value| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let (_, manifest) = sandbox.manifest("img", "amd64");
    let add = |tag: &str, change: &dyn Fn(&mut Value)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        push(&sandbox, tag, put(&sandbox, MANIFEST, &manifest));
    };
    add("annotated", &|manifest| manifest["annotations"] = json!({"a": "b"}));
    add("noted", &|manifest| manifest["layers"][0]["annotations"] = json!({"c": "d"}));
    add("about", &|manifest| manifest["subject"] = all[1].clone());
    add("typed", &|manifest| manifest["artifactType"] = "application/x".into());
    let mut attestation = all[3].clone();
    attestation["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    push(&sandbox, "attested", put(&sandbox, INDEX, &index(json!([all[0], attestation]))));
    for (tag, what) in [
        ("annotated", "the annotation \"a\""),
        ("noted", "the annotation \"c\""),
        ("about", "a subject"),
        ("typed", "a type of artifact"),
        ("attested", "an entry that is no image"),
    ] {
        let before = sandbox.tree("img");
        let image = format!("--image=img:{tag}");
        let words = ["convert", "--format=docker", &image, "--lossy=false"];
        sandbox.umoci(&words).fails_with(&format!("Docker's image format has no place for {what}"));
        let index_before = before.get(std::path::Path::new("index.json"));
        assert_eq!(sandbox.tree("img").get(std::path::Path::new("index.json")), index_before);
        let run = sandbox.umoci(&["convert", "--format=docker", &image, "--lossy", "--tag=lossy"]);
        run.succeeds();
        assert!(run.stderr().contains(&format!("left out: {what}")), "{}", run.stderr());
        assert_eq!(platform_in(&sandbox, &["--image=img:lossy"]), "linux/amd64");
    }
    assert_eq!(entries(&sandbox, "lossy").len(), 1);
    // Contents are never left out.
    add("odd", &|manifest| manifest["layers"][0]["mediaType"] = "application/x-squashfs".into());
    run(&sandbox, &["index", "create", "--image=img:nested", "multi"]);
    add("artifact", &|manifest| manifest["config"]["mediaType"] = "application/x-config".into());
    for (tag, what) in [
        ("odd", "the type \"application/x-squashfs\""),
        ("nested", "an index in an index"),
        ("artifact", "the type \"application/x-config\""),
    ] {
        let image = format!("--image=img:{tag}");
        let words = ["convert", "--format=docker", "--lossy", &image];
        sandbox.umoci(&words).fails_with(&format!("no place for {what}"));
        run(&sandbox, &["convert", "--format=oci", &image]);
    }
    for (words, text) in [
        (&["convert", "--image=img:multi"][..], "missing mandatory argument: --format"),
        (&["convert", "--image=img:multi", "--format=v2s1"], "neither oci nor docker"),
        (&["convert", "--image=img:no", "--format=oci"], "tag not found: no"),
    ] {
        sandbox.umoci(words).fails_with(text);
    }
}
