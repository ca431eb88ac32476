// SPDX-License-Identifier: Apache-2.0
//! [`publish`]: where a repacked image goes in the layout.

use crate::error::{Context, Result};
use crate::image::ImageEditor;
use crate::layout::{Destination, EntryName, Layout, LayoutWriter, until_unchanged};
use crate::oci::DescriptorPath;

/// Stores the changed image, and lets `name` lead to it.
pub(super) fn publish(
    mut editor: ImageEditor<'_>,
    writer: &LayoutWriter,
    name: &EntryName,
) -> Result<DescriptorPath> {
    let base = editor.base().clone();
    until_unchanged(|| {
        let place = place_among_others(writer.layout(), &base, name)?;
        let destination = match &place {
            Some(place) => Destination::Entry(Box::new(place.root().clone())),
            None => Destination::Name(name.clone()),
        };
        let path = editor.commit_at(place.as_ref().unwrap_or(&base));
        let path = path.context("commit mutated image")?;
        writer.place(&destination, path.root().clone()).context("add new tag")?;
        Ok(path)
    })
}

/// The place of the image under `name`, if it is one of several there.
fn place_among_others(
    layout: &Layout,
    base: &DescriptorPath,
    name: &EntryName,
) -> Result<Option<DescriptorPath>> {
    if base.walk().len() == 1 && layout.entries_named(name)?.len() < 2 {
        return Ok(None);
    }
    layout.find_again(name, base.target())
}
