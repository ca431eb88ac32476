// SPDX-License-Identifier: Apache-2.0
//! The command: what it prints, and how it ends.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Run, Sandbox, needs_root, set_mode, strace};

fn spoil(sandbox: &Sandbox) -> String {
    let digest = sandbox.config_digest("latest");
    fs::write(sandbox.path("img/blobs").join(digest.replace(':', "/")), "{}").unwrap();
    digest
}

#[test]
fn an_answer_is_a_status_and_lines() {
    let sandbox = Sandbox::with_image();
    let summary = "img: 0 errors, 0 warnings, 0 for information; 1 image and 2 blobs read\n";
    for place in [["--layout", "img"], ["--image", "img"]] {
        let run = sandbox.umoci(&[&["validate"], &place[..]].concat());
        assert_eq!((run.succeeds().as_str(), run.stderr().as_str()), (summary, ""));
    }
    let digest = spoil(&sandbox);
    for place in [["--layout", "img"], ["--image", "img"]] {
        let run = sandbox.umoci(&[&["validate"], &place[..]].concat());
        assert_eq!(run.status(), Some(3));
        let file = format!("blobs/{}", digest.replace(':', "/"));
        let first = format!(
            "error: blob-digest: {file}: its 2 bytes have the digest \
             sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\n"
        );
        let last = "img: 1 error, 0 warnings, 0 for information; 1 image and 1 blob read\n";
        assert_eq!(run.stdout(), format!("{first}{last}"));
        assert_eq!(run.stderr(), "umoci: validate \"img\": 1 error found\n");
    }
}

#[test]
fn json_has_a_form_that_stays() {
    let sandbox = Sandbox::with_image();
    let digest = spoil(&sandbox);
    let run = sandbox.umoci(&["validate", "--layout", "img", "--json"]);
    assert_eq!(run.status(), Some(3));
    let report: Value = serde_json::from_str(&run.stdout()).unwrap();
    let expected = json!({
        "version": 1,
        "valid": false,
        "errors": 1,
        "warnings": 0,
        "information": 0,
        "omitted": 0,
        "images": 1,
        "blobs": 1,
        "bytes": report["bytes"],
        "orphaned": null,
        "findings": [{
            "severity": "error",
            "code": "blob-digest",
            "file": format!("blobs/{}", digest.replace(':', "/")),
            "message": "its 2 bytes have the digest \
                sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        }],
    });
    assert_eq!(report, expected);
}

#[test]
fn what_cannot_be_asked_is_a_failure() {
    let sandbox = Sandbox::with_image();
    let fails = |words: &[&str], text: &str| {
        sandbox.umoci(&[&["validate"], words].concat()).fails_with(text);
    };
    fails(&[], "missing mandatory argument: --image or --layout");
    fails(&["--image", "img", "--layout", "img"], "--image and --layout exclude each other");
    fails(&["--image", "img:none"], "tag not found: none");
    fails(&["--layout", "none"], "open \"none\": no such file or directory");
    fails(&["--layout", "img", "word"], "");
}

#[test]
fn only_one_image_is_looked_at() {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["new", "--image", "img:other"]).succeeds();
    spoil(&sandbox);
    sandbox.umoci(&["validate", "--image", "img:other"]).succeeds();
    assert_eq!(sandbox.umoci(&["validate", "--image", "img"]).status(), Some(3));
}

#[test]
fn text_of_images_is_harmless() {
    let sandbox = Sandbox::with_image();
    let mut index = sandbox.json("img/index.json");
    index["manifests"][0]["annotations"]["\u{1b}[2J\n"] = json!(1);
    index["manifests"][0]["artifactType"] = json!("\u{1b}[2J");
    fs::write(sandbox.path("img/index.json"), index.to_string()).unwrap();
    let run = sandbox.umoci(&["validate", "--layout", "img"]);
    assert_eq!(run.status(), Some(3));
    assert!(!run.stdout().contains('\u{1b}'), "{}", run.stdout());
    assert_eq!(run.stdout().lines().count(), 3, "{}", run.stdout());
}

#[test]
fn a_layout_may_be_read_only_and_stays_as_it_is() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    for directory in ["img/blobs/sha256", "img/blobs", "img"] {
        set_mode(sandbox.path(directory), 0o555);
    }
    let before = sandbox.tree("img");
    sandbox.umoci_as_ordinary_user(&["validate", "--layout", "img"]).succeeds();
    assert_eq!(sandbox.tree("img"), before);
}

/// A blob that images share is opened once, and nothing is locked.
#[test]
fn each_blob_is_read_once() {
    let Some(strace) = strace() else { return };
    let sandbox = Sandbox::with_image();
    let script = "echo a >file; umoci insert --image img file /file
        for tag in a b c; do umoci config --image img --tag $tag --author $tag; done";
    sandbox.shell(script).succeeds();
    let layer = sandbox.manifest("img", "a").1["layers"][0]["digest"].as_str().unwrap().to_owned();
    let umoci = env!("CARGO_BIN_EXE_umoci");
    let words =
        ["-f", "-o", "trace", "-e", "trace=openat,flock", umoci, "validate", "--layout=img"];
    Run::of(&mut sandbox.program(strace, &words)).succeeds();
    let trace = fs::read_to_string(sandbox.path("trace")).unwrap();
    // To ask for its size is not to read it.
    let is_opened = |line: &str, hex: &str| line.contains(hex) && !line.contains("O_PATH");
    let opened = |hex: &str| trace.lines().filter(|line| is_opened(line, hex)).count();
    assert_eq!(opened(layer.strip_prefix("sha256:").unwrap()), 1, "{trace}");
    assert!(!trace.contains("flock("), "{trace}");
}
