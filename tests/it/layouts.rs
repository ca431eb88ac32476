// SPDX-License-Identifier: Apache-2.0
//! `init`, `new`, `tag`, `remove`, `list` and `gc`.

use serde_json::{Value, json};
use umoci::oci::{Algorithm, Digest};

use crate::harness::{Run, Sandbox, go_umoci, peer};

/// The SHA-256 of what `new` stores on amd64 at `SOURCE_DATE_EPOCH=1700000000`.
const BLANK_CONFIG: &str =
    "sha256:31874c9f48cb301a5abda778269041bbd98c692a987f80b52670c605eecfb55d";
const BLANK_MANIFEST: &str =
    "sha256:2212c76866e6efd523a244d9f298a8c051c4c0925af9b1eb1b660091b1c6ce7d";

#[test]
fn an_empty_layout_has_exactly_these_bytes() {
    let sandbox = Sandbox::new();
    sandbox.umoci(&["init", "--layout", "img"]).succeeds_silently();
    let read = |name: &str| std::fs::read_to_string(sandbox.path("img").join(name)).unwrap();
    assert_eq!(read("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}\n");
    let digest = |name: &str| Digest::of(Algorithm::Sha256, read(name)).to_string();
    assert_eq!(
        [digest("index.json"), digest("oci-layout")],
        [
            "sha256:3d60eec733f106e03a571223c6adb85a3dabd53590ae0d8339e8ea2de2d32c56",
            "sha256:561356159fc692da9a55978e206a495b7835abcc4778fa9d13138a0530304878",
        ]
    );
    let names: Vec<_> = sandbox.tree("img").into_keys().collect();
    let names: Vec<_> = names.iter().map(|name| name.to_str().unwrap()).collect();
    assert_eq!(names, ["", "blobs", "blobs/sha256", "index.json", "oci-layout"]);
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "the known bytes are those of amd64")]
fn a_blank_image_has_exactly_these_bytes() {
    let sandbox = Sandbox::with_layout();
    let mut command = sandbox.command(&["new", "--image", "img:a"]);
    Run::of(command.env("SOURCE_DATE_EPOCH", "1700000000")).succeeds_silently();
    let (digest, manifest) = sandbox.manifest("img", "a");
    assert_eq!(digest, BLANK_MANIFEST);
    assert_eq!(manifest["config"]["digest"], json!(BLANK_CONFIG));
    assert_eq!(manifest["layers"], json!([]));
    let entry = &sandbox.json("img/index.json")["manifests"][0];
    let expected = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": BLANK_MANIFEST,
        "size": 249,
        "annotations": {"org.opencontainers.image.ref.name": "a"},
    });
    assert_eq!(entry, &expected);
}

#[test]
fn the_epoch_is_a_number_or_refused() {
    let sandbox = Sandbox::with_layout();
    let before = sandbox.tree("img");
    for text in ["abc", " 1", "1e3", "9223372036854775808", "253402300800"] {
        let mut command = sandbox.command(&["new", "--image", "img"]);
        Run::of(command.env("SOURCE_DATE_EPOCH", text)).fails_with("SOURCE_DATE_EPOCH");
    }
    assert_eq!(sandbox.tree("img"), before);
    let mut command = sandbox.command(&["new", "--image", "img"]);
    Run::of(command.env("SOURCE_DATE_EPOCH", "")).succeeds_silently();
    assert_ne!(sandbox.config("latest")["created"], json!("1970-01-01T00:00:00Z"));
    let mut command = sandbox.command(&["new", "--image", "img"]);
    Run::of(command.env("SOURCE_DATE_EPOCH", "-1")).succeeds_silently();
    assert_eq!(sandbox.config("latest")["created"], json!("1969-12-31T23:59:59Z"));
}

#[test]
fn without_an_epoch_the_local_time_counts() {
    let sandbox = Sandbox::with_layout();
    let mut command = sandbox.command(&["new", "--image", "img"]);
    Run::of(command.env("TZ", "UTC-9")).succeeds_silently();
    let created = sandbox.config("latest")["created"].as_str().unwrap().to_owned();
    assert!(created.ends_with("+09:00"), "{created}");
    created.parse::<umoci::oci::Timestamp>().unwrap();
}

#[test]
fn tags_come_and_go_at_the_end_of_the_index() {
    let sandbox = Sandbox::with_image();
    let tags = || sandbox.umoci(&["list", "--layout", "img"]).succeeds();
    for tag in ["a", "b:c", "latest", "a"] {
        sandbox.umoci(&["tag", "--image", "img", tag]).succeeds_silently();
    }
    assert_eq!(tags(), "b:c\nlatest\na\n");
    sandbox.umoci(&["new", "--image", "img:b:c"]).succeeds_silently();
    assert_eq!(tags(), "latest\na\nb:c\n");
    assert_ne!(sandbox.manifest("img", "b:c").0, sandbox.manifest("img", "a").0);
    for command in ["rm", "remove", "rm"] {
        sandbox.umoci(&[command, "--image", "img"]).succeeds_silently();
        assert_eq!(tags(), "a\nb:c\n");
    }
}

#[test]
fn list_prints_what_the_index_says_into_a_pipe() {
    let sandbox = Sandbox::with_layout();
    let entry = |name: &str| {
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": BLANK_MANIFEST,
            "size": 249,
            "annotations": {"org.opencontainers.image.ref.name": name},
        })
    };
    let mut unnamed = entry("");
    unnamed.as_object_mut().unwrap().remove("annotations");
    let manifests = json!([entry("b"), entry("b"), unnamed, entry("no tag\u{1b}[2J")]);
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    std::fs::write(sandbox.path("img/index.json"), index.to_string()).unwrap();
    let tags = sandbox.umoci(&["ls", "--layout", "img"]).succeeds();
    assert_eq!(tags, "b\nb\n\"no tag\\x1b[2J\"\n");
    sandbox.umoci(&["tag", "--image", "img:b", "c"]).fails_with("tag is ambiguous: b");
}

#[test]
fn gc_keeps_what_the_index_needs_and_nothing_else() {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["new", "--image", "img:other"]).succeeds_silently();
    let kept = sandbox.manifest("img", "latest");
    sandbox.umoci(&["rm", "--image", "img:other"]).succeeds_silently();
    let blobs = || std::fs::read_dir(sandbox.path("img/blobs/sha256")).unwrap().count();
    assert_eq!(blobs(), 4);
    sandbox.umoci(&["gc", "--layout", "img"]).succeeds_silently();
    assert_eq!(blobs(), 2);
    assert_eq!(sandbox.manifest("img", "latest"), kept);
    sandbox.umoci(&["rm", "--image", "img"]).succeeds_silently();
    sandbox.umoci(&["gc", "--layout", "img"]).succeeds_silently();
    assert_eq!(blobs(), 0);
}

#[test]
fn the_go_program_works_on_the_same_layout() {
    let Some(go) = go_umoci() else { return };
    let sandbox = Sandbox::with_image();
    sandbox.peer(&go, &["tag", "--image", "img", "theirs"]).succeeds();
    sandbox.umoci(&["tag", "--image", "img:theirs", "ours"]).succeeds_silently();
    sandbox.umoci(&["rm", "--image", "img"]).succeeds_silently();
    sandbox.peer(&go, &["gc", "--layout", "img"]).succeeds();
    let theirs = sandbox.peer(&go, &["ls", "--layout", "img"]).succeeds();
    assert_eq!(sandbox.umoci(&["ls", "--layout", "img"]).succeeds(), theirs);
    assert_eq!(theirs, "theirs\nours\n");
    assert_eq!(sandbox.manifest("img", "ours").0, sandbox.manifest("img", "theirs").0);

    sandbox.peer(&go, &["init", "--layout", "go"]).succeeds();
    sandbox.umoci(&["new", "--image", "go"]).succeeds_silently();
    sandbox.peer(&go, &["stat", "--image", "go", "--json"]).succeeds();
}

#[test]
fn skopeo_takes_the_image() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = Sandbox::with_image();
    let run = sandbox.peer(&skopeo, &["inspect", "--raw", "oci:img:latest"]);
    let manifest: serde_json::Value = serde_json::from_str(&run.succeeds()).unwrap();
    assert_eq!(manifest, sandbox.manifest("img", "latest").1);
}

/// Docker lists the images of an archive in a file of its own as well.
#[test]
fn a_second_list_of_images_is_not_forgotten() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = Sandbox::with_image();
    let script = "echo x >file && umoci insert --image img file /file && umoci gc --layout img";
    sandbox.shell(script).succeeds();
    let (_, manifest) = sandbox.manifest("img", "latest");
    let path = |part: &Value| {
        let digest = part["digest"].as_str().unwrap().replace(':', "/");
        format!("blobs/{digest}")
    };
    let layers: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(path).collect();
    let list =
        json!([{"Config": path(&manifest["config"]), "RepoTags": ["a:b"], "Layers": layers}]);
    std::fs::write(sandbox.path("img/manifest.json"), list.to_string()).unwrap();
    let id = || {
        sandbox.shell("rm -f a.tar; tar -cf a.tar -C img .").succeeds();
        let run = sandbox.peer(&skopeo, &["inspect", "--config", "--raw", "docker-archive:a.tar"]);
        serde_json::from_str::<Value>(&run.succeeds()).unwrap()
    };
    let before = id();
    let change = ["config", "--image=img", "--author=somebody"];
    let run = sandbox.umoci(&change);
    run.succeeds();
    let text = "\"img/manifest.json\", which some tools read instead of the index, stays as it was";
    assert_eq!(run.stderr().matches(text).count(), 1, "{}", run.stderr());
    assert_eq!(run.stderr().lines().count(), 1, "{}", run.stderr());
    assert_eq!(id(), before);
    assert_eq!(sandbox.config("latest")["author"], "somebody");
    // Who changes nothing, or not this, hears nothing.
    assert_eq!(sandbox.umoci(&["ls", "--layout=img"]).stderr(), "");
    assert_eq!(sandbox.umoci(&["gc", "--layout=img", "--dry-run"]).status(), Some(0));
    std::fs::remove_file(sandbox.path("img/manifest.json")).unwrap();
    sandbox.umoci(&change).succeeds_silently();
}
