// SPDX-License-Identifier: Apache-2.0
//! Images in Docker's format.

use std::path::Path;

use serde_json::{Value, json};
use umoci::oci::{Algorithm, Digest};

use super::{entries, index_of, multi, platform_in, push, put, run};
use crate::harness::{Sandbox, needs_root, peer, set_times, write};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// As [`multi`], with `docker` for the image of `amd64` in Docker's format, and `list` for all
/// images in it.
fn docker(skopeo: &Path) -> Sandbox {
    let sandbox = multi();
    for (from, to, all) in [("amd64", "docker", None), ("multi", "list", Some("--all"))] {
        let _ = std::fs::remove_dir_all(sandbox.path("dir"));
        let from = format!("oci:img:{from}");
        let words = ["copy", "--quiet", "--format=v2s2", &from, "dir:dir"];
        sandbox.peer(skopeo, &words.into_iter().chain(all).collect::<Vec<_>>()).succeeds();
        push(&sandbox, to, adopt(&sandbox, "dir"));
    }
    sandbox
}

/// Makes blobs of the layout `img` of the files that skopeo puts into a directory, and gives a
/// descriptor of the topmost.
fn adopt(sandbox: &Sandbox, directory: &str) -> Value {
    let mut top = Value::Null;
    for entry in std::fs::read_dir(sandbox.path(directory)).unwrap() {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        write(sandbox.path("img/blobs/sha256").join(digest.hex()), &bytes);
        if entry.file_name() == "manifest.json" {
            let document: Value = serde_json::from_slice(&bytes).unwrap();
            let media_type = &document["mediaType"];
            top =
                json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()});
        }
    }
    assert!(top["mediaType"].as_str().unwrap().starts_with("application/vnd.docker."), "{top}");
    top
}

/// Writes what a tag of the layout `img` leads to as skopeo's transport `dir:` has it: older
/// versions look for nothing but OCI types in a layout.
pub(super) fn export(sandbox: &Sandbox, tag: &str, directory: &str) {
    let (digest, document) = sandbox.manifest("img", tag);
    let out = sandbox.path(directory);
    write(out.join("version"), "Directory Transport Version: 1.1\n");
    write(out.join("manifest.json"), sandbox.blob(&digest));
    for entry in document["manifests"].as_array().into_iter().flatten() {
        let digest = entry["digest"].as_str().unwrap();
        write(out.join(format!("{}.manifest.json", &digest[7..])), sandbox.blob(digest));
    }
    for blob in std::fs::read_dir(sandbox.path("img/blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        std::fs::copy(blob.path(), out.join(blob.file_name())).unwrap();
    }
}

fn media_types(manifest: &Value) -> Vec<&str> {
    let layers = manifest["layers"].as_array().unwrap();
    let parts = [manifest, &manifest["config"]].into_iter().chain(layers);
    parts.map(|part| part["mediaType"].as_str().unwrap()).collect()
}

#[test]
fn they_are_read_as_what_they_are() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = docker(&skopeo);
    run(&sandbox, &["gc", "--layout=img"]);
    let before = sandbox.tree("img");
    assert_eq!(platform_in(&sandbox, &["--image=img:docker"]), "linux/amd64");
    let stat: Value =
        serde_json::from_str(&run(&sandbox, &["stat", "--json", "--image=img:docker"])).unwrap();
    assert_eq!(stat["history"].as_array().unwrap().len(), 1);
    assert!(run(&sandbox, &["stat", "--image=img:docker"]).contains(DOCKER_LAYER));
    run(&sandbox, &["raw", "runtime-config", "--image=img:docker", "config.json"]);
    run(&sandbox, &["gc", "--layout=img"]);
    assert_eq!(sandbox.tree("img"), before, "nothing is rewritten, and nothing was garbage");
    for platform in super::PLATFORMS {
        assert_eq!(platform_in(&sandbox, &["--image=img:list", "--platform", platform]), platform);
    }
    assert_eq!(run(&sandbox, &["index", "list", "--image=img:list"]).lines().count(), 5);
}

#[test]
fn what_is_added_is_in_the_same_format() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = docker(&skopeo);
    write(sandbox.path("file"), "new");
    let (_, before) = sandbox.manifest("img", "docker");
    run(&sandbox, &["insert", "--image=img:docker", "file", "/new"]);
    run(&sandbox, &["config", "--image=img:docker", "--author=x"]);
    let (_, after) = sandbox.manifest("img", "docker");
    assert_eq!(media_types(&after), [DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LAYER]);
    assert_eq!(after["layers"][0], before["layers"][0]);
    assert_eq!(after["layers"][1].get("annotations"), None, "the format has none");
    run(&sandbox, &["insert", "--image=img:docker", "--compress=none", "file", "/plain"]);
    let (_, plain) = sandbox.manifest("img", "docker");
    assert_eq!(plain["layers"][2]["mediaType"], DOCKER_LAYER.trim_end_matches(".gzip"));
    let words = ["insert", "--image=img:docker", "--compress=zstd", "file", "/zstd"];
    sandbox.umoci(&words).fails_with("Docker's image format has no zstd layers");
    let words = ["config", "--image=img:docker", "--manifest.annotation=a=b"];
    sandbox.umoci(&words).fails_with("Docker's image format has no annotations");
    assert_eq!(sandbox.manifest("img", "docker").1, plain);
    export(&sandbox, "docker", "out");
    let words = ["copy", "--quiet", "dir:out", "docker-archive:archive.tar:a:b"];
    sandbox.peer(&skopeo, &words).succeeds();
    run(&sandbox, &["insert", "--image=img:list", "--platform=linux/arm64", "file", "/new"]);
    let list = index_of(&sandbox, "list");
    assert_eq!(list["mediaType"], "application/vnd.docker.distribution.manifest.list.v2+json");
    assert!(entries(&sandbox, "list").iter().all(|entry| entry["mediaType"] == DOCKER_MANIFEST));
    export(&sandbox, "list", "all");
    let words = ["copy", "--all", "--quiet", "dir:all", "dir:copy"];
    sandbox.peer(&skopeo, &words).succeeds();
}

#[test]
fn a_bundle_and_what_becomes_of_it() {
    let (Some(skopeo), true) = (peer("skopeo"), needs_root()) else { return };
    let sandbox = docker(&skopeo);
    run(&sandbox, &["unpack", "--image=img:docker", "bundle"]);
    write(sandbox.path("bundle/rootfs/new"), "x");
    // Whatever the clock says when it goes, the directory changes.
    set_times(&sandbox.path("bundle/rootfs"), 1_600_000_000);
    run(&sandbox, &["repack", "--image=img:docker", "--refresh-bundle", "bundle"]);
    std::fs::remove_file(sandbox.path("bundle/rootfs/new")).unwrap();
    run(&sandbox, &["repack", "--image=img:docker", "bundle"]);
    let (_, manifest) = sandbox.manifest("img", "docker");
    assert_eq!(
        media_types(&manifest)[1..],
        [DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LAYER, DOCKER_LAYER]
    );
    assert_eq!(sandbox.top_members("img", "docker"), [".", ".wh.new"]);
}

#[test]
fn mixtures_are_read_and_kept() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = docker(&skopeo);
    // Docker's layer in a manifest of the other format, and the other way round.
    let (_, oci) = sandbox.manifest("img", "amd64");
    let (_, docker) = sandbox.manifest("img", "docker");
    for (at, (manifest, layer, media_type)) in [
        (&oci, &docker["layers"][0], "application/vnd.oci.image.manifest.v1+json"),
        (&docker, &oci["layers"][0], DOCKER_MANIFEST),
        (&docker, &docker["layers"][0], "application/vnd.oci.image.manifest.v1+json"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut mixed = manifest.clone();
        mixed["layers"][0]["mediaType"] = layer["mediaType"].clone();
        let tag = format!("mixed{at}");
        push(&sandbox, &tag, put(&sandbox, media_type, &mixed));
        let image = format!("--image=img:{tag}");
        assert_eq!(platform_in(&sandbox, &[&image]), "linux/amd64");
        write(sandbox.path("file"), "new");
        run(&sandbox, &["insert", &image, "file", "/new"]);
        let (_, after) = sandbox.manifest("img", &tag);
        assert_eq!(after["layers"][0], mixed["layers"][0]);
        assert_eq!(
            (&after["mediaType"], &after["config"]["mediaType"]),
            (&mixed["mediaType"], &mixed["config"]["mediaType"])
        );
        let own = if manifest["mediaType"] == DOCKER_MANIFEST {
            DOCKER_LAYER
        } else {
            "application/vnd.oci.image.layer.v1.tar+gzip"
        };
        assert_eq!(after["layers"][1]["mediaType"], own);
    }
    let (digest, _) = sandbox.manifest("img", "docker");
    run(&sandbox, &["index", "create", "--image=img:both", "docker", "arm64-v8"]);
    let both = entries(&sandbox, "both");
    assert_eq!(
        (&both[0]["digest"], &both[0]["mediaType"]),
        (&json!(digest), &json!(DOCKER_MANIFEST))
    );
    assert_eq!(
        platform_in(&sandbox, &["--image=img:both", "--platform=linux/amd64"]),
        "linux/amd64"
    );
    assert_eq!(
        platform_in(&sandbox, &["--image=img:both", "--platform=linux/arm64"]),
        "linux/arm64/v8"
    );
    run(&sandbox, &["index", "create", "--image=img:docker-only", "docker"]);
    assert!(index_of(&sandbox, "docker-only")["mediaType"].as_str().unwrap().contains("docker"));
    sandbox
        .umoci(&["index", "add", "--image=img:docker-only", "arm64-v8"])
        .fails_with("Docker's image format has no place for a manifest in another format");
    sandbox
        .umoci(&["index", "annotate", "--image=img:docker-only", "a=b"])
        .fails_with("no annotations");
}

#[test]
fn the_first_schema_is_not_understood() {
    let sandbox = multi();
    let manifest = json!({"schemaVersion": 1, "name": "x", "fsLayers": [], "history": []});
    let media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    push(&sandbox, "old", put(&sandbox, media_type, &manifest));
    sandbox.umoci(&["stat", "--image=img:old"]).fails_with(media_type);
    run(&sandbox, &["tag", "--image=img:old", "older"]);
}

/// What a document says of itself is less than what the one says that leads there, but both of
/// the same kind are understood.
#[test]
fn documents_that_call_themselves_by_the_name_of_the_other_format() {
    let sandbox = multi();
    let platforms = "linux/arm/v6";
    run(&sandbox, &["convert", "--format=docker", "--image=img:multi", "--tag=docker"]);
    for (tag, other) in [("multi", "docker"), ("docker", "multi")] {
        let index = sandbox.json("img/index.json");
        let entries = index["manifests"].as_array().unwrap();
        let entry = entries
            .iter()
            .find(|entry| entry["annotations"][crate::addresses::TAG] == tag)
            .unwrap();
        let mut list = index_of(&sandbox, tag);
        let own = list["manifests"][3].clone();
        let mut manifest: Value =
            serde_json::from_slice(&sandbox.blob(own["digest"].as_str().unwrap())).unwrap();
        manifest["mediaType"] = index_of(&sandbox, other)["manifests"][3]["mediaType"].clone();
        let stored = put(&sandbox, own["mediaType"].as_str().unwrap(), &manifest);
        list["manifests"][3]["digest"] = stored["digest"].clone();
        list["manifests"][3]["size"] = stored["size"].clone();
        list["mediaType"] = index_of(&sandbox, other)["mediaType"].clone();
        push(&sandbox, "odd", put(&sandbox, entry["mediaType"].as_str().unwrap(), &list));
        assert_eq!(platform_in(&sandbox, &["--image=img:odd", "--platform", platforms]), platforms);
        let checked = sandbox.umoci(&["validate", "--image=img:odd"]);
        assert_eq!(checked.status(), Some(3));
        let found = checked.stdout();
        assert_eq!(found.matches("error: media-type-mismatch: ").count(), 2, "{found}");
        // Converted to either format they are what they say.
        for format in ["oci", "docker"] {
            let to = ["--format", format, "--tag=even"];
            run(&sandbox, &[&["convert", "--image=img:odd"], &to[..]].concat());
            sandbox.umoci(&["validate", "--image=img:even"]).succeeds();
        }
        run(&sandbox, &["rm", "--image=img:odd"]);
    }
}
