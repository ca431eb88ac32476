// SPDX-License-Identifier: Apache-2.0
//! What there is in a layout, and in an index: one line for each entry.

mod json;
mod nested;
mod summary;

pub use json::{entries_to_json, summaries_to_json};
pub use nested::{IndexEntry, entries};
pub use summary::{Summary, summaries};

use std::collections::HashMap;

use crate::error::Result;
use crate::layout::Layout;
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Digest, ImageConfig, Manifest, Platform, Timestamp};

/// One image: its blobs, and what its configuration says.
#[derive(Debug, Clone)]
struct Facts {
    blobs: Vec<(Digest, u64)>,
    platform: Option<Platform>,
    created: Option<Timestamp>,
}

/// Reads images, each of them once.
struct Reader<'a> {
    layout: &'a Layout,
    images: HashMap<Digest, Facts>,
}

impl<'a> Reader<'a> {
    fn new(layout: &'a Layout) -> Self {
        Self { layout, images: HashMap::new() }
    }

    fn image(&mut self, target: &Descriptor) -> Result<Facts> {
        if let Some(known) = self.images.get(&target.digest) {
            return Ok(known.clone());
        }
        let manifest: Manifest = self.layout.document(target)?;
        let parts = std::iter::once(&manifest.config).chain(&manifest.layers);
        let mut blobs = vec![(target.digest.clone(), target.size)];
        blobs.extend(parts.map(|part| (part.digest.clone(), part.size)));
        let is_image = Kind::of(&manifest.config.media_type) == Kind::Config;
        let config = is_image.then(|| self.layout.document::<ImageConfig>(&manifest.config));
        let config = config.transpose()?;
        let platform = config.as_ref().map(Platform::of).filter(Platform::is_stated);
        let facts = Facts { blobs, platform, created: config.and_then(|config| config.created) };
        self.images.insert(target.digest.clone(), facts.clone());
        Ok(facts)
    }
}

/// The platform that an entry states.
fn stated(entry: &Descriptor) -> Option<Platform> {
    entry.platform.clone().filter(Platform::is_stated)
}
