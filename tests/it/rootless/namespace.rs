// SPDX-License-Identifier: Apache-2.0
//! User namespaces, and id maps without one.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use super::scene::{self, CAPABILITY, last_layer, members, touch};
use crate::harness::{Run, Sandbox, needs_root, peer, skip, strace};

/// Runs the program as root of a new user namespace in which only that root exists.
pub(super) fn alone(sandbox: &Sandbox, words: &[&str]) -> Option<Run> {
    let unshare = peer("unshare")?;
    let test = Run::of(&mut sandbox.peer_of_ordinary_user(&unshare, &["-r", "true"]));
    if test.status() != Some(0) {
        return skip("unprivileged user namespaces");
    }
    let program = sandbox.copy_for_others();
    let words = [&["-r", program.to_str().unwrap()], words].concat();
    Some(Run::of(&mut sandbox.peer_of_ordinary_user(&unshare, &words)))
}

/// Runs the program as root of a new user namespace that has the ids from 100000 on.
pub(super) fn with_range(sandbox: &Sandbox, words: &[&str]) -> Option<Run> {
    let (unshare, nsenter) = (peer("unshare")?, peer("nsenter")?);
    // Holds the namespace until its standard input ends.
    let mut holder = sandbox.peer_as_root(&unshare, &["-U", "cat"]);
    let mut holder = holder.stdin(Stdio::piped()).spawn().unwrap();
    let own = std::fs::read_link("/proc/self/ns/user").unwrap();
    let proc = format!("/proc/{}", holder.id());
    while std::fs::read_link(format!("{proc}/ns/user")).unwrap() == own {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    std::fs::write(format!("{proc}/uid_map"), "0 100000 65536\n").unwrap();
    std::fs::write(format!("{proc}/gid_map"), "0 100000 65536\n").unwrap();
    let (program, id) = (sandbox.copy_for_others(), holder.id().to_string());
    let enter = ["-U", "-t", &id, "-S", "0", "-G", "0", program.to_str().unwrap()];
    let run = sandbox.peer(&nsenter, &[&enter, words].concat());
    drop(holder.stdin.take());
    holder.wait().unwrap();
    Some(run)
}

fn assert_same_layers(sandbox: &Sandbox, one: &str, other: &str) {
    assert_eq!(members(sandbox, one), members(sandbox, other));
    assert_eq!(last_layer(sandbox, one), last_layer(sandbox, other));
}

/// The warnings of a run that succeeds.
fn warnings(run: &Run) -> Vec<String> {
    run.succeeds();
    run.stderr().lines().map(str::to_owned).collect()
}

#[test]
fn root_of_a_namespace_of_one_loses_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let Some(run) = alone(&sandbox, &["unpack", "--image=img:full", "home/b"]) else { return };
    let told = warnings(&run);
    let summary = told.last().unwrap();
    let counts = "10 owners in the record, 2 devices as empty files, 1 attribute in the record";
    assert!(summary.ends_with(&format!("emulated: {counts}")), "{told:#?}");
    assert_eq!(told.len(), 4, "one line for each kind, and the summary: {told:#?}");
    touch(&sandbox.path("home/b/rootfs"));
    touch(&sandbox.path("root/rootfs"));
    let words = ["repack", "--compress=none", "--image=img:user", "home/b"];
    assert_eq!(alone(&sandbox, &words).unwrap().emulates(), counts);
    let words = ["repack", "--compress=none", "--image=img:root", "root"];
    sandbox.umoci(&words).succeeds_silently();
    assert_same_layers(&sandbox, "user", "root");
}

/// Which owners there are is known from the map of the namespace: but for trying one that an
/// ordinary file may have, none is given a file that it does not have.
#[test]
fn nobody_is_given_files_who_is_not_there() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    // It says whether there are such namespaces.
    let Some(run) = alone(&sandbox, &["--version"]) else { return };
    run.succeeds();
    let (Some(strace), Some(unshare)) = (strace(), peer("unshare")) else { return };
    let program = sandbox.copy_for_others();
    let traced = ["-f", "-qq", "-o", "home/calls", "-e", "trace=chown,lchown,fchown,fchownat"];
    let words = [unshare.to_str().unwrap(), "-r", program.to_str().unwrap()];
    let words = [&traced[..], &words, &["unpack", "--image=img:full", "home/b"]].concat();
    let run = Run::of(&mut sandbox.peer_of_ordinary_user(&strace, &words));
    let told = warnings(&run);
    assert!(told.last().unwrap().contains("10 owners in the record"), "{told:#?}");
    let calls = std::fs::read_to_string(sandbox.path("home/calls")).unwrap();
    let refused: Vec<_> = calls.lines().filter(|line| line.contains("EINVAL")).collect();
    assert!(matches!(refused[..], [tried] if tried.contains(", 1, 1")), "{refused:#?}");
}

#[test]
fn root_of_a_namespace_gives_files_away() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    sandbox.give_to("img", 100_000);
    sandbox.give_to("home", 100_000);
    let words = ["unpack", "--image=img:full", "home/b"];
    let Some(run) = with_range(&sandbox, &words) else { return };
    let told = warnings(&run);
    assert!(told.last().unwrap().contains("2 devices as empty files"), "{told:#?}");
    assert!(!told.last().unwrap().contains("owners"), "{told:#?}");
    let page = sandbox.path("home/b/rootfs/var/www/page").metadata().unwrap();
    assert_eq!((page.uid(), page.gid()), (100_033, 100_033));
    touch(&sandbox.path("home/b/rootfs"));
    touch(&sandbox.path("root/rootfs"));
    let words = ["repack", "--compress=none", "--image=img:user", "home/b"];
    with_range(&sandbox, &words).unwrap().emulates();
    let words = ["repack", "--compress=none", "--image=img:root", "root"];
    sandbox.umoci(&words).succeeds_silently();
    assert_same_layers(&sandbox, "user", "root");
}

/// Runs the program as an ordinary user who has been given ranges of ids, as
/// `/etc/subuid` and `newuidmap` give them.
pub(super) fn with_own_ranges(sandbox: &Sandbox, words: &[&str]) -> Option<Run> {
    peer("newuidmap")?;
    std::fs::write(sandbox.path("ranges"), "65534:100000:500\n65534:200000:600\n").unwrap();
    let program = sandbox.copy_for_others();
    let script = format!(
        "for f in /etc/subuid /etc/subgid; do mount --bind ranges $f; done\n\
         exec setpriv --reuid 65534 --regid 65534 --clear-groups \\\n\
         unshare --map-root-user --map-users=100000,1,500 --map-groups=100000,1,500 {} {}\n",
        program.display(),
        words.join(" ")
    );
    let run = sandbox.peer(&peer("unshare")?, &["-m", "sh", "-e", "-c", &script]);
    if run.stderr().contains("unshare: ") {
        return skip(&format!("unshare with ranges of ids: {}", run.stderr()));
    }
    Some(run)
}

#[test]
fn a_user_with_ranges_of_ids_gives_files_away() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let words = ["unpack", "--image=img:full", "home/b"];
    let Some(run) = with_own_ranges(&sandbox, &words) else { return };
    let told = warnings(&run);
    // 1000 is beyond the ranges, the other owners are set.
    let counts = "2 owners in the record, 2 devices as empty files, 1 attribute in the record";
    let expected = format!("emulated: {counts}");
    assert!(told.last().unwrap().ends_with(&expected), "{told:#?}");
    assert_eq!(told.len(), 4, "{told:#?}");
    let owner = |name: &str| {
        let metadata = sandbox.path("home/b/rootfs").join(name).symlink_metadata().unwrap();
        (metadata.uid(), metadata.gid())
    };
    assert_eq!(owner("etc/passwd"), (65_534, 65_534));
    assert_eq!(owner("var/www/page"), (100_032, 100_032));
    let ping = sandbox.path("home/b/rootfs/bin/ping");
    let capability = xattr::get(ping, "security.capability").unwrap().unwrap();
    assert_eq!((capability[3], &capability[20..]), (3, &65_534_u32.to_le_bytes()[..]));
    touch(&sandbox.path("home/b/rootfs"));
    touch(&sandbox.path("root/rootfs"));
    let words = ["repack", "--compress=none", "--image=img:user", "home/b"];
    assert_eq!(with_own_ranges(&sandbox, &words).unwrap().emulates(), counts);
    let words = ["repack", "--compress=none", "--image=img:root", "root"];
    sandbox.umoci(&words).succeeds_silently();
    assert_same_layers(&sandbox, "user", "root");
}

pub(super) const MAPS: [&str; 4] = [
    "--uid-map=0:200000:40",
    "--uid-map=40:300000:65000",
    "--gid-map=0:200000:7",
    "--gid-map=7:300000:65000",
];

#[test]
fn several_ranges_lead_there_and_back() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let words = [&["unpack", "--image=img:full", "mapped"], &MAPS[..]].concat();
    sandbox.umoci(&words).succeeds_silently();
    let owner = |name: &str| {
        let metadata = sandbox.path("mapped/rootfs").join(name).symlink_metadata().unwrap();
        (metadata.uid(), metadata.gid())
    };
    assert_eq!(owner("etc/passwd"), (200_000, 200_000));
    assert_eq!(owner("etc/shadow"), (200_000, 300_035));
    assert_eq!(owner("locked"), (300_960, 300_993));
    let ping = sandbox.path("mapped/rootfs/bin/ping");
    let capability = xattr::get(ping, "security.capability").unwrap().unwrap();
    let of_namespace = [&CAPABILITY[..3], b"\x03", &CAPABILITY[4..], &200_000_u32.to_le_bytes()];
    assert_eq!(capability, of_namespace.concat());
    touch(&sandbox.path("mapped/rootfs"));
    touch(&sandbox.path("root/rootfs"));
    for (bundle, image) in [("mapped", "--image=img:user"), ("root", "--image=img:root")] {
        sandbox.umoci(&["repack", "--compress=none", image, bundle]).succeeds_silently();
    }
    assert_same_layers(&sandbox, "user", "root");
}

#[test]
fn inserted_files_follow_the_maps() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let words = [&["unpack", "--image=img:full", "mapped"], &MAPS[..]].concat();
    sandbox.umoci(&words).succeeds_silently();
    let words = [
        &["insert", "--image=img:full", "--tag=ins"],
        &MAPS[..],
        &["mapped/rootfs/locked", "/locked"],
    ];
    sandbox.umoci(&words.concat()).succeeds_silently();
    sandbox.umoci(&["unpack", "--image=img:ins", "check"]).succeeds_silently();
    let metadata = sandbox.path("check/rootfs/locked/inner/secret").metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (1000, 1000));
    assert!(Path::new(&sandbox.path("check/rootfs/locked/inner")).is_dir());
}

#[test]
fn a_bundle_of_a_namespace_is_repacked_only_where_its_owners_mean_the_same() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    // Once with something to record, and once with nothing.
    for image in ["full", "latest"] {
        let (bundle, source) = (format!("home/{image}"), format!("--image=img:{image}"));
        let Some(run) = alone(&sandbox, &["unpack", &source, &bundle]) else { return };
        run.succeeds();
        let before = sandbox.tree("img");
        let repack = ["repack", "--image=img:new", &bundle];
        for run in [sandbox.umoci_as_ordinary_user(&repack), sandbox.umoci(&repack)] {
            run.fails_with("what belonged to 0:0 then belongs to 65534:65534 here");
            assert!(run.hint().unwrap().contains("unshare -r"), "{}", run.stderr());
        }
        assert_eq!(sandbox.tree("img"), before);
        alone(&sandbox, &repack).unwrap().succeeds();
    }
}

#[test]
fn no_layer_gets_capabilities_for_one_namespace() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let words = ["unpack", "--rootless", "--image=img:full", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).succeeds();
    let of_namespace = [&CAPABILITY[..3], b"\x03", &CAPABILITY[4..], &65_534_u32.to_le_bytes()];
    let name = "security.capability";
    for bundle in ["home/b", "root"] {
        let program = sandbox.path(bundle).join("rootfs/bin/su");
        xattr::set(program, name, &of_namespace.concat()).unwrap();
    }
    // Without privileges, whoever is root where the image is worked on is root in the image.
    sandbox.umoci_as_ordinary_user(&["repack", "--image=img:user", "home/b"]).succeeds();
    sandbox.umoci(&["unpack", "--image=img:user", "check"]).succeeds_silently();
    let set = xattr::get(sandbox.path("check/rootfs/bin/su"), name).unwrap().unwrap();
    assert_eq!(set, CAPABILITY);
    sandbox.umoci(&["repack", "--image=img:new", "root"]).fails_with(
        "its capabilities are for root of another user namespace (host id 65534); \
         set them again with setcap",
    );
}
