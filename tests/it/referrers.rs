// SPDX-License-Identifier: Apache-2.0
//! What is said about images by others, and what a change of the image does to it.

use serde_json::{Value, json};

use crate::annotations::multi_platform;
use crate::garbage::{attach, descriptor, push, put};
use crate::harness::{Run, Sandbox, needs_root, peer, write};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const NAME: &str = "org.opencontainers.image.ref.name";
const SBOM: &str = "application/spdx+json";

/// The warnings of a run that has succeeded.
#[track_caller]
fn warnings(run: &Run) -> Vec<String> {
    assert_eq!(run.succeeds(), "");
    let stderr = run.stderr();
    let lines = stderr.lines().map(|line| line.strip_prefix("umoci: warn: ").unwrap().to_owned());
    lines.collect()
}

fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap()
}

#[test]
fn every_change_says_what_no_longer_applies() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    write(sandbox.path("file"), "x");
    sandbox.shell("tar cf layer.tar file").succeeds();
    sandbox.umoci(&["config", "--image=img", "--tag=other", "--author=other"]).succeeds_silently();
    let other = descriptor(&sandbox, "other");
    attach(&sandbox, &other, "application/vnd.example.of-another");
    for words in [
        &["config", "--image=img", "--author=me"][..],
        &["insert", "--image=img", "file", "/file"],
        &["raw", "add-layer", "--image=img", "layer.tar"],
        &["repack", "--image=img", "bundle"],
    ] {
        if words[0] == "repack" {
            sandbox.umoci(&["unpack", "--image=img", "bundle"]).succeeds_silently();
        }
        let image = descriptor(&sandbox, "latest");
        let old = digest(&image);
        let sbom = attach(&sandbox, &image, SBOM);
        // Signatures of another kind have names.
        let tag = format!("{}.sig", old.replace(':', "-"));
        let mut signature = put(&sandbox, MANIFEST, json!({"of": old}).to_string().as_bytes());
        signature["annotations"] = json!({NAME: tag});
        push(&sandbox, signature.clone());
        let expected = [
            format!("{sbom} ({SBOM}) no longer applies to latest: it is about {old}"),
            format!("{} (sig) no longer applies to latest: it is about {old}", digest(&signature)),
        ];
        assert_eq!(warnings(&sandbox.umoci(words)), expected, "{words:?}");
        sandbox.umoci(&["rm", "--image", &format!("img:{tag}")]).succeeds_silently();
    }
}

#[test]
fn what_still_applies_is_not_mentioned() {
    let sandbox = Sandbox::with_image();
    let image = descriptor(&sandbox, "latest");
    attach(&sandbox, &image, SBOM);
    let quiet = |words: &[&str]| sandbox.umoci(words).succeeds_silently();
    // The tag leads where it did.
    quiet(&["config", "--image=img", "--tag=new", "--author=me"]);
    quiet(&["tag", "--image=img", "copy"]);
    // The image is as it was.
    quiet(&["config", "--image=img", "--no-history"]);
    assert_eq!(descriptor(&sandbox, "latest"), image);
    // Nothing is about the new one.
    quiet(&["config", "--image=img:new", "--author=you"]);
}

#[test]
fn what_is_about_the_platforms_of_an_image() {
    let sandbox = multi_platform();
    let (index, document) = sandbox.manifest("img", "multi");
    let whole = descriptor(&sandbox, "multi");
    let [amd, arm] = [0, 1].map(|at| document["manifests"][at].clone());
    attach(&sandbox, &amd, "application/vnd.example.of-amd64");
    let of_arm = attach(&sandbox, &arm, SBOM);
    let of_all = attach(&sandbox, &whole, "application/vnd.example.signature");
    let words = ["config", "--image=img:multi", "--platform=linux/arm64", "--author=me"];
    let expected = [
        format!("{of_arm} ({SBOM}) no longer applies to multi: it is about {}", digest(&arm)),
        format!(
            "{of_all} (application/vnd.example.signature) no longer applies to multi: it is about {index}"
        ),
    ];
    assert_eq!(warnings(&sandbox.umoci(&words)), expected);
    // What is about the image that stays is kept, the rest goes with what it was about.
    sandbox.umoci(&["gc", "--layout=img", "--untagged"]).succeeds();
    let left = sandbox.json("img/index.json");
    let sorts = left["manifests"].as_array().unwrap().iter();
    let sorts: Vec<_> = sorts.filter_map(|entry| entry["artifactType"].as_str()).collect();
    assert_eq!(sorts, ["application/vnd.example.of-amd64"]);
}

#[test]
fn what_is_about_an_index_that_is_changed() {
    let sandbox = multi_platform();
    let (_, document) = sandbox.manifest("img", "multi");
    attach(&sandbox, &document["manifests"][0], SBOM);
    let whole = descriptor(&sandbox, "multi");
    let signature = attach(&sandbox, &whole, "application/vnd.example.signature");
    let annotate = ["index", "annotate", "--image=img:multi", "a=b"];
    let expected = format!(
        "{signature} (application/vnd.example.signature) no longer applies to multi: it is about {}",
        digest(&whole)
    );
    assert_eq!(warnings(&sandbox.umoci(&annotate)), [expected], "the images are what they were");
    assert_eq!(warnings(&sandbox.umoci(&annotate)), [""; 0]);
}

#[test]
fn what_is_about_an_index_above_an_image_that_stays() {
    let sandbox = multi_platform();
    for annotation in ["descriptor:a=b", "index:a=b"] {
        let whole = descriptor(&sandbox, "multi");
        let (_, document) = sandbox.manifest("img", "multi");
        attach(&sandbox, &document["manifests"][0], "application/vnd.example.of-amd64");
        let sbom = attach(&sandbox, &whole, SBOM);
        let words = ["config", "--image=img:multi", "--platform=linux/amd64", "--no-history"];
        let run = sandbox.umoci(&[&words[..], &["--annotation", annotation]].concat());
        let about = digest(&whole);
        let expected = format!("{sbom} ({SBOM}) no longer applies to multi: it is about {about}");
        assert_eq!(warnings(&run), [expected], "{annotation}");
    }
}

#[test]
fn attestations_beside_the_image() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = multi_platform();
    let (_, mut index) = sandbox.manifest("img", "multi");
    let amd = digest(&index["manifests"][0]).to_owned();
    // As build tools store where an image comes from.
    let config = json!({"architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": {"type": "layers", "diff_ids": []}});
    let media_type = "application/vnd.oci.image.config.v1+json";
    let config = put(&sandbox, media_type, config.to_string().as_bytes());
    let document = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
        "layers": [put(&sandbox, "application/vnd.in-toto+json", b"{}")]});
    let mut attestation = put(&sandbox, MANIFEST, document.to_string().as_bytes());
    attestation["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    attestation["annotations"] = json!({
        "vnd.docker.reference.digest": amd,
        "vnd.docker.reference.type": "attestation-manifest",
    });
    let place = digest(&attestation).to_owned();
    index["manifests"].as_array_mut().unwrap().push(attestation);
    let mut entry = put(&sandbox, INDEX, index.to_string().as_bytes());
    entry["annotations"] = json!({NAME: "attested"});
    push(&sandbox, entry);
    let copy = ["copy", "-q", "--all", "oci:img:attested", "oci:copy:attested"];
    sandbox.peer(&skopeo, &copy).succeeds();

    let words = ["config", "--image=copy:attested", "--author=me", "--platform"];
    let arm = sandbox.umoci(&[&words[..], &["linux/arm64"]].concat());
    assert_eq!(warnings(&arm), [""; 0], "it is about the other image");
    let amd64 = sandbox.umoci(&[&words[..], &["linux/amd64"]].concat());
    let expected =
        format!("{place} (attestation-manifest) no longer applies to attested: it is about {amd}");
    assert_eq!(warnings(&amd64), [expected]);
}

#[test]
fn entries_that_cannot_be_read_stop_no_change() {
    let sandbox = Sandbox::with_image();
    let image = descriptor(&sandbox, "latest");
    let broken = attach(&sandbox, &image, "application/vnd.example.broken");
    let missing = attach(&sandbox, &image, "application/vnd.example.missing");
    let sbom = attach(&sandbox, &image, SBOM);
    let path = |digest: &str| sandbox.path("img/blobs/sha256").join(&digest[7..]);
    write(path(&broken), "{");
    std::fs::remove_file(path(&missing)).unwrap();
    let found = warnings(&sandbox.umoci(&["config", "--image=img", "--author=me"]));
    assert!(found.len() == 1 && found[0].starts_with(&sbom), "{found:?}");
}

#[test]
fn what_is_about_an_index_or_another_format() {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["index", "create", "--image=img:all", "latest"]).succeeds_silently();
    for (tag, words) in [
        ("all", &["index", "annotate", "--image=img:all", "a=b"][..]),
        ("all", &["convert", "--format=docker", "--lossy", "--image=img:all"]),
        ("latest", &["convert", "--format=docker", "--image=img"]),
    ] {
        let old = descriptor(&sandbox, tag);
        let sbom = attach(&sandbox, &old, SBOM);
        let expected =
            format!("{sbom} ({SBOM}) no longer applies to {tag}: it is about {}", digest(&old));
        let found = warnings(&sandbox.umoci(words));
        assert_eq!(found.last(), Some(&expected), "{words:?}");
        // The second time nothing changes.
        sandbox.umoci(words).succeeds_silently();
    }
}

#[test]
fn a_referrer_is_found_by_its_document_alone() {
    let sandbox = Sandbox::with_image();
    let image = descriptor(&sandbox, "latest");
    let sbom = attach(&sandbox, &image, SBOM);
    let embedded = attach(&sandbox, &image, "application/vnd.example.embedded");
    let mut index = sandbox.json("img/index.json");
    for entry in index["manifests"].as_array_mut().unwrap() {
        // As copies to a tag make them.
        entry.as_object_mut().unwrap().remove("artifactType");
        if digest(entry) == sbom {
            entry["annotations"] = json!({NAME: "sbom"});
        }
        if digest(entry) == embedded {
            let path = sandbox.path("img/blobs/sha256").join(&embedded[7..]);
            let encoded = sandbox.shell(&format!("base64 -w0 {}", path.display())).succeeds();
            entry["data"] = encoded.into();
            std::fs::remove_file(path).unwrap();
        }
    }
    write(sandbox.path("img/index.json"), index.to_string());
    let found = warnings(&sandbox.umoci(&["config", "--image=img", "--author=me"]));
    assert!(
        found.len() == 2 && found[0].starts_with(&sbom) && found[1].starts_with(&embedded),
        "{found:?}"
    );
}
