// SPDX-License-Identifier: Apache-2.0
//! The entries of an index and of those within it, in their order.
//!
//! An index can be reached in very many ways. It is entered once.

use std::collections::HashSet;
use std::vec;

use crate::error::{Context, ErrorKind, Result};
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Digest, Entry, Index};

use super::Layout;
use super::walk::{MAX_DEPTH, too_deep};

/// An entry, and where it is.
#[derive(Debug)]
pub(crate) struct Step {
    /// Its place in its index, behind the places of the indexes that lead there. Only entries
    /// that can be used are counted.
    pub(crate) path: Vec<usize>,
    /// The entry.
    pub(crate) entry: Entry,
    /// What follows.
    pub(crate) presence: Presence,
}

impl Step {
    /// How many indexes there are between the entry and the one where the walk began.
    pub(crate) fn depth(&self) -> usize {
        self.path.len() - 1
    }
}

/// Whether the entries of an entry follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It has none, since it is no index.
    Leaf,
    /// They follow.
    Entered,
    /// It is an index that was entered before.
    Repeated,
    /// It is an index that is not in the layout.
    Absent,
}

/// A walk through nested indexes.
pub(crate) struct Nested<'a> {
    layout: &'a Layout,
    entered: HashSet<Digest>,
    /// What is left of each index that the walk is in, and how many entries it has given.
    levels: Vec<(vec::IntoIter<Entry>, usize)>,
}

impl<'a> Nested<'a> {
    /// Starts in an index, which need not be in the layout.
    pub(crate) fn new(layout: &'a Layout, index: &Index) -> Self {
        let mut walk = Self { layout, entered: HashSet::new(), levels: Vec::new() };
        walk.push(index);
        walk
    }

    fn push(&mut self, index: &Index) {
        self.levels.push((index.entries().collect::<Vec<_>>().into_iter(), 0));
    }

    /// The next entry, and where it is.
    fn advance(&mut self) -> Option<(Vec<usize>, Entry)> {
        loop {
            let (entries, given) = self.levels.last_mut()?;
            let Some(entry) = entries.next() else {
                self.levels.pop();
                continue;
            };
            *given += usize::from(entry.descriptor().is_some());
            let path = self.levels.iter().map(|(_, given)| given.saturating_sub(1)).collect();
            return Some((path, entry));
        }
    }

    fn enter(&mut self, entry: &Descriptor) -> Result<Presence> {
        if Kind::of(&entry.media_type) != Kind::Index {
            return Ok(Presence::Leaf);
        }
        if self.entered.contains(&entry.digest) {
            return Ok(Presence::Repeated);
        }
        if self.levels.len() > MAX_DEPTH {
            return Err(too_deep());
        }
        let index = match self.layout.document::<Index>(entry) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Presence::Absent),
            index => index.with_context(|| format!("read index {}", entry.digest))?,
        };
        self.entered.insert(entry.digest.clone());
        self.push(&index);
        Ok(Presence::Entered)
    }
}

impl Iterator for Nested<'_> {
    type Item = Result<Step>;

    fn next(&mut self) -> Option<Self::Item> {
        let (path, entry) = self.advance()?;
        let entered = entry.descriptor().map_or(Ok(Presence::Leaf), |found| self.enter(found));
        Some(entered.map(|presence| Step { path, entry, presence }))
    }
}
