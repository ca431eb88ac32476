// SPDX-License-Identifier: Apache-2.0
//! [`validate`]: whether a tree is what a manifest says, keyword by keyword.
//!
//! Unlike [`diff`](super::diff), which finds what has changed in an image, this
//! compares what is written with what is there, whatever it may be good for.

mod keyword;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::BufRead;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;

pub use keyword::Keyword;
use keyword::{OnDisk, whole_seconds};

use super::mtree::{Record, parse_xattr, read_records, xattr_word};
use super::walk::{Child, Listing, Place, Visitor, at, walk};
use crate::error::{Context, Result};
use crate::progress::{Progress, Stage};
use crate::quote::quote;
use crate::rootfs::{Dir, FsOps, Kind, Name, RootPath, Stat};

/// What is checked.
#[derive(Debug, Clone, Default)]
pub struct ValidateOptions {
    /// These keywords; `None` for all that the manifest has. `type` is always one of them.
    pub keywords: Option<Vec<Keyword>>,
    /// And these.
    pub added: Vec<Keyword>,
    /// Where files and bytes are counted.
    pub progress: Arc<Progress>,
}

/// One path at which a tree is not what its manifest says. As text it is a line
/// for people, with everything from the tree quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: RootPath,
    /// What.
    pub finding: Finding,
}

/// How a path differs from a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The manifest has it, the tree has not.
    Missing,
    /// The tree has it, the manifest has not.
    Unexpected,
    /// A keyword has another value. Others may, too.
    Value {
        /// Its name.
        keyword: String,
        /// What the manifest says; empty where it says nothing.
        expected: String,
        /// What the tree says, in the same way.
        got: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_root() { b"." } else { self.path.as_bytes() };
        let path = quote(path);
        match &self.finding {
            Finding::Missing => write!(f, "{path}: missing path"),
            Finding::Unexpected => write!(f, "{path}: unexpected path"),
            Finding::Value { keyword, expected, got } => {
                let keyword = quote(keyword);
                write!(f, "{path}: keyword {keyword}: expected {expected}; got {got}")
            }
        }
    }
}

/// Compares a tree with a manifest. The differences, one for each path, are sorted by path.
///
/// # Errors
/// When the manifest is malformed, or has keywords that cannot be checked and
/// no others are named.
pub fn validate(
    fs: &dyn FsOps,
    manifest: impl BufRead,
    options: &ValidateOptions,
) -> Result<Vec<Difference>> {
    log::info!("parsing mtree manifest ...");
    let records = read_records(manifest)?;
    log::info!("... done");
    let chosen = match &options.keywords {
        Some(keywords) => keywords.iter().copied().collect(),
        None => used(&records)?,
    };
    let mut keywords: BTreeSet<Keyword> = chosen;
    keywords.extend(&options.added);
    keywords.insert(Keyword::Type);
    let progress = &*options.progress;
    progress.begin(Stage::Comparing);
    progress.expect_entries(records.len() as u64);
    let mut check = Check { fs, records, keywords, differences: Vec::new(), progress };
    log::info!("computing filesystem diff against manifest ...");
    walk(fs, &mut check)?;
    log::info!("... done");
    let Check { records, mut differences, .. } = check;
    let missing = |path| Difference { path, finding: Finding::Missing };
    differences.extend(records.into_keys().map(missing));
    differences.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(differences)
}

/// All keywords of a manifest.
fn used(records: &BTreeMap<RootPath, Record>) -> Result<BTreeSet<Keyword>> {
    let mut names: BTreeSet<&[u8]> = BTreeSet::new();
    for record in records.values() {
        let own = record.words().into_keys();
        names.extend(own.map(|name| if xattr_word(name).is_some() { b"xattr" } else { name }));
    }
    names.into_iter().map(|name| Keyword::named(&String::from_utf8_lossy(name))).collect()
}

struct Check<'a> {
    fs: &'a dyn FsOps,
    /// Those that have not been found yet.
    records: BTreeMap<RootPath, Record>,
    keywords: BTreeSet<Keyword>,
    differences: Vec<Difference>,
    progress: &'a Progress,
}

impl Visitor for Check<'_> {
    fn enter(&mut self, listing: &Listing) -> Result<()> {
        let Place { path, dir, stat, .. } = &listing.place;
        if path.is_root() && listing.is_first {
            self.compare(path, &self.on_disk(dir, None, stat))?;
        }
        listing.children.iter().try_for_each(|child| self.child(&listing.place, child))
    }

    fn leave(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<'a> Check<'a> {
    fn child(&mut self, place: &Place, child: &Child) -> Result<()> {
        let name = child.name()?;
        let path = place.path.join(name);
        self.compare(&path, &self.on_disk(&place.dir, Some(name), &child.stat))
    }

    fn on_disk<'b>(&self, dir: &'b Dir, name: Option<Name<'b>>, stat: &'b Stat) -> OnDisk<'b>
    where
        'a: 'b,
    {
        OnDisk { fs: self.fs, stat, dir, name, progress: self.progress }
    }

    fn compare(&mut self, path: &RootPath, file: &OnDisk<'_>) -> Result<()> {
        let finding = match self.records.remove(path) {
            None => Some(Finding::Unexpected),
            Some(record) => self.finding(&record, file).with_context(|| at("check", path))?,
        };
        self.progress.add_entries(1);
        let path = path.clone();
        self.differences.extend(finding.map(|finding| Difference { path, finding }));
        Ok(())
    }

    /// The first keyword whose value differs.
    fn finding(&self, record: &Record, file: &OnDisk<'_>) -> Result<Option<Finding>> {
        let words = record.words();
        for keyword in &self.keywords {
            let finding = match keyword {
                Keyword::Xattr => attribute(&words, file)?,
                keyword => value(*keyword, &words, file)?,
            };
            if finding.is_some() {
                return Ok(finding);
            }
        }
        Ok(None)
    }
}

type Words<'a> = BTreeMap<&'a [u8], &'a [u8]>;

fn value(keyword: Keyword, words: &Words<'_>, file: &OnDisk<'_>) -> Result<Option<Finding>> {
    let said = |keyword: Keyword| {
        keyword.names().iter().find_map(|name| words.get(name.as_bytes())).copied()
    };
    let other_time = match keyword {
        Keyword::Time => said(Keyword::TarTime),
        Keyword::TarTime => said(Keyword::Time),
        _ => None,
    };
    let got = keyword.value(file)?;
    let same = match (said(keyword), other_time, &got) {
        (Some(said), _, Some(got)) => keyword.says_the_same(said, got),
        // One of the two knows whole seconds only.
        (None, Some(said), Some(got)) => whole_seconds(said) == whole_seconds(got),
        (None, _, None) => true,
        _ => false,
    };
    if same {
        return Ok(None);
    }
    let expected = said(keyword).or(other_time).unwrap_or_default();
    Ok(Some(finding(keyword.to_string(), expected, &got.unwrap_or_default())))
}

/// The first attribute that differs.
fn attribute(words: &Words<'_>, file: &OnDisk<'_>) -> Result<Option<Finding>> {
    let got = file.attributes()?;
    let mut expected = BTreeMap::new();
    if matches!(file.stat.kind, Kind::File | Kind::Dir) {
        for (keyword, value) in words {
            if xattr_word(keyword).is_none() {
                continue;
            }
            let word = [keyword, &b"="[..], value].concat();
            match xattr_word(&word).and_then(parse_xattr) {
                Some(xattr) => drop(expected.insert(xattr.name, xattr.value)),
                None => {
                    let keyword = keyword.escape_ascii().to_string();
                    return Ok(Some(finding(keyword, value, b"")));
                }
            }
        }
    }
    let names: BTreeSet<_> = expected.keys().chain(got.keys()).collect();
    let differs = names.into_iter().find(|name| expected.get(*name) != got.get(*name));
    Ok(differs.map(|name| {
        let text =
            |value: Option<&Box<[u8]>>| STANDARD.encode(value.map_or(&[][..], |value| value));
        let keyword = format!("xattr.{}", name.escape_ascii());
        let (expected, got) = (text(expected.get(name)), text(got.get(name)));
        finding(keyword, expected.as_bytes(), got.as_bytes())
    }))
}

fn finding(keyword: String, expected: &[u8], got: &[u8]) -> Finding {
    let text = |value: &[u8]| value.escape_ascii().to_string();
    Finding::Value { keyword, expected: text(expected), got: text(got) }
}

#[cfg(test)]
mod tests;
