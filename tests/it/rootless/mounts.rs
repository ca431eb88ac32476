// SPDX-License-Identifier: Apache-2.0
//! Filesystems of the kernel and of others in user space, and what is mounted where.

use super::case::add_layer;
use super::filesystem::{layer_of_root, with_limits, with_mounts};
use super::scene::{self, last_layer, members, touch};
use crate::harness::{Sandbox, needs_root, peer, skip};

/// Ways to mount a filesystem at `m`, with the programs that they need.
const FILESYSTEMS: [(&str, &[&str], &str); 6] = [
    ("tmpfs", &[], "mount -t tmpfs none m\n"),
    (
        "ext4 with times in whole seconds",
        &["mkfs.ext4"],
        "truncate -s 32M disk; mkfs.ext4 -q -I 128 disk >/dev/null; mount -o loop disk m\n",
    ),
    (
        "overlayfs",
        &[],
        "mount -t tmpfs none under; mkdir under/lower under/upper under/work\n\
         mount -t overlay none -o lowerdir=under/lower,upperdir=under/upper,workdir=under/work m\n",
    ),
    (
        "bindfs",
        &["bindfs"],
        // Without a memory of its own, in which one name of a file may be older than another.
        "bindfs -o attr_timeout=0 --chown-deny --chgrp-deny --xattr-none under m\n\
         trap 'umount m' EXIT\n",
    ),
    (
        "bindfs without modes",
        &["bindfs"],
        "bindfs -o attr_timeout=0 --chown-deny --chgrp-deny --chmod-deny --xattr-none under m\n\
         trap 'umount m' EXIT\n",
    ),
    (
        "fuse-overlayfs",
        &["fuse-overlayfs"],
        "mkdir under/lower under/upper under/work\n\
         fuse-overlayfs -o lowerdir=under/lower,upperdir=under/upper,workdir=under/work,allow_other m\n\
         trap 'umount m' EXIT\n",
    ),
];

#[test]
fn a_bundle_on_another_filesystem_loses_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    layer_of_root(&sandbox);
    for (name, needs, mount) in FILESYSTEMS {
        if needs.iter().any(|program| peer(program).is_none()) {
            continue;
        }
        for (tag, user, flag) in [("plain", "", ""), ("user", "$user", "--rootless")] {
            let script = format!(
                "mkdir m under; chmod 777 under; {mount}chmod 777 m 2>/dev/null || :\n\
                 {user} $umoci unpack {flag} --image=img:full m/b\n\
                 {user} $umoci repack --image=img:same m/b\n\
                 find m/b/rootfs -exec touch -h -d @1234567890 {{}} +\n\
                 {user} $umoci repack --compress=none --image=img:{tag} m/b\n"
            );
            let Some(run) = with_mounts(&sandbox, &script) else { return };
            run.succeeds();
            assert_eq!(last_layer(&sandbox, "same"), last_layer(&sandbox, "full"), "{name} {tag}");
            assert_eq!(members(&sandbox, tag), members(&sandbox, "root"), "{name} {tag}");
            assert_eq!(last_layer(&sandbox, tag), last_layer(&sandbox, "root"), "{name} {tag}");
            for left in ["m", "under"] {
                std::fs::remove_dir_all(sandbox.path(left)).unwrap();
            }
        }
    }
}

#[test]
fn a_change_in_the_second_of_the_unpack_is_seen() {
    if !needs_root() || peer("mkfs.ext4").is_none() {
        return;
    }
    let sandbox = scene::sandbox();
    let (_, _, mount) = FILESYSTEMS[1];
    let script = format!(
        "mkdir m; {mount}for n in 1 2 3; do $umoci unpack --image=img:full m/$n\n\
         echo etc/PASSWD >m/$n/rootfs/etc/passwd\n\
         $umoci repack --compress=none --image=img:$n m/$n; done\n"
    );
    let Some(run) = with_mounts(&sandbox, &script) else { return };
    run.succeeds_silently();
    for tag in ["1", "2", "3"] {
        let lines = members(&sandbox, tag);
        assert!(lines.contains("etc/passwd"), "{lines}");
    }
}

#[test]
fn hard_links_are_those_of_one_filesystem() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    // The same inode numbers twice, and a third time where the filesystem is mounted again.
    let script = "mkdir first/rootfs/one first/rootfs/two\n\
        for d in one two; do mount -t tmpfs none first/rootfs/$d\n\
        (cd first/rootfs/$d; echo $d >a; ln a b; stat -c %i a); done\n\
        $umoci repack --compress=none --image=img:mounts first\n\
        $umoci unpack --image=img:mounts check; cd check/rootfs; cat */a */b; stat -c %h one/a two/a";
    let Some(run) = with_mounts(&sandbox, script) else { return };
    let lines: Vec<_> = run.succeeds().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], lines[1], "inode numbers");
    assert_eq!(lines[2..], ["one", "two", "one", "two", "2", "2"]);
}

#[test]
fn a_link_to_the_file_of_somebody_else_is_a_copy() {
    if !needs_root() {
        return;
    }
    if std::fs::read_to_string("/proc/sys/fs/protected_hardlinks").ok().as_deref() != Some("1\n") {
        let _: Option<()> = skip("fs.protected_hardlinks=1");
        return;
    }
    let sandbox = Sandbox::with_image();
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    layer.append_link(&mut header, "link", "of-root").unwrap();
    std::fs::write(sandbox.path("layer.tar"), layer.into_inner().unwrap()).unwrap();
    sandbox.umoci(&["raw", "add-layer", "--image=img", "layer.tar"]).succeeds_silently();
    std::fs::create_dir(sandbox.path("tree")).unwrap();
    sandbox.give_to_ordinary_user("tree");
    std::fs::write(sandbox.path("tree/of-root"), "text").unwrap();
    let words = ["raw", "unpack", "--rootless", "--image=img", "tree"];
    let run = sandbox.umoci_as_ordinary_user(&words);
    run.succeeds();
    assert!(run.stderr().ends_with("emulated: 1 hard link as a copy\n"), "{}", run.stderr());
    assert_eq!(std::fs::read_to_string(sandbox.path("tree/link")).unwrap(), "text");
    let strict = ["raw", "unpack", "--rootless", "--strict", "--image=img", "tree"];
    sandbox.umoci_as_ordinary_user(&strict).fails_with("a copy takes the place of the hard link");
}

#[test]
fn a_layout_that_is_mounted_for_reading_only() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let before = sandbox.tree("img");
    let script = "mount --bind -o ro img img\n\
        $umoci ls --layout img; $umoci stat --image=img:full >stat\n\
        for as in '' \"$user\"; do\n\
        $as $umoci unpack --rootless --image=img:full home/b; rm -r home/b\n\
        $as $umoci raw runtime-config --rootless --image=img:full home/config.json\n\
        rm home/config.json; done\n\
        $umoci unpack --image=img:full home/b; ! $umoci repack --image=img:new home/b\n";
    let Some(run) = with_mounts(&sandbox, script) else { return };
    assert_eq!(run.succeeds(), "latest\nfull\n");
    assert!(run.stderr().ends_with("read-only file system\n"), "{}", run.stderr());
    assert_eq!(sandbox.tree("img"), before);
}

#[test]
fn a_filesystem_without_attributes_loses_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    touch(&sandbox.path("root/rootfs"));
    let words = ["repack", "--compress=none", "--image=img:root", "root"];
    sandbox.umoci(&words).succeeds_silently();
    sandbox.give_to_ordinary_user("img");
    // An ordinary user, and root.
    for (tag, user, flag) in [
        ("user", "setpriv --reuid 65534 --regid 65534 --clear-groups", "--rootless"),
        ("plain", "", ""),
    ] {
        let script = format!(
            "mount -t ramfs none home && chown 65534:65534 home\n\
             {user} $umoci --log=info unpack {flag} --image=img:full home/b\n\
             find home/b/rootfs -exec touch -h -d @1234567890 {{}} +\n\
             {user} $umoci repack --compress=none --image=img:{tag} home/b\n"
        );
        let Some(run) = with_mounts(&sandbox, &script) else { return };
        run.succeeds();
        let told = run.stderr();
        let lines = told.lines().filter_map(|line| line.split_once("emulated: "));
        let counts: Vec<_> = lines.map(|(_, counts)| counts).collect();
        // The same of the unpack and of the repack.
        assert!(counts.len() == 2 && counts[0] == counts[1], "{told}");
        assert!(counts[0].contains("in the record"), "{told}");
        assert_eq!(members(&sandbox, tag), members(&sandbox, "root"));
        assert_eq!(last_layer(&sandbox, tag), last_layer(&sandbox, "root"));
    }
}

#[test]
fn a_link_that_cannot_be_is_a_copy() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["unpack", "--image=img", "first"]).succeeds_silently();
    let at = |name: &str| sandbox.path("first/rootfs").join(name);
    for dir in ["a", "b"] {
        std::fs::create_dir(at(dir)).unwrap();
    }
    std::fs::write(at("a/file"), vec![7; 3 << 20]).unwrap();
    std::os::unix::fs::lchown(at("a/file"), Some(5), Some(6)).unwrap();
    scene::set_mode(at("a/file"), 0o640);
    std::fs::hard_link(at("a/file"), at("b/link")).unwrap();
    sandbox.umoci(&["repack", "--image=img:linked", "first"]).succeeds_silently();
    let script = "mkdir -p tree/b && mount -t tmpfs none tree/b\n\
        $umoci raw unpack FLAG --image=img:linked tree\n\
        cmp tree/a/file tree/b/link && stat -c '%u %g %a %h' tree/b/link\n";
    let Some(run) = with_mounts(&sandbox, &script.replace("FLAG", "")) else { return };
    assert_eq!(run.succeeds(), "5 6 640 1\n");
    let told = run.stderr();
    assert!(told.contains("1 hard link as a copy"), "{told}");
    let strict = with_mounts(&sandbox, &script.replace("FLAG", "--strict")).unwrap();
    assert_ne!(strict.status(), Some(0));
    assert!(
        strict.stderr().contains("a copy takes the place of the hard link"),
        "{}",
        strict.stderr()
    );
}

/// In user space a file that is removed while it is open keeps a name in its directory. Small files
/// are open until there are enough of them for a worker.
#[test]
fn a_directory_goes_while_files_in_it_are_open() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let layers: [&[&str]; 3] = [
        &[
            "again/",
            "again/deep/",
            "again/deep/file",
            "again",
            "below/",
            "below/deep/",
            "below/deep/file",
        ],
        &["twice/", "twice/file", "twice/kept", ".wh.below"],
        &["twice", "opaque/", "opaque/file", "opaque/.wh..wh..opq"],
    ];
    for members in layers {
        add_layer(&sandbox, "latest", members);
    }
    let all = "for flag in '' --rootless; do\n\
        $umoci unpack $flag --image=img m/b$flag; (cd m/b$flag/rootfs; find . | sort; cat again twice)\n\
        $umoci repack --image=img:same m/b$flag; done";
    for mount in ["bindfs --no-allow-other under m; trap 'umount m' EXIT\n", "limited\n"] {
        if mount.starts_with("bindfs") && peer("bindfs").is_none() {
            continue;
        }
        let script = format!("mkdir -p m under; {mount}{all}");
        let Some(run) = with_limits(&sandbox, &script) else { return };
        let expected = ".\n./again\n./opaque\n./opaque/file\n./twice\nagaintwice";
        assert_eq!(run.succeeds(), [expected, expected].concat(), "{mount}");
        assert_eq!(run.stderr(), "", "{mount}");
        assert_eq!(last_layer(&sandbox, "same"), last_layer(&sandbox, "latest"), "{mount}");
    }
}
