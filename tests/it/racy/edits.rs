// SPDX-License-Identifier: Apache-2.0
//! Ways to edit a file, where the filesystem tells all times.

use std::collections::BTreeSet;

use super::{EDITED, FUNCTIONS, added, files, repack_adds, sandbox};
use crate::harness::{needs_root, peer, strace};
use crate::rootless::filesystem::with_mounts;

const TMPFS: &str = "mount -t tmpfs none m";
const EXT4: &str =
    "truncate -s 32M disk; mkfs.ext4 -q -I 256 disk >/dev/null; mount -o loop disk m";
/// The same with inodes that have no room but for whole seconds.
const WHOLE_SECONDS: &str =
    "truncate -s 32M disk; mkfs.ext4 -q -I 128 disk >/dev/null; mount -o loop disk m; tick=1.1";
/// Filesystems that see an edit in different ways: with a clock that ticks often, and seldom.
const MOUNTS: [&str; 3] = ["", TMPFS, WHOLE_SECONDS];
/// A record of what has been there for more than a second, so that it vouches for that anywhere.
const OLD: &str = "pause; refresh";

/// Asserts what a repack adds after a change, on each of the filesystems, and where seconds are whole
/// also with a record that vouches for what is changed.
#[track_caller]
fn changes(change: &str, expected: &[(&str, &str)]) {
    if !needs_root() || peer("mkfs.ext4").is_none() {
        return;
    }
    for mount in MOUNTS {
        repack_adds(with_mounts, [mount, change], expected);
    }
    repack_adds(with_mounts, [WHOLE_SECONDS, &format!("{OLD}; {change}")], expected);
}

/// Or the tests here would pass though nothing is ever looked up in the record.
#[test]
fn only_what_was_edited_is_opened() {
    let Some(strace) = strace() else { return };
    if !needs_root() || peer("mkfs.ext4").is_none() {
        return;
    }
    let traced = format!("meanwhile='{} -f -qq -e trace=openat -o opened'", strace.display());
    for [mount, record] in [[TMPFS, ":"], [EXT4, ":"], [WHOLE_SECONDS, OLD]] {
        let sandbox = sandbox();
        let script = format!("{mount}\nunpack; {record}; edit $d/edited; {traced}; repack new");
        let Some(run) = with_mounts(&sandbox, &format!("{FUNCTIONS}{script}")) else { return };
        run.succeeds();
        let opened = std::fs::read_to_string(sandbox.path("opened")).unwrap();
        let names = opened.lines().filter_map(|line| line.split('"').nth(1));
        let of_layers = ["edited", "link", "linked", "neighbour", "other", "replaced"];
        let opened: BTreeSet<_> = names.filter(|name| of_layers.contains(name)).collect();
        assert_eq!(opened, ["edited"].into(), "{mount}");
        assert_eq!(added(&sandbox, "new"), files(EDITED), "{mount}");
    }
}

/// Where times are whole seconds, none of them tells.
#[test]
fn an_edit_right_after_the_unpack() {
    if !needs_root() || peer("mkfs.ext4").is_none() {
        return;
    }
    for mount in MOUNTS {
        let sandbox = sandbox();
        let each = "unpack; edit $d/edited; repack $n; rm -r m/b";
        let script = format!("{FUNCTIONS}{mount}\nfor n in 1 2 3; do {each}; done");
        let Some(run) = with_mounts(&sandbox, &script) else { return };
        run.succeeds_silently();
        for tag in ["1", "2", "3"] {
            assert_eq!(added(&sandbox, tag), files(EDITED), "{mount}");
        }
    }
}

#[test]
fn an_edit_later_on_with_the_old_time() {
    changes("pause; edit $d/edited", EDITED);
}

#[test]
fn an_edit_with_an_older_time() {
    changes("edit $d/edited; touch -d @1234567890 $d/edited", EDITED);
}

#[test]
fn a_file_that_is_renamed_to_the_place_of_another() {
    let change = "pause; touch -r $d dir; cp -p $d/edited $d/new; edit $d/new\n\
        mv $d/new $d/edited; touch -r dir $d";
    changes(change, EDITED);
    let swap = "pause; touch -r $d dir\n\
        mv $d/neighbour $d/new; mv $d/other $d/neighbour; mv $d/new $d/other; touch -r dir $d";
    changes(swap, &[("d/neighbour", "before"), ("d/other", "beside")]);
}

#[test]
fn an_edit_through_memory() {
    if peer("python3").is_none() {
        return;
    }
    let map = concat!("python3 ", env!("CARGO_MANIFEST_DIR"), "/tests/it/racy/map.py $d/edited");
    for change in [map, &format!("{map} synced"), &format!("meanwhile=\"{map}\"")] {
        changes(&format!("pause; {change}"), EDITED);
    }
}
