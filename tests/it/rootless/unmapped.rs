// SPDX-License-Identifier: Apache-2.0
//! Owners outside of the id maps: they are told with path and id, how many there are and which
//! ids, before anything is written.

use std::os::unix::fs::MetadataExt;

use super::filesystem::with_mounts;
use super::namespace::MAPS;
use super::scene;
use crate::harness::{Run, Sandbox, needs_root};

#[test]
fn ids_outside_the_maps_are_told_with_their_path() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let words = ["unpack", "--image=img:full", "few", "--uid-map=0:200000:10"];
    let line = sandbox.umoci(&words).fails();
    assert!(
        line.contains("container id 1000 cannot be mapped") && line.contains("locked"),
        "{line}"
    );
    assert!(!sandbox.path("few").exists());

    let words = [&["unpack", "--image=img:full", "mapped"], &MAPS[..]].concat();
    sandbox.umoci(&words).succeeds_silently();
    // Several that are new, and owners that are outside on purpose.
    for name in ["bin/late", "etc/new"] {
        std::fs::write(sandbox.path("mapped/rootfs").join(name), "").unwrap();
    }
    let before = sandbox.tree("img");
    let line = sandbox.umoci(&["repack", "--image=img:new", "mapped"]).fails();
    let expected = "the maps lack host uid 0 and host gid 0: 2 objects have owners outside of the maps: could not add file \"bin/late\": \
        map header: map uid to container: host id 0 cannot be mapped to a container id";
    assert!(line.ends_with(expected), "{line}");
    let words = [&["insert", "--image=img:full"], &MAPS[..], &["mapped/rootfs/etc", "/etc"]];
    let line = sandbox.umoci(&words.concat()).fails();
    assert!(
        line.contains("\"mapped/rootfs/etc/new\"") && line.contains("host id 0 cannot be mapped"),
        "{line}"
    );
    assert_eq!(sandbox.tree("img"), before);
    assert_no_blob_was_begun(&sandbox, &["repack", "--image=img:new", "mapped"]);
}

/// No file is ever made in the layout, not even one that is removed again.
fn assert_no_blob_was_begun(sandbox: &Sandbox, words: &[&str]) {
    let Some(strace) = crate::harness::strace() else { return };
    let traced = ["-f", "-qq", "-o", "calls", "-e", "trace=openat,openat2"];
    let program = [env!("CARGO_BIN_EXE_umoci")];
    sandbox.peer(&strace, &[&traced[..], &program, words].concat()).fails();
    let calls = std::fs::read_to_string(sandbox.path("calls")).unwrap();
    assert!(calls.contains("rootfs") && !calls.contains("O_CREAT"), "{calls}");
}

#[test]
fn a_tree_that_is_there_is_not_half_changed_for_an_id_outside_of_the_maps() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    std::fs::create_dir(sandbox.path("tree")).unwrap();
    let map = "--uid-map=0:200000:10";
    let words = ["raw", "unpack", map, "--image=img:full", "tree"];
    let line = sandbox.umoci(&words).fails();
    assert!(line.contains("container id 1000 cannot be mapped to a host id"), "{line}");
    assert!(line.contains("unpack entry: locked"), "{line}");
    assert_eq!(std::fs::read_dir(sandbox.path("tree")).unwrap().count(), 0);
    assert_eq!(sandbox.path("tree").metadata().unwrap().uid(), 0);
}

/// Calls that change something, and those that open files.
const TRACED: &str = "trace=openat,openat2,?open,?creat,?mkdir,mkdirat,?mknod,mknodat,?rename,\
    ?renameat,renameat2,?link,linkat,?symlink,symlinkat,?unlink,unlinkat,?rmdir,?chmod,fchmod,\
    fchmodat,?fchmodat2,?chown,?lchown,fchown,fchownat,setxattr,lsetxattr,fsetxattr,removexattr,\
    lremovexattr,fremovexattr,?utimes,?futimesat,utimensat,?truncate,ftruncate,fallocate";

/// The calls of a run that change something, or open files.
fn traced(sandbox: &Sandbox, words: &[&str]) -> Option<(Run, Vec<String>)> {
    let strace = crate::harness::strace()?;
    let traced = ["-f", "-qq", "-o", "calls", "-e", TRACED, env!("CARGO_BIN_EXE_umoci")];
    let run = sandbox.peer(&strace, &[&traced, words].concat());
    let calls = std::fs::read_to_string(sandbox.path("calls")).unwrap();
    Some((run, calls.lines().map(str::to_owned).collect()))
}

/// How often a call opens a layer of `img:full`.
fn layers_opened(sandbox: &Sandbox, calls: &[String]) -> usize {
    let (_, manifest) = sandbox.manifest("img", "full");
    let digest = |layer: &serde_json::Value| layer["digest"].as_str().unwrap()[7..].to_owned();
    let layers: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(digest).collect();
    calls.iter().filter(|call| layers.iter().any(|layer| call.contains(layer))).count()
}

/// Too few: files of `img:full` are of the users 33 and 1000.
const FEW: &str = "--uid-map=0:200000:10";
const TOLD: &str = "the maps lack container uids 33, 1000: \
    5 entries have owners outside of the maps: unpack layer sha256:";

#[test]
fn nothing_is_written_before_all_owners_are_known() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    let before = sandbox.tree("");
    for command in [["unpack"].as_slice(), &["raw", "unpack"]] {
        for place in ["missing", "empty"] {
            let words = [command, &[FEW, "--image=img:full", place]].concat();
            let Some((run, calls)) = traced(&sandbox, &words) else { return };
            let line = run.fails();
            assert!(line.contains(TOLD), "{line}");
            let end = "unpack entry: locked: map uid to host: \
                container id 1000 cannot be mapped to a host id";
            assert!(line.ends_with(end), "{line}");
            std::fs::remove_file(sandbox.path("calls")).unwrap();
            assert_eq!(sandbox.tree(""), before);
            let writing = ["O_CREAT", "O_WRONLY", "O_RDWR"];
            let changes = calls.iter().filter(|call| {
                !call.contains("openat") || writing.iter().any(|flag| call.contains(flag))
            });
            assert_eq!(changes.collect::<Vec<_>>(), Vec::<&String>::new());
            assert!(layers_opened(&sandbox, &calls) > 0, "{calls:#?}");
        }
    }
}

#[test]
fn owners_are_looked_for_only_where_some_may_be_lacking() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let all = "--uid-map=1000:0:4294966295";
    for (bundle, maps, times) in [
        ("plain", &[][..], 1),
        ("rootless", &["--rootless"], 1),
        ("all", &[all, "--uid-map=0:4294966295:1000"], 1),
        ("some", &["--uid-map=0:0:4294967294"], 2),
    ] {
        let words = [&["unpack", "--image=img:full", bundle], maps].concat();
        let Some((run, calls)) = traced(&sandbox, &words) else { return };
        run.succeeds();
        let (_, manifest) = sandbox.manifest("img", "full");
        let layers = manifest["layers"].as_array().unwrap().len();
        assert_eq!(layers_opened(&sandbox, &calls), times * layers, "{bundle}");
    }
    // Nobody waits for that who cannot have the bundle anyway.
    let words = ["unpack", "--image=img:full", FEW, "plain"];
    let Some((run, calls)) = traced(&sandbox, &words) else { return };
    run.fails_with("config.json already exists");
    assert_eq!(layers_opened(&sandbox, &calls), 0);
}

#[test]
fn a_full_disk_does_not_hide_an_id_outside_of_the_maps() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let script = format!(
        "mount -t tmpfs -o size=64k,nr_inodes=5 none home\n\
         head -c 1M /dev/zero >home/full 2>/dev/null || true\n\
         ! $umoci unpack {FEW} --image=img:full home/b; ls -A home\n"
    );
    let Some(run) = with_mounts(&sandbox, &script) else { return };
    assert_eq!(run.succeeds(), "full\n");
    assert!(run.stderr().contains(TOLD), "{}", run.stderr());
}

#[test]
fn one_try_is_enough_to_learn_of_all_ids() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let words = ["unpack", "--image=img:full", FEW, "--gid-map=0:200000:7", "b"];
    let line = sandbox.umoci(&words).fails();
    let lacking =
        "the maps lack container uids 33, 1000 and container gids 33, 42, 1000: 7 entries";
    assert!(line.contains(lacking), "{line}");
    let more = ["--uid-map=33:300033:968", "--gid-map=33:300033:968"];
    sandbox.umoci(&[&words[..], &more].concat()).succeeds_silently();

    // All at once where it is packed, too.
    for (name, owner) in [("one", 5000), ("two", 70_000)] {
        let file = sandbox.path("b/rootfs").join(name);
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::lchown(&file, Some(owner), Some(200_000)).unwrap();
    }
    let before = sandbox.tree("img");
    let told = "the maps lack host uids 5000, 70000: 2 objects have owners outside of the \
        maps: could not add file";
    let insert = ["insert", "--image=img:full", FEW, more[0], "--gid-map=0:200000:9999"];
    let insert = [&insert[..], &["--gid-map=9999:300000:99999", "b/rootfs", "/"]].concat();
    for words in [&["repack", "--image=img:new", "b"][..], &insert] {
        let line = sandbox.umoci(words).fails();
        assert!(line.contains(told), "{line}");
        assert!(line.ends_with("host id 5000 cannot be mapped to a container id"), "{line}");
        assert_eq!(sandbox.tree("img"), before);
        assert_no_blob_was_begun(&sandbox, words);
    }
}

#[test]
fn maps_are_taken_in_any_form_that_makes_sense() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let unpack = |maps: &[&str]| {
        let maps: Vec<_> = maps.iter().map(|map| format!("--uid-map={map}")).collect();
        let maps = maps.iter().map(String::as_str);
        let words: Vec<_> = ["unpack", "--image=img", "b"].into_iter().chain(maps).collect();
        sandbox.umoci(&words)
    };
    for (maps, root) in [
        (&["0:1000"][..], 1000),
        (&["9:9:5", "1:300000:8", "0:1000"], 1000),
        (&["0:4294967290:5"], 4_294_967_290),
        (&["0:0:4294967295"], 0),
    ] {
        unpack(maps).succeeds_silently();
        let owner = sandbox.path("b/rootfs").metadata().unwrap().uid();
        assert_eq!(owner, root, "{maps:?}");
        std::fs::remove_dir_all(sandbox.path("b")).unwrap();
    }
    let beyond = "goes beyond the last id, which is 4294967294";
    for (maps, told) in [
        (&["0:0:0"][..], "range 0:0:0 is empty"),
        (&["0:4294967290:6"], beyond),
        (&["0:4294967295"], beyond),
        (&["0:0", "4294967295:1"], beyond),
        (&["0:0:10", "0:0:10"], "ranges 0:0:10 and 0:0:10 overlap"),
        (&["0:0:10", "10:9:10"], "ranges 0:0:10 and 10:9:10 overlap"),
        (&["1:1:10"], "ensure rootuid has mapping"),
    ] {
        unpack(maps).fails_with(told);
        assert!(!sandbox.path("b").exists());
    }
}
