// SPDX-License-Identifier: Apache-2.0
//! [`publish`]: where a repacked image goes in the layout.

use crate::error::{Context, ErrorKind, Result};
use crate::image::ImageEditor;
use crate::layout::{Destination, EntryName, Layout, LayoutWriter};
use crate::oci::DescriptorPath;

/// How often others may be faster.
const ATTEMPTS: u32 = 100;

/// Stores the changed image, and lets `name` lead to it.
pub(super) fn publish(
    mut editor: ImageEditor<'_>,
    writer: &LayoutWriter,
    name: &EntryName,
) -> Result<DescriptorPath> {
    let base = editor.base().clone();
    for attempt in 1.. {
        let Some(place) = place_among_others(writer.layout(), &base, name)? else { break };
        let path = editor.commit_at(&place).context("commit mutated image")?;
        let destination = Destination::Entry(Box::new(place.root().clone()));
        match writer.place(&destination, path.root().clone()) {
            Err(error) if error.kind() == ErrorKind::Changed && attempt < ATTEMPTS => {}
            done => return done.map(|()| path).context("add new tag"),
        }
    }
    let path = editor.commit().context("commit mutated image")?;
    let destination = Destination::Name(name.clone());
    writer.place(&destination, path.root().clone()).context("add new tag")?;
    Ok(path)
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
