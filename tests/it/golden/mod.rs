// SPDX-License-Identifier: Apache-2.0
//! What commands print, to the byte, in the files beside this one. `make generated` renews them; what
//! has changed in them is then for people to judge. Those in `help/` are made by the program's own
//! tests, which know all of its commands.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::garbage::{attach, descriptor, push, put};
use crate::harness::{Run, Sandbox, set_mode, set_times, write};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name)
}

/// The help of every command: the words that lead to it, and the text.
pub(crate) fn help() -> Vec<(Vec<String>, String)> {
    let files = std::fs::read_dir(file("help")).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.map(|path| std::fs::read_to_string(path).unwrap());
    let with_words = texts.map(|text| {
        let (title, _) = text.lines().nth(1).unwrap().split_once(" - ").unwrap();
        (title.split_whitespace().skip(1).map(str::to_owned).collect(), text)
    });
    with_words.collect()
}

/// Asserts that a command prints what is in a file, and nothing on standard error.
#[track_caller]
fn prints(sandbox: &Sandbox, words: &[&str], name: &str) {
    let run = Run::of(sandbox.command(words).env("SOURCE_DATE_EPOCH", "86400"));
    let (printed, told) = (run.succeeds(), run.stderr());
    assert_eq!(told, "", "{words:?}");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        return write(file(name), printed);
    }
    let expected = std::fs::read_to_string(file(name)).unwrap_or_default();
    assert_eq!(printed, expected, "{name}: `make generated` renews it, if it is meant to change");
}

#[track_caller]
fn stat_prints(sandbox: &Sandbox, image: &str, name: &str) {
    let image = format!("--image=img:{image}");
    prints(sandbox, &["stat", &image], &format!("stat-{name}.txt"));
    prints(sandbox, &["stat", "--json", &image], &format!("stat-{name}.json"));
}

/// A layout with an image of two layers whose bytes are the same on every machine.
fn image_with_layers() -> Sandbox {
    let sandbox = Sandbox::with_layout();
    write(sandbox.path("etc/motd"), "hello\n");
    write(sandbox.path("bin"), [0; 5000]);
    for (name, mode) in [("etc", 0o755), ("etc/motd", 0o644), ("bin", 0o755)] {
        set_mode(sandbox.path(name), mode);
        set_times(&sandbox.path(name), 0);
    }
    for words in [
        &["new", "--image=img:layers", "--platform=linux/amd64"][..],
        &["insert", "--image=img:layers", "--rootless", "--compress=none", "etc", "/etc"],
        &["config", "--image=img:layers", "--author=Me <me@example.org>", "--config.cmd=/bin"],
        &["insert", "--image=img:layers", "--rootless", "--compress=none", "bin", "/bin"],
    ] {
        Run::of(sandbox.command(words).env("SOURCE_DATE_EPOCH", "0")).succeeds_silently();
    }
    sandbox
}

/// Adds an image as other tools could have made it.
fn add(sandbox: &Sandbox, tag: &str, manifest: &Value) {
    let mut entry = put(sandbox, MANIFEST, manifest.to_string().as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    push(sandbox, entry);
}

#[test]
fn stat_of_layers() {
    let sandbox = image_with_layers();
    stat_prints(&sandbox, "layers", "layers");
}

#[test]
fn stat_of_a_subject_and_data_and_an_empty_config() {
    let sandbox = image_with_layers();
    let mut config = put(&sandbox, "application/vnd.oci.empty.v1+json", b"{}");
    config["data"] = json!("e30=");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/spdx+json",
        "config": config,
        "layers": [put(&sandbox, "application/spdx+json", b"{\"spdxVersion\":\"SPDX-2.3\"}")],
        "subject": descriptor(&sandbox, "layers"),
        "annotations": {"org.example.b": "2", "org.example.a": "1"},
    });
    add(&sandbox, "artifact", &manifest);
    stat_prints(&sandbox, "artifact", "artifact");
}

#[test]
fn stat_of_an_image_config_that_says_nothing() {
    let sandbox = image_with_layers();
    let manifest = json!({
        "schemaVersion": 2,
        "config": put(&sandbox, CONFIG, b"{}"),
        "layers": [],
    });
    add(&sandbox, "empty", &manifest);
    stat_prints(&sandbox, "empty", "empty-config");
}

#[test]
fn stat_of_history_without_layers() {
    let sandbox = image_with_layers();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [
            {"created": "2020-01-01T00:00:00Z", "created_by": "LABEL a=b", "empty_layer": true},
            {"comment": "no time", "author": "Me", "empty_layer": true},
        ],
    });
    let manifest = json!({
        "schemaVersion": 2,
        "config": put(&sandbox, CONFIG, config.to_string().as_bytes()),
        "layers": [],
    });
    add(&sandbox, "history", &manifest);
    stat_prints(&sandbox, "history", "history");
}

#[test]
fn lists() {
    let sandbox = image_with_layers();
    attach(&sandbox, &descriptor(&sandbox, "layers"), "application/spdx+json");
    sandbox.umoci(&["tag", "--image=img:layers", "example.org/layers:1"]).succeeds_silently();
    prints(&sandbox, &["ls", "--layout=img"], "ls.txt");
    prints(&sandbox, &["ls", "--layout=img", "--long"], "ls-long.txt");
    prints(&sandbox, &["ls", "--layout=img", "--json"], "ls.json");
}

#[test]
fn version() {
    prints(&Sandbox::new(), &["--version"], "version.txt");
}
