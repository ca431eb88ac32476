// SPDX-License-Identifier: Apache-2.0
//! Programs that run containers and machines: LXC and Incus, stacker, Kata.

use crate::harness::{Sandbox, needs_root, peer, write};

/// A sandbox with an image `img:latest` that holds one program.
fn with_program() -> Sandbox {
    let sandbox = Sandbox::with_image();
    write(sandbox.path("program"), "#!/bin/true\n");
    sandbox.umoci(&["insert", "--image=img", "program", "/pause"]).succeeds_silently();
    sandbox.umoci(&["config", "--image=img", "--config.entrypoint=/pause"]).succeeds_silently();
    sandbox
}

/// lxc-oci: moves the rootfs away and finds manifest and configuration by jq, with a part of a
/// string for the name of the blob.
#[test]
fn lxc_oci_reads_the_layout_itself() {
    let programs = ["skopeo", "jq"];
    if !needs_root() || programs.iter().any(|name| peer(name).is_none()) {
        return;
    }
    let sandbox = with_program();
    let run = sandbox.shell(
        r#"
        skopeo copy -q oci:img:latest oci:tmp:latest
        umoci unpack --image tmp:latest rootfs.tmp
        mv rootfs.tmp/rootfs rootfs
        test -f rootfs/pause
        manifest=$(jq -c -r --arg q latest '.manifests[] | if .annotations."org.opencontainers.image.ref.name" == $q then .digest else empty end' < tmp/index.json)
        config=$(jq -c -r .config.digest < "tmp/blobs/sha256/${manifest:7}")
        jq -c -r '.config.Entrypoint[]' < "tmp/blobs/sha256/${config:7}"
        umoci tag --image img:latest other
        jq -c -r '.manifests[0].digest' < img/index.json
        "#,
    );
    let stdout = run.succeeds();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines, ["/pause", &*sandbox.manifest("img", "latest").0]);
}

/// Incus: links to directories are kept.
#[test]
fn incus_keeps_links_to_directories() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let run = sandbox.shell(
        "
        mkdir -p tree/usr/lib upper/lib
        ln -s usr/lib tree/lib
        echo x > upper/lib/x
        umoci insert --image img tree /
        umoci insert --image img upper /
        umoci unpack --keep-dirlinks --image img bundle
        test -L bundle/rootfs/lib
        test -f bundle/rootfs/usr/lib/x
        ",
    );
    run.succeeds();
}

/// stacker's tests: global flags in front of the command, in both forms.
#[test]
fn stacker_lists_and_unpacks() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::new();
    let run = sandbox.shell(
        r#"
        umoci init --layout oci
        umoci new --image oci:tag
        echo x > file
        umoci insert --image oci:tag file /file
        [ "$(umoci ls --layout oci)" = tag ]
        umoci unpack --image oci:tag dest
        umoci --log=debug unpack --image oci:tag dest2 2>/dev/null
        umoci --log info unpack --image oci:tag dest3 2>info
        grep -q unpack info
        umoci unpack --keep-dirlinks --image oci:tag dest4
        for i in dest dest2 dest3 dest4; do [ "$(cat $i/rootfs/file)" = x ]; done
        umoci rm --image oci:tag
        [ "$(umoci ls --layout oci)" = "" ]
        umoci gc --layout oci
        [ -z "$(ls oci/blobs/sha256)" ]
        "#,
    );
    run.succeeds();
}

/// Kata: a bundle without the file that only a repack needs.
#[test]
fn kata_unpacks_its_pause_image() {
    if !needs_root() || peer("skopeo").is_none() {
        return;
    }
    let sandbox = with_program();
    let run = sandbox.shell(
        "
        mkdir dest
        skopeo copy -q oci:img:latest oci:pause:3.9
        umoci unpack --rootless --image pause:3.9 dest/pause_bundle
        rm dest/pause_bundle/umoci.json
        test -f dest/pause_bundle/rootfs/pause
        grep -q '\"/pause\"' dest/pause_bundle/config.json
        ",
    );
    run.succeeds();
}
