// SPDX-License-Identifier: Apache-2.0
//! Programs that build images of distributions: rockcraft and kiwi.

use serde_json::{Value, json};

use crate::harness::{Sandbox, needs_root, peer, write};
use crate::raw::archive;

/// rockcraft: a base layer in its own archive, then many small changes, with flags behind the
/// positional and command lines as history.
#[test]
fn rockcraft_builds_a_rock() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::new();
    write(sandbox.path(".temp_layer.42.tar"), archive(&[("etc/os-release", "x"), ("usr/f", "y")]));
    let run = sandbox.shell(
        r#"
        umoci init --layout images/base
        umoci new --image images/base:rockcraft-base
        umoci config --image images/base:rockcraft-base --architecture arm64 --no-history
        umoci raw add-layer --image images/base:rockcraft-base "$PWD/.temp_layer.42.tar" --tag 26.04 --history.created_by "rockcraft pack <all> & \"more\""
        umoci config --image images/base:26.04 --clear=config.entrypoint --clear=config.cmd
        umoci config --image images/base:26.04 --clear=config.entrypoint --config.entrypoint /usr/bin/pebble --config.entrypoint enter --config.entrypoint --verbose
        umoci config --image images/base:26.04 --config.env PATH=/bin --config.env K=V
        umoci config --image images/base:26.04 --clear=config.labels --config.label org.opencontainers.image.title=rock --history.comment "Set labels"
        umoci config --image images/base:26.04 --clear=manifest.annotations --manifest.annotation org.opencontainers.image.title=rock
        umoci config --image images/base:26.04 --clear=config.entrypoint --config.user _daemon_ --history.created_by "umoci config --config.user"
        rm -rf bundle
        umoci unpack --image images/base:26.04 bundle
        test -f bundle/rootfs/etc/os-release
        umoci stat --json --image images/base:26.04
        "#,
    );
    // The user is in no passwd file, which `unpack` has to tell in one line for people.
    let line = run.fails();
    assert!(line.contains("unable to find user _daemon_"), "{line}");

    write(
        sandbox.path(".temp_layer.43.tar"),
        archive(&[("etc/passwd", "_daemon_:x:584792:584792::/:/bin/false\n")]),
    );
    let run = sandbox.shell(
        r"
        umoci raw add-layer --image images/base:26.04 $PWD/.temp_layer.43.tar --tag 26.04
        rm -rf bundle
        umoci unpack --image images/base:26.04 bundle
        test -f bundle/rootfs/etc/os-release
        umoci stat --json --image images/base:26.04
        ",
    );
    let stat: Value = serde_json::from_str(&run.succeeds()).unwrap();
    let config = &stat["config"]["blob"];
    assert_eq!(config["architecture"], json!("arm64"));
    assert_eq!(config["config"]["User"], json!("_daemon_"));
    assert_eq!(config["config"].get("Entrypoint"), None);
    assert_eq!(config["config"]["Env"], json!(["PATH=/bin", "K=V"]));
    let history = stat["history"].as_array().unwrap();
    assert_eq!(history.len(), 8);
    assert_eq!(history[0]["created_by"], json!("rockcraft pack <all> & \"more\""));
    assert_eq!(history[1]["created_by"], json!("umoci config"));
    assert_eq!(history[4]["comment"], json!("Set labels"));
    assert_eq!(
        (&history[0]["layer"]["size"], &history[1]["layer"]),
        (&stat["manifest"]["blob"]["layers"][0]["size"], &Value::Null)
    );
}

/// kiwi: looks for a flag in the help, copies a whole root into an existing empty directory, and
/// hands the result to skopeo.
#[test]
fn kiwi_packs_a_root_tree() {
    if !needs_root() || peer("skopeo").is_none() {
        return;
    }
    let sandbox = Sandbox::new();
    write(sandbox.path("root/etc/os-release"), "NAME=test\n");
    write(sandbox.path("root/usr/bin/sh"), "#!\n");
    write(sandbox.path("root/etc/passwd"), "root:x:0:0::/root:/bin/sh\n");
    std::fs::hard_link(sandbox.path("root/usr/bin/sh"), sandbox.path("root/usr/bin/bash")).unwrap();
    let run = sandbox.shell(
        r#"
        umoci config --help | grep -q -e "--no-history"
        umoci init --layout oci
        umoci new --image oci:base_layer
        dir=$(mktemp -d -p .)
        umoci unpack --image oci:base_layer "$dir"
        if command -v rsync >/dev/null; then
            rsync -a -H -X -A --delete root/ "$dir/rootfs"
        else
            cp -a root/. "$dir/rootfs"
        fi
        umoci repack --history.comment="A comment" --history.created_by="KIWI 10" --history.author="Me <me@x>" --history.created 2026-01-02T03:04:05+00:00 --image oci:base_layer "$dir"
        umoci config --author="Me <me@x>" --config.user=root --config.workingdir=/root --clear=config.entrypoint --config.cmd=/bin/bash --config.volume=/data --config.exposedports=80 --config.env=PATH=/bin --config.label=name=test --no-history --image oci:base_layer --tag latest --created 2026-01-02T03:04:05+00:00
        umoci gc --layout oci
        skopeo copy -q oci:oci:latest docker-archive:out.tar:test:latest --additional-tag test:other
        tar tf out.tar | grep manifest.json >/dev/null
        skopeo copy -q oci:oci:latest oci:derived:base_layer
        umoci unpack --image derived:base_layer derived.dir
        diff -r root derived.dir/rootfs
        test derived.dir/rootfs/usr/bin/sh -ef derived.dir/rootfs/usr/bin/bash
        "#,
    );
    run.succeeds();
    let (_, manifest) = sandbox.manifest("oci", "latest");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    let config: Value = serde_json::from_slice(&sandbox.config_bytes("oci", "latest")).unwrap();
    let entry = json!({
        "created": "2026-01-02T03:04:05Z",
        "created_by": "KIWI 10",
        "author": "Me <me@x>",
        "comment": "A comment",
    });
    assert_eq!(config["history"], json!([entry]));
    assert_eq!(config["created"], json!("2026-01-02T03:04:05Z"));
}
