// SPDX-License-Identifier: Apache-2.0
//! The stat index beside a manifest. Whatever it says, the changes of a tree
//! are those that are found without it: it only says what need not be read.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::MetadataExt;

use sha2::Digest;
use umoci::rootfs::Native;
use umoci::snapshot::{DiffEntry, DiffOptions, Snapshot, StatIndex, diff, read_mtree};

use crate::driver::Target;

const MAGIC: &[u8] = b"UMOCSTAT";
/// The SHA-256 of the manifest that indexes are of.
const MANIFEST: [u8; 32] = [7; 32];

pub(crate) const TARGET: Target = Target {
    name: "stat_index",
    run: |input| with(|tree| tree.check(input)),
    words: &[
        MAGIC,
        b"\x00\x00",
        b"\x01f",
        b"\x01f\x00",
        b"\x01d",
        b"\x01d\x02",
        b"\x01f\x01\xa4\x03\x00\x00\x01\x01",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xff\xff\xff\xff\x0f",
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"\x80\x00",
    ],
    mend: |input| with(|tree| tree.mend(input)),
};

fn with<T>(work: impl FnOnce(&Tree) -> T) -> T {
    thread_local!(static TREE: RefCell<Option<Tree>> = const { RefCell::new(None) });
    TREE.with_borrow_mut(|tree| work(tree.get_or_insert_with(Tree::new)))
}

struct Tree {
    top: tempfile::TempDir,
    snapshot: Snapshot,
    changes: Vec<DiffEntry>,
}

impl Tree {
    /// A tree in which a file has changed, another is new and a third is gone.
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("d")).unwrap();
        for file in ["d/f", "d/g", "h"] {
            fs::write(top.path().join(file), "x").unwrap();
        }
        let manifest = "#mtree\n. type=dir\n    gone type=file size=1\n    h type=file size=1\n\
            d type=dir\n    f type=file size=1 sha256digest=0000000000000000000000000000000000000000000000000000000000000000\n..\n..\n";
        let snapshot = read_mtree(manifest.as_bytes()).unwrap();
        let mut tree = Self { top, snapshot, changes: Vec::new() };
        tree.changes = tree.changes_with(None);
        assert!(tree.changes.len() > 2, "{:?}", tree.changes);
        tree
    }

    fn changes_with(&self, index: Option<&StatIndex>) -> Vec<DiffEntry> {
        let fs = Native::open(self.top.path()).unwrap();
        diff(&fs, || Ok(self.snapshot.clone()), index, &DiffOptions::default()).unwrap()
    }

    fn check(&self, input: &[u8]) -> String {
        let Some(index) = StatIndex::parse(input.to_vec(), &MANIFEST) else {
            return format!("none {}", if input.starts_with(MAGIC) { "magic" } else { "" });
        };
        assert_eq!(self.changes_with(Some(&index)), self.changes);
        // As many directories as it says it has.
        let debug = format!("{index:?}");
        let digits: String = debug.chars().filter(char::is_ascii_digit).collect();
        format!("index {}", "x".repeat(digits.parse::<usize>().unwrap().min(20)))
    }

    /// Gives an index the device of the tree, and the sums at its end.
    fn mend(&self, input: &mut Vec<u8>) {
        const SUMS: usize = 64;
        let start = MAGIC.len() + 1;
        if input.len() < start + SUMS || !input.starts_with(MAGIC) {
            return;
        }
        input.truncate(input.len() - SUMS);
        let rest = &input[start..];
        let length = rest.iter().position(|byte| byte & 0x80 == 0).map_or(rest.len(), |at| at + 1);
        let device = self.top.path().metadata().unwrap().dev();
        input.splice(start..start + length, leb128(device));
        input.extend_from_slice(&MANIFEST);
        let sum = sha2::Sha256::digest(&input);
        input.extend_from_slice(&sum);
    }
}

fn leb128(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}
