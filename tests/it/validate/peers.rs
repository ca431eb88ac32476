// SPDX-License-Identifier: Apache-2.0
//! Layouts of other tools are in order. Where a tool cannot run here, its layout is made by hand.

use std::fs;

use serde_json::{Value, json};
use umoci::image::validate::{Report, ValidateOptions, validate};
use umoci::oci::{Algorithm, Digest};

use super::scene::{
    Blobs, CONFIG, Damage, INDEX, LAYER, MANIFEST, Scene, TAG, archive, codes, gzip, image_config,
};
use crate::harness::{Run, Sandbox, go_umoci, needs_root, peer};

#[track_caller]
fn report(sandbox: &Sandbox, layout: &str) -> Report {
    let report = validate(sandbox.path(layout), &ValidateOptions::default()).unwrap();
    assert_eq!(report.errors, 0, "{layout}: {:#?}", report.findings);
    report
}

/// An image with two layers and something in them.
fn real_image() -> Sandbox {
    let sandbox = Sandbox::with_image();
    let script = "mkdir -p d/e && echo a >d/e/f && ln d/e/f d/g && ln -s f d/e/s
        umoci insert --image img d /d && umoci insert --image img --whiteout /gone
        umoci insert --image img --opaque d/e /d/e";
    sandbox.shell(script).succeeds();
    sandbox
}

#[test]
fn what_this_tool_makes_is_in_order() {
    let sandbox = real_image();
    for zstd in [false, true] {
        if zstd {
            sandbox.shell("umoci insert --image img --compress=zstd d /z").succeeds();
        }
        sandbox.umoci(&["gc", "--layout", "img"]).succeeds();
        let report = report(&sandbox, "img");
        assert_eq!(codes(&report.findings), [""; 0], "{:#?}", report.findings);
        assert_eq!((report.images, report.orphaned), (1, Some(0)));
    }
}

#[test]
fn what_the_go_program_makes_is_in_order() {
    let (Some(go), true) = (go_umoci(), needs_root()) else { return };
    let sandbox = Sandbox::new();
    for words in [
        &["init", "--layout", "go"][..],
        &["new", "--image", "go:a"],
        &["unpack", "--image", "go:a", "bundle"],
    ] {
        sandbox.peer(&go, words).succeeds();
    }
    sandbox.shell("mkdir bundle/rootfs/d && echo a >bundle/rootfs/d/f").succeeds();
    sandbox.peer(&go, &["repack", "--image", "go:b", "bundle"]).succeeds();
    sandbox.shell("rm bundle/rootfs/d/f && mkdir bundle/rootfs/e").succeeds();
    sandbox.peer(&go, &["repack", "--image", "go:c", "bundle"]).succeeds();
    let report = report(&sandbox, "go");
    let serious = report.findings.iter().any(|finding| finding.code.as_str() != "blob-orphaned");
    assert!(!serious, "{:#?}", report.findings);
    assert_eq!(report.images, 3);
}

#[test]
fn what_skopeo_makes_is_in_order() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = real_image();
    let copy = |words: &[&str]| {
        sandbox.peer(&skopeo, &[&["copy", "-q"], words].concat()).succeeds();
    };
    copy(&["oci:img:latest", "oci:sk:a"]);
    // It compresses anew only what is not compressed.
    copy(&["--dest-decompress", "oci:img:latest", "dir:plain"]);
    copy(&["--dest-compress-format=zstd", "dir:plain", "oci:sk:b"]);
    let report = report(&sandbox, "sk");
    assert_eq!(codes(&report.findings), [""; 0], "{:#?}", report.findings);
    assert_eq!(report.images, 2);
}

#[test]
fn docker_manifests_are_read_as_what_they_mean() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = real_image();
    let words = ["copy", "-q", "--format=v2s2", "oci:img:latest", "dir:docker"];
    sandbox.peer(&skopeo, &words).succeeds();
    // The same files as a layout.
    let blobs = Blobs::new(&sandbox.path("layout"));
    for entry in fs::read_dir(sandbox.path("docker")).unwrap() {
        blobs.put("", &fs::read(entry.unwrap().path()).unwrap());
    }
    let manifest = fs::read(sandbox.path("docker/manifest.json")).unwrap();
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let list = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
        "manifests": [blobs.put(docker, &manifest)],
    });
    let entry = blobs.put_json("application/vnd.docker.distribution.manifest.list.v2+json", &list);
    finish(&sandbox, &[entry]);
    let report = report(&sandbox, "layout");
    assert_eq!(report.images, 1);
    // The file `version` of the other form is no part of the image.
    assert_eq!(codes(&report.findings), ["blob-orphaned"], "{:#?}", report.findings);
}

fn finish(sandbox: &Sandbox, entries: &[Value]) {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    fs::write(sandbox.path("layout/index.json"), index.to_string()).unwrap();
    let marker = r#"{"imageLayoutVersion":"1.0.0"}"#;
    fs::write(sandbox.path("layout/oci-layout"), marker).unwrap();
}

#[test]
fn what_buildah_makes_is_in_order() {
    let (Some(buildah), true) = (peer("buildah"), needs_root()) else { return };
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("file"), "x").unwrap();
    let run = |words: &[&str]| {
        let global = ["--root", "storage", "--runroot", "run", "--storage-driver", "vfs"];
        let mut command = sandbox.program(&buildah, &[&global[..], words].concat());
        Run::of(command.env("BUILDAH_ISOLATION", "chroot")).succeeds().trim().to_owned()
    };
    let container = run(&["from", "scratch"]);
    run(&["copy", "-q", &container, "file", "/d/file"]);
    run(&["config", "--cmd=/x", "--port=80", "--env=A=b", "--label=a=b", &container]);
    run(&["commit", "-q", &container, "oci:layout:one"]);
    run(&["copy", "-q", &container, "file", "/d/other"]);
    run(&["commit", "-q", "--format=docker", &container, "oci:layout:two"]);
    run(&["manifest", "create", "list"]);
    run(&["manifest", "add", "list", "oci:layout:one"]);
    run(&["manifest", "push", "-q", "--all", "list", "oci:several:list"]);
    for layout in ["layout", "several"] {
        let report = report(&sandbox, layout);
        assert_eq!(codes(&report.findings), [""; 0], "{:#?}", report.findings);
    }
}

/// As `docker save` of version 25 and later writes it.
#[test]
fn what_docker_saves_is_in_order() {
    let sandbox = Sandbox::new();
    let blobs = Blobs::new(&sandbox.path("layout"));
    let layer = blobs.put(LAYER.trim_end_matches("+gzip"), &archive());
    let config = blobs.put(CONFIG, image_config(&archive()).to_string().as_bytes());
    // The old form of the configuration of each layer, which nothing refers to.
    blobs.put_json("", &json!({"id": "0", "os": "linux"}));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
    });
    let entry = |name: &str| {
        let mut entry = blobs.put_json(MANIFEST, &manifest);
        entry["annotations"] = json!({"io.containerd.image.name": name, TAG: "latest"});
        entry
    };
    finish(&sandbox, &[entry("docker.io/library/a:latest"), entry("docker.io/library/b:latest")]);
    let manifest = json!([{
        "Config": format!("blobs/sha256/{}", config["digest"].as_str().unwrap().split(':').next_back().unwrap()),
        "RepoTags": ["a:latest", "b:latest"],
        "Layers": [],
    }]);
    fs::write(sandbox.path("layout/manifest.json"), manifest.to_string()).unwrap();
    fs::write(sandbox.path("layout/repositories"), "{}").unwrap();
    let report = report(&sandbox, "layout");
    assert_eq!(codes(&report.findings), ["tag-shared", "blob-orphaned"], "{:#?}", report.findings);
}

/// As `docker buildx` and `docker save` with a store of containerd write it: an index with
/// attestations, and one platform of several.
#[test]
fn what_buildkit_makes_is_in_order() {
    let sandbox = Sandbox::new();
    let blobs = Blobs::new(&sandbox.path("layout"));
    let image = |config: Value, layer: Value| json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let config = blobs.put(CONFIG, image_config(&archive()).to_string().as_bytes());
    let mut entry = blobs.put_json(MANIFEST, &image(config, blobs.put(LAYER, &gzip(&archive()))));
    entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let statement = blobs.put("application/vnd.in-toto+json", b"{\"_type\":\"x\"}");
    let mut config = image_config(b"{\"_type\":\"x\"}");
    config["os"] = json!("unknown");
    config["architecture"] = json!("unknown");
    config.as_object_mut().unwrap().remove("history");
    let config = blobs.put_json(CONFIG, &config);
    let mut attestation = blobs.put_json(MANIFEST, &image(config, statement));
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let mut elsewhere = entry.clone();
    elsewhere["digest"] = json!(Digest::of(Algorithm::Sha256, "elsewhere").to_string());
    elsewhere["platform"]["architecture"] = json!("arm64");
    let list = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry, attestation, elsewhere],
    });
    finish(&sandbox, &[blobs.put_json(INDEX, &list)]);
    let report = report(&sandbox, "layout");
    assert_eq!(codes(&report.findings), ["entry-absent"], "{:#?}", report.findings);
}

/// As crane writes it: one entry without a name.
#[test]
fn an_image_without_a_name_is_in_order() {
    let scene = Scene::new(&Damage::Index(|index| {
        index["manifests"][0].as_object_mut().unwrap().remove("annotations");
        index.as_object_mut().unwrap().remove("mediaType");
    }));
    assert_eq!(codes(&scene.validate().findings), [""; 0]);
}
