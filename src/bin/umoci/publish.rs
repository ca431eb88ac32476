// SPDX-License-Identifier: Apache-2.0
//! The last step of every command that changes an image.

use umoci::error::Context;
use umoci::image::ImageEditor;
use umoci::layout::{LayoutWriter, RefName};
use umoci::oci::DescriptorPath;

use crate::failure::Outcome;

/// Stores a changed image, and lets `tag` name it.
pub(crate) fn publish(writer: &LayoutWriter, editor: ImageEditor<'_>, tag: &RefName) -> Outcome {
    let path = store(writer, editor, tag)?;
    tell(&path, tag);
    Ok(())
}

/// As [`publish`], in the words of commands that say "updated".
pub(crate) fn update(writer: &LayoutWriter, editor: ImageEditor<'_>, tag: &RefName) -> Outcome {
    tell_manifest(&store(writer, editor, tag)?);
    log::info!("updated tag for image manifest: {tag}");
    Ok(())
}

fn store(writer: &LayoutWriter, editor: ImageEditor<'_>, tag: &RefName) -> Outcome<DescriptorPath> {
    let path = editor.commit().context("commit mutated image")?;
    writer.tag(tag, path.root().clone()).context("add new tag")?;
    Ok(path)
}

/// Tells what was made, and what it is called.
pub(crate) fn tell(path: &DescriptorPath, tag: &RefName) {
    tell_manifest(path);
    log::info!("created new tag for image manifest: {tag}");
}

fn tell_manifest(path: &DescriptorPath) {
    let digests: Vec<String> = path.walk().iter().map(|step| step.digest.to_string()).collect();
    log::info!("new image manifest created: {}", digests.join("->"));
}
