// SPDX-License-Identifier: Apache-2.0
//! Images for several platforms and images in Docker's format, as this program
//! and others make them.

mod choice;
mod convert;
mod docker;
mod edit;
mod index;

use serde_json::{Value, json};

use crate::harness::{Sandbox, write};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const PLATFORMS: [&str; 4] = ["linux/amd64", "linux/arm64/v8", "linux/arm/v7", "linux/arm/v6"];

/// A sandbox with a layout `img` of one image for each platform, with tags `amd64`, `arm64-v8`,
/// `arm-v7` and `arm-v6`, each with a file `/platform`, and `multi` for all of them.
fn multi() -> Sandbox {
    let sandbox = Sandbox::with_layout();
    for platform in PLATFORMS {
        let image = format!("--image=img:{}", tag_of(platform));
        run(&sandbox, &["new", &image, "--platform", platform]);
        write(sandbox.path("file"), platform);
        run(&sandbox, &["insert", &image, "file", "/platform"]);
    }
    let tags = PLATFORMS.map(tag_of);
    let tags = tags.iter().map(String::as_str);
    let words: Vec<&str> =
        ["index", "create", "--image=img:multi"].into_iter().chain(tags).collect();
    run(&sandbox, &words);
    sandbox
}

fn tag_of(platform: &str) -> String {
    platform["linux/".len()..].replace('/', "-")
}

/// Runs a command that must succeed, as of the time 0.
#[track_caller]
fn run(sandbox: &Sandbox, words: &[&str]) -> String {
    let mut command = sandbox.command(words);
    crate::harness::Run::of(command.env("SOURCE_DATE_EPOCH", "0")).succeeds()
}

/// The index blob that a tag leads to.
fn index_of(sandbox: &Sandbox, tag: &str) -> Value {
    sandbox.manifest("img", tag).1
}

/// The entries of the index that a tag leads to.
fn entries(sandbox: &Sandbox, tag: &str) -> Vec<Value> {
    index_of(sandbox, tag)["manifests"].as_array().unwrap().clone()
}

fn digests(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["digest"].as_str().unwrap()).collect()
}

/// Stores a document as a blob of the layout `img`, and gives its descriptor.
fn put(sandbox: &Sandbox, media_type: &str, document: &Value) -> Value {
    use umoci::oci::{Algorithm, Digest};
    let bytes = document.to_string();
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    write(sandbox.path("img/blobs/sha256").join(digest.hex()), &bytes);
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
}

/// Adds an entry with a name to `index.json`.
fn push(sandbox: &Sandbox, tag: &str, mut entry: Value) {
    let mut index = sandbox.json("img/index.json");
    entry["annotations"]["org.opencontainers.image.ref.name"] = tag.into();
    index["manifests"].as_array_mut().unwrap().push(entry);
    write(sandbox.path("img/index.json"), index.to_string());
}

/// The platform that an image of `multi` says in its file it is for.
#[track_caller]
fn platform_in(sandbox: &Sandbox, words: &[&str]) -> String {
    let _ = std::fs::remove_dir_all(sandbox.path("tree"));
    let words: Vec<&str> = ["raw", "unpack", "--rootless"].iter().chain(words).copied().collect();
    run(sandbox, &[&words[..], &["tree"]].concat());
    std::fs::read_to_string(sandbox.path("tree/platform")).unwrap()
}
