// SPDX-License-Identifier: Apache-2.0
//! `gc`: what it keeps, what it lets go, and what it says about that.

use serde_json::{Value, json};
use umoci::oci::{Algorithm, Digest};

use crate::harness::{Sandbox, needs_root, peer, write};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const NAME: &str = "org.opencontainers.image.ref.name";

/// Stores a blob in the layout `img` and gives its descriptor.
pub(crate) fn put(sandbox: &Sandbox, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::of(Algorithm::Sha256, bytes).to_string();
    write(sandbox.path("img/blobs/sha256").join(&digest[7..]), bytes);
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// Stores something about a manifest, as tools for signatures do, and adds it to the index.
pub(crate) fn attach(sandbox: &Sandbox, subject: &Value, sort: &str) -> String {
    let empty = "application/vnd.oci.empty.v1+json";
    let referrer = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": sort,
        "config": put(sandbox, empty, b"{}"),
        "layers": [put(sandbox, "text/plain", sort.as_bytes())],
        "subject": subject,
    });
    let mut entry = put(sandbox, MANIFEST, referrer.to_string().as_bytes());
    entry["artifactType"] = json!(sort);
    let digest = entry["digest"].as_str().unwrap().to_owned();
    push(sandbox, entry);
    digest
}

/// Adds an entry to the index of the layout `img`.
pub(crate) fn push(sandbox: &Sandbox, entry: Value) {
    let mut index = sandbox.json("img/index.json");
    index["manifests"].as_array_mut().unwrap().push(entry);
    write(sandbox.path("img/index.json"), index.to_string());
}

/// The entry of a tag, without what makes it one.
pub(crate) fn descriptor(sandbox: &Sandbox, tag: &str) -> Value {
    let index = sandbox.json("img/index.json");
    let entries = index["manifests"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["annotations"][NAME] == tag).unwrap();
    json!({"mediaType": entry["mediaType"], "digest": entry["digest"], "size": entry["size"]})
}

fn digests(sandbox: &Sandbox) -> Vec<String> {
    let index = sandbox.json("img/index.json");
    let entries = index["manifests"].as_array().unwrap().iter();
    entries.map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

fn has_blob(sandbox: &Sandbox, digest: &str) -> bool {
    sandbox.path("img/blobs/sha256").join(&digest[7..]).exists()
}

/// Tags the image anew with another author.
fn retag(sandbox: &Sandbox, author: &str) {
    sandbox.umoci(&["config", "--image=img", "--author", author]).succeeds();
}

#[test]
fn what_skopeo_leaves_behind_when_a_tag_moves() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["config", "--image=img", "--tag=new", "--author=me"]).succeeds();
    for tag in ["latest", "new"] {
        let from = format!("oci:img:{tag}");
        sandbox.peer(&skopeo, &["copy", "-q", &from, "oci:copy:t"]).succeeds();
    }
    let (old, image) = sandbox.manifest("img", "latest");
    let config = image["config"]["digest"].as_str().unwrap();
    let sizes = [&old, config].map(|digest| sandbox.blob(digest).len());
    let bytes = sizes[0] + sizes[1];
    let before = sandbox.tree("copy");
    let gc = |flags: &[&str]| sandbox.umoci(&[&["gc", "--layout=copy"], flags].concat());
    gc(&[]).succeeds_silently();
    assert_eq!(sandbox.tree("copy"), before, "without the flag it stays");

    let dry = gc(&["--untagged", "--dry-run"]);
    let mut lines: Vec<String> = dry.succeeds().lines().map(str::to_owned).collect();
    lines[1..].sort();
    let mut blobs = [format!("blob {old} {}", sizes[0]), format!("blob {config} {}", sizes[1])];
    blobs.sort();
    assert_eq!(lines[0], format!("entry {old} {MANIFEST}"));
    assert_eq!(lines[1..], blobs);
    let said = format!("umoci: would free 2 blobs, {bytes} bytes; drop 1 entry without a name\n");
    assert_eq!(dry.stderr(), said);
    let dry = gc(&["--untagged", "--dry-run", "--json"]).succeeds();
    assert_eq!(sandbox.tree("copy"), before);
    gc(&["--untagged", "--keep-younger-than=1h"]).succeeds_silently();
    assert_eq!(sandbox.tree("copy"), before);

    let run = gc(&["--untagged", "--json"]);
    let report: Value = serde_json::from_str(&run.succeeds()).unwrap();
    let said = format!("umoci: freed 2 blobs, {bytes} bytes; dropped 1 entry without a name\n");
    assert_eq!(run.stderr(), said);
    let mut foretold: Value = serde_json::from_str(&dry).unwrap();
    foretold["dry_run"] = json!(false);
    assert_eq!(report, foretold);
    assert_eq!(report["bytes"], json!(bytes));
    assert_eq!(report["dropped"][0]["digest"], json!(old));
    assert_eq!(report["removed"].as_array().unwrap().len(), 2);
    assert_eq!(sandbox.umoci(&["ls", "--layout=copy"]).succeeds(), "t\n");
    sandbox.peer(&skopeo, &["inspect", "oci:copy:t"]).succeeds();
    gc(&["--untagged"]).succeeds_silently();
}

#[test]
fn what_is_said_about_an_image_stays_as_long_as_the_image() {
    let sandbox = Sandbox::with_image();
    let image = descriptor(&sandbox, "latest");
    let signature = attach(&sandbox, &image, "application/vnd.example.signature");
    let size = sandbox.path("img/blobs/sha256").join(&signature[7..]).metadata().unwrap().len();
    let signature_entry = json!({"mediaType": MANIFEST, "digest": signature, "size": size});
    let timestamp = attach(&sandbox, &signature_entry, "application/vnd.example.timestamp");
    let gone =
        json!({"mediaType": MANIFEST, "digest": format!("sha256:{}", "0".repeat(64)), "size": 9});
    let dangling = attach(&sandbox, &gone, "application/vnd.example.dangling");

    // A subject that is not there stops nothing.
    sandbox.umoci(&["gc", "--layout=img"]).succeeds();
    assert!(has_blob(&sandbox, &dangling));
    sandbox.umoci(&["gc", "--layout=img", "--untagged"]).succeeds();
    assert!(!has_blob(&sandbox, &dangling));
    assert!(has_blob(&sandbox, &signature) && has_blob(&sandbox, &timestamp));
    assert_eq!(digests(&sandbox).len(), 3);

    // With another tag for it the image lives on, and so does what is about it.
    sandbox.umoci(&["tag", "--image=img", "signed"]).succeeds();
    retag(&sandbox, "me");
    sandbox.umoci(&["gc", "--layout=img", "--untagged"]).succeeds();
    assert!(has_blob(&sandbox, &signature) && has_blob(&sandbox, &timestamp));
    sandbox.umoci(&["rm", "--image=img:signed"]).succeeds();
    sandbox.umoci(&["gc", "--layout=img"]).succeeds();
    assert!(has_blob(&sandbox, image["digest"].as_str().unwrap()), "it is a subject");
    sandbox.umoci(&["gc", "--layout=img", "--untagged"]).succeeds();
    for digest in [image["digest"].as_str().unwrap(), &signature, &timestamp] {
        assert!(!has_blob(&sandbox, digest));
    }
    assert_eq!(digests(&sandbox).len(), 1);
}

#[test]
fn blobs_are_kept_by_their_age() {
    let sandbox = Sandbox::with_image();
    let (young, _) = sandbox.manifest("img", "latest");
    sandbox.umoci(&["rm", "--image=img"]).succeeds();
    let old = put(&sandbox, "text/plain", b"old");
    let path = sandbox.path("img/blobs/sha256").join(&old["digest"].as_str().unwrap()[7..]);
    let hour = std::time::Duration::from_secs(3600);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::now() - hour).unwrap();

    let words = ["gc", "--layout=img", "--keep-younger-than"];
    let run = sandbox.umoci(&[&words[..], &["30m"]].concat());
    assert_eq!(run.succeeds(), "");
    assert_eq!(run.stderr(), "umoci: freed 1 blob, 3 bytes; kept 2 blobs as young\n");
    assert!(!path.exists() && has_blob(&sandbox, &young));
    for (text, message) in [
        ("soon", "invalid --keep-younger-than: \"soon\" is no duration such as 12h"),
        ("", "invalid --keep-younger-than: \"\" is no duration such as 12h"),
        ("-1h", "invalid --keep-younger-than: \"-1h\" is negative"),
        ("1y", "invalid --keep-younger-than: \"1y\": units are w, d, h, m, s"),
    ] {
        assert_eq!(sandbox.umoci(&[&words[..], &[text]].concat()).fails(), message);
    }
    assert!(has_blob(&sandbox, &young));
    let run = sandbox.umoci(&["--quiet", "gc", "--layout=img", "--keep-younger-than=0s"]);
    run.succeeds_silently();
    assert!(!has_blob(&sandbox, &young));
}

#[test]
fn a_dry_run_needs_no_right_to_write() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    put(&sandbox, "text/plain", b"garbage");
    let before = sandbox.tree("img");
    let run = sandbox.umoci_as_ordinary_user(&["gc", "--layout=img", "--dry-run"]);
    assert!(run.succeeds().starts_with("blob sha256:"));
    assert_eq!(run.stderr(), "umoci: would free 1 blob, 7 bytes\n");
    assert_eq!(sandbox.tree("img"), before);
}

/// Tools copy one platform of several, with the index of all.
#[test]
fn images_of_an_index_need_not_all_be_there() {
    let index = "application/vnd.oci.image.index.v1+json";
    let sandbox = Sandbox::with_image();
    let image = descriptor(&sandbox, "latest");
    let absent = |text: &str| {
        let digest = Digest::of(Algorithm::Sha256, text).to_string();
        json!({"mediaType": MANIFEST, "digest": digest, "size": 4})
    };
    let outer = |inner: &[Value]| {
        let inner = json!({"schemaVersion": 2, "manifests": inner});
        put(&sandbox, index, inner.to_string().as_bytes())
    };
    push(&sandbox, outer(&[absent("one"), image.clone()]));
    let garbage = put(&sandbox, "", b"garbage");
    let garbage = garbage["digest"].as_str().unwrap();
    let report = sandbox.umoci(&["validate", "--layout=img", "--json"]).succeeds();
    let report: Value = serde_json::from_str(&report).unwrap();
    let codes: Vec<_> =
        report["findings"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, ["entry-absent", "blob-orphaned"], "{report}");
    sandbox.umoci(&["gc", "--layout=img"]).succeeds();
    assert!(!has_blob(&sandbox, garbage));
    sandbox.umoci(&["stat", "--image=img"]).succeeds();
    // Of an index of which nothing is there, and of a root, it is not known what is lost.
    for entry in [outer(&[absent("two"), absent("three")]), absent("four")] {
        let before = sandbox.json("img/index.json");
        push(&sandbox, entry);
        sandbox.umoci(&["gc", "--layout=img"]).fails_with("getting reachables");
        write(sandbox.path("img/index.json"), before.to_string());
    }
    // Neither what a damaged one has referred to.
    let damaged = put(&sandbox, MANIFEST, b"{\"x\"");
    push(&sandbox, outer(&[image, damaged]));
    sandbox.umoci(&["gc", "--layout=img"]).fails();
}
