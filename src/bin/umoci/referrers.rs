// SPDX-License-Identifier: Apache-2.0
//! Word on what no longer applies to an image that was changed: signatures, attestations and
//! the like are about the bytes of a manifest, and the changed image has others.

use umoci::layout::{Layout, RefName, Referrer, Selector, referrers};
use umoci::oci::{Descriptor, DescriptorPath};

/// How many are named one by one.
const NAMED: usize = 20;

/// What was about an image before it is changed.
pub(crate) struct Referrers {
    /// The image under the tag that is about to lead to another one.
    old: Option<Descriptor>,
    found: Vec<Referrer>,
}

impl Referrers {
    /// Finds what is about the image at the end of `base`, if `tag` leads to it: under other tags
    /// it stays what it was. What cannot be read is no reason to change nothing.
    pub(crate) fn find(layout: &Layout, base: &DescriptorPath, tag: &RefName) -> Self {
        let path = layout.find_again(&Selector::Name(tag.clone()), base.target());
        let Ok(Some(path)) = path else { return Self { old: None, found: Vec::new() } };
        let found = referrers(layout, &path).unwrap_or_else(|error| {
            log::warn!("cannot tell what is about the image: {error}");
            Vec::new()
        });
        Self { old: Some(path.target().clone()), found }
    }

    /// Says which of them are not about the image that has the tag now.
    pub(crate) fn tell(&self, new: &DescriptorPath, tag: &RefName) {
        let unchanged = self.old.as_ref().is_some_and(|old| old.digest == new.target().digest);
        if unchanged || self.found.is_empty() {
            return;
        }
        for referrer in self.found.iter().take(NAMED) {
            log::warn!(
                "{} no longer applies to {tag}: it is about {}",
                name(referrer),
                referrer.subject
            );
        }
        if let Some(more @ 1..) = self.found.len().checked_sub(NAMED) {
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
