// SPDX-License-Identifier: Apache-2.0
//! What an index vouches for, and what is no index.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::rootfs::{Device, FsOps, Identity, Native, RootPath, Xattr};
use crate::snapshot::KnownEntry;
use crate::snapshot::contents::sum;
use crate::snapshot::walk::{Child, Listing, Place};

const MANIFEST: [u8; 32] = [7; 32];
const TAKEN: FileTime = FileTime { seconds: 2_000_000_000, nanoseconds: 500 };

fn stat(kind: Kind, ino: u64) -> Stat {
    let time = FileTime { seconds: 1_999_999_999, nanoseconds: 999_999_999 };
    Stat {
        kind,
        mode: 0o755,
        owner: Owner { uid: 100_000, gid: 100_000 },
        size: 123_456,
        nlink: 1,
        identity: Identity { dev: 0xfe01, ino },
        device: Device::default(),
        atime: time,
        mtime: time,
        ctime: time,
    }
}

fn child(name: &str, stat: Stat) -> Child {
    Child { name: name.as_bytes().into(), stat, known: KnownEntry::default() }
}

fn xattrs() -> Vec<Xattr> {
    vec![Xattr { name: b"user.a"[..].into(), value: b"1"[..].into() }]
}

fn path(path: &str) -> RootPath {
    RootPath::clean(path).unwrap()
}

/// An index of a root with `a` and `d`, and of what `d` holds.
fn written(children: &[Child]) -> Vec<u8> {
    let mut writer =
        StatIndexWriter::new(Vec::new(), TAKEN, &stat(Kind::Dir, 1), &xattrs()).unwrap();
    let top = [child("a", stat(Kind::File, 2)), child("d", stat(Kind::Dir, 3))];
    writer.names(&listing("", &top, [true, true])).unwrap();
    // As a large directory comes.
    let (some, others) = children.split_at(children.len() / 2);
    writer.names(&listing("d", some, [true, false])).unwrap();
    writer.names(&listing("d", others, [false, true])).unwrap();
    writer.finish(&MANIFEST).unwrap()
}

fn listing(directory: &str, children: &[Child], [is_first, is_last]: [bool; 2]) -> Listing {
    let dir = Native::open(Path::new("/")).unwrap().open_dir(&RootPath::root()).unwrap().into();
    let (stat, known) = (stat(Kind::Dir, 3), KnownEntry::default());
    let place = Place { path: path(directory), dir, stat, known };
    Listing { place, children: children.to_vec(), is_first, is_last }
}

fn parsed(children: &[Child]) -> StatIndex {
    StatIndex::parse(written(children), &MANIFEST).unwrap()
}

fn vouches(index: &StatIndex, directory: &str, name: &str, stat: &Stat) -> bool {
    let sought = index.cursor(&path(directory)).unwrap().seek(name.as_bytes());
    sought.record.is_some_and(|record| index.vouches_for(&record, stat))
}

#[test]
fn vouches_for_the_same_stat_only() {
    let index = parsed(&[child("f", stat(Kind::File, 4))]);
    let same = stat(Kind::File, 4);
    assert!(vouches(&index, "d", "f", &same) && vouches(&index, "", "a", &stat(Kind::File, 2)));
    let later = FileTime { nanoseconds: 999_999_998, ..same.mtime };
    for other in [
        Stat { kind: Kind::Fifo, ..same },
        Stat { mode: 0o754, ..same },
        Stat { owner: Owner { uid: 0, ..same.owner }, ..same },
        Stat { owner: Owner { gid: 0, ..same.owner }, ..same },
        Stat { size: 0, ..same },
        Stat { nlink: 2, ..same },
        Stat { identity: Identity { ino: 5, ..same.identity }, ..same },
        Stat { identity: Identity { dev: 5, ..same.identity }, ..same },
        Stat { mtime: later, ..same },
        Stat { ctime: later, ..same },
    ] {
        assert!(!vouches(&index, "d", "f", &other), "{other:?}");
    }
    assert!(vouches(&index, "d", "f", &Stat { atime: later, ..same }));
    assert!(!vouches(&index, "d", "e", &same));
    assert!(index.cursor(&path("a")).is_none());
}

#[test]
fn does_not_vouch_for_what_is_not_older() {
    let young = [TAKEN, FileTime { seconds: TAKEN.seconds + 9, nanoseconds: 0 }];
    let old = FileTime { nanoseconds: 499, ..TAKEN };
    for (time, expected) in young.map(|time| (time, false)).into_iter().chain([(old, true)]) {
        let by_ctime = Stat { ctime: time, ..stat(Kind::File, 4) };
        let by_mtime = Stat { mtime: time, ..stat(Kind::File, 4) };
        for stat in [by_ctime, by_mtime] {
            let index = parsed(&[child("f", stat)]);
            assert_eq!(vouches(&index, "d", "f", &stat), expected, "{stat:?}");
        }
    }
    let mut mounted = stat(Kind::File, 4);
    mounted.identity.dev = 9;
    assert!(!vouches(&parsed(&[child("f", mounted)]), "d", "f", &mounted));
}

#[test]
fn vouches_for_the_root_whatever_its_ctime() {
    let (index, root) = (parsed(&[]), stat(Kind::Dir, 1));
    assert!(index.vouches_for_root(&Stat { ctime: TAKEN, ..root }, &xattrs()));
    assert!(!index.vouches_for_root(&Stat { mode: 0o700, ..root }, &xattrs()));
    assert!(!index.vouches_for_root(&Stat { mtime: TAKEN, ..root }, &xattrs()));
    assert!(!index.vouches_for_root(&root, &[]));
}

#[test]
fn what_is_torn_or_foreign_is_no_index() {
    let bytes = written(&[child("f", stat(Kind::File, 4)), child("g", stat(Kind::File, 5))]);
    assert!(StatIndex::parse(bytes.clone(), &[8; 32]).is_none(), "of another manifest");
    for length in 0..bytes.len() {
        assert!(StatIndex::parse(bytes[..length].to_vec(), &MANIFEST).is_none());
    }
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        assert!(StatIndex::parse(bytes, &MANIFEST).is_none());
    }
    for children in [["g", "f"], ["f", "f"], ["..", "f"], ["", "f"]] {
        let children = children.map(|name| child(name, stat(Kind::File, 4)));
        assert!(StatIndex::parse(written(&children), &MANIFEST).is_none());
    }
}

#[test]
fn another_version_is_no_index() {
    let mut bytes = written(&[]);
    bytes[MAGIC.len()] += 1;
    assert!(StatIndex::parse(seal(bytes), &MANIFEST).is_none());
}

/// Puts the right checksum on changed bytes.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - 32);
    let sum = sum(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

#[test]
fn is_small() {
    let names: Vec<_> = (0..1000).map(|at| format!("libsomething.so.{at:04}")).collect();
    let children: Vec<_> = names
        .iter()
        .zip(1_000_000..)
        .map(|(name, ino)| child(name, stat(Kind::File, ino)))
        .collect();
    assert!(written(&children).len() < 60 * 1000 + 300);
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let mut bytes = written(&[child("f", stat(Kind::File, 4)), child("g", stat(Kind::Fifo, 5))]);
        let content = bytes.len() - 64;
        for (at, byte) in edits {
            bytes[at.index(content)] = byte;
        }
        if let Some(index) = StatIndex::parse(seal(bytes), &MANIFEST) {
            for directory in ["", "d", "x"] {
                if let Some(mut cursor) = index.cursor(&path(directory)) {
                    cursor.seek(b"f");
                    cursor.is_at_end();
                }
            }
        }
    }
}
