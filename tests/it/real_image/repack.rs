// SPDX-License-Identifier: Apache-2.0
//! `repack` after all kinds of changes: the new image is the changed tree,
//! whoever unpacks it and whichever way it went.

use std::path::Path;

use super::fixture::{Fixture, shell};
use super::tree::Tree;
use crate::harness::{Sandbox, peer};

/// What is not to be in the image: the volume, and what the command line masks.
const MASKED: [&str; 2] = ["data", "var/cache/masked"];

const FIRST: &str = r#"
    # A package goes, a package comes.
    chroot . dpkg --purge --force-depends logsave >/dev/null
    mkdir -p package/DEBIAN package/usr/share/demo package/etc
    printf 'Package: demo\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y.z>\nDescription: x\n' \
        >package/DEBIAN/control
    printf '#!/bin/sh\nln -s demo.conf /etc/demo.link\n' >package/DEBIAN/postinst
    chmod 0755 package/DEBIAN/postinst
    echo data >package/usr/share/demo/data
    echo conf >package/etc/demo.conf
    chroot . dpkg-deb --root-owner-group --build /package /demo.deb >/dev/null
    chroot . dpkg --install /demo.deb >/dev/null
    rm -r package demo.deb

    # Edits: longer; as long as before and with the time of before; of the time alone.
    echo edited >>etc/motd
    cp -p etc/issue.net time
    printf X | dd of=etc/issue.net conv=notrunc bs=1 status=none
    touch -r time etc/issue.net
    rm time
    touch -d '2020-01-01T00:00:00.5Z' etc/issue
    rm -r usr/share/doc/bash usr/bin/yes etc/pam.conf

    # Directories that become something else, and the other way round. What is
    # behind the link has names that were in the directory, and is to stay.
    rm -r swap/to-link swap/to-file swap/to-fifo swap/file-to-link usr/share/doc/apt
    ln -s ../elsewhere swap/to-link
    echo file >swap/to-file
    mkdir -p swap/to-fifo/new
    mknod swap/file-to-link c 10 200
    ln -s bash usr/share/doc/apt
    rm -r empty-directory
    ln -s odd empty-directory

    # Hard links: a new name, a name less, a name that is a file of its own now.
    ln usr/bin/env usr/local/bin/env
    rm links/d
    cp -p usr/share/e copy
    mv copy usr/share/e
    ln attributes/file modes/same-as-attributes-file

    # Attributes, modes and owners.
    setfattr -n user.new -v 1 usr/bin
    setfattr -n user.large -v "$(printf '%02000d' 0)" etc/motd
    setfattr -n trusted.new -v 1 etc/hostname
    setcap -r attributes/capable
    setcap cap_net_admin=ep usr/bin/cat
    chmod 04711 usr/bin/id
    chmod 02750 attributes/directory
    chown 7:8 usr/bin/id modes/dir-6711
    chown -h 3:4 bin
    chown 9:9 .

    # Names.
    directory="odd/$(printf 'new\nline foo')"
    mkdir "$directory"
    echo x >"$directory/$(printf 'a\tb\377')"
    rm 'odd/#hash' odd/...
    echo x >odd/.wh

    # What is not to be in the image.
    mkdir -p data/sub var/cache/masked
    echo x | tee data/sub/file >var/cache/masked/file
"#;

const SECOND: &str = "
    # The time of a directory counts in whole seconds: it has to be another one than before.
    sleep 1.1
    echo second >second
    rm etc/shells
    echo x >data/sub/more
";

#[test]
fn an_image_of_changes_is_the_changed_tree_for_everyone() {
    let Some(fixture) = Fixture::get() else { return };
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = fixture.sandbox();
    sandbox.umoci(&["config", "--image=img:layers", "--config.volume=/data"]).succeeds();
    sandbox.umoci(&["unpack", "--image=img:layers", "bundle"]).succeeds_silently();
    let rootfs = sandbox.path("bundle/rootfs");
    for script in [FIRST, SECOND] {
        shell(&rootfs, script);
        let mask = format!("--mask-path=/{}", MASKED[1]);
        let words = ["repack", "--image=img:new", &mask, "--refresh-bundle", "bundle"];
        sandbox.umoci(&words).succeeds_silently();
    }
    assert_eq!(members_of_last_layer(&sandbox), [".", "etc/", "etc/.wh.shells", "second"]);
    let expected = unmasked(Tree::of(&rootfs)).in_whole_seconds();

    let copy = |from: &str, to: &str| sandbox.peer(&skopeo, &["copy", "-q", from, to]).succeeds();
    copy("oci:img:new", "docker-archive:archive.tar:debian:new");
    copy("docker-archive:archive.tar", "oci:archive:new");
    copy("oci:img:new", "dir:directory");
    copy("dir:directory", "oci:directory-back:new");
    sandbox.peer(&fixture.go, &["unpack", "--image", "img:new", "go"]).succeeds();
    for (image, bundle) in
        [("img:new", "ours"), ("archive:new", "archived"), ("directory-back:new", "copied")]
    {
        sandbox.umoci(&["unpack", "--image", image, bundle]).succeeds_silently();
    }
    for bundle in ["ours", "go", "archived", "copied"] {
        let found = Tree::of(&sandbox.path(bundle).join("rootfs"));
        for masked in MASKED {
            assert!(!found.0.contains_key(Path::new(masked)), "{bundle} has {masked}");
        }
        expected.assert_same(&found);
        // They take much space.
        std::fs::remove_dir_all(sandbox.path(bundle)).unwrap();
    }
}

fn unmasked(tree: Tree) -> Tree {
    MASKED.into_iter().fold(tree, Tree::without)
}

/// The names in the uppermost layer of `img:new`, as GNU tar reads them.
fn members_of_last_layer(sandbox: &Sandbox) -> Vec<String> {
    let (_, manifest) = sandbox.manifest("img", "new");
    let digest = manifest["layers"].as_array().unwrap().last().unwrap()["digest"].clone();
    let blob = format!("img/blobs/{}", digest.as_str().unwrap().replace(':', "/"));
    let listing = sandbox.peer("tar".as_ref(), &["-tzf", &blob]).succeeds();
    listing.lines().map(str::to_owned).collect()
}
