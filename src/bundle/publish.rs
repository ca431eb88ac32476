// SPDX-License-Identifier: Apache-2.0
//! [`publish`]: where a repacked image goes in the layout.

use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::ImageEditor;
use crate::layout::{Destination, EntryName, Layout, LayoutWriter, until_unchanged};
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, DescriptorPath};

/// Stores the changed image, and lets `name` lead to it.
pub(super) fn publish(
    mut editor: ImageEditor<'_>,
    writer: &LayoutWriter,
    name: &EntryName,
) -> Result<DescriptorPath> {
    let base = editor.base().clone();
    until_unchanged(|| {
        let place = find_place(writer.layout(), &base, name).context("find its place")?;
        let path = match &place {
            Place::At(path) => editor.commit_at(path),
            Place::Within(index) => editor.commit_into(index),
            Place::Alone => editor.commit_at(&base),
        };
        let path = path.context("commit mutated image")?;
        writer.place(&place.destination(name), path.root().clone()).context("add new tag")?;
        Ok(path)
    })
}

/// Where an image goes.
enum Place {
    /// In the place of another one, which is what the image has become, or for the same platform.
    At(DescriptorPath),
    /// Beside those in the index that the name leads to now.
    Within(Box<Descriptor>),
    /// With the indexes that it came from, whatever else the name leads to.
    Alone,
}

impl Place {
    fn destination(&self, name: &EntryName) -> Destination {
        match self {
            Self::At(path) => Destination::Entry(Box::new(path.root().clone())),
            Self::Within(index) => Destination::Entry(index.clone()),
            Self::Alone => Destination::Name(name.clone()),
        }
    }
}

/// The place under `name` of an image that was at `base`. What is there by now is not undone: an
/// image that was one of several is one of those that there are now.
fn find_place(layout: &Layout, base: &DescriptorPath, name: &EntryName) -> Result<Place> {
    let entries = layout.entries_named(name)?;
    if base.walk().len() == 1 && entries.len() < 2 {
        return Ok(Place::Alone);
    }
    if let Some(path) = layout.find_again(name, base.target())? {
        return Ok(Place::At(path));
    }
    match &entries[..] {
        [entry] if Kind::of(&entry.media_type) == Kind::Index => {
            Ok(Place::Within(Box::new(entry.clone())))
        }
        [] | [_] => Ok(Place::Alone),
        _ => {
            let message = format!("tag is ambiguous: {name} has no entry for the same platform");
            Err(Error::new(ErrorKind::Ambiguous, message))
        }
    }
}
