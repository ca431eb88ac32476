// SPDX-License-Identifier: Apache-2.0
//! Filesystems that keep times in whole seconds, and none of the far future.

use super::filesystem::{told, with_mounts};
use crate::harness::{Run, Sandbox, needs_root, peer};

/// Makes the image `img:full` of the tree `tree`, and mounts at `m` an ext4 whose inodes have room
/// for times in seconds only.
const COARSE: &str = "$umoci insert --image=img --tag=full tree /tree\n\
    mkdir m; truncate -s 32M disk; mkfs.ext4 -q -I 128 disk >/dev/null 2>&1; mount -o loop disk m\n\
    $umoci unpack --image=img:full m/b\n";

/// An unchanged tree gives no layer, also where a date is not on disk as it is in the image; an
/// edit of the same size in the second of the unpack is found.
#[test]
fn coarse_timestamps() {
    if !needs_root() || peer("mkfs.ext4").is_none() {
        return;
    }
    let sandbox = Sandbox::with_image();
    std::fs::create_dir_all(sandbox.path("tree/far")).unwrap();
    for (name, seconds) in
        [("file", 1_500_000_000), ("late", 9_000_000_000), ("far", 9_000_000_000)]
    {
        let path = sandbox.path("tree").join(name);
        if name != "far" {
            std::fs::write(&path, "old\n").unwrap();
        }
        filetime::set_file_mtime(&path, filetime::FileTime::from_unix_time(seconds, 5)).unwrap();
    }
    let script = format!(
        "{COARSE}stat -c %Y m/b/rootfs/tree/late\n\
        $umoci repack --image=img:same m/b\n\
        age=$(stat -c %Y m/b/rootfs/tree/file)\n\
        echo new >m/b/rootfs/tree/file; touch -d @$age m/b/rootfs/tree/file\n\
        $umoci repack --image=img:edited m/b; umount m\n"
    );
    let Some(run) = with_mounts(&sandbox, &script) else { return };
    assert_eq!(run.succeeds(), "2147483647\n");
    told(&run, 1);
    let layers = |tag| sandbox.layers("img", tag).len();
    assert_eq!(layers("same"), layers("full"));
    assert_eq!(layers("edited"), layers("full") + 1);
}

/// The image `img:far`, which an ordinary user may read and write: a file with two names, a link
/// and a directory of a date beyond 32 bits of seconds, and files of other dates. `img:less` is
/// without the file. Needs root.
fn far_dates() -> Sandbox {
    let sandbox = Sandbox::with_image();
    let script = "mkdir -p tree/dir; cd tree; touch -d @1500000001.5 odd; touch -d @86400 old\n\
        touch file; ln file name; ln -s file link; touch -h -d @9000000000 file link dir; cd ..\n\
        umoci insert --image=img --tag=far tree /\n\
        umoci insert --image=img:far --tag=less --whiteout /file\n\
        umoci insert --image=img:less --whiteout /name";
    sandbox.shell(script).succeeds_silently();
    sandbox.give_to_ordinary_user("img");
    sandbox
}

/// Runs a script in which everybody may write to `m`, a new ext4 with inodes of this size. Needs
/// root.
fn on_ext4(sandbox: &Sandbox, inode: u32, script: &str) -> Run {
    let script = format!(
        "mkdir -p m; rm -f disk; truncate -s 32M disk; mkfs.ext4 -q -I {inode} disk 2>/dev/null\n\
        mount -o loop disk m; trap 'umount m' EXIT; chmod 777 m; {script}"
    );
    with_mounts(sandbox, &script).unwrap()
}

/// Dates that a filesystem cannot hold are told, and are no change for the next layer.
#[test]
fn far_dates_are_told() {
    if !needs_root() || peer("mkfs.ext4").is_none() || peer("unshare").is_none() {
        return;
    }
    let sandbox = far_dates();
    for (script, dates) in [
        ("$umoci raw unpack --image=img:far m/tree", 3),
        ("$user $umoci raw unpack --rootless --image=img:far m/tree", 3),
        // What a later layer has removed does not count.
        ("$umoci raw unpack --image=img:less m/tree", 2),
        ("$umoci unpack --image=img:far m/b; $umoci repack --image=img:far m/b", 3),
        (
            "$user $umoci unpack --rootless --image=img:far m/b\n\
             $user $umoci repack --image=img:far m/b",
            3,
        ),
    ] {
        let run = on_ext4(&sandbox, 128, script);
        let counts = told(&run, 1);
        let expected = format!("emulated: {dates} dates as the nearest there are");
        assert!(counts.contains(&expected), "{script}: {counts}");
        let text = "the date @9000000000 becomes @2147483647: the filesystem holds none";
        assert!(run.stderr().contains(text), "{script}: {}", run.stderr());
        assert_eq!(sandbox.layers("img", "far").len(), 1, "{script}");
    }
    let strict = on_ext4(&sandbox, 128, "$umoci unpack --strict --image=img:far m/b");
    strict.fails_with("the filesystem holds none that is nearer (strict)");
    // Where there is room for them, nothing is said.
    on_ext4(&sandbox, 256, "$umoci unpack --image=img:far m/b").succeeds_silently();
}
