// SPDX-License-Identifier: Apache-2.0
//! Filesystems that keep times in whole seconds, and none of the far future.

use super::filesystem::with_mounts;
use crate::harness::{Sandbox, needs_root, peer};

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
    let layers = |tag| sandbox.layers("img", tag).len();
    assert_eq!(layers("same"), layers("full"));
    assert_eq!(layers("edited"), layers("full") + 1);
}
