// SPDX-License-Identifier: Apache-2.0
//! Manifests of the Go tool, where it is installed, line for line.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::*;

/// Runs the Go tool in a directory; false when it is not there or fails.
fn umoci(place: &Path, line: &str) -> bool {
    let run = Command::new("umoci").args(line.split(' ')).current_dir(place).output();
    run.is_ok_and(|output| output.status.success())
}

/// Where the manifest of a bundle is.
fn manifest_path(bundle: &Path) -> PathBuf {
    let mut names = fs::read_dir(bundle).unwrap().map(|entry| entry.unwrap().path());
    names.find(|path| path.extension().is_some_and(|end| end == "mtree")).unwrap()
}

/// The lines below the head, but for the comments, which are for people.
fn lines(manifest: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(manifest);
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn fill(root: &Path) {
    for directory in ["d/e", "d-x", "sp ace\ttab", "gl*?[#]b", "bs\\la", "uni\u{ed}\u{7f}"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for (path, mode) in [("f", 0o644), ("d/x y", 0o4755), ("d/e/none", 0), ("eq=\"'`~]", 0o664)] {
        fs::write(root.join(path), path).unwrap();
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::hard_link(root.join("f"), root.join("d/hard")).unwrap();
    symlink("x y*#\\z", root.join("link")).unwrap();
    let before_1970 = filetime::FileTime::from_unix_time(-5, 500_000_000);
    filetime::set_file_mtime(root.join("f"), before_1970).unwrap();
    drop(xattr::set(root.join("f"), "user.one", &[0, 255, 16]));
    for path in ["d/e", "d/e/none", "sp ace\ttab"] {
        // Only root can.
        drop(std::os::unix::fs::lchown(root.join(path), Some(5), Some(6)));
    }
}

#[test]
fn manifests_are_those_of_the_go_tool() {
    let tree = Tree::new();
    let place = tree.place.path();
    let bundle = place.join("bundle");
    let rootless = if nix::unistd::geteuid().is_root() { "" } else { " --rootless" };
    let unpack = format!("unpack{rootless} --image layout:one bundle");
    if !["init --layout layout", "new --image layout:one", &unpack]
        .iter()
        .all(|line| umoci(place, line))
    {
        eprintln!("skipped: umoci is not installed");
        return;
    }
    fs::remove_dir(tree.root()).unwrap();
    symlink("bundle/rootfs", tree.root()).unwrap();
    fill(&bundle.join("rootfs"));
    assert!(umoci(place, "repack --refresh-bundle --image layout:two bundle"));

    let theirs = fs::read(manifest_path(&bundle)).unwrap();
    let native = Native::open(&bundle.join("rootfs")).unwrap();
    let mut ours = Vec::new();
    let options = CaptureOptions::default();
    capture(&native, &mut NothingKnown, &mut ours, std::io::sink(), &options).unwrap();
    assert_eq!(lines(&ours), lines(&theirs));

    let snapshot = || read_mtree(&theirs[..]);
    assert!(diff(&native, snapshot, None, &DiffOptions::default()).unwrap().is_empty());
}

#[test]
fn the_go_tool_reads_our_manifests() {
    let tree = Tree::new();
    let place = tree.place.path();
    let bundle = place.join("bundle");
    let start =
        ["init --layout layout", "new --image layout:one", "unpack --image layout:one bundle"];
    if !nix::unistd::geteuid().is_root() || !start.iter().all(|line| umoci(place, line)) {
        eprintln!("skipped: not root, or umoci is not installed");
        return;
    }
    fill(&bundle.join("rootfs"));
    fs::create_dir(bundle.join("rootfs/a\nfoo bar")).unwrap();
    let path = manifest_path(&bundle);
    let native = Native::open(&bundle.join("rootfs")).unwrap();
    let options = CaptureOptions::default();
    let ours = fs::File::create(&path).unwrap();
    capture(&native, &mut NothingKnown, ours, std::io::sink(), &options).unwrap();
    assert!(umoci(place, "repack --image layout:two bundle"));
    // An image without layers says that the tool found nothing changed.
    let stat = ["stat", "--json", "--image", "layout:two"];
    let output = Command::new("umoci").args(stat).current_dir(place).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("\"empty_layer\":false"), "{text}");

    // A line that goes on for 100 KiB does not stop it either.
    let value = vec![b'v'; 3000];
    if (0..30).all(|at| xattr::set(bundle.join("rootfs/f"), format!("user.{at}"), &value).is_ok()) {
        let ours = fs::File::create(&path).unwrap();
        capture(&native, &mut NothingKnown, ours, std::io::sink(), &options).unwrap();
        assert!(umoci(place, "repack --image layout:three bundle"));
    }
}
