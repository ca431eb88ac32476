// SPDX-License-Identifier: Apache-2.0
//! Word on a second image for a platform: of those in an index only the first is ever found, and
//! a tag that has both as entries leads to none.

use umoci::error::Result;
use umoci::image::{IndexEntry, entries};
use umoci::layout::{EntryName, Layout, Platforms};
use umoci::oci::media_type::Kind;
use umoci::oci::{Descriptor, DescriptorPath, Platform};

/// Warns of each image that `name` leads to besides that at the end of `path`, for its platform.
pub(crate) fn warn_of_twins(layout: &Layout, path: &DescriptorPath, name: &EntryName) {
    let target = &path.target().digest.to_string();
    // The change is made; what cannot be read is found by others.
    let images = images(layout, name).unwrap_or_default();
    let Some((_, platform)) = images.iter().find(|(digest, _)| digest == target) else { return };
    let is_twin =
        |(digest, other): &&(String, Platform)| digest != target && other.is_twin(platform);
    for (digest, _) in images.iter().filter(is_twin) {
        log::warn!("{name} has another image for {platform}: {digest}, besides {target}");
    }
}

/// The digests of the images that a name leads to, and their platforms.
fn images(layout: &Layout, name: &EntryName) -> Result<Vec<(String, Platform)>> {
    let mut images = Vec::new();
    let mut platforms = Platforms::new(layout);
    let roots = layout.index()?.manifests.into_iter();
    for root in roots.filter(|entry| EntryName::of(entry) == *name) {
        if Kind::of(&root.media_type) == Kind::Index {
            images.extend(entries(layout, &root)?.into_iter().filter_map(image));
        } else if let Some(platform) = platforms.of(&root)? {
            images.push((root.digest.to_string(), platform));
        }
    }
    Ok(images)
}

fn image(listed: IndexEntry) -> Option<(String, Platform)> {
    let is_image = |entry: &&Descriptor| Kind::of(&entry.media_type) == Kind::Manifest;
    let entry = listed.entry.descriptor().filter(is_image)?;
    let platform = listed.platform.filter(|one| listed.about.is_none() && !one.is_unknown())?;
    Some((entry.digest.to_string(), platform))
}
