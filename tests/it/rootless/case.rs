// SPDX-License-Identifier: Apache-2.0
//! Filesystems that take upper and lower case for the same: one in user space, and those of
//! another kernel, as many kernels have none.

use std::io::Write;
use std::path::PathBuf;

use super::filesystem::{told, with_limits};
use super::scene::last_layer;
use crate::harness::{Run, Sandbox, needs_root, peer};

/// What a layer has: `name/` is a directory, `name -> target` a symbolic link, `name = target` a
/// hard link, and any other name a file with itself in it.
pub(super) fn add_layer(sandbox: &Sandbox, image: &str, members: &[&str]) {
    let mut layer = tar::Builder::new(Vec::new());
    for member in members {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(0);
        let mut link = |kind, name: &str, target: &str| {
            header.set_entry_type(kind);
            layer.append_link(&mut header, name, target).unwrap();
        };
        if let Some((name, target)) = member.split_once(" -> ") {
            link(tar::EntryType::Symlink, name, target);
        } else if let Some((name, target)) = member.split_once(" = ") {
            link(tar::EntryType::Link, name, target);
        } else if member.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            layer.append_data(&mut header, member, std::io::empty()).unwrap();
        } else {
            header.set_size(member.len() as u64);
            layer.append_data(&mut header, member, member.as_bytes()).unwrap();
        }
    }
    add_archive(sandbox, image, layer);
}

pub(super) fn add_archive(sandbox: &Sandbox, image: &str, layer: tar::Builder<Vec<u8>>) {
    std::fs::write(sandbox.path("layer.tar"), layer.into_inner().unwrap()).unwrap();
    let image = format!("--image=img:{image}");
    sandbox.umoci(&["raw", "add-layer", &image, "layer.tar"]).succeeds_silently();
}

/// A sandbox with the image `img:cases`, and `img:links`, `img:twins` and `img:lost` after it.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["tag", "--image=img", "cases"]).succeeds_silently();
    let lib = ["d/", "d/README", "d/readme", "lib/", "lib/one", "Lib/", "Lib/two"];
    add_layer(&sandbox, "cases", &lib);
    // One that is renamed, in an order in which the old name goes last.
    add_layer(&sandbox, "cases", &["old"]);
    add_layer(&sandbox, "cases", &["OLD", ".wh.old"]);
    for image in ["links", "twins", "lost"] {
        sandbox.umoci(&["tag", "--image=img:cases", image]).succeeds_silently();
    }
    add_layer(&sandbox, "links", &["s -> d/README", "h = d/README"]);
    add_layer(&sandbox, "twins", &["Twin", "twin = Twin", "twin2", "Twin2 = twin2"]);
    add_layer(&sandbox, "lost", &["LIB -> lib"]);
    sandbox
}

/// Where upper and lower case are the same.
pub(super) type Place = fn(&Sandbox, &str) -> Option<Run>;

/// Ways to run a script in which a filesystem is mounted at `m` that does not tell upper and
/// lower case apart, and `$umoci` is the program.
pub(super) const PLACES: [(&str, Place); 3] = [
    ("FUSE", |sandbox, script| with_limits(sandbox, &format!("limited case; {script}"))),
    ("XFS", |sandbox, script| {
        in_another_kernel(sandbox, "xfs", ["mkfs.xfs", "-q -n version=ci"], script)
    }),
    ("JFS", |sandbox, script| in_another_kernel(sandbox, "jfs", ["jfs_mkfs", "-q -O"], script)),
];

/// Says that a place is left out. Unlike other programs, a kernel is not asked for everywhere: not
/// every machine lets one run.
fn leave_out<T>(missing: &str) -> Option<T> {
    let _ = writeln!(std::io::stderr(), "skipped: filesystems of another kernel need {missing}");
    None
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<_> = std::env::split_paths(&path).map(|dir| dir.join(program)).collect();
    places.into_iter().find(|path| path.is_file()).or_else(|| leave_out(program))
}

/// Runs a script in user-mode Linux, which sees all files of this machine, on a filesystem that a
/// program makes with these options.
fn in_another_kernel(
    sandbox: &Sandbox,
    kind: &str,
    [program, options]: [&str; 2],
    script: &str,
) -> Option<Run> {
    let (kernel, make) = (find("linux.uml")?, find(program)?);
    let (top, umoci) = (sandbox.path(""), sandbox.copy_for_others());
    let (top, umoci) = (top.display(), umoci.display());
    let init = format!(
        "#!/bin/sh\n\
         export PATH=/usr/sbin:/usr/bin:/sbin:/bin; cd {top}; echo >started\n\
         mount -t proc proc /proc && mount -t {kind} /dev/ubda m\n\
         umoci={umoci} sh -ec '{script}' >out 2>err\n\
         echo $? >status; cd /; umount {top}/m; echo o >/proc/sysrq-trigger; sleep 9\n"
    );
    std::fs::write(sandbox.path("init"), init).unwrap();
    let run = format!(
        "mkdir -p m; rm -f disk out err started status; truncate -s 400M disk; chmod 755 init\n\
         {make} {options} disk >/dev/null\n\
         HOME={top} timeout 120 {kernel} mem=256M root=/dev/root rootfstype=hostfs rootflags=/ rw \
         init={top}/init ubda={top}/disk con=null con0=null quiet </dev/null >log 2>&1\n\
         cat out; cat err >&2; exit $(cat status)",
        kernel = kernel.display(),
        make = make.display()
    );
    let run = sandbox.peer(&peer("sh")?, &["-c", &run]);
    if !sandbox.path("started").exists() {
        return leave_out("a machine that lets linux.uml run");
    }
    Some(run)
}

/// What is in the files of the bundle `m/b`.
const LIST: &str =
    "(cd m/b/rootfs; find . -type f | sort | xargs -n1 sh -c \"echo \\$0 \\$(cat \\$0)\")";

#[test]
fn names_that_differ_in_case_only_are_told() {
    if !needs_root() {
        return;
    }
    for (place, run_in) in PLACES {
        let sandbox = sandbox();
        let script = format!("$umoci unpack --image=img:cases m/b; {LIST}");
        let Some(run) = run_in(&sandbox, &script) else { continue };
        let line = told(&run, 1);
        assert!(line.ends_with("emulated: 3 names that are taken for others"), "{place}: {line}");
        let expected = "./OLD OLD\n./d/readme d/readme\n./lib/one lib/one\n./lib/two Lib/two\n";
        assert_eq!(run.stdout(), expected, "{place}");
        let script = "$umoci unpack --strict --image=img:cases m/s";
        let line = run_in(&sandbox, script).unwrap().fails();
        assert!(line.contains("d/readme") && line.contains("differs in case only"), "{line}");
        // Elsewhere there is nothing to say.
        sandbox.umoci(&["unpack", "--strict", "--image=img:cases", "all"]).succeeds_silently();
        let at = |name: &str| sandbox.path("all/rootfs").join(name).exists();
        assert!(at("OLD") && !at("old"));
    }
}

/// A single directory may be like that, as those of ext4 with `casefold`.
#[test]
fn one_directory_among_others_is_told() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let names = ["README", "readme", "lib/", "lib/one", "Lib/", "Lib/two", "1", "2"];
    for dir in ["folded", "other"] {
        let names = names.iter().map(|name| format!("{dir}/{name}"));
        let names: Vec<_> = std::iter::once(format!("{dir}/")).chain(names).collect();
        add_layer(&sandbox, "latest", &names.iter().map(String::as_str).collect::<Vec<_>>());
    }
    // Names of earlier layers are no others than these.
    add_layer(&sandbox, "latest", &["folded/1", "folded/README", "other/README", "folded/.wh.LIB"]);
    let script = format!("limited folded; $umoci unpack --image=img m/b; {LIST}");
    let Some(run) = with_limits(&sandbox, &script) else { return };
    let line = told(&run, 1);
    assert!(line.ends_with("emulated: 3 names that are taken for others"), "{line}");
    let folded = "./folded/1 folded/1\n./folded/2 folded/2\n./folded/README folded/README\n\
                  ./folded/lib/one folded/lib/one\n./folded/lib/two folded/Lib/two\n";
    let other = "./other/1 other/1\n./other/2 other/2\n./other/Lib/two other/Lib/two\n\
                 ./other/README other/README\n./other/lib/one other/lib/one\n\
                 ./other/readme other/readme\n";
    assert_eq!(run.stdout(), [folded, other].concat());
    let strict = "limited folded; $umoci unpack --strict --image=img m/s";
    let line = with_limits(&sandbox, strict).unwrap().fails();
    assert!(line.contains("folded/readme") && line.contains("differs in case only"), "{line}");
}

/// What has lost its place is no change, and what is changed is named as it is listed.
#[test]
fn a_repack_claims_nothing_for_names_that_are_taken() {
    if !needs_root() {
        return;
    }
    for (place, run_in) in PLACES {
        let sandbox = sandbox();
        let script = "$umoci unpack --image=img:cases m/b\n\
            $umoci repack --image=img:same m/b; $umoci repack --rehash --image=img:read m/b\n\
            echo new >m/b/rootfs/d/README; echo new >m/b/rootfs/LIB/new\n\
            $umoci repack --image=img:new m/b";
        let Some(run) = run_in(&sandbox, script) else { continue };
        run.succeeds();
        for tag in ["same", "read"] {
            assert_eq!(last_layer(&sandbox, tag), last_layer(&sandbox, "cases"), "{place} {tag}");
        }
        let members = sandbox.top_members("img", "new");
        assert_eq!(members, ["d/readme", "lib/", "lib/new"], "{place}");
    }
}

#[test]
fn a_hard_link_to_a_name_that_is_taken_is_told() {
    if !needs_root() {
        return;
    }
    for (place, run_in) in PLACES {
        let sandbox = sandbox();
        let script = format!(
            "$umoci unpack --image=img:links m/b; {LIST}\n\
             $umoci repack --rehash --image=img:read m/b"
        );
        let Some(run) = run_in(&sandbox, &script) else { continue };
        let line = told(&run, 1);
        assert!(line.ends_with("emulated: 4 names that are taken for others"), "{place}: {line}");
        assert!(run.stdout().contains("./h d/readme\n"), "{place}: {}", run.stdout());
        assert_eq!(last_layer(&sandbox, "read"), last_layer(&sandbox, "links"), "{place}");
        // Links of one file by names that are the same.
        let script = "$umoci unpack --image=img:twins m/t; cat m/t/rootfs/*win*";
        let run = run_in(&sandbox, script).unwrap();
        assert_eq!(run.succeeds(), "Twintwin2", "{place}");
    }
}

#[test]
fn a_directory_is_not_lost_for_a_name() {
    if !needs_root() {
        return;
    }
    for (place, run_in) in PLACES {
        let sandbox = sandbox();
        let script = "! $umoci unpack --image=img:lost m/b && test ! -e m/b";
        let Some(run) = run_in(&sandbox, script) else { continue };
        assert_eq!(run.succeeds(), "", "{place}");
        let text = "LIB: its place is taken by a directory whose name differs in case only\n";
        assert!(run.stderr().ends_with(text), "{place}: {}", run.stderr());
    }
}

#[test]
fn names_that_lose_their_case_are_refused() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox();
    let script = "limited lower; $umoci unpack --image=img:cases m/b";
    let Some(run) = with_limits(&sandbox, script) else { return };
    run.fails_with("the filesystem does not keep upper and lower case of names");
    assert!(!sandbox.path("shown/b").exists());
}
