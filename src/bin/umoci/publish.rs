// SPDX-License-Identifier: Apache-2.0
//! The last step of every command that changes an image.

use umoci::error::Context;
use umoci::image::ImageEditor;
use umoci::layout::{LayoutWriter, RefName};
use umoci::oci::DescriptorPath;

use crate::failure::Outcome;

/// Stores a changed image, and lets `tag` name it.
pub(crate) fn publish(writer: &LayoutWriter, editor: ImageEditor<'_>, tag: &RefName) -> Outcome {
    let path = editor.commit().context("commit mutated image")?;
    writer.tag(tag, path.root().clone()).context("add new tag")?;
    tell(&path, tag);
    Ok(())
}

/// Tells what was made, and what it is called.
pub(crate) fn tell(path: &DescriptorPath, tag: &RefName) {
    let digests: Vec<String> = path.walk().iter().map(|step| step.digest.to_string()).collect();
    log::info!("new image manifest created: {}", digests.join("->"));
    log::info!("created new tag for image manifest: {tag}");
}
