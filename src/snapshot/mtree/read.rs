// SPDX-License-Identifier: Apache-2.0
//! [`read_mtree`]: a manifest back into a [`Snapshot`].
//!
//! The text may come from anybody: what it names is only ever compared with
//! what a walk finds, and its size is bounded before it is taken in.

use std::io::BufRead;

use super::keywords::{Defaults, Keywords};
use super::lines::Lines;
use super::place::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::rootfs::RootPath;
use crate::snapshot::Snapshot;

/// The most names in a manifest.
pub(super) const MAX_ENTRIES: usize = 16 << 20;

/// The most bytes of all paths together.
pub(super) const MAX_PATH_BYTES: usize = 1 << 30;

/// How many bytes of paths every byte of the text may ask for, beyond [`FREE_PATH_BYTES`]. A path
/// is spelled out once per name, so a deep tree of short lines could otherwise ask for any amount.
const PATH_BYTES_PER_BYTE: usize = 16;

/// How many bytes of paths any manifest may ask for.
const FREE_PATH_BYTES: usize = 16 << 20;

/// How many bytes of text a name takes at least, on average, beyond [`FREE_ENTRIES`]: it cannot be
/// said in fewer what it is, how large, and since when.
const BYTES_PER_ENTRY: usize = 16;

/// How many names any manifest may have.
const FREE_ENTRIES: usize = 64 << 10;

/// Reads a manifest that this tool, go-mtree or a BSD mtree wrote.
///
/// A line that says too little to compare a file with (no owner, mode or time)
/// is left out: manifests whose comments hold raw names can contain such lines
/// that nobody meant, and a name too few only makes a file look new.
///
/// # Errors
/// [`ErrorKind::Invalid`] for malformed lines and for names that lead out of
/// the tree, [`ErrorKind::Limit`] when a line or the whole is absurdly large;
/// both say in which line.
pub fn read_mtree(reader: impl BufRead) -> Result<Snapshot> {
    read_within(reader, MAX_PATH_BYTES)
}

fn read_within(reader: impl BufRead, path_budget: usize) -> Result<Snapshot> {
    let mut lines = Lines::new(reader);
    let earned = path_budget.min(FREE_PATH_BYTES);
    let mut reading = Reading { path_budget, earned, ..Reading::default() };
    loop {
        let line = lines.next().map_err(|error| error.context("parse mtree"))?;
        let Some(line) = line else { break };
        let taken = reading.line(line);
        taken.map_err(|error| error.context(format!("parse mtree: line {}", lines.number())))?;
    }
    if reading.incomplete > 0 {
        log::warn!("left out {} incomplete lines of the mtree manifest", reading.incomplete);
    }
    reading.snapshot.sort();
    Ok(reading.snapshot)
}

#[derive(Debug, Default)]
struct Reading {
    defaults: Defaults,
    place: Place,
    snapshot: Snapshot,
    /// How many bytes further paths may have.
    path_budget: usize,
    /// As `path_budget`, for as much of the text as was read.
    earned: usize,
    /// How many bytes of text were read.
    length: usize,
    incomplete: u64,
}

impl Reading {
    fn line(&mut self, line: &[u8]) -> Result<()> {
        self.earned = self.earned.saturating_add(line.len().saturating_mul(PATH_BYTES_PER_BYTE));
        self.length = self.length.saturating_add(line.len());
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(first) = words.next() else { return Ok(()) };
        match first {
            b"/set" => words.try_for_each(|word| self.defaults.set(word)),
            b"/unset" => {
                words.for_each(|word| self.defaults.unset(word));
                Ok(())
            }
            b".." => self.place.leave(),
            name => self.entry(name, Keywords::read(self.defaults, words)?),
        }
    }

    fn most_entries(&self) -> usize {
        MAX_ENTRIES.min(FREE_ENTRIES + self.length / BYTES_PER_ENTRY)
    }

    fn entry(&mut self, word: &[u8], keywords: Keywords) -> Result<()> {
        let Some(kind) = keywords.kind() else {
            return Err(Error::invalid(format!("\"{}\" has no type", word.escape_ascii())));
        };
        let path = self.place.path(word, kind)?;
        let left = [self.path_budget, self.earned].map(|budget| budget.checked_sub(path.len()));
        match left {
            [Some(left), Some(earned)] if self.snapshot.count() < self.most_entries() => {
                (self.path_budget, self.earned) = (left, earned);
            }
            _ => return Err(Error::new(ErrorKind::Limit, "the tree has too many names")),
        }
        match keywords.into_entry(RootPath::clean(path)?) {
            Some(entry) => self.snapshot.push(&entry),
            None => self.incomplete += 1,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{directory, file, write};
    use super::*;
    use crate::rootfs::{Kind, Name, Owner, Xattr};
    use crate::snapshot::SnapshotEntry;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Snapshot> {
        read_mtree(text.as_bytes())
    }

    fn paths(text: &str) -> Vec<String> {
        let snapshot = read(text).unwrap();
        snapshot.entries().map(|entry| entry.path.to_string()).collect()
    }

    const SET: &str = "/set type=file uid=0 gid=0 mode=0644 size=0 time=1.5\n";

    #[test]
    fn reads_relative_and_full_names() {
        let text = format!(
            "#mtree\n{SET}. type=dir\n  a\n  d type=dir\n    b\n    e type=dir\n    ..\n    c\n  ..\n\
             ./z/y type=dir\nx\n/abs/w\n.."
        );
        let expected = [".", "a", "d", "x", "abs/w", "d/b", "d/c", "d/e", "z/y"];
        assert_eq!(paths(&text), expected);
        assert_eq!(paths(&format!("{SET}a type=dir\nb\n..\nc\n..\n")), ["a", "c", "a/b"]);
    }

    #[test]
    fn set_and_unset() {
        let text =
            format!("{SET}a\n/set mode=0600 uid=7\nb gid=1\n/unset uid mode\nc\n/unset all\n");
        let snapshot = read(&text).unwrap();
        let shown: Vec<_> = snapshot.entries().map(|one| (one.mode, one.owner)).collect();
        let owner = |uid, gid| Owner { uid, gid };
        assert_eq!(shown, [(0o644, owner(0, 0)), (0o600, owner(7, 1))]);
    }

    #[test]
    fn a_comment_with_a_raw_newline_makes_no_entry() {
        let head = "/set type=file nlink=1 mode=0664 uid=0 gid=0\n";
        let text = format!(
            "{head}. size=0 type=dir tar_time=0.0\n\n# a\nfoo bar\n\
                            a\\012foo\\040bar size=0 type=dir tar_time=0.0\n..\n..\n"
        );
        assert_eq!(paths(&text), [".", "a\\nfoo bar"]);
    }

    #[test]
    fn nothing_leads_out() {
        for name in [
            "..\n..",
            "\\056\\056",
            "\\056",
            "a\\057b",
            "a\\000",
            "../x",
            "x/../../y",
            "x/\\056\\056/y",
            ". type=dir\n. type=dir",
        ] {
            let error = read(&format!("{SET}{name}\n")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name}");
            assert!(error.to_string().starts_with("parse mtree: line "), "{error}");
        }
        assert!(read("a size=0\n").is_err(), "no type");
    }

    #[test]
    fn deep_trees_are_bounded_by_their_paths() {
        let deep = |depth| format!("{SET}{}", "d type=dir\n".repeat(depth));
        let error = read_within(deep(1_000).as_bytes(), 1 << 17).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(read(&deep(1_024)).unwrap().count(), 1_024);
        let full = format!("{SET}{}x\n", "d/".repeat(1_024));
        for text in [deep(1_025), deep(30_000), full] {
            assert_eq!(read(&text).unwrap_err().kind(), ErrorKind::Limit);
        }
    }

    #[test]
    fn paths_are_in_proportion_to_the_text() {
        let long = format!("{SET}. type=dir\n{} type=dir\n", "d".repeat(255));
        let nested = format!("{} type=dir\n", "e".repeat(255)).repeat(100);
        let text = format!("{long}{nested}{}", "a\n".repeat(2_000));
        let error = read(&text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(read(&format!("{long}{nested}{}", "a\n".repeat(200))).is_ok());
    }

    #[test]
    fn names_are_in_proportion_to_the_text() {
        let text = |line: &str| format!("{SET}{}", line.repeat(FREE_ENTRIES * 3));
        let error = read(&text("a\n")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(read(&text("a time=1234567890.5\n")).is_ok());
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(b'a'), Just(b'\\'), Just(b'\n'), Just(b' '), Just(b'#'), 1u8..];
        vec(byte, 1..6).prop_filter("not a name", |name| Name::new(name).is_ok())
    }

    fn xattrs() -> impl Strategy<Value = Box<[Xattr]>> {
        let name = vec(1u8.., 1..8);
        btree_map(name, any::<Vec<u8>>(), 0..3).prop_map(|pairs| {
            let xattr = |(name, value): (Vec<u8>, Vec<u8>)| Xattr {
                name: name.into(),
                value: value.into(),
            };
            pairs.into_iter().map(xattr).collect()
        })
    }

    prop_compose! {
        fn entry()(
            kind in 0usize..7, mode in 0u32..0o10000, uid: u32, gid in prop_oneof![Just(0), any::<u32>()],
            size: u64, nlink in 1u64..5, mtime: i64, target in any::<Vec<u8>>(), digest: [u8; 32],
            xattrs in xattrs(),
        ) -> SnapshotEntry {
            let kind = [Kind::File, Kind::Dir, Kind::Symlink, Kind::CharDevice, Kind::BlockDevice,
                        Kind::Fifo, Kind::Socket][kind];
            SnapshotEntry {
                kind, mode, owner: Owner { uid: uid % 3, gid }, size, nlink, mtime,
                target: (kind == Kind::Symlink).then(|| target.into()),
                digest: (kind == Kind::File).then_some(digest),
                xattrs, ..file(".")
            }
        }
    }

    /// Entries at random places; whatever has something below it is a directory.
    fn snapshot() -> impl Strategy<Value = Snapshot> {
        let placed = (vec(name(), 1..4), entry());
        vec(placed, 0..12).prop_map(|placed| {
            let mut entries = vec![directory(".")];
            for (names, entry) in placed {
                let mut path = RootPath::root();
                for name in &names {
                    path = path.join(Name::new(name).unwrap());
                    let mut next = entry.clone();
                    next.path = path.clone();
                    if path.components().count() < names.len() {
                        next = SnapshotEntry { path: path.clone(), ..directory(".") };
                    }
                    entries.push(next);
                }
            }
            let mut all = Snapshot::new(entries).entries().collect::<Vec<_>>();
            let parents: Vec<_> = all.iter().filter_map(|entry| entry.path.parent()).collect();
            for entry in all.iter_mut().filter(|entry| parents.contains(&entry.path)) {
                *entry = SnapshotEntry { path: entry.path.clone(), ..directory(".") };
            }
            Snapshot::new(all)
        })
    }

    proptest! {
        #[test]
        fn reads_what_is_written(snapshot in snapshot()) {
            let text = write(&snapshot);
            prop_assert_eq!(read_mtree(&text[..]).unwrap(), snapshot);
        }

        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>) {
            let _ = read_mtree(&text[..]);
        }

        #[test]
        fn no_line_makes_it_panic(words in "((/set|/unset|[a-d./#\\\\]{1,4})( (type|mode|size|time|link|xattr.a)=(dir|file|[0-9.=-]{0,3}))*\n){0,8}") {
            let _ = read_mtree(words.as_bytes());
        }
    }
}
