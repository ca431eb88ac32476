// SPDX-License-Identifier: Apache-2.0
//! Word on images for other platforms that a tag leads to no longer.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Entry, Index};

use super::nested::{Nested, Presence};
use super::search::{Platforms, is_about_image};
use super::{EntryName, Layout};

/// Warns when a name that led to images for several platforms leads to one image now.
pub(super) fn warn(layout: &Layout, name: &EntryName, old: &[Entry], new: &Descriptor) {
    if Kind::of(&new.media_type) != Kind::Manifest {
        return;
    }
    for entry in old.iter().filter_map(Entry::descriptor) {
        // What cannot be read is no loss.
        let platforms = platforms(layout, entry).unwrap_or_default();
        if platforms.len() > 1 {
            let platforms = platforms.into_iter().collect::<Vec<_>>().join(", ");
            log::warn!(
                "{name} had images for {platforms}; it is one image now (the index {} stays until \
                 garbage is collected)",
                entry.digest
            );
        }
    }
}

/// What the images below an entry are for.
fn platforms(layout: &Layout, entry: &Descriptor) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    if Kind::of(&entry.media_type) != Kind::Index {
        return Ok(found);
    }
    let mut platforms = Platforms::new(layout);
    for step in Nested::new(layout, &layout.document::<Index>(entry)?) {
        let step = step?;
        let image = step.entry.descriptor().filter(|image| !is_about_image(image));
        if let (Some(image), Presence::Leaf) = (image, step.presence) {
            found.extend(platforms.of(image)?.map(|platform| platform.to_string()));
        }
    }
    Ok(found)
}
