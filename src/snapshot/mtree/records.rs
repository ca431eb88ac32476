// SPDX-License-Identifier: Apache-2.0
//! [`read_records`]: a manifest as it is written, every keyword of every name,
//! for those who compare what is said and not what a snapshot needs.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::rc::Rc;

use super::keywords::{parse_type, split};
use super::lines::Lines;
use super::place::Place;
use super::read::{MAX_ENTRIES, MAX_PATH_BYTES};
use crate::error::{Error, ErrorKind, Result};
use crate::rootfs::RootPath;

/// Keywords with their values, as they are written.
type Words = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// What a manifest says of one name.
#[derive(Debug)]
pub(in crate::snapshot) struct Record {
    defaults: Rc<Words>,
    /// The words of its own line, each behind a blank.
    own: Box<[u8]>,
}

impl Record {
    /// All keywords and values, the line's own in the place of `/set` ones.
    pub(in crate::snapshot) fn words(&self) -> BTreeMap<&[u8], &[u8]> {
        let defaults = self.defaults.iter().map(|(keyword, value)| (&**keyword, &**value));
        defaults.chain(words(&self.own).map(split)).collect()
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// Reads what a manifest says of each path. Of two lines with the same path the later one counts.
///
/// # Errors
/// As [`read_mtree`](super::read_mtree), but values are not looked at.
pub(in crate::snapshot) fn read_records(
    reader: impl BufRead,
) -> Result<BTreeMap<RootPath, Record>> {
    let mut lines = Lines::new(reader);
    let mut reading = Reading { path_budget: MAX_PATH_BYTES, ..Reading::default() };
    loop {
        let line = lines.next().map_err(|error| error.context("parse mtree"))?;
        let Some(line) = line else { return Ok(reading.records) };
        let taken = reading.line(line);
        taken.map_err(|error| error.context(format!("parse mtree: line {}", lines.number())))?;
    }
}

#[derive(Debug, Default)]
struct Reading {
    defaults: Rc<Words>,
    place: Place,
    records: BTreeMap<RootPath, Record>,
    path_budget: usize,
}

impl Reading {
    fn line(&mut self, line: &[u8]) -> Result<()> {
        let mut rest = words(line);
        let Some(first) = rest.next() else { return Ok(()) };
        match first {
            b"/set" => {
                let set = rest.map(split).map(|(keyword, value)| (keyword.into(), value.into()));
                Rc::make_mut(&mut self.defaults).extend(set);
                Ok(())
            }
            b"/unset" => {
                let defaults = Rc::make_mut(&mut self.defaults);
                rest.for_each(|word| match word {
                    b"all" => defaults.clear(),
                    word => drop(defaults.remove(word)),
                });
                Ok(())
            }
            b".." => self.place.leave(),
            name => {
                let own: Vec<u8> = rest.flat_map(|word| [b" ", word].concat()).collect();
                self.record(name, Record { defaults: self.defaults.clone(), own: own.into() })
            }
        }
    }

    fn record(&mut self, word: &[u8], record: Record) -> Result<()> {
        let kind = record.words().get(&b"type"[..]).and_then(|value| parse_type(value));
        let Some(kind) = kind else {
            return Err(Error::invalid(format!("\"{}\" has no type", word.escape_ascii())));
        };
        let path = self.place.path(word, kind)?;
        match self.path_budget.checked_sub(path.len()) {
            Some(left) if self.records.len() < MAX_ENTRIES => self.path_budget = left,
            _ => return Err(Error::new(ErrorKind::Limit, "the tree has too many names")),
        }
        self.records.insert(RootPath::clean(path)?, record);
        Ok(())
    }
}
