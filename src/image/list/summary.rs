// SPDX-License-Identifier: Apache-2.0
//! What there is in a layout, one [`Summary`] for each entry of its index.

use std::collections::HashSet;

use super::{Facts, Reader, stated};
use crate::error::{ErrorKind, Result};
use crate::layout::{Layout, Nested, Presence, REF_NAME, full_name_in};
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Digest, Entry, Index, Platform, Timestamp};

/// What an entry of `index.json` leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The entry.
    pub entry: Entry,
    /// The platforms of its images, in the order of their indexes; nothing for what is no image.
    pub platforms: Vec<Platform>,
    /// The bytes of all blobs that belong to it, as they are stored, each counted once.
    /// Those of images that are not in the layout are not known and do not count.
    pub size: u64,
    /// When the youngest of its images was made, if they say it.
    pub created: Option<Timestamp>,
    /// What has kept its documents from being read, if anything has.
    pub problem: Option<String>,
}

impl Summary {
    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.entry.annotation(REF_NAME)
    }

    /// The full name, if the entry has one.
    pub fn full_name(&self) -> Option<&str> {
        full_name_in(|name| self.entry.annotation(name))
    }
}

/// Looks at every entry of the index, in its order. Documents that many entries share are
/// read once.
///
/// # Errors
/// When the index cannot be read. Whatever is wrong behind an entry is told with that.
pub fn summaries(layout: &Layout) -> Result<Vec<Summary>> {
    let mut reader = Reader::new(layout);
    Ok(layout.index()?.entries().map(|entry| reader.summary(entry)).collect())
}

/// The sum over what an entry leads to.
struct Sum {
    summary: Summary,
    counted: HashSet<Digest>,
}

impl Sum {
    fn count(&mut self, digest: &Digest, size: u64) {
        if self.counted.insert(digest.clone()) {
            self.summary.size = self.summary.size.saturating_add(size);
        }
    }
}

impl Reader<'_> {
    fn summary(&mut self, entry: Entry) -> Summary {
        let (platforms, problem) = match &entry {
            Entry::Read(_) => (Vec::new(), None),
            Entry::Unread(entry) => {
                (entry.platform().into_iter().collect(), Some(entry.reason().to_owned()))
            }
        };
        let summary = Summary { entry, platforms, size: 0, created: None, problem };
        let mut sum = Sum { summary, counted: HashSet::new() };
        if let Some(target) = sum.summary.entry.descriptor().cloned() {
            sum.summary.problem = self.add(&target, &mut sum).err().map(|error| error.to_string());
        }
        sum.summary
    }

    fn add(&mut self, target: &Descriptor, sum: &mut Sum) -> Result<()> {
        match Kind::of(&target.media_type) {
            Kind::Index => self.add_index(target, sum)?,
            Kind::Manifest => add_image(target, &self.image(target)?, sum),
            _ => sum.count(&target.digest, target.size),
        }
        Ok(())
    }

    fn add_index(&mut self, target: &Descriptor, sum: &mut Sum) -> Result<()> {
        let index: Index = self.layout.document(target)?;
        sum.count(&target.digest, target.size);
        for step in Nested::new(self.layout, &index) {
            let step = step?;
            let Some(entry) = step.entry.descriptor() else { continue };
            match (step.presence, Kind::of(&entry.media_type)) {
                (Presence::Absent | Presence::Repeated, _) => {}
                (Presence::Leaf, Kind::Manifest) => match self.image(entry) {
                    // One platform of several is often all that was copied.
                    Err(error) if entry.data.is_none() && error.kind() == ErrorKind::NotFound => {}
                    facts => add_image(entry, &facts?, sum),
                },
                _ => sum.count(&entry.digest, entry.size),
            }
        }
        Ok(())
    }
}

fn add_image(target: &Descriptor, facts: &Facts, sum: &mut Sum) {
    for (digest, size) in &facts.blobs {
        sum.count(digest, *size);
    }
    let platform = stated(target).or_else(|| facts.platform.clone());
    let platform = platform.filter(|platform| !platform.is_unknown());
    let summary = &mut sum.summary;
    summary.platforms.extend(platform.filter(|one| !summary.platforms.contains(one)));
    let age = |created: &Option<Timestamp>| created.as_ref().map(Timestamp::epoch_seconds);
    if age(&facts.created) > age(&summary.created) {
        summary.created.clone_from(&facts.created);
    }
}
