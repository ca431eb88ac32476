// SPDX-License-Identifier: Apache-2.0
//! Filesystems that cannot do everything, as one in user space that refuses what it is told to.

use std::path::Path;

use super::scene::{self, last_layer, members, touch};
use crate::harness::{Run, Sandbox, needs_root, peer, skip};

/// Runs a script with mounts of its own, in which `$umoci` is the program and `$user` runs a
/// command as an ordinary user.
pub(crate) fn with_mounts(sandbox: &Sandbox, script: &str) -> Option<Run> {
    let unshare = peer("unshare")?;
    let umoci = sandbox.copy_for_others();
    let user = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let script = format!("set -e\numoci={}\nuser='{user}'\n{script}", umoci.display());
    Some(sandbox.peer(&unshare, &["-m", "sh", "-c", &script]))
}

/// As [`with_mounts`], where `limited LIMIT...` mounts at `m` a filesystem in user space that
/// refuses what `limited.py` says, and `unlimited` takes it away.
pub(crate) fn with_limits(sandbox: &Sandbox, script: &str) -> Option<Run> {
    let python = Path::new("/usr/bin/python3");
    let has_fuse = Path::new("/dev/fuse").exists()
        && python.exists()
        && sandbox.peer(python, &["-c", "import fusepy"]).status() == Some(0);
    if !has_fuse {
        return skip("/dev/fuse and the Debian package python3-fusepy");
    }
    let limited = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/rootless/limited.py");
    let functions = format!(
        "unlimited() {{ umount m; wait; trap - EXIT; }}\n\
         limited() {{\n\
         mkdir -p shown m; chmod 777 shown; /usr/bin/python3 {limited} shown m \"$@\" &\n\
         trap 'umount m' EXIT; while ! mountpoint -q m; do sleep 0.02; done; }}\n"
    );
    with_mounts(sandbox, &(functions + script))
}

/// The lines of a run that succeeds: a warning for each kind, and the counts.
#[track_caller]
pub(super) fn told(run: &Run, kinds: usize) -> String {
    run.succeeds();
    let told = run.stderr();
    assert_eq!(told.lines().count(), kinds + 1, "{told}");
    told.lines().last().unwrap().to_owned()
}

/// The layer of everything that root makes of its bundle, as `img:root`.
pub(super) fn layer_of_root(sandbox: &Sandbox) {
    touch(&sandbox.path("root/rootfs"));
    let words = ["repack", "--compress=none", "--image=img:root", "root"];
    sandbox.umoci(&words).succeeds_silently();
    sandbox.give_to_ordinary_user("img");
}

/// Changes all of a bundle and repacks it, in a script.
const REPACK: &str = "find m/b/rootfs -exec touch -h -d @1234567890 {} +\n\
    $as $umoci repack --compress=none --image=img:new m/b\n";

#[test]
fn what_a_filesystem_in_user_space_refuses_is_recorded() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    layer_of_root(&sandbox);
    for (limits, kinds, counts) in [
        ("owners", 1, "10 owners in the record"),
        ("attributes", 1, "3 attributes in the record"),
        ("nodes", 2, "2 devices as empty files, 1 FIFO as an empty file"),
        (
            "owners attributes nodes",
            4,
            "10 owners in the record, 2 devices as empty files, 1 FIFO as an empty file, \
                3 attributes in the record",
        ),
        // All but links and what has the bits of new files, which their owner can read and write.
        ("modes", 1, "16 modes in the record"),
        ("stubborn", 2, "10 owners in the record, 16 modes in the record"),
        // Each mount has other inodes, and each name one of its own.
        ("numbers", 1, "1 hard link as a copy"),
    ] {
        let unpack = format!("limited {limits}; $umoci unpack --image=img:full m/b; unlimited");
        let Some(run) = with_limits(&sandbox, &unpack) else { return };
        let line = told(&run, kinds);
        assert!(line.ends_with(&format!("emulated: {counts}")), "{limits}: {line}");
        let repack = format!("limited {limits}; as=; {REPACK}");
        let run = with_limits(&sandbox, &repack).unwrap();
        if limits == "numbers" {
            run.succeeds_silently();
        } else {
            assert_eq!(run.emulates(), counts, "{limits}");
            assert_eq!(members(&sandbox, "new"), members(&sandbox, "root"), "{limits}");
            assert_eq!(last_layer(&sandbox, "new"), last_layer(&sandbox, "root"), "{limits}");
        }
        let strict =
            format!("rm -r shown; limited {limits}; $umoci unpack --strict --image=img:full m/s");
        let strict = with_limits(&sandbox, &strict).unwrap();
        assert!(strict.fails().ends_with("(strict)"), "{limits}");
        std::fs::remove_dir_all(sandbox.path("shown")).unwrap();
    }
}

#[test]
fn an_ordinary_user_loses_nothing_where_inodes_change_their_numbers() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let unpack = "limited numbers attributes; chmod 777 m\n\
        $user $umoci unpack --rootless --image=img:full m/b; unlimited";
    let Some(run) = with_limits(&sandbox, unpack) else { return };
    let line = told(&run, 1);
    assert!(line.contains("11 owners in the record, 2 devices as empty files"), "{line}");
    let repack = format!("limited numbers attributes; as=$user; {REPACK}");
    with_limits(&sandbox, &repack).unwrap().emulates();
    layer_of_root(&sandbox);
    // The second name is the file again that it was: its size is no longer that of a link.
    let (new, root) = (members(&sandbox, "new"), members(&sandbox, "root"));
    let without = |lines: &str| {
        let lines = lines.lines().filter(|line| !line.contains("gshadow-"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(without(&new), without(&root));
    let second = new.lines().find(|line| line.ends_with("etc/gshadow-")).unwrap();
    assert!(second.starts_with("---------- 0/42             12 "), "{second}");
}

#[test]
fn labels_of_the_host_are_no_part_of_an_image() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    layer_of_root(&sandbox);
    let script = format!(
        "limited labels; $umoci unpack --image=img:full m/b\n\
         getfattr --absolute-names -d -m - m/b/rootfs/bin/su | grep -c -e selinux -e nfs4\n\
         $umoci repack --image=img:same m/b\n\
         as=; {REPACK}\n\
         $umoci raw unpack --image=img:full m/b/rootfs\n"
    );
    let Some(run) = with_limits(&sandbox, &script) else { return };
    assert_eq!(run.succeeds(), "2\n");
    assert_eq!(run.stderr(), "");
    assert_eq!(last_layer(&sandbox, "same"), last_layer(&sandbox, "full"));
    assert_eq!(last_layer(&sandbox, "new"), last_layer(&sandbox, "root"));
}

#[test]
fn a_hard_link_that_is_refused_is_a_copy() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let unpack = "limited links owners; $umoci unpack --image=img:full m/b\n\
        stat -c '%a %s %h' m/b/rootfs/etc/gshadow-";
    let Some(run) = with_limits(&sandbox, unpack) else { return };
    let line = told(&run, 2);
    assert!(line.ends_with("11 owners in the record, 1 hard link as a copy"), "{line}");
    assert_eq!(run.stdout(), "0 12 1\n");
    let repack = format!("limited links owners; as=; {REPACK}");
    let counts = with_limits(&sandbox, &repack).unwrap().emulates();
    assert_eq!(counts, "11 owners in the record");
    let lines = members(&sandbox, "new");
    let copies = lines.lines().filter(|line| line.contains("0/42") && line.contains("gshadow"));
    assert_eq!(copies.count(), 2, "{lines}");
}

#[test]
fn a_filesystem_without_symbolic_links_is_told() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let unpack = "limited symlinks; ! $umoci unpack --image=img:full m/b && test ! -e m/b\n\
        $umoci unpack --image=img m/b";
    let Some(run) = with_limits(&sandbox, unpack) else { return };
    run.succeeds();
    let text = "unpack entry: var/www/link: the filesystem has no symbolic links\n";
    assert!(run.stderr().ends_with(text), "{}", run.stderr());
}

#[test]
fn files_of_its_own_are_no_obstacle_either() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    sandbox.give_to_ordinary_user("img");
    let script = "mkdir shown; cp -a img shown/img; mkdir shown/old; chmod 755 shown/old\n\
        limited owners modes; echo text >text\n\
        $umoci insert --image=m/img text /text; $umoci unpack --image=m/img m/b\n\
        $umoci raw runtime-config --image=m/img m/c.json\n\
        $umoci raw runtime-config --image=m/img m/c.json; cat m/b/rootfs/text\n\
        $umoci unpack --image=m/img m/old; stat -c %a m/b m/old\n\
        ! $umoci unpack --strict --image=m/img m/old\n";
    let Some(run) = with_limits(&sandbox, script) else { return };
    assert_eq!(run.succeeds(), "text\n700\n755\n");
    let told: Vec<_> = run.stderr().lines().map(str::to_owned).collect();
    let denied = "operation not permitted";
    let expected = [
        format!("umoci: warn: new files do not get the owner of layout \"m/img\": {denied}"),
        format!("umoci: warn: bundle \"m/old\" stays open to others: {denied}"),
        format!("umoci: create runtime bundle: change mode of bundle \"m/old\": {denied}"),
    ];
    assert_eq!(told, expected);
}
