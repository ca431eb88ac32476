// SPDX-License-Identifier: Apache-2.0
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::rootfs::{Change, Device, Inode, Kind, Metadata, Owner, RootPath, Xattr, remove_all};

fn name(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).unwrap()
}

fn path(path: &str) -> RootPath {
    RootPath::clean(path).unwrap()
}

fn recording(root: &tempfile::TempDir, view: View) -> Rootless<Native> {
    let (ownership, refusals) = (Ownership::Record, Refusals::Substitute);
    let options = RootlessOptions { ownership, refusals, view, ..RootlessOptions::default() };
    Rootless::native(File::open(root.path()).unwrap(), options).unwrap()
}

fn mode(path: &std::path::Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

/// Makes a file, gives it metadata, and gives the directory that it is in.
fn file(fs: &Rootless<Native>, metadata: &Metadata) -> Dir {
    let dir = fs.open_dir(&RootPath::root()).unwrap();
    let file = fs.create_file(&dir, name("f"), 0o600).unwrap();
    let change = Change { metadata, kind: Kind::File, clear_xattrs: false };
    fs.set_file_metadata(&file, &change).unwrap();
    dir
}

#[test]
fn an_owner_is_kept_and_given_back() {
    let root = tempfile::tempdir().unwrap();
    let owner = Owner { uid: 33, gid: 0 };
    let fs = recording(&root, View::Disk);
    let dir = file(&fs, &Metadata { owner, mode: 0o444, ..Metadata::default() });
    let own = std::fs::metadata(root.path()).unwrap();
    let stat = fs.stat(&dir, name("f")).unwrap();
    assert_eq!(stat.owner.uid, std::os::unix::fs::MetadataExt::uid(&own));
    assert!(fs.has_owner_attribute(stat.identity) || fs.emulated(stat.identity).is_some());
    let Inode { stat: meant, xattrs, .. } = fs.inode(&dir, name("f")).unwrap();
    assert_eq!((meant.owner, meant.mode, xattrs), (owner, 0o444, vec![]));
    if fs.has_owner_attribute(stat.identity) {
        let image = recording(&root, View::Image);
        let dir = image.open_dir(&RootPath::root()).unwrap();
        assert_eq!(image.stat(&dir, name("f")).unwrap().owner, owner);
        assert_eq!(image.xattrs(&dir, name("f")).unwrap(), []);
        assert_eq!(fs.xattrs(&dir, name("f")).unwrap().len(), 1, "the disk has it");
    }
}

#[test]
fn an_attribute_of_a_layer_is_no_owner() {
    let root = tempfile::tempdir().unwrap();
    let fs = recording(&root, View::Disk);
    let value = owner::encode(Owner { uid: 5, gid: 5 });
    let forged = Xattr { name: OWNER_ATTRIBUTE.into(), value: value.into() };
    let metadata = Metadata { mode: 0o644, xattrs: vec![forged], ..Metadata::default() };
    let dir = file(&fs, &metadata);
    assert_eq!(fs.inode(&dir, name("f")).unwrap().stat.owner, Owner::default());
}

#[test]
fn a_device_is_an_empty_file_until_somebody_writes_to_it() {
    let root = tempfile::tempdir().unwrap();
    let fs = recording(&root, View::Image);
    let dir = fs.open_dir(&RootPath::root()).unwrap();
    let device = Device { major: 1, minor: 3 };
    fs.create_node(&dir, name("null"), Kind::CharDevice, device).unwrap();
    let metadata = Metadata { mode: 0o666, ..Metadata::default() };
    let change = Change { metadata: &metadata, kind: Kind::CharDevice, clear_xattrs: false };
    fs.set_node_metadata(&dir, name("null"), &change).unwrap();
    let at = root.path().join("null");
    assert!(at.is_file() && mode(&at) == 0);
    let meant = || fs.stat(&dir, name("null")).unwrap();
    assert_eq!((meant().kind, meant().device, meant().mode), (Kind::CharDevice, device, 0o666));
    std::fs::set_permissions(&at, PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!((meant().kind, meant().mode), (Kind::CharDevice, 0o600));
    std::fs::write(&at, "x").unwrap();
    assert_eq!(meant().kind, Kind::File);
}

#[test]
fn an_inode_that_is_used_again_is_a_new_one() {
    let root = tempfile::tempdir().unwrap();
    let fs = recording(&root, View::Disk);
    let dir = file(&fs, &Metadata { mode: 0o644, ..Metadata::default() });
    let identity = fs.stat(&dir, name("f")).unwrap().identity;
    let node = Node { kind: Kind::CharDevice, device: Device::default() };
    fs.remember(identity, Emulated { node: Some(node), ..Emulated::default() });
    let file = File::open(root.path().join("f")).unwrap();
    let metadata = Metadata { mode: 0o600, ..Metadata::default() };
    let change = Change { metadata: &metadata, kind: Kind::File, clear_xattrs: false };
    fs.set_file_metadata(&file, &change).unwrap();
    assert_eq!(fs.emulated(identity), None);
}

#[test]
fn strict_has_no_substitutes() {
    let root = tempfile::tempdir().unwrap();
    let options = RootlessOptions {
        ownership: Ownership::Record,
        refusals: Refusals::Strict,
        ..RootlessOptions::default()
    };
    let fs = Rootless::native(File::open(root.path()).unwrap(), options).unwrap();
    let dir = fs.open_dir(&RootPath::root()).unwrap();
    let made = fs.create_node(&dir, name("d"), Kind::BlockDevice, Device::default());
    assert!(made.unwrap_err().to_string().contains("an empty file stands for the device 0:0"));
}

#[test]
fn an_interrupt_stops_everything() {
    let root = tempfile::tempdir().unwrap();
    let fs = recording(&root, View::Disk);
    let dir = fs.open_dir(&RootPath::root()).unwrap();
    fs.options.interrupt.raise();
    let refused = |result: io::Result<()>| {
        assert_eq!(result.unwrap_err().to_string(), "interrupted");
    };
    refused(fs.open_dir(&path("a")).map(drop));
    refused(fs.stat(&dir, name("a")).map(drop));
    refused(fs.create_dir(&dir, name("a")));
    refused(remove_all(&fs, &path("a")));
}

/// As root nothing is refused, so these say something only for others.
#[test]
fn permission_bits_step_aside_and_come_back() {
    let root = tempfile::tempdir().unwrap();
    let closed = root.path().join("a/b");
    std::fs::create_dir_all(&closed).unwrap();
    std::fs::write(closed.join("f"), "contents").unwrap();
    let close = |path: &std::path::Path| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o000)).unwrap();
    };
    for path in [closed.join("f"), closed.clone(), root.path().join("a")] {
        close(&path);
    }
    let fs = recording(&root, View::Disk);
    let dir = fs.open_dir(&path("a/b")).unwrap();
    let contents = io::read_to_string(fs.open_file(&dir, name("f")).unwrap()).unwrap();
    assert_eq!(contents, "contents");
    assert_eq!(fs.stat(&dir, name("f")).unwrap().mode, 0);
    assert_eq!(fs.stat_dir(&dir).unwrap().mode, 0);
    fs.create_file(&dir, name("g"), 0o600).unwrap();
    let above = fs.open_dir(&path("a")).unwrap();
    assert!(fs.create_dir(&above, name("b")).is_err());
    assert_eq!(mode(&root.path().join("a")), 0);
    let leave = RootlessOptions { afterwards: Afterwards::Leave, ..RootlessOptions::default() };
    let fs = Rootless::native(File::open(root.path()).unwrap(), leave).unwrap();
    remove_all(&fs, &path("a")).unwrap();
    assert!(!root.path().join("a").exists());
}

/// Reading an inode of which something is noted asks for the note and for the inode: a call
/// that held on to the one while it asked for the other would wait for itself.
#[test]
fn what_is_noted_keeps_nobody_waiting() {
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let root = tempfile::tempdir().unwrap();
        for view in [View::Image, View::Disk] {
            let fs = recording(&root, view);
            let dir = fs.open_dir(&RootPath::root()).unwrap();
            let at = root.path().join("f");
            std::fs::write(at, "").unwrap();
            let xattrs = vec![Xattr { name: (*b"trusted.x").into(), value: (*b"v").into() }];
            let emulated = Emulated { xattrs: xattrs.clone(), ..Emulated::default() };
            for stat in [fs.stat(&dir, name("f")).unwrap(), fs.stat_dir(&dir).unwrap()] {
                fs.remember(stat.identity, emulated.clone());
            }
            let expected = if view == View::Image { xattrs.clone() } else { Vec::new() };
            assert_eq!(fs.xattrs(&dir, name("f")).unwrap(), expected);
            assert_eq!(fs.dir_xattrs(&dir).unwrap(), expected);
            assert_eq!(fs.inode(&dir, name("f")).unwrap().xattrs, xattrs);
            fs.stat(&dir, name("f")).unwrap();
            fs.stat_dir(&dir).unwrap();
            let metadata = Metadata { mode: 0o600, ..Metadata::default() };
            let change = Change { metadata: &metadata, kind: Kind::File, clear_xattrs: false };
            fs.set_node_metadata(&dir, name("f"), &change).unwrap();
            assert_eq!(fs.inode(&dir, name("f")).unwrap().xattrs, []);
        }
        done.send(()).unwrap();
    });
    ended.recv_timeout(std::time::Duration::from_secs(60)).expect("a call that never ends");
}
