// SPDX-License-Identifier: Apache-2.0
//! What is in the index of an image for several platforms ([`entries`]).

use std::collections::HashSet;

use super::{Facts, Reader, stated};
use crate::error::{ErrorKind, Result};
use crate::layout::{Layout, Nested, Presence, REFERENCE_DIGEST, Step};
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Entry, Index, Platform};

/// Something in an index.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IndexEntry {
    /// How many indexes there are between it and the one that is listed.
    pub depth: usize,
    /// The entry.
    pub entry: Entry,
    /// The platform, as the entry states it, or else the configuration.
    pub platform: Option<Platform>,
    /// For what is no index and in the layout, the bytes of all blobs that belong to it, as they
    /// are stored, each counted once.
    pub size: Option<u64>,
    /// The image that it is about, as attestations have it.
    pub about: Option<String>,
    /// Whether it is not in the layout, as in copies of some platforms only.
    pub is_missing: bool,
    /// Why it, or its documents, cannot be read, if they are there and cannot.
    pub problem: Option<String>,
}

/// Lists what is in the index that a descriptor leads to, and in those within, each of them
/// once, in their order. Whatever is wrong with an image in it is told with that.
///
/// # Errors
/// [`ErrorKind::Unsupported`] when the descriptor leads to something else; when an index cannot
/// be read.
///
/// [`ErrorKind::Unsupported`]: crate::error::ErrorKind::Unsupported
pub fn entries(layout: &Layout, descriptor: &Descriptor) -> Result<Vec<IndexEntry>> {
    let mut reader = Reader::new(layout);
    let index = layout.document::<Index>(descriptor)?;
    Nested::new(layout, &index).map(|step| Ok(reader.entry(step?))).collect()
}

impl Reader<'_> {
    fn entry(&mut self, step: Step) -> IndexEntry {
        let mut listed = IndexEntry {
            depth: step.depth(),
            platform: None,
            size: None,
            about: step.entry.annotation(REFERENCE_DIGEST).map(str::to_owned),
            is_missing: step.presence == Presence::Absent,
            problem: None,
            entry: step.entry,
        };
        match &listed.entry {
            Entry::Unread(entry) => {
                listed.platform = entry.platform();
                listed.problem = Some(entry.reason().to_owned());
            }
            Entry::Read(entry) => {
                listed.platform = stated(entry);
                match Kind::of(&entry.media_type) {
                    Kind::Index => {}
                    Kind::Manifest => match self.image(entry) {
                        Ok(facts) => {
                            listed.platform = listed.platform.or_else(|| facts.platform.clone());
                            listed.size = Some(size(&facts));
                        }
                        Err(error) if error.kind() == ErrorKind::NotFound => {
                            listed.is_missing = true;
                        }
                        Err(error) => listed.problem = Some(error.to_string()),
                    },
                    _ => listed.size = Some(entry.size),
                }
            }
        }
        listed
    }
}

fn size(facts: &Facts) -> u64 {
    let mut seen = HashSet::new();
    let sizes = facts.blobs.iter().filter(|(digest, _)| seen.insert(digest));
    sizes.map(|(_, size)| size).fold(0, |sum, size| sum.saturating_add(*size))
}
