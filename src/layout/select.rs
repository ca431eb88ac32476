// SPDX-License-Identifier: Apache-2.0
//! Which entries of `index.json` somebody means.

use std::collections::{BTreeSet, HashSet};

use crate::error::{Error, ErrorKind, Result};
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Digest, Index, UnreadEntry};

use super::full_name::{FULL_NAME, full_name, is_short_for};
use super::unnamed::unnamed;
use super::walk::MAX_DEPTH;
use super::{Layout, REF_NAME, RefName, Selector};

/// How many names, images or platforms an error lists.
pub(super) const LISTED: usize = 32;

/// The name that is meant where none is given.
pub(super) const DEFAULT_NAME: &str = "latest";

/// What was selected.
pub(super) struct Selection {
    /// The entries, in their order.
    pub(super) entries: Vec<Descriptor>,
    /// What one of them has to lead to.
    pub(super) pin: Option<Digest>,
}

impl From<Vec<Descriptor>> for Selection {
    fn from(entries: Vec<Descriptor>) -> Self {
        Self { entries, pin: None }
    }
}

impl Layout {
    pub(super) fn select(&self, selector: &Selector) -> Result<Selection> {
        let index = self.index()?;
        let unread = unread(&index, selector).cloned();
        let selection = self.select_from(index.manifests, selector)?;
        match unread {
            Some(unread) if selection.entries.is_empty() => {
                Err(unread.refuse().context(selector.to_string()))
            }
            _ => Ok(selection),
        }
    }

    fn select_from(&self, entries: Vec<Descriptor>, selector: &Selector) -> Result<Selection> {
        Ok(match selector {
            Selector::Name(name) => named(&entries, name.as_str()).into(),
            Selector::Reference(name) => referred(&entries, name)?,
            Selector::Digest(digest) => {
                let path = locate(self, &entries, digest)?;
                path.and_then(|mut path| path.pop()).into_iter().collect::<Vec<_>>().into()
            }
            Selector::Unread(_) => Vec::new().into(),
            Selector::Default => unnamed(self, entries)?.into(),
        })
    }
}

/// The entry that is meant and cannot be used, if there is one.
fn unread<'a>(index: &'a Index, selector: &Selector) -> Option<&'a UnreadEntry> {
    let name = selector.to_string();
    index.unread.iter().find(|entry| match selector {
        Selector::Unread(digest) => entry.digest() == digest,
        _ => {
            let names = [REF_NAME, FULL_NAME].map(|key| entry.annotation(key));
            names.contains(&Some(&name)) || entry.digest() == name
        }
    })
}

fn has(entry: &Descriptor, annotation: &str, name: &str) -> bool {
    entry.annotations.get(annotation).is_some_and(|found| found == name)
}

pub(super) fn named(entries: &[Descriptor], name: &str) -> Vec<Descriptor> {
    entries.iter().filter(|entry| has(entry, REF_NAME, name)).cloned().collect()
}

/// What somebody calls `name`. Whatever has exactly that name goes before what it is short for.
fn referred(entries: &[Descriptor], name: &RefName) -> Result<Selection> {
    let whole = called(entries, name.as_str())?;
    if !whole.is_empty() {
        return Ok(whole.into());
    }
    let pinned = name.as_str().rsplit_once('@');
    let pinned = pinned.and_then(|(name, digest)| Some((name, digest.parse().ok()?)));
    match pinned {
        Some((name, pin)) => {
            let entries = matching(entries, name);
            let pinned = entries.iter().filter(|entry| entry.digest == pin).cloned().collect();
            one_name(name, pinned)?;
            Ok(Selection { entries, pin: Some(pin) })
        }
        None => Ok(whole.into()),
    }
}

/// The entries that are called `name`: all of one name, perhaps for different platforms.
pub(super) fn called(entries: &[Descriptor], name: &str) -> Result<Vec<Descriptor>> {
    one_name(name, matching(entries, name))
}

/// Refuses entries with different full names: they are different images.
pub(super) fn one_name(name: &str, entries: Vec<Descriptor>) -> Result<Vec<Descriptor>> {
    match meanings(&entries) {
        names if names.len() > 1 => Err(ambiguous(name, &names)),
        _ => Ok(entries),
    }
}

/// What entries are called, as completely as they say.
pub(super) fn meanings(entries: &[Descriptor]) -> BTreeSet<&str> {
    let name = |entry| full_name(entry).or_else(|| tag(entry));
    entries.iter().filter_map(name).collect()
}

fn tag(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REF_NAME).map(String::as_str)
}

fn matching(entries: &[Descriptor], name: &str) -> Vec<Descriptor> {
    let those = |is_meant: &dyn Fn(&&Descriptor) -> bool| -> Vec<Descriptor> {
        entries.iter().filter(is_meant).cloned().collect()
    };
    for annotation in [REF_NAME, FULL_NAME] {
        let found = those(&|entry| has(entry, annotation, name));
        if !found.is_empty() {
            return found;
        }
    }
    those(&|entry| full_name(entry).is_some_and(|full| is_short_for(name, full)))
}

/// A name that can mean several, with what it can mean.
pub(super) fn ambiguous(name: &str, meanings: &BTreeSet<&str>) -> Error {
    let listed: Vec<&str> = meanings.iter().copied().take(LISTED).collect();
    let meanings = match listed[..] {
        [] | [_] => String::new(),
        _ => format!(": it can mean {}", listed.join(", ").escape_debug()),
    };
    Error::new(ErrorKind::Ambiguous, format!("tag is ambiguous: {name}{meanings}"))
}

/// Finds the first way from entries through indexes to what has a digest.
pub(super) fn locate(
    layout: &Layout,
    entries: &[Descriptor],
    digest: &Digest,
) -> Result<Option<Vec<Descriptor>>> {
    let mut seen = HashSet::new();
    // What is nearest is found first, however much is nested elsewhere.
    let mut level: Vec<Vec<Descriptor>> = entries.iter().map(|entry| vec![entry.clone()]).collect();
    for _ in 0..=MAX_DEPTH {
        let is_found = |path: &Vec<Descriptor>| path.last().is_some_and(|at| at.digest == *digest);
        if let Some(found) = level.iter().position(is_found) {
            return Ok(Some(level.swap_remove(found)));
        }
        let mut below = Vec::new();
        for path in level {
            let Some(last) = path.last() else { continue };
            if Kind::of(&last.media_type) == Kind::Index && seen.insert(last.digest.clone()) {
                let index = match layout.document::<Index>(last) {
                    // It is not in there for sure.
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    index => index?,
                };
                below.extend(index.manifests.into_iter().map(|next| [&path[..], &[next]].concat()));
            }
        }
        level = below;
    }
    Ok(None)
}
