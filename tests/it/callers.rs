// SPDX-License-Identifier: Apache-2.0
//! Command lines that are in use elsewhere, with their order of arguments, and
//! what their users do with the result.

mod builders;
mod runtimes;
mod scripts;

use serde_json::{Value, json};

use crate::harness::{Sandbox, needs_root};

/// A builder of distribution images: clears before it sets, reads `stat` as JSON.
#[test]
fn configure_step_by_step() {
    let sandbox = Sandbox::new();
    let steps: [&[&str]; 9] = [
        &["init", "--layout", "img"],
        &["new", "--image", "img:1.0"],
        &["config", "--image", "img:1.0", "--architecture", "arm64", "--no-history"],
        &["config", "--image", "img:1.0", "--clear=config.entrypoint", "--clear=config.cmd"],
        &[
            "config",
            "--image",
            "img:1.0",
            "--clear=config.entrypoint",
            "--config.entrypoint",
            "/bin/init",
            "--config.entrypoint",
            "enter",
            "--config.entrypoint",
            "--verbose",
        ],
        &["config", "--image", "img:1.0", "--config.env", "K=V", "--config.env", "L=W"],
        &["config", "--image", "img:1.0", "--clear=config.labels", "--config.label", "k=v"],
        &[
            "config",
            "--image",
            "img:1.0",
            "--clear=manifest.annotations",
            "--manifest.annotation",
            "k=v",
        ],
        &[
            "config",
            "--image",
            "img:1.0",
            "--clear=config.entrypoint",
            "--config.user",
            "daemon",
            "--history.created_by",
            "umoci config --config.user",
            "--history.comment",
            "Set user",
        ],
    ];
    for words in steps {
        sandbox.umoci(words).succeeds_silently();
    }
    let stat = sandbox.umoci(&["stat", "--json", "--image", "img:1.0"]).succeeds();
    let stat: Value = serde_json::from_str(&stat).unwrap();
    let config = &stat["config"]["blob"];
    assert_eq!(config["architecture"], json!("arm64"));
    let expected = json!({"User": "daemon", "Env": ["K=V", "L=W"], "Labels": {"k": "v"}});
    assert_eq!(config["config"], expected);
    let history = stat["history"].as_array().unwrap();
    assert_eq!(history.len(), 6);
    assert_eq!(history[5]["comment"], json!("Set user"));
    assert_eq!(stat["manifest"]["blob"]["annotations"], json!({"k": "v"}));
}

/// A template that moves the rootfs away and reads `index.json` itself.
#[test]
fn move_the_rootfs_and_read_the_index() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["unpack", "--image", "img:latest", "tree.tmp"]).succeeds_silently();
    std::fs::rename(sandbox.path("tree.tmp/rootfs"), sandbox.path("tree")).unwrap();
    let index = sandbox.json("img/index.json");
    let entry = &index["manifests"][0];
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], json!("latest"));
    let digest = entry["digest"].as_str().unwrap();
    assert!(sandbox.path("img/blobs/sha256").join(&digest[7..]).exists());
}

/// Scripts with one image in a layout, no tag, and flags in every place.
#[test]
fn images_without_a_tag() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    for words in [
        &["unpack", "--keep-dirlinks", "--image", "img", "a"][..],
        &["unpack", "--uid-map", "0:0", "--gid-map", "0:0", "--image", "img", "b"],
        &["--log=error", "unpack", "--image", "img:latest", "c"],
        &["--log", "error", "unpack", "d", "--image", "img"],
        &["repack", "--refresh-bundle", "--image", "img", "a"],
        &["config", "--author=test <test@x>", "--image", "img"],
        &[
            "config",
            "--created",
            "1970-01-01T00:00:01Z",
            "--image",
            "img",
            "--config.env",
            "PATH=/",
        ],
        &["config", "--no-history", "--image", "img", "--config.label", "signed=yes"],
        &["gc", "--layout=img"],
    ] {
        sandbox.umoci(words).succeeds_silently();
    }
    assert_eq!(sandbox.umoci(&["list", "--layout", "img"]).succeeds(), "latest\n");
    assert_eq!(sandbox.config("latest")["created"], json!("1970-01-01T00:00:01Z"));
    sandbox.umoci(&["rm", "--image", "img:latest"]).succeeds_silently();
    assert_eq!(sandbox.umoci(&["list", "--layout", "img"]).succeeds(), "");
}
