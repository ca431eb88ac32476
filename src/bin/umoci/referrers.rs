// SPDX-License-Identifier: Apache-2.0
//! Word on what no longer applies to an image that was changed: signatures, attestations and
//! the like are about the bytes of a manifest, and the changed image has others.

use umoci::layout::{EntryName, Layout, Referrer, referrers};
use umoci::oci::DescriptorPath;

/// How many are named one by one.
const NAMED: usize = 20;

/// What was about an image, or an index of images, before it is changed.
pub(crate) struct Referrers {
    found: Vec<Referrer>,
}

impl Referrers {
    /// Finds what is about the image at the end of `base`, if `name` leads to it: under other names
    /// it stays what it was.
    pub(crate) fn find(layout: &Layout, base: &DescriptorPath, name: &EntryName) -> Self {
        match layout.find_again(name, base.target()) {
            Ok(Some(path)) => Self::of(layout, &path),
            _ => Self { found: Vec::new() },
        }
    }

    /// Finds what is about what a path leads to, and about the indexes on the way. What cannot
    /// be read is no reason to change nothing.
    pub(crate) fn of(layout: &Layout, path: &DescriptorPath) -> Self {
        let found = referrers(layout, path).unwrap_or_else(|error| {
            log::warn!("cannot tell what is about the image: {error}");
            Vec::new()
        });
        Self { found }
    }

    /// Says which of them are not about what the tag leads to now, or an index on the way there.
    pub(crate) fn tell(&self, new: &DescriptorPath, tag: &EntryName) {
        let is_left = |found: &&Referrer| new.walk().iter().all(|at| at.digest != found.subject);
        let lost: Vec<&Referrer> = self.found.iter().filter(is_left).collect();
        for referrer in lost.iter().take(NAMED) {
            log::warn!(
                "{} no longer applies to {tag}: it is about {}",
                name(referrer),
                referrer.subject
            );
        }
        if let Some(more @ 1..) = lost.len().checked_sub(NAMED) {
            log::warn!("{more} more no longer apply to {tag}");
        }
    }
}

/// The digest, and what sort of thing it is as far as that is known.
fn name(referrer: &Referrer) -> String {
    let digest = &referrer.descriptor.digest;
    match referrer.sort.as_str() {
        "" => digest.to_string(),
        sort => format!("{digest} ({sort})"),
    }
}
