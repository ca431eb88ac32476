// SPDX-License-Identifier: Apache-2.0
//! The same input gives the same bytes here and in Debian's umoci, but for how
//! the layer is compressed.

use std::path::{Path, PathBuf};

use filetime::FileTime;
use serde_json::{Value, json};
use umoci::oci::Digest;

use super::fixture::{Fixture, drop_fractions, shell};
use super::tree::Tree;
use crate::harness::Sandbox;

const CREATED: &str = "--history.created=2020-01-01T00:00:00Z";

/// Changes that both programs tell alike. Debian's also writes what was below a
/// directory that has been replaced, and the names that are left of an inode.
const CHANGES: &str = r#"
    rm -r usr/share/doc/bash usr/share/doc/dpkg/copyright odd/-leading
    echo edited >>etc/motd
    mkdir -p new/sub "new/$(printf '%0120d' 0)"
    for name in file .hidden 'é' "$(printf '\377')" "$(printf '%0255d' 0)"; do
        echo "$name" >"new/$name"
    done
    ln new/file usr/share/new-file
    ln usr/bin/env usr/local/bin/env
    ln -s "$(printf '%0150d' 0)" new/long
    ln -s /target new/link
    mknod new/char c 4 64
    mknod new/block b 259 70000
    mkfifo new/fifo
    setfattr -n user.b -v 2 new/file
    setfattr -n user.a -v 0x0a00ff new/file
    setfattr -n user.a -v 1 etc
    setcap cap_chown+ep usr/bin/cat
    chown 5000000:70000 new/.hidden
    chown 1:2 usr/bin/id
    chmod 06755 usr/bin/id
    chmod 0 new/sub
    rmdir empty-directory
    echo file >empty-directory
    touch -d '1960-01-01T00:00:00Z' new/link new/file
    truncate -s 3000000 new/zeros
"#;

#[test]
fn each_program_repacks_the_bundles_of_both_to_the_same_image() {
    let Some(fixture) = Fixture::get() else { return };
    let sandbox = fixture.sandbox();
    sandbox.umoci(&["unpack", "--image=img:layers", "ours"]).succeeds_silently();
    sandbox.peer(&fixture.go, &["unpack", "--image", "img:layers", "theirs"]).succeeds();
    for bundle in ["ours", "theirs"] {
        let rootfs = sandbox.path(bundle).join("rootfs");
        shell(&rootfs, CHANGES);
        drop_fractions(&rootfs);
    }
    copy_times(&sandbox.path("ours/rootfs"), &sandbox.path("theirs/rootfs"));
    for bundle in ["ours", "theirs"] {
        let (go, here) = (format!("img:go-{bundle}"), format!("img:here-{bundle}"));
        let words = |image| ["repack", "--image", image, CREATED, bundle];
        sandbox.peer(&fixture.go, &words(&go)).succeeds();
        sandbox.umoci(&words(&here)).succeeds_silently();
    }
    let (config, manifest) = documents(&sandbox, "go-theirs");
    for tag in ["go-ours", "here-theirs", "here-ours"] {
        let found = documents(&sandbox, tag);
        assert_eq!(String::from_utf8(found.0), String::from_utf8(config.clone()), "{tag}");
        assert_eq!(found.1, manifest, "{tag}");
    }
    sandbox.umoci(&["unpack", "--image=img:here-theirs", "result"]).succeeds_silently();
    let tree = |bundle: &str| Tree::of(&sandbox.path(bundle).join("rootfs"));
    tree("theirs").assert_same(&tree("result"));
}

/// The bytes of an image's config, which has the digest of the uncompressed
/// layer, and its manifest without the digest and size of the compressed one.
fn documents(sandbox: &Sandbox, tag: &str) -> (Vec<u8>, String) {
    let (digest, manifest) = sandbox.manifest("img", tag);
    let layer = manifest["layers"].as_array().unwrap().last().unwrap();
    let manifest = String::from_utf8(sandbox.blob(&digest)).unwrap();
    let replaced = manifest.replace(&place(layer), "the new layer");
    assert_ne!(manifest, replaced);
    // The size before compression, which Debian's umoci does not tell yet.
    let annotations = format!(r#","annotations":{}"#, layer["annotations"]);
    let replaced = replaced.replace(&annotations, "");
    (sandbox.config_bytes("img", tag), replaced)
}

/// Gives everything in one tree the times it has in another.
fn copy_times(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).contents_first(true) {
        let entry = entry.unwrap();
        let time = FileTime::from_last_modification_time(&entry.metadata().unwrap());
        let copy = to.join(entry.path().strip_prefix(from).unwrap());
        filetime::set_symlink_file_times(copy, time, time).unwrap();
    }
}

#[test]
fn the_same_commands_leave_the_same_layout() {
    let Some(fixture) = Fixture::get() else { return };
    let full = [
        "--config.user=1000:100",
        "--config.exposedports=8080/tcp",
        "--config.env=A=C",
        "--config.env=É=<&>\u{2028}",
        "--config.entrypoint=/bin/sh",
        "--config.entrypoint=-c",
        "--config.cmd=true",
        "--config.volume=/b",
        "--config.volume=/a",
        "--config.label=b=2",
        "--config.label=a=\"1\"\t",
        "--config.workingdir=/w",
        "--config.stopsignal=SIGUSR1",
        "--created=2020-01-01T00:00:00.120+01:00",
        "--author=Somebody <s@example.org>",
        "--os=linux",
        "--architecture=arm64",
        "--manifest.annotation=x=y=z",
        "--history.comment=c",
        "--history.created_by=b",
        "--history.author=a",
    ];
    let config =
        |words: &[&'static str]| [&["config", "--image", "img:layers", CREATED], words].concat();
    let commands = [
        config(&full),
        config(&["--clear=config.env", "--clear=config.cmd", "--config.cmd=x"]),
        config(&["--tag", "other", "--clear=config.labels", "--clear=manifest.annotations"]),
        vec!["config", "--image", "img:single", "--no-history", "--config.user=x"],
        vec!["tag", "--image", "img:layers", "copy"],
        vec!["tag", "--image", "img:other", "layers"],
        vec!["rm", "--image", "img:base"],
        vec!["rm", "--image", "img:nothing"],
        vec!["gc", "--layout", "img"],
    ];
    let (ours, theirs) = (fixture.sandbox(), fixture.sandbox());
    for words in &commands {
        ours.umoci(words).succeeds_silently();
        theirs.peer(&fixture.go, words).succeeds();
        assert_eq!(index(&ours), index(&theirs), "{words:?}");
    }
    assert_eq!(blobs_but_manifests(&ours), blobs_but_manifests(&theirs));

    let list = ["ls", "--layout", "img"];
    assert_eq!(ours.umoci(&list).succeeds(), theirs.peer(&fixture.go, &list).succeeds());
    let stat = ["stat", "--image", "img:copy", "--json"];
    let history = |text: String| {
        let stat: Value = serde_json::from_str(&text).unwrap();
        stat["history"].clone()
    };
    let ours = history(ours.umoci(&stat).succeeds());
    assert_ne!(ours, json!(null));
    assert_eq!(ours, history(theirs.peer(&fixture.go, &stat).succeeds()));
}

/// The index of the layout, and in it the manifests instead of their digests.
fn index(sandbox: &Sandbox) -> String {
    let text = std::fs::read_to_string(sandbox.path("img/index.json")).unwrap();
    let manifests = sandbox.json("img/index.json")["manifests"].take();
    let expand = |text: String, descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        let manifest = String::from_utf8(sandbox.blob(digest)).unwrap();
        text.replace(&place(descriptor), &without_media_type(&manifest))
    };
    manifests.as_array().unwrap().iter().fold(without_media_type(&text), expand)
}

/// A document without its own media type: Debian's umoci is of the time before
/// manifests and indexes had that.
fn without_media_type(text: &str) -> String {
    let (head, rest) = text.split_once(',').unwrap();
    let rest = match rest.strip_prefix(r#""mediaType":"#) {
        Some(rest) => rest.split_once(',').unwrap().1,
        None => rest,
    };
    format!("{head},{rest}")
}

fn blobs_but_manifests(sandbox: &Sandbox) -> Vec<(PathBuf, Digest)> {
    let index = sandbox.json("img/index.json");
    let manifests = index["manifests"].as_array().unwrap();
    let is_manifest = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        manifests.iter().any(|descriptor| descriptor["digest"] == format!("sha256:{name}"))
    };
    let entries = sandbox.tree("img/blobs").into_iter();
    let others = entries.filter(|(path, _)| path.iter().count() > 1 && !is_manifest(path));
    others.map(|(path, (_, digest))| (path, digest)).collect()
}

/// Where a descriptor says what it is of.
fn place(descriptor: &Value) -> String {
    format!(r#""digest":{},"size":{}"#, descriptor["digest"], descriptor["size"])
}
