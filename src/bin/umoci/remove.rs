// SPDX-License-Identifier: Apache-2.0
//! `umoci remove`: take a tag away.

use std::ffi::OsString;

use umoci::error::{Context, ErrorKind};
use umoci::layout::{EntryName, LayoutWriter, Selector};

use crate::args::{self, DestinationArg, EntryTarget};
use crate::failure::{Failure, Outcome};

/// remove a tag from a layout
///
/// "<tag>" (default "latest") need not exist. If it has several images, for different platforms,
/// all of them go; umoci-index-remove(1) removes one. An entry of the layout that has no tag is
/// removed by its digest. The blobs of the image stay until umoci-gc(1) deletes them.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci remove [command options] --image <image-path>[:<tag>]")]
pub(crate) struct Args {
    #[command(flatten)]
    image: DestinationArg,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    args::none(&args.words)?;
    let layout = target.layout_to_change()?;
    let writer = layout.writer().context("delete reference")?;
    if let Some(name) = target.find_name(&layout)? {
        writer.remove(&name).context("delete reference")?;
        log::info!("removed tag: {name}");
        return Ok(());
    }
    match target.tag() {
        Ok(tag) => {
            // Entries that cannot be used have names as well.
            writer.untag(&tag).context("delete reference")?;
            log::info!("removed tag: {tag}");
            Ok(())
        }
        Err(no_tag) => remove_digest(&writer, &target, no_tag),
    }
}

/// Removes one entry: of the name that stands before the digest, or else without a name.
fn remove_digest(writer: &LayoutWriter, target: &EntryTarget, no_tag: Failure) -> Outcome {
    let (name, digest) = match &target.selector {
        Selector::Unread(digest) => (EntryName::default(), digest.clone()),
        selector => {
            let entry = target.resolve(writer.layout())?;
            let is_digest = matches!(selector, Selector::Digest(_));
            let name = if is_digest { EntryName::default() } else { EntryName::of(&entry) };
            (name, entry.digest.to_string())
        }
    };
    match writer.remove_digest(&name, &digest) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_tag),
        removed => removed.context("delete reference")?,
    }
    log::info!("removed entry: {digest}");
    Ok(())
}
