// SPDX-License-Identifier: Apache-2.0
//! What is in the index of an image for several platforms ([`entries`]), and what an entry is
//! called ([`EntryChoice`]).

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, Nested, Platforms, REFERENCE_DIGEST, Step};
use crate::oci::media_type::Kind;
use crate::oci::{Algorithm, Descriptor, Digest, Entry, Index, Manifest, Platform, is_digest};

/// Which entry of an index is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryChoice {
    /// The one for this very platform.
    Platform(Platform),
    /// The one of this digest.
    Digest(Digest),
    /// The one of this digest, of an algorithm that is not known.
    Unread(String),
}

impl FromStr for EntryChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.contains(':') {
            return match text.parse::<Digest>() {
                Ok(digest) => Ok(Self::Digest(digest)),
                Err(_) if is_of_unknown_algorithm(text) => Ok(Self::Unread(text.to_owned())),
                Err(error) => Err(error),
            };
        }
        Ok(Self::Platform(text.parse()?))
    }
}

fn is_of_unknown_algorithm(digest: &str) -> bool {
    let algorithm = digest.split(':').next().unwrap_or_default();
    is_digest(digest) && algorithm.parse::<Algorithm>().is_err()
}

impl fmt::Display for EntryChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform(platform) => platform.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
            Self::Unread(digest) => f.write_str(digest),
        }
    }
}

/// Something in an index.
#[derive(Debug, Clone)]
pub struct IndexEntry {
    /// How many indexes there are between it and the one that is listed.
    pub depth: usize,
    /// The entry.
    pub entry: Entry,
    /// The platform, as the entry states it, or else the configuration.
    pub platform: Option<Platform>,
    /// For an image that is in the layout, the sizes of configuration and layers together, in
    /// bytes.
    pub size: Option<u64>,
    /// The image that it is about, as attestations have it.
    pub about: Option<String>,
}

/// Lists what is in the index that a descriptor leads to, and in those within, each of them
/// once, in their order.
///
/// # Errors
/// [`ErrorKind::Unsupported`] when the descriptor leads to something else.
pub fn entries(layout: &Layout, descriptor: &Descriptor) -> Result<Vec<IndexEntry>> {
    let mut platforms = Platforms::new(layout);
    let mut sizes = HashMap::new();
    let index = layout.document::<Index>(descriptor)?;
    let list = |step: Result<Step>| {
        let step = step?;
        let (platform, size) = match &step.entry {
            Entry::Read(entry) => {
                let known = sizes.get(&entry.digest).copied();
                let size = known.map_or_else(|| size_of(layout, entry), Ok)?;
                sizes.insert(entry.digest.clone(), size);
                (platforms.of(entry)?, size)
            }
            Entry::Unread(entry) => (entry.platform(), None),
        };
        let about = step.entry.annotation(REFERENCE_DIGEST).map(str::to_owned);
        Ok(IndexEntry { depth: step.depth(), entry: step.entry, platform, size, about })
    };
    Nested::new(layout, &index).map(list).collect()
}

fn size_of(layout: &Layout, entry: &Descriptor) -> Result<Option<u64>> {
    if Kind::of(&entry.media_type) != Kind::Manifest {
        return Ok(None);
    }
    match layout.document::<Manifest>(entry) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        manifest => {
            let manifest = manifest?;
            let parts = manifest.layers.iter().chain([&manifest.config]);
            Ok(Some(parts.map(|part| part.size).fold(0, u64::saturating_add)))
        }
    }
}
