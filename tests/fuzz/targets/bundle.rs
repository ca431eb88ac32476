// SPDX-License-Identifier: Apache-2.0
//! A bundle of a stranger: what `record` and `aside` put a file into.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use umoci::bundle::{Privileges, Strictness, tree_notes_at};
use umoci::rootfs::TreeNotes;

const METADATA: &str = r#"{"umoci_version":"2","from_descriptor_path":{"descriptor_walk":[{
    "mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,
    "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}]},
    "map_options":{"rootless":true}}"#;

/// What is in the tree, with the permission bits that it has.
pub(super) const TREE: [(&str, u32); 4] =
    [("", 0o755), ("d", 0o700), ("d/f", 0o600), ("null", 0o400)];

pub(super) struct Bundle {
    top: tempfile::TempDir,
}

impl Bundle {
    pub(super) fn new() -> Self {
        let bundle = Self { top: tempfile::tempdir().unwrap() };
        fs::create_dir_all(bundle.in_tree("d")).unwrap();
        for file in ["d/f", "null"] {
            fs::write(bundle.in_tree(file), "").unwrap();
        }
        fs::write(bundle.path("umoci.json"), METADATA).unwrap();
        fs::write(bundle.path("outside"), "secret").unwrap();
        fs::set_permissions(bundle.path("outside"), PermissionsExt::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("../outside", bundle.in_tree("link")).unwrap();
        bundle.reset();
        bundle
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    pub(super) fn in_tree(&self, name: &str) -> PathBuf {
        self.path("rootfs").join(name)
    }

    /// Gives the tree its permission bits.
    pub(super) fn reset(&self) {
        for (path, mode) in TREE {
            fs::set_permissions(self.in_tree(path), PermissionsExt::from_mode(mode)).unwrap();
        }
    }

    pub(super) fn notes(&self) -> Result<TreeNotes, String> {
        let top = self.in_tree("");
        tree_notes_at(&top, Privileges::Rootless, Strictness::Substitute)
            .map_err(|error| error.to_string())
    }

    /// Asserts that what is outside of the tree is as it was.
    pub(super) fn check_outside(&self) {
        let outside = self.path("outside").symlink_metadata().unwrap();
        assert_eq!((outside.len(), mode(&self.path("outside"))), (6, 0o640));
    }

    /// Puts the numbers of inodes in the place of words that stand for them.
    pub(super) fn mend(&self, input: &mut Vec<u8>) {
        for (word, path) in [
            (&b"DEV"[..], None),
            (b"ROOT", Some("rootfs")),
            (b"FILE", Some("rootfs/d/f")),
            (b"DIR", Some("rootfs/d")),
            (b"NULL", Some("rootfs/null")),
            (b"OUTSIDE", Some("outside")),
            (b"RECORD", Some("rootless.jsonl")),
        ] {
            let found = self.path(path.unwrap_or("rootfs")).symlink_metadata();
            let number = found.map_or(0, |of| if path.is_some() { of.ino() } else { of.dev() });
            replace_all(input, word, number.to_string().as_bytes());
        }
    }
}

pub(super) fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

fn replace_all(input: &mut Vec<u8>, word: &[u8], with: &[u8]) {
    let mut from = 0;
    while let Some(at) = input[from..].windows(word.len()).position(|window| window == word) {
        input.splice(from + at..from + at + word.len(), with.iter().copied());
        from += at + with.len();
    }
}
