// SPDX-License-Identifier: Apache-2.0
//! The last step of every command that changes an image.

use umoci::error::{Context, Error, ErrorKind};
use umoci::image::ImageEditor;
use umoci::layout::{LayoutWriter, REF_NAME, RefName};
use umoci::oci::{Descriptor, DescriptorPath};

use crate::args::Destination;
use crate::failure::Outcome;
use crate::referrers::Referrers;

/// How often a change is made anew when others are faster.
const ATTEMPTS: u32 = 100;

/// Stores a changed image, and gives it its tag. If that is the tag of the
/// image before the change, it must still be.
pub(crate) fn publish(
    writer: &LayoutWriter,
    editor: ImageEditor<'_>,
    destination: &Destination,
) -> Outcome {
    let tag = destination.tag(editor.base())?;
    let path = store(writer, editor, &tag)?;
    tell(&path, &tag);
    Ok(())
}

/// As [`publish`], in the words of commands that say "updated".
pub(crate) fn update(
    writer: &LayoutWriter,
    editor: ImageEditor<'_>,
    destination: &Destination,
) -> Outcome {
    let tag = destination.tag(editor.base())?;
    tell_manifest(&store(writer, editor, &tag)?);
    log::info!("updated tag for image manifest: {tag}");
    Ok(())
}

fn store(writer: &LayoutWriter, editor: ImageEditor<'_>, tag: &RefName) -> Outcome<DescriptorPath> {
    let base = editor.base().root().clone();
    let referrers = Referrers::find(writer.layout(), editor.base(), tag);
    let path = editor.commit().context("commit mutated image")?;
    rename(writer, tag, &base, path.root().clone()).context("add new tag")?;
    referrers.tell(&path.target().digest, tag);
    Ok(path)
}

pub(crate) fn rename(
    writer: &LayoutWriter,
    tag: &RefName,
    base: &Descriptor,
    new: Descriptor,
) -> Result<(), Error> {
    if base.annotations.get(REF_NAME).is_some_and(|name| name == tag.as_str()) {
        return writer.retag(tag, base, new);
    }
    writer.tag(tag, new).map(drop)
}

/// Makes a change, and makes it anew from the start when others have changed
/// the tag in between, so that no change takes another back.
pub(crate) fn until_unchanged(change: impl Fn() -> Outcome) -> Outcome {
    for _ in 1..ATTEMPTS {
        match change() {
            Err(failure) if failure.kind() == ErrorKind::Changed => {
                log::debug!("the tag was changed meanwhile; starting again");
            }
            ended => return ended,
        }
    }
    change()
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
