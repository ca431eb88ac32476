// SPDX-License-Identifier: Apache-2.0
//! The archive of a layer (image-spec `layer.md`): its end, and the names and types of its members.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::BufRead;

use super::code::Code;
use super::finding::{Findings, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::entry::{Ending, shown};
use crate::layer::{Entry, EntryKind, Members, WHITEOUT_PREFIX, Whiteout, classify};
use crate::rootfs::{Name, RootPath};

/// How many names of a layer are compared with each other; they take some 36 MiB.
const MOST_NAMES: usize = 1 << 20;

/// Reads an archive and what follows it. Where reading itself fails that is the reader's to tell.
pub(super) fn check<R: BufRead>(input: R, place: &Place, findings: &mut Findings) -> R {
    let mut members = Members::new(input);
    let mut archive = Archive { place, findings, names: Names::default() };
    let read = archive.members(&mut members);
    let ending = members.ending();
    let mut input = members.into_inner();
    let has_rest = drain(&mut input);
    match (read, ending) {
        (Err(error), _) => archive.broken(&error),
        (Ok(()), Some(Ending::Marked)) if has_rest => {
            findings.add(Code::TarTrailing, place, "bytes follow the end of the archive");
        }
        (Ok(()), Some(Ending::Half | Ending::Bare)) => {
            findings.add(Code::TarEnd, place, "the archive just ends");
        }
        (Ok(()), _) => {}
    }
    input
}

/// Whether a path has a component `..`.
fn has_parent(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|part| part == b"..")
}

/// Reads the rest; tells whether there is anything but zeros in it.
fn drain(input: &mut impl BufRead) -> bool {
    let mut found = false;
    while let Ok(bytes @ [_, ..]) = input.fill_buf() {
        found |= bytes.iter().any(|byte| *byte != 0);
        let count = bytes.len();
        input.consume(count);
    }
    found
}

struct Archive<'a> {
    place: &'a Place,
    findings: &'a mut Findings,
    names: Names,
}

impl Archive<'_> {
    fn members(&mut self, members: &mut Members<impl BufRead>) -> Result<()> {
        while let Some(entry) = members.next_member()? {
            self.member(&entry);
        }
        if self.names.seen.len() >= MOST_NAMES {
            let message = format!("only the first {MOST_NAMES} names were compared");
            self.findings.add(Code::TarUnchecked, self.place, message);
        }
        Ok(())
    }

    fn broken(&mut self, error: &Error) {
        let code = match error.kind() {
            ErrorKind::Unsupported => Code::TarType,
            ErrorKind::Limit => Code::TarLimit,
            _ => Code::TarFormat,
        };
        self.findings.add(code, self.place, error.to_string());
    }

    fn add(&mut self, code: Code, entry: &Entry, message: &str) {
        self.findings.add(code, &self.place.member(shown(&entry.path)), message);
    }

    fn member(&mut self, entry: &Entry) {
        let Some(path) = self.path(entry) else { return };
        self.whiteout(entry, &path);
        if let EntryKind::Hardlink { target } = &entry.kind {
            match RootPath::clean(target) {
                Ok(target) if target == path => {
                    self.add(Code::TarLink, entry, "the link is to itself");
                }
                Ok(clean) if !clean.is_root() => {
                    if has_parent(target) {
                        self.add(
                            Code::TarLinkParent,
                            entry,
                            "the link's target has a component \"..\"",
                        );
                    }
                }
                _ => self.add(Code::TarLink, entry, "the link is to nothing"),
            }
        }
        match self.names.add(path.as_bytes(), entry.kind == EntryKind::Dir) {
            Seen::Never => {}
            Seen::AsDirectory => {
                self.add(Code::TarDirectory, entry, "the directory is there twice");
            }
            Seen::OtherThings => self.add(Code::TarDuplicate, entry, "the name is there twice"),
        }
    }

    /// The path that a member is for; `None` if its name is none.
    fn path(&mut self, entry: &Entry) -> Option<RootPath> {
        let name = &entry.path[..];
        if name.is_empty() {
            self.add(Code::TarName, entry, "the name is empty");
            return None;
        }
        if has_parent(name) {
            self.add(Code::TarName, entry, "the name has a component \"..\"");
            return None;
        }
        if name.starts_with(b"/") {
            self.add(Code::TarAbsolute, entry, "the name is absolute");
        }
        match RootPath::clean(name) {
            Ok(path) if path.is_root() && entry.kind != EntryKind::Dir => {
                self.add(Code::TarName, entry, "the root is not a directory");
                None
            }
            Ok(path) => Some(path),
            Err(_) => {
                self.add(Code::TarName, entry, "the name holds a NUL byte");
                None
            }
        }
    }

    fn whiteout(&mut self, entry: &Entry, path: &RootPath) {
        let Some(last) = path.name() else { return };
        let is_whiteout = |name: Name<'_>| name.as_bytes().starts_with(WHITEOUT_PREFIX);
        if path.components().filter(|name| is_whiteout(*name)).count()
            > usize::from(is_whiteout(last))
        {
            self.add(Code::TarWhiteout, entry, "the name leads through a whiteout");
            return;
        }
        match classify(last) {
            Err(error) => self.add(Code::TarWhiteout, entry, &error.to_string()),
            Ok(Whiteout::Plain) => {}
            Ok(_) if entry.kind == (EntryKind::File { size: 0 }) => {}
            Ok(_) => self.add(Code::TarWhiteoutBody, entry, "the whiteout is not an empty file"),
        }
    }
}

/// What of a name was there before.
enum Seen {
    Never,
    AsDirectory,
    OtherThings,
}

/// The names of a layer as numbers, of which two are the same by accident once in ten
/// million layers of a million members. Nobody can make that more often: they depend on a secret.
#[derive(Default)]
struct Names {
    state: RandomState,
    seen: HashSet<u64>,
}

impl Names {
    fn add(&mut self, name: &[u8], is_dir: bool) -> Seen {
        if self.seen.len() >= MOST_NAMES {
            return Seen::Never;
        }
        let number = self.state.hash_one(name) & !1;
        let (dir, other) = (number | 1, number);
        let seen = match (self.seen.contains(&dir), self.seen.contains(&other)) {
            (false, false) => Seen::Never,
            (true, false) if is_dir => Seen::AsDirectory,
            _ => Seen::OtherThings,
        };
        self.seen.insert(if is_dir { dir } else { other });
        seen
    }
}
