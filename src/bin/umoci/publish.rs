// SPDX-License-Identifier: Apache-2.0
//! The last step of every command that changes an image.

use umoci::error::Context;
use umoci::image::ImageEditor;
use umoci::layout::{EntryName, LayoutWriter};
use umoci::oci::DescriptorPath;

use crate::args::ResultPlace;
use crate::failure::Outcome;
use crate::referrers::Referrers;

/// Stores a changed image, and puts it where it goes. If that is the place of the image before
/// the change, that must still be there. Gives where it is and what it is called.
pub(crate) fn publish(
    writer: &LayoutWriter,
    editor: ImageEditor<'_>,
    place: &ResultPlace,
) -> Outcome<(DescriptorPath, EntryName)> {
    let (path, name) = store(writer, editor, place)?;
    tell(&path, &name);
    Ok((path, name))
}

/// As [`publish`], in the words of commands that say "updated".
pub(crate) fn update(
    writer: &LayoutWriter,
    editor: ImageEditor<'_>,
    place: &ResultPlace,
) -> Outcome {
    let (path, name) = store(writer, editor, place)?;
    tell_manifest(&path);
    log::info!("updated tag for image manifest: {name}");
    Ok(())
}

fn store(
    writer: &LayoutWriter,
    editor: ImageEditor<'_>,
    place: &ResultPlace,
) -> Outcome<(DescriptorPath, EntryName)> {
    let layout = writer.layout();
    let destination = place.destination(layout, editor.base().root())?;
    let name = destination.name();
    let referrers = Referrers::find(layout, editor.base(), &name);
    let path = editor.commit().context("commit mutated image")?;
    writer.place(&destination, path.root().clone()).context("add new tag")?;
    referrers.tell(&path, &name);
    Ok((path, name))
}

/// Tells what was made, and what it is called.
pub(crate) fn tell(path: &DescriptorPath, name: &EntryName) {
    tell_manifest(path);
    log::info!("created new tag for image manifest: {name}");
}

fn tell_manifest(path: &DescriptorPath) {
    // From the entry of the index to the manifest, which is twice the same without an index between.
    let (entry, manifest) = (&path.root().digest, &path.target().digest);
    log::info!("new image manifest created: {entry}->{manifest}");
}
