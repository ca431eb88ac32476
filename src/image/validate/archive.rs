// SPDX-License-Identifier: Apache-2.0
//! The archive of a layer (image-spec `layer.md`): its end, and the names and types of its members.

use std::io::BufRead;

use super::code::Code;
use super::finding::{Findings, Place};
use super::names::{MOST_NAMES, Names, Outline, Seen, Shared, Sort};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::entry::{Ending, shown};
use crate::layer::{Entry, EntryKind, Limits, Members, WHITEOUT_PREFIX, Whiteout, classify};
use crate::rootfs::{Name, RootPath};

/// What was found in an archive.
pub(super) struct Contents {
    pub(super) findings: Findings,
    /// Its members.
    pub(super) entries: u64,
    /// Its names; nothing if they cannot be known.
    pub(super) outline: Outline,
}

/// Reads an archive and what follows it, unless it has more entries than the `limits` allow. Where
/// reading itself fails that is the reader's to tell.
pub(super) fn check<R: BufRead>(
    input: R,
    place: &Place,
    limits: &Limits,
    shared: &Shared,
) -> (Contents, R) {
    let mut members = Members::new(input);
    let mut findings = Findings::default();
    let names = Names::new(shared);
    let mut archive = Archive { place, findings: &mut findings, names, limits, entries: 0 };
    let read = archive.members(&mut members);
    let ending = members.ending();
    let mut input = members.into_inner();
    let is_over = limits.check_entries(archive.entries).is_err();
    let has_rest = !is_over && drain(&mut input);
    match (&read, ending) {
        (Err(error), _) => archive.broken(error),
        (Ok(()), Some(Ending::Marked)) if has_rest => {
            archive.findings.add(Code::TarTrailing, place, "bytes follow the end of the archive");
        }
        (Ok(()), Some(Ending::Half | Ending::Bare)) if !is_over => {
            archive.findings.add(Code::TarEnd, place, "the archive just ends");
        }
        (Ok(()), _) => {}
    }
    let Archive { entries, names, .. } = archive;
    let outline = if read.is_ok() { names.finish() } else { Outline::default() };
    (Contents { findings, entries, outline }, input)
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
    names: Names<'a>,
    limits: &'a Limits,
    entries: u64,
}

impl Archive<'_> {
    fn members(&mut self, members: &mut Members<impl BufRead>) -> Result<()> {
        while let Some(entry) = members.next_member()? {
            self.entries += 1;
            if self.limits.check_entries(self.entries).is_err() {
                return Ok(());
            }
            self.member(&entry);
        }
        if !self.names.is_complete() {
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
        if let Err(error) = self.limits.check_depth(path.components().count()) {
            self.add(Code::TarLimit, entry, &error.to_string());
        }
        self.whiteout(entry, &path);
        let sort = match &entry.kind {
            EntryKind::Dir => Sort::Dir,
            EntryKind::Symlink { .. } => Sort::Symlink,
            _ => Sort::Other,
        };
        match self.names.add(&path, sort) {
            Seen::Never => {}
            Seen::AsDirectory => {
                self.add(Code::TarDirectory, entry, "the directory is there twice");
            }
            Seen::OtherThings => self.add(Code::TarDuplicate, entry, "the name is there twice"),
        }
        if let EntryKind::Hardlink { target } = &entry.kind {
            self.link(entry, &path, target);
        }
    }

    fn link(&mut self, entry: &Entry, path: &RootPath, target: &[u8]) {
        match RootPath::clean(target) {
            Ok(target) if target == *path => {
                self.add(Code::TarLink, entry, "the link is to itself");
            }
            Ok(clean) if !clean.is_root() => {
                if has_parent(target) {
                    let message = "the link's target has a component \"..\"";
                    self.add(Code::TarLinkParent, entry, message);
                }
                self.names.link(|| shown(&entry.path), clean);
            }
            _ => self.add(Code::TarLink, entry, "the link is to nothing"),
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
