// SPDX-License-Identifier: Apache-2.0
//! Command lines from scripts of many projects, in the order of arguments that they have there.

use serde_json::json;

use crate::harness::{Sandbox, needs_root, peer, write};

/// A sandbox with an image `img:latest` and the tree `rootfs`.
fn with_tree() -> Sandbox {
    let sandbox = Sandbox::with_image();
    write(sandbox.path("rootfs/etc/hostname"), "x\n");
    write(sandbox.path("rootfs/bin/sh"), "#!\n");
    sandbox
}

/// Builders of virtual machines and of firmware, HPC users: a root filesystem and no bundle.
#[test]
fn machine_builders_unpack_a_tree_only() {
    if !needs_root() {
        return;
    }
    let sandbox = with_tree();
    let run = sandbox.shell(
        r#"
        umoci insert --image img:latest rootfs /
        umoci raw unpack --image img:latest tree
        diff -r rootfs tree
        umoci raw unpack --rootless --image img:latest tree2
        diff -r rootfs tree2
        [ "$(ls -A tree)" = "$(printf 'bin\netc')" ]
        mkdir bundle
        umoci raw runtime-config --image img:latest bundle/config.json
        umoci raw config --rootless --rootfs tree --image img:latest bundle/config.json
        grep -q ociVersion bundle/config.json
        "#,
    );
    run.succeeds();
}

/// Mozilla's taskcluster: a file that tells the version.
#[test]
fn taskcluster_inserts_a_version() {
    let sandbox = Sandbox::new();
    write(sandbox.path("version.json"), "{}");
    let run = sandbox.shell(
        "
        umoci init --layout taskboot
        umoci new --image taskboot:final
        umoci insert --image taskboot:final version.json /version.json
        ",
    );
    run.succeeds();
    assert_eq!(sandbox.top_members("taskboot", "final"), ["version.json"]);
}

/// Makefiles: one program is the whole image.
#[test]
fn makefiles_make_images_of_one_program() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    write(sandbox.path("build/tool"), "#!\n");
    let run = sandbox.shell(
        "
        umoci insert --image img:latest build/tool /tool
        umoci config --image img:latest --config.cmd /tool
        umoci unpack --image img:latest bundle
        test -f bundle/rootfs/tool
        grep -q '\"/tool\"' bundle/config.json
        ",
    );
    run.succeeds();
}

/// A layer builder in JavaScript: no tag at all.
#[test]
fn layer_builders_leave_the_tag_out() {
    if !needs_root() {
        return;
    }
    let sandbox = with_tree();
    let run = sandbox.shell(
        r#"
        umoci init --layout=oci
        umoci new --image oci
        umoci insert --rootless --image oci rootfs /
        umoci unpack --image oci bundle
        echo new > bundle/rootfs/new
        umoci repack --refresh-bundle --image oci bundle
        umoci gc --layout=oci
        [ "$(umoci ls --layout oci)" = latest ]
        "#,
    );
    run.succeeds();
    assert_eq!(sandbox.layers("oci", "latest").len(), 2);
    assert!(sandbox.top_members("oci", "latest").contains(&"new".to_owned()));
}

/// A stage as a new tag, whose base is thrown away, and the layout as an archive.
#[test]
fn a_staged_image_is_archived() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = with_tree();
    let run = sandbox.shell(
        "
        umoci init --layout d
        umoci new --image d:base
        umoci insert --rootless --image d:base --tag new rootfs /
        umoci rm --image d:base
        umoci gc --layout d
        tar cf image.tar -C d oci-layout index.json blobs
        ",
    );
    run.succeeds();
    sandbox.peer(&skopeo, &["inspect", "oci-archive:image.tar"]).succeeds();
    assert_eq!(std::fs::read_dir(sandbox.path("d/blobs/sha256")).unwrap().count(), 3);
}

/// nix: a fixed time, and maps of two fields for whoever calls, in any environment.
#[test]
fn nix_maps_the_caller() {
    if !needs_root() {
        return;
    }
    let sandbox = with_tree();
    let run = sandbox.shell(
        r#"
        umoci insert --image img:latest rootfs /
        umoci config --created "1970-01-01T00:00:01Z" --image img:latest --config.env "PATH=/run/wrappers/bin"
        env -u HOME -u USER umoci unpack --uid-map 0:$(id -u) --gid-map 0:$(id -g) --image img:latest bundle
        test -f bundle/rootfs/bin/sh
        "#,
    );
    run.succeeds();
    assert_eq!(sandbox.config("latest")["created"], json!("1970-01-01T00:00:01Z"));
    let config = sandbox.json("bundle/config.json");
    assert_eq!(config["linux"]["uidMappings"], json!([{"containerID": 0, "hostID": 0, "size": 1}]));
}

/// Signing by a label: layers and history stay what they are.
#[test]
fn signing_leaves_the_layers_alone() {
    let sandbox = with_tree();
    sandbox.umoci(&["insert", "--image=img", "rootfs", "/"]).succeeds();
    let before = sandbox.config("latest");
    let words = ["config", "--no-history", "--config.label", "sig=a=b", "--image", "img:latest"];
    sandbox.umoci(&words).succeeds_silently();
    let after = sandbox.config("latest");
    assert_eq!(after["rootfs"], before["rootfs"]);
    assert_eq!(after["history"], before["history"]);
    assert_eq!(after["config"]["Labels"], json!({"sig": "a=b"}));
}

/// Sources of images: nothing but the result may be on standard output.
#[test]
fn build_source_image_sends_output_to_the_error_stream() {
    if !needs_root() {
        return;
    }
    let sandbox = with_tree();
    let run = sandbox.shell("umoci unpack --rootless --image img unpacked >&2");
    assert_eq!((run.succeeds(), run.stderr()), (String::new(), String::new()));
    assert!(sandbox.path("unpacked/rootfs").is_dir());
}

/// A distribution's tests: every alias.
#[test]
fn open_euler_uses_every_name() {
    let sandbox = Sandbox::new();
    let run = sandbox.shell(
        r#"
        umoci init --layout new_image
        umoci new --image new_image
        umoci config --author="test <test@x>" --image new_image
        umoci stat --image new_image | grep -q 'test <test@x>'
        umoci tag --image new_image other
        umoci list --layout new_image | grep -qx other
        umoci rm --image new_image:other
        umoci ls --layout new_image
        umoci remove --image new_image:latest
        umoci list --layout new_image
        "#,
    );
    assert_eq!(run.succeeds(), "latest\n");
}

/// Universal Blue: an existing, empty directory, and a path that ends up behind the flags.
#[test]
fn universal_blue_unpacks_into_a_temporary_directory() {
    if !needs_root() {
        return;
    }
    let sandbox = with_tree();
    let run = sandbox.shell(
        r#"
        OCI=img
        umoci insert --image "$OCI:latest" --tag bazzite rootfs /
        dir=$(mktemp -d -p .)
        umoci unpack --keep-dirlinks --image "$OCI:bazzite" "$dir"
        test -f "$dir/rootfs/bin/sh"
        [ "$(stat -c %a "$dir")" = 700 ]
        "#,
    );
    run.succeeds();
}
