// SPDX-License-Identifier: Apache-2.0
//! Indexes without further ones within.

use std::collections::HashSet;

use super::super::attestations;
use super::{IndexEditor, is_successor};
use crate::error::Result;
use crate::layout::{Nested, Platforms, Presence, is_about_image};
use crate::oci::json::to_bytes;
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Digest, Entry, Index};

impl IndexEditor<'_> {
    /// As [`IndexEditor::add`], but puts in the place of each index, there and in what is added,
    /// what is in it, all the way down. Platforms that an index states are kept. Gives what was
    /// replaced by something else.
    ///
    /// # Errors
    /// As for [`IndexEditor::add`], and when one of the indexes is not in the layout.
    pub fn add_flat(&mut self, entry: &Descriptor) -> Result<Vec<Descriptor>> {
        self.flatten()?;
        if Kind::of(&entry.media_type) != Kind::Index {
            return Ok(self.add(entry)?.into_iter().collect());
        }
        let mut source = Self::open(self.writer, entry)?;
        source.flatten()?;
        let before = self.listed()?;
        let replaced = self.merge(&source.index)?;
        self.remove_what_is_about_lost(&before)?;
        Ok(replaced)
    }

    /// Adds the entries of an index, each in the place of the one that it succeeds.
    fn merge(&mut self, source: &Index) -> Result<Vec<Descriptor>> {
        let mut platforms = Platforms::new(self.layout());
        let fresh: HashSet<Digest> =
            source.manifests.iter().map(|entry| entry.digest.clone()).collect();
        let mut entries: Vec<Entry> = self.index.entries().collect();
        let mut seen = entries.iter().map(to_bytes).collect::<Result<HashSet<_>>>()?;
        let mut replaced = Vec::new();
        for mut new in source.entries() {
            if let Entry::Read(image) = &mut new
                && is_image(image)
            {
                image.platform = platforms.of(image)?.or_else(|| image.platform.take());
            }
            // The same once is enough.
            if !seen.insert(to_bytes(&new)?) {
                continue;
            }
            // Nothing takes the place of what was added with it.
            let is_old = |old: &&mut Entry| match (&**old, &new) {
                (Entry::Read(old), Entry::Read(new)) if is_image(old) && is_image(new) => {
                    is_successor(new, old)
                        && (old.digest == new.digest || !fresh.contains(&old.digest))
                }
                _ => false,
            };
            match entries.iter_mut().find(is_old) {
                Some(old) => replaced.push(std::mem::replace(old, new)),
                None => entries.push(new),
            }
        }
        self.index.set_entries(entries);
        let replaced = replaced.iter().filter_map(Entry::descriptor);
        Ok(replaced.filter(|old| !fresh.contains(&old.digest)).cloned().collect())
    }

    /// Puts in the place of each index in the index what is in it, all the way down.
    fn flatten(&mut self) -> Result<()> {
        let mut flat = Vec::new();
        let mut seen = HashSet::new();
        for step in Nested::new(self.writer.layout(), &self.index) {
            let step = step?;
            match step.presence {
                Presence::Entered | Presence::Repeated => {}
                Presence::Absent => return Err(attestations::absent(&step.entry.digest())),
                // The same once is enough.
                Presence::Leaf => {
                    if seen.insert(to_bytes(&step.entry)?) {
                        flat.push(step.entry);
                    }
                }
            }
        }
        self.index.set_entries(flat);
        Ok(())
    }
}

/// Whether an entry is an image, and not something about one.
fn is_image(entry: &Descriptor) -> bool {
    Kind::of(&entry.media_type) == Kind::Manifest && !is_about_image(entry)
}
