// SPDX-License-Identifier: Apache-2.0
//! `umoci convert`: the same image in another format.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use umoci::image::validate::{ValidateOptions, validate};
use umoci::oci::{Algorithm, Digest};

use super::docker::export;
use super::{INDEX, MANIFEST, PLATFORMS, entries, index_of, multi, platform_in, push, put, run};
use crate::harness::{Sandbox, peer, write};

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

/// The tag `zstd` for an image with one layer of zstd, with digests of an algorithm, of which
/// `change` changes configuration and manifest.
fn with_zstd(algorithm: &str, change: &dyn Fn(&mut Value, &mut Value)) -> Sandbox {
    let sandbox = Sandbox::with_layout();
    write(sandbox.path("file"), "new".repeat(100_000));
    let flag = format!("--digest-algorithm={algorithm}");
    run(&sandbox, &["new", "--image=img:made", "--platform=linux/amd64", &flag]);
    run(&sandbox, &["insert", "--image=img:made", "--compress=zstd", "file", "/platform"]);
    let mut config = sandbox.config("made");
    let (_, mut manifest) = sandbox.manifest("img", "made");
    change(&mut config, &mut manifest);
    let kind = manifest["config"]["mediaType"].clone();
    manifest["config"] = put(&sandbox, kind.as_str().unwrap(), &config);
    push(&sandbox, "zstd", put(&sandbox, MANIFEST, &manifest));
    sandbox
}

const TO_DOCKER: [&str; 3] = ["convert", "--format=docker", "--image=img:zstd"];

/// Of what is read anyway nothing wrong is passed on.
#[test]
fn a_layer_that_is_compressed_anew_has_its_diff_id() {
    let wrong = Digest::of(Algorithm::Sha256, "another layer").to_string();
    let sandbox = with_zstd("sha256", &|config, _| config["rootfs"]["diff_ids"] = json!([wrong]));
    let tags = sandbox.json("img/index.json");
    sandbox.umoci(&TO_DOCKER).fails_with("diffid mismatch: got sha256:");
    assert_eq!(sandbox.json("img/index.json"), tags);
    let sandbox = with_zstd("sha256", &|config, _| config["rootfs"]["diff_ids"] = json!([]));
    sandbox.umoci(&TO_DOCKER).fails_with("rootfs.diff_ids has 0 entries for 1 layer");
    // One blob in two images is compressed once, and has the diff id of either.
    let sandbox = with_zstd("sha256", &|_, _| {});
    let mut config = sandbox.config("made");
    let plain = sandbox.layers("img", "made").remove(0);
    for (diff_id, fits) in [
        (Digest::of(Algorithm::Sha512, &plain), true),
        (Digest::of(Algorithm::Sha512, "other"), false),
        (Digest::of(Algorithm::Sha256, "other"), false),
    ] {
        config["rootfs"]["diff_ids"] = json!([diff_id.to_string()]);
        let (_, mut manifest) = sandbox.manifest("img", "made");
        let kind = manifest["config"]["mediaType"].clone();
        manifest["config"] = put(&sandbox, kind.as_str().unwrap(), &config);
        let [mut one, mut other] =
            [sandbox.manifest("img", "zstd").1, manifest].map(|it| put(&sandbox, MANIFEST, &it));
        one["platform"] = json!({"os": "linux", "architecture": "amd64"});
        other["platform"] = json!({"os": "linux", "architecture": "arm64"});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [one, other]});
        push(&sandbox, "both", put(&sandbox, INDEX, &index));
        let words = ["convert", "--format=docker", "--image=img:both", "--tag=out"];
        let done = sandbox.umoci(&words);
        if fits {
            done.succeeds();
        } else {
            done.fails_with("diffid mismatch: got");
        }
        run(&sandbox, &["rm", "--image=img:both"]);
    }
}

#[test]
fn an_image_must_be_here() {
    let gone = json!(Digest::of(Algorithm::Sha256, "gone").to_string());
    let text = format!("the layout has no blob {} of 7 bytes", gone.as_str().unwrap());
    for at in ["/layers/0", "/config"] {
        let sandbox = multi();
        let (_, mut manifest) = sandbox.manifest("img", "amd64");
        let part = manifest.pointer_mut(at).unwrap();
        (part["digest"], part["size"]) = (gone.clone(), json!(7));
        push(&sandbox, "zstd", put(&sandbox, MANIFEST, &manifest));
        for format in ["--format=docker", "--format=oci"] {
            sandbox.umoci(&["convert", format, "--image=img:zstd"]).fails_with(&text);
        }
    }
    // So must be one that would be compressed anew.
    let sandbox = with_zstd("sha256", &|_, manifest| {
        (manifest["layers"][0]["digest"], manifest["layers"][0]["size"]) = (gone.clone(), json!(7));
    });
    sandbox.umoci(&TO_DOCKER).fails_with(&text);
    // A layer with addresses may be elsewhere.
    let sandbox = multi();
    let (_, mut manifest) = sandbox.manifest("img", "amd64");
    let layer = &mut manifest["layers"][0];
    (layer["digest"], layer["size"]) = (gone, json!(7));
    layer["urls"] = json!(["https://example.org/layer"]);
    push(&sandbox, "zstd", put(&sandbox, MANIFEST, &manifest));
    run(&sandbox, &TO_DOCKER);
    assert_eq!(
        sandbox.manifest("img", "zstd").1["layers"][0]["urls"],
        json!(["https://example.org/layer"])
    );
}

/// After a copy of one platform the others are not here.
#[test]
fn an_index_of_which_not_all_is_here() {
    let sandbox = multi();
    let gone = entries(&sandbox, "multi")[1]["digest"].as_str().unwrap().to_owned();
    std::fs::remove_file(sandbox.path("img/blobs").join(gone.replace(':', "/"))).unwrap();
    let done = sandbox.umoci(&["convert", "--format=docker", "--image=img:multi"]);
    let text = format!("image for linux/arm64/v8: the layout has no blob {gone} of ");
    done.fails_with(&text);
    assert!(done.hint().unwrap().contains("`umoci index remove`"));
    // What is in the format stays, here or not.
    let before = sandbox.manifest("img", "multi");
    run(&sandbox, &["convert", "--format=oci", "--image=img:multi"]);
    assert_eq!(sandbox.manifest("img", "multi"), before);
    run(&sandbox, &["index", "remove", "--image=img:multi", "linux/arm64/v8"]);
    run(&sandbox, &["convert", "--format=docker", "--image=img:multi"]);
    assert_eq!(entries(&sandbox, "multi").len(), 3);
}

/// What is embedded in descriptors: Docker's format has no place for it.
#[test]
fn embedded_data_become_blobs_if_they_are_right() {
    let sandbox = multi();
    let (_, manifest) = sandbox.manifest("img", "amd64");
    let config = sandbox.config_bytes("img", "amd64");
    let remove = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
        std::fs::remove_file(sandbox.path("img/blobs").join(digest)).unwrap();
    };
    for (tag, data) in [("right", &config[..]), ("wrong", &config[1..])] {
        let mut manifest = manifest.clone();
        manifest["config"]["data"] = STANDARD.encode(data).into();
        let mut entry = put(&sandbox, MANIFEST, &manifest);
        remove(&entry);
        entry["data"] = STANDARD.encode(manifest.to_string()).into();
        entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        push(&sandbox, tag, put(&sandbox, INDEX, &index));
    }
    remove(&manifest["config"]);
    for format in ["--format=docker", "--format=oci"] {
        let wrong = sandbox.umoci(&["convert", format, "--image=img:wrong"]);
        wrong.fails_with("invalid embedded descriptor data: expected sha256:");
    }
    let before = sandbox.manifest("img", "right");
    run(&sandbox, &["convert", "--format=oci", "--image=img:right"]);
    assert_eq!(sandbox.manifest("img", "right"), before);
    run(&sandbox, &["convert", "--format=docker", "--image=img:right"]);
    let (_, list) = sandbox.manifest("img", "right");
    assert!(!list.to_string().contains("data"), "{list}");
    assert_eq!(platform_in(&sandbox, &["--image=img:right"]), "linux/amd64");
}

/// Digests stay of the algorithm that they are of.
#[test]
fn another_algorithm_stays() {
    let sandbox = Sandbox::with_layout();
    write(sandbox.path("file"), "linux/amd64");
    let new = ["new", "--image=img:a", "--platform=linux/amd64", "--digest-algorithm=sha512"];
    run(&sandbox, &new);
    run(&sandbox, &["insert", "--image=img:a", "--compress=zstd", "file", "/platform"]);
    run(&sandbox, &["index", "create", "--image=img:list", "a"]);
    run(&sandbox, &["convert", "--format=docker", "--image=img:list", "--tag=docker"]);
    let (digest, list) = sandbox.manifest("img", "docker");
    assert_eq!(list["mediaType"], LIST);
    let entry = list["manifests"][0]["digest"].as_str().unwrap();
    let manifest: Value = serde_json::from_slice(&sandbox.blob(entry)).unwrap();
    let of = |part: &Value| part["digest"].as_str().unwrap().to_owned();
    for digest in [&digest, entry, &of(&manifest["config"]), &of(&manifest["layers"][0])] {
        assert!(digest.starts_with("sha512:"), "{digest}");
    }
    assert!(manifest["layers"][0]["mediaType"].as_str().unwrap().ends_with(".tar.gzip"));
    assert_eq!(platform_in(&sandbox, &["--image=img:docker"]), "linux/amd64");
    run(&sandbox, &["convert", "--format=oci", "--image=img:docker", "--tag=back"]);
    let report = validate(sandbox.path("img"), &ValidateOptions::default()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings);
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
}

#[test]
fn contents_are_never_left_out() {
    let sandbox = multi();
    let all = entries(&sandbox, "multi");
    let (_, manifest) = sandbox.manifest("img", "amd64");
    let add = |tag: &str, change: &dyn Fn(&mut Value)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        push(&sandbox, tag, put(&sandbox, MANIFEST, &manifest));
    };
    add("odd", &|manifest| manifest["layers"][0]["mediaType"] = "application/x-squashfs".into());
    run(&sandbox, &["index", "create", "--image=img:nested", "multi"]);
    let mut bare = all[0].clone();
    bare.as_object_mut().unwrap().remove("platform");
    let mut config = sandbox.config("amd64");
    config["os"] = "".into();
    let mut nowhere = manifest.clone();
    nowhere["config"] = put(&sandbox, "application/vnd.oci.image.config.v1+json", &config);
    let nowhere = put(&sandbox, MANIFEST, &nowhere);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [bare, nowhere]});
    push(&sandbox, "nowhere", put(&sandbox, INDEX, &index));
    add("artifact", &|manifest| manifest["config"]["mediaType"] = "application/x-config".into());
    for (tag, what) in [
        ("odd", "the type \"application/x-squashfs\""),
        ("nested", "an index in an index"),
        ("nowhere", "an image without a platform"),
        ("artifact", "the type \"application/x-config\""),
    ] {
        let image = format!("--image=img:{tag}");
        let words = ["convert", "--format=docker", "--lossy", &image];
        let refused = sandbox.umoci(&words);
        refused.fails_with(&format!("no place for {what}"));
        let hint = "`umoci index create --flatten` makes an index of the images in nested ones.";
        assert_eq!(refused.hint().as_deref(), (tag == "nested").then_some(hint));
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
