// SPDX-License-Identifier: Apache-2.0
//! What there is in a layout, one [`Summary`] for each entry of its index.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::error::{ErrorKind, Result};
use crate::layout::{Layout, Nested, Presence, REF_NAME, full_name};
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Timestamp, json};

/// What an entry of `index.json` leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The entry.
    pub entry: Descriptor,
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
        self.entry.annotations.get(REF_NAME).map(String::as_str)
    }
}

/// Looks at every entry of the index, in its order. Documents that many entries share are
/// read once.
///
/// # Errors
/// When the index cannot be read. Whatever is wrong behind an entry is told with that.
pub fn summaries(layout: &Layout) -> Result<Vec<Summary>> {
    let mut reader = Reader { layout, images: HashMap::new() };
    Ok(layout.index()?.manifests.iter().map(|entry| reader.summary(entry)).collect())
}

/// The summaries as JSON, one element for each.
pub fn to_json(summaries: &[Summary]) -> Result<Vec<u8>> {
    let elements: Vec<_> = summaries.iter().map(Element::of).collect();
    json::to_bytes(&elements)
}

#[derive(Serialize)]
struct Element<'a> {
    tag: Option<&'a str>,
    full_name: Option<&'a str>,
    digest: &'a Digest,
    #[serde(rename = "mediaType")]
    media_type: &'a str,
    platforms: Vec<String>,
    size: u64,
    created: Option<&'a Timestamp>,
    annotations: &'a BTreeMap<String, String>,
    problem: Option<&'a str>,
}

impl<'a> Element<'a> {
    fn of(summary: &'a Summary) -> Self {
        Self {
            tag: summary.tag(),
            full_name: full_name(&summary.entry),
            digest: &summary.entry.digest,
            media_type: &summary.entry.media_type,
            platforms: summary.platforms.iter().map(ToString::to_string).collect(),
            size: summary.size,
            created: summary.created.as_ref(),
            annotations: &summary.entry.annotations,
            problem: summary.problem.as_deref(),
        }
    }
}

/// One image: its blobs, and what its configuration says.
#[derive(Clone)]
struct Facts {
    blobs: Vec<(Digest, u64)>,
    platform: Option<Platform>,
    created: Option<Timestamp>,
}

struct Reader<'a> {
    layout: &'a Layout,
    images: HashMap<Digest, Facts>,
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
    fn summary(&mut self, entry: &Descriptor) -> Summary {
        let summary = Summary {
            entry: entry.clone(),
            platforms: Vec::new(),
            size: 0,
            created: None,
            problem: None,
        };
        let mut sum = Sum { summary, counted: HashSet::new() };
        if let Err(error) = self.add(entry, &mut sum) {
            sum.summary.problem = Some(error.to_string());
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
        let platform = config.as_ref().map(Platform::of);
        let facts = Facts { blobs, platform, created: config.and_then(|config| config.created) };
        self.images.insert(target.digest.clone(), facts.clone());
        Ok(facts)
    }
}

fn add_image(target: &Descriptor, facts: &Facts, sum: &mut Sum) {
    for (digest, size) in &facts.blobs {
        sum.count(digest, *size);
    }
    let stated = target.platform.clone().filter(Platform::is_stated);
    let platform = stated.or_else(|| facts.platform.clone());
    let platform = platform.filter(|platform| platform.is_stated() && !platform.is_unknown());
    let summary = &mut sum.summary;
    summary.platforms.extend(platform.filter(|one| !summary.platforms.contains(one)));
    let age = |created: &Option<Timestamp>| created.as_ref().map(Timestamp::epoch_seconds);
    if age(&facts.created) > age(&summary.created) {
        summary.created.clone_from(&facts.created);
    }
}
