// SPDX-License-Identifier: Apache-2.0
//! Attestations in an index and those within it, which go when the image that they are about does.

use std::collections::{HashMap, HashSet};

use super::put;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::layout::{Layout, LayoutWriter, Nested, Presence, REFERENCE_DIGEST};
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Digest, Entry, Index};

/// What is listed in an index and in those within.
pub(super) struct Listed {
    pub(super) digests: HashSet<String>,
    /// An index of which nobody knows what is in it.
    absent: Option<String>,
}

impl Listed {
    pub(super) fn of(layout: &Layout, index: &Index) -> Result<Self> {
        let mut listed = Self { digests: HashSet::new(), absent: None };
        for step in Nested::new(layout, index) {
            let step = step?;
            let digest = step.entry.digest();
            if step.presence == Presence::Absent {
                listed.absent = Some(digest.clone());
            }
            listed.digests.insert(digest);
        }
        Ok(listed)
    }

    /// Refuses to say what is not listed while there is an index that cannot be looked into.
    pub(super) fn require_all(&self) -> Result<()> {
        match &self.absent {
            Some(index) => Err(absent(index)),
            None => Ok(()),
        }
    }
}

/// An entry of an index that is not in the layout.
pub(super) fn absent(digest: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{digest} is not in the layout"))
}

/// Removes the attestations about what `is_gone`, all the way down, and gives their digests. An
/// index within that loses all its entries by that goes too.
pub(super) fn remove(
    writer: &LayoutWriter,
    index: &mut Index,
    is_gone: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let mut removal =
        Removal { writer, is_gone: &is_gone, removed: Vec::new(), done: HashMap::new() };
    removal.run(index)?;
    Ok(removal.removed)
}

struct Removal<'a> {
    writer: &'a LayoutWriter,
    is_gone: &'a dyn Fn(&str) -> bool,
    removed: Vec<String>,
    /// What each index within became. It can be reached in very many ways.
    done: HashMap<Digest, Outcome>,
}

/// What became of an index within.
#[derive(Clone)]
enum Outcome {
    Kept,
    Changed { digest: Digest, size: u64 },
    Emptied,
}

impl Removal<'_> {
    /// Whether something was removed.
    fn run(&mut self, index: &mut Index) -> Result<bool> {
        let stale =
            index.extract(|entry| entry.annotation(REFERENCE_DIGEST).is_some_and(self.is_gone));
        self.removed.extend(stale.iter().map(Entry::digest));
        let mut is_changed = !stale.is_empty();
        let mut emptied = HashSet::new();
        for entry in &mut index.manifests {
            match self.within(entry)? {
                Outcome::Kept => continue,
                Outcome::Changed { digest, size } => entry.redirect(digest, size),
                Outcome::Emptied => drop(emptied.insert(entry.digest.to_string())),
            }
            is_changed = true;
        }
        index.retain(|entry| !emptied.contains(&entry.digest()));
        Ok(is_changed)
    }

    fn within(&mut self, entry: &Descriptor) -> Result<Outcome> {
        if Kind::of(&entry.media_type) != Kind::Index {
            return Ok(Outcome::Kept);
        }
        if let Some(done) = self.done.get(&entry.digest) {
            return Ok(done.clone());
        }
        let outcome = match self.writer.layout().document::<Index>(entry) {
            Err(error) if error.kind() == ErrorKind::NotFound => Outcome::Kept,
            index => self.rewrite(index?, entry)?,
        };
        self.done.insert(entry.digest.clone(), outcome.clone());
        Ok(outcome)
    }

    fn rewrite(&mut self, mut index: Index, entry: &Descriptor) -> Result<Outcome> {
        if !self.run(&mut index)? {
            return Ok(Outcome::Kept);
        }
        if index.manifests.is_empty() && index.unread.is_empty() {
            return Ok(Outcome::Emptied);
        }
        let algorithm = entry.digest.algorithm();
        let stored = put(self.writer, algorithm, &index).context("put index blob")?;
        Ok(Outcome::Changed { digest: stored.digest, size: stored.size })
    }
}
