// SPDX-License-Identifier: Apache-2.0
//! `rootless.jsonl`, which says of a tree what its files could not carry.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::MetadataExt;

use umoci::rootfs::{Emulated, Identity, Kind};

use super::bundle::{Bundle, TREE, mode};
use crate::driver::Target;

const FILE_NAME: &str = "rootless.jsonl";

pub(crate) const TARGET: Target = Target {
    name: "record",
    run: |input| with(|bundle| run(bundle, input)),
    words: &[
        b"{\"umoci_rootless\":1,\"root\":ROOT,\"record\":RECORD}\n",
        b"{\"umoci_rootless\":1,\"root\":1}\n",
        b"{\"path\":\"null\",\"kind\":\"file\",\"size\":0,\"inode\":NULL",
        b"{\"path\":\"d/f\",\"kind\":\"file\",\"size\":0,\"inode\":FILE,\"owner\":[1,1]}\n",
        b"{\"path\":\"../outside\",\"kind\":\"file\",\"size\":6,\"inode\":OUTSIDE",
        b"\"kind\":\"dir\",",
        b"\"kind\":\"char\",",
        b"\"seen_as\":[0,0],",
        b",\"owner\":[0,5]",
        b",\"held_by\":[0,0]",
        b",\"born\":[1,1]",
        b",\"node\":{\"kind\":\"char\",\"major\":1,\"minor\":3}",
        b",\"mode\":438,\"mode_on_disk\":0",
        b",\"xattrs\":[[\"trusted.x\",\"\\\\M-^?\"]]",
        b",\"xattrs\":[[\"security.capability\",\"x\"]],\"contents\":\"sha256:\
          e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
        b"}\n",
        b"4294967295",
        b"null",
        b"\\\\000",
        b"..",
    ],
    mend: |input| with(|bundle| bundle.mend(input)),
};

fn with<T>(work: impl FnOnce(&Bundle) -> T) -> T {
    thread_local!(static BUNDLE: RefCell<Option<Bundle>> = const { RefCell::new(None) });
    BUNDLE.with_borrow_mut(|bundle| {
        work(bundle.get_or_insert_with(|| {
            let bundle = Bundle::new();
            fs::write(bundle.path(FILE_NAME), "").unwrap();
            bundle
        }))
    })
}

fn run(bundle: &Bundle, input: &[u8]) -> String {
    fs::write(bundle.path(FILE_NAME), input).unwrap();
    let notes = bundle.notes();
    bundle.check_outside();
    for (path, before) in TREE {
        assert_eq!(mode(&bundle.in_tree(path)), before, "{path}");
    }
    let notes = match notes {
        Ok(notes) => notes,
        Err(error) => return error,
    };
    let inodes = TREE.iter().map(|(path, _)| path).chain(&["link"]);
    let inodes: Vec<u64> =
        inodes.map(|path| bundle.in_tree(path).symlink_metadata().unwrap().ino()).collect();
    for (Identity { ino, .. }, emulated) in &notes.emulated {
        assert!(inodes.contains(ino), "not in the tree");
        check(emulated);
    }
    let shape = |(_, emulated): &(Identity, Emulated)| {
        let has = [emulated.owner.is_some(), emulated.node.is_some(), !emulated.xattrs.is_empty()];
        has.map(|has| if has { 'y' } else { 'n' }).iter().collect::<String>()
    };
    format!("read {}", notes.emulated.iter().map(shape).collect::<Vec<_>>().join(" "))
}

fn check(emulated: &Emulated) {
    for owner in emulated.owner.iter().chain(&emulated.held_by) {
        assert!(owner.uid != u32::MAX && owner.gid != u32::MAX);
    }
    if let Some(node) = emulated.node {
        assert!(matches!(node.kind, Kind::CharDevice | Kind::BlockDevice | Kind::Fifo));
        assert!(node.device.major < 1 << 12 && node.device.minor < 1 << 20);
    }
    if let Some(mode) = emulated.mode {
        assert!(mode.meant <= 0o7777);
    }
    for xattr in &emulated.xattrs {
        assert!((1..256).contains(&xattr.name.len()) && !xattr.name.contains(&0));
        assert!(xattr.value.len() <= 64 << 10);
    }
}
