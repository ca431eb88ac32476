// SPDX-License-Identifier: Apache-2.0
//! Where a new image goes in `index.json`, and what entries are called there.

use std::collections::BTreeSet;
use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::oci::{Descriptor, Entry};

use super::full_name::FULL_NAME;
use super::{Layout, REF_NAME, RefName, select};

/// What an entry of `index.json` is called: its tag, and its full name where that is not the
/// tag. The default is no name at all. Entries with the same tag and different full names are different images.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryName {
    tag: Option<String>,
    full: Option<String>,
}

/// Where a new image goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// In the place of this entry, which must still be there.
    Entry(Box<Descriptor>),
    /// Under this name. Whatever has it is replaced.
    Name(EntryName),
}

/// How often a change is made anew when others are faster.
const ATTEMPTS: u32 = 100;

/// Makes a change, and makes it anew from the start when others have changed the entry in between
/// ([`ErrorKind::Changed`]), so that no change takes another back.
///
/// # Errors
/// Those of `change`, and [`ErrorKind::Changed`] when others were faster 100 times.
pub fn until_unchanged<T, E: AsRef<Error>>(
    mut change: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    for _ in 1..ATTEMPTS {
        match change() {
            Err(error) if error.as_ref().kind() == ErrorKind::Changed => {
                log::debug!("the tag was changed meanwhile; starting again");
            }
            ended => return ended,
        }
    }
    change()
}

impl EntryName {
    /// What an entry is called.
    pub fn of(entry: &Descriptor) -> Self {
        let annotation = |name| entry.annotations.get(name).cloned();
        Self { tag: annotation(REF_NAME), full: annotation(FULL_NAME) }
    }

    /// What an entry is called that perhaps cannot be used.
    pub(super) fn of_any(entry: &Entry) -> Self {
        let annotation = |name| entry.annotation(name).map(str::to_owned);
        Self { tag: annotation(REF_NAME), full: annotation(FULL_NAME) }
    }

    /// Whether this is what an entry is called.
    pub(super) fn is_of(&self, entry: &Entry) -> bool {
        let has = |key, name: &Option<String>| entry.annotation(key) == name.as_deref();
        has(REF_NAME, &self.tag) && has(FULL_NAME, &self.full)
    }

    /// Whether the entry has no name at all.
    pub fn is_nameless(&self) -> bool {
        self.tag.is_none() && self.full.is_none()
    }

    /// Whether somebody who says `name` says the tag or the full name to the letter.
    pub fn is_exactly(&self, name: &str) -> bool {
        [&self.tag, &self.full].into_iter().flatten().any(|own| own == name)
    }

    /// Calls an entry so.
    pub(crate) fn give_to(&self, entry: &mut Descriptor) {
        for (annotation, value) in [(REF_NAME, &self.tag), (FULL_NAME, &self.full)] {
            match value {
                Some(value) => entry.annotations.insert(annotation.to_owned(), value.clone()),
                None => entry.annotations.remove(annotation),
            };
        }
    }
}

impl From<&RefName> for EntryName {
    fn from(name: &RefName) -> Self {
        Self { tag: Some(name.as_str().to_owned()), full: None }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.full.as_ref().or(self.tag.as_ref()) {
            Some(name) => name.escape_debug().fmt(f),
            None => f.write_str("(no tag)"),
        }
    }
}

impl Destination {
    /// What the new image is called.
    pub fn name(&self) -> EntryName {
        match self {
            Self::Entry(entry) => EntryName::of(entry),
            Self::Name(name) => name.clone(),
        }
    }
}

impl Layout {
    /// The name that somebody means by `name`, with the rules of [`Selector::Reference`]: that of
    /// an entry, or `None` if nothing is called like that.
    ///
    /// # Errors
    /// [`ErrorKind::Ambiguous`] when it can be several names.
    ///
    /// [`Selector::Reference`]: super::Selector::Reference
    /// [`ErrorKind::Ambiguous`]: crate::error::ErrorKind::Ambiguous
    pub fn entry_name(&self, name: &RefName) -> Result<Option<EntryName>> {
        name_among(&self.index()?.manifests, name)
    }
}

/// The name of those of some entries that somebody means by `name`.
pub(super) fn name_among(entries: &[Descriptor], name: &RefName) -> Result<Option<EntryName>> {
    let entries = select::called(entries, name.as_str())?;
    let mut names = entries.iter().map(EntryName::of).collect::<BTreeSet<_>>().into_iter();
    match (names.next(), names.next()) {
        (_, Some(_)) => Err(select::ambiguous(name.as_str(), &select::meanings(&entries))),
        (found, None) => Ok(found),
    }
}
