// SPDX-License-Identifier: Apache-2.0
//! Bundles that are no longer where they were unpacked, and files that several layers have to do with.

use super::{EDITED, repack_adds};
use crate::harness::{needs_root, peer};
use crate::rootless::filesystem::with_mounts;

/// Asserts what a repack adds after a change.
#[track_caller]
fn changes(change: &str, expected: &[(&str, &str)]) {
    if needs_root() {
        repack_adds(with_mounts, ["", change], expected);
    }
}

#[test]
fn a_bundle_that_was_moved() {
    let to_elsewhere = "mkdir n; mount -t tmpfs none n; mv m/b n";
    for mv in ["mkdir n; mv m/b n", to_elsewhere] {
        changes(&format!("pause; {mv}; b=n/b"), &[]);
        let edited = format!("pause; {mv}; b=n/b; edit n/b/rootfs/d/edited");
        changes(&edited, EDITED);
    }
}

#[test]
fn a_bundle_that_was_copied() {
    let copy = "pause; cp -a m/b m/copy";
    changes(&format!("{copy}; b=m/copy"), &[]);
    changes(&format!("{copy}; edit m/copy/rootfs/d/edited; b=m/copy"), EDITED);
    changes(&format!("{copy}; edit m/copy/rootfs/d/edited"), &[]);
    let and_back = "edit m/b/rootfs/d/edited; rm -r m/b; mv m/copy m/b";
    changes(&format!("{copy}; {and_back}"), &[]);
    changes(&format!("{copy}; {and_back}; edit $d/edited"), EDITED);
}

/// Numbers of inodes and all times are the same in the copy.
#[test]
fn a_bundle_that_was_copied_with_its_filesystem() {
    if !needs_root() || peer("mkfs.ext4").is_none() {
        return;
    }
    let mount = "truncate -s 32M disk; mkfs.ext4 -q disk >/dev/null; mount -o loop disk m";
    let copy = "pause; umount m; cp disk copy; mount -o loop copy m";
    repack_adds(with_mounts, [mount, copy], &[]);
    let edited = format!("{copy}; edit $d/edited");
    repack_adds(with_mounts, [mount, &edited], EDITED);
}

#[test]
fn an_edit_of_a_file_to_which_a_later_layer_has_linked() {
    for name in ["link", "linked"] {
        let expected = [("d/link", "AFTER!"), ("d/linked", "= d/link")];
        changes(&format!("edit $d/{name}"), &expected);
        changes(&format!("pause; edit $d/{name}"), &expected);
    }
}

/// It is compared with what the upper layer has of it.
#[test]
fn an_edit_that_brings_back_what_an_upper_layer_has_replaced() {
    let bring_back = "pause; touch -r $d/replaced old\n\
        printf first! | dd of=$d/replaced conv=notrunc status=none; touch -r old $d/replaced";
    changes(bring_back, &[("d/replaced", "first!")]);
    changes("pause; edit $d/replaced", &[("d/replaced", "AFTER!")]);
}
