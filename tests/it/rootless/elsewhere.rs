// SPDX-License-Identifier: Apache-2.0
//! Bundles that are repacked by somebody else, or in another user namespace,
//! than they were unpacked: the layer is right, or there is none.

use std::os::unix::fs::{MetadataExt, lchown};
use std::os::unix::process::CommandExt;

use super::killed::NOTE;
use super::namespace::{alone, with_own_ranges, with_range};
use super::scene::{self, last_layer, members, touch};
use crate::harness::{Run, Sandbox, needs_root, peer, set_mode, write};

/// Asserts a refusal with a hint that changes nothing.
#[track_caller]
fn refuses(sandbox: &Sandbox, run: &Run, text: &str) {
    run.fails_with(text);
    let hint = run.hint().unwrap();
    assert!(hint.contains("unshare -r") && hint.contains("--rootless"), "{hint}");
    assert!(sandbox.path("img/index.json").exists());
    let tags = sandbox.umoci(&["ls", "--layout=img"]).succeeds();
    assert!(!tags.contains("new"), "{tags}");
}

const REPACK: [&str; 4] = ["repack", "--compress=none", "--image=img:new", "home/b"];
const OUTSIDE: &str = "was unpacked outside of this user namespace";

/// Unpacks as root, with maps or without.
fn unpacked(words: &[&str]) -> Sandbox {
    let sandbox = scene::sandbox();
    sandbox.umoci(&[&["unpack", "--image=img:full", "home/b"], words].concat()).succeeds();
    sandbox
}

#[test]
fn a_bundle_of_root_is_not_repacked_in_a_namespace() {
    if !needs_root() {
        return;
    }
    let sandbox = unpacked(&[]);
    let Some(unshare) = peer("unshare") else { return };
    let program = sandbox.copy_for_others();
    let words = [&["-r", program.to_str().unwrap()], &REPACK[..]].concat();
    refuses(&sandbox, &sandbox.peer(&unshare, &words), OUTSIDE);
    // Nor with a record, whoever its owner is there.
    write(
        sandbox.path("home/b/rootless.jsonl"),
        "{\"umoci_rootless\":1,\"root\":1,\"seen_as\":[0,0]}\n",
    );
    refuses(&sandbox, &sandbox.peer(&unshare, &words), OUTSIDE);
    std::fs::remove_file(sandbox.path("home/b/rootless.jsonl")).unwrap();
    sandbox.umoci(&REPACK).succeeds_silently();
}

#[test]
fn a_bundle_with_maps_is_not_repacked_in_the_namespace_of_these() {
    if !needs_root() {
        return;
    }
    let sandbox = unpacked(&["--uid-map=0:100000:65536", "--gid-map=0:100000:65536"]);
    for file in std::fs::read_dir(sandbox.path("home/b")).unwrap() {
        let path = file.unwrap().path();
        lchown(path, Some(100_000), Some(100_000)).unwrap();
    }
    for name in ["img", "home"] {
        lchown(sandbox.path(name), Some(100_000), Some(100_000)).unwrap();
    }
    lchown(sandbox.path("home/b"), Some(100_000), Some(100_000)).unwrap();
    sandbox.give_to("img", 100_000);
    let Some(run) = with_range(&sandbox, &REPACK) else { return };
    refuses(&sandbox, &run, OUTSIDE);
    sandbox.umoci(&REPACK).succeeds_silently();
}

/// Who is root of more ids can close directories to who is root of fewer.
#[test]
fn a_directory_of_an_owner_who_is_not_there() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    write(sandbox.path("root/rootfs/closed/file"), "x");
    lchown(sandbox.path("root/rootfs/closed"), Some(33), Some(33)).unwrap();
    set_mode(sandbox.path("root/rootfs/closed"), 0o700);
    sandbox.umoci(&["repack", "--image=img:closed", "root"]).succeeds_silently();
    sandbox.give_to_ordinary_user("img");
    let words = ["unpack", "--image=img:closed", "home/b"];
    let Some(run) = with_own_ranges(&sandbox, &words) else { return };
    run.succeeds();
    let text = "open \"closed\": its owner is not in this user namespace, which shows 65534:65534";
    refuses(&sandbox, &alone(&sandbox, &REPACK).unwrap(), text);
    let source = ["insert", "--rootless", "--image=img", "--tag=new", "home/b/rootfs/closed", "/x"];
    alone(&sandbox, &source)
        .unwrap()
        .fails_with("closed\": its owner is not in this user namespace");
    // No obstacle to putting permission bits back elsewhere.
    let dev = sandbox.path("home/b/rootfs").metadata().unwrap().dev();
    write(sandbox.path(NOTE), format!("{dev} 1 - 0 0\n"));
    sandbox.give_to_ordinary_user(NOTE);
    refuses(&sandbox, &alone(&sandbox, &REPACK).unwrap(), text);
    assert!(!sandbox.path(NOTE).exists());
    with_own_ranges(&sandbox, &REPACK).unwrap().succeeds();
}

#[test]
fn a_bundle_of_root_that_was_given_to_a_user_is_not_his_to_repack() {
    if !needs_root() {
        return;
    }
    let sandbox = unpacked(&[]);
    sandbox.give_to_ordinary_user("home/b");
    let text = "what belonged to 0:0 then belongs to 65534:65534 here";
    refuses(&sandbox, &sandbox.umoci_as_ordinary_user(&REPACK), text);
    let Some(run) = alone(&sandbox, &REPACK) else { return };
    refuses(&sandbox, &run, OUTSIDE);
    // Root may have meant to change all owners.
    sandbox.umoci(&REPACK).succeeds_silently();
    assert!(members(&sandbox, "new").contains(" 65534/65534 "));
}

/// Who owns a file of a bundle that was made without privileges is nobody's business.
#[test]
fn a_rootless_bundle_is_repacked_by_whoever_owns_it() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    sandbox.give_to("home", 12_345);
    let words = ["unpack", "--rootless", "--image=img:full", "home/b"];
    let mut command = sandbox.program(sandbox.copy_for_others(), &words);
    Run::of(command.uid(12_345).gid(12_345)).emulates();
    sandbox.give_to_ordinary_user("home");
    // Another owner costs a file this bit.
    set_mode(sandbox.path("home/b/rootfs/bin/su"), 0o4755);
    sandbox.umoci_as_ordinary_user(&REPACK).succeeds_silently();
    assert_eq!(last_layer(&sandbox, "new"), last_layer(&sandbox, "full"), "nothing has changed");
    touch(&sandbox.path("home/b/rootfs"));
    touch(&sandbox.path("root/rootfs"));
    sandbox.umoci(&["repack", "--compress=none", "--image=img:root", "root"]).succeeds_silently();
    sandbox.give_to_ordinary_user("img");
    sandbox.umoci_as_ordinary_user(&REPACK).emulates();
    assert_eq!(members(&sandbox, "new"), members(&sandbox, "root"));
    assert_eq!(last_layer(&sandbox, "new"), last_layer(&sandbox, "root"));
    let Some(run) = alone(&sandbox, &REPACK) else { return };
    run.emulates();
    assert_eq!(last_layer(&sandbox, "new"), last_layer(&sandbox, "root"));
}

#[test]
fn owners_that_a_namespace_does_not_have_go_into_no_layer() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    write(sandbox.path("home/of-root"), "text");
    set_mode(sandbox.path("home/of-root"), 0o644);
    let words = ["insert", "--image=img:full", "--tag=new", "home/of-root", "/file"];
    let Some(run) = alone(&sandbox, &words) else { return };
    run.fails_with(
        "could not add file \"home/of-root\": \
         its owner is not in this user namespace, which shows 65534:65534 instead",
    );
    assert!(run.hint().unwrap().contains("--rootless"), "{}", run.stderr());
    let words = [&words[..1], &["--rootless"], &words[1..]].concat();
    alone(&sandbox, &words).unwrap().succeeds_silently();
    assert!(members(&sandbox, "new").contains(" 0/0 "));
}
