// SPDX-License-Identifier: Apache-2.0
//! `umoci tag`: give an image another name.

use std::ffi::OsString;

use umoci::error::{Context, Error};
use umoci::layout::RefName;

use crate::args::{self, ImageArg};
use crate::failure::Outcome;

/// create a new tag for an image
///
/// "<tag>" names the image (default "latest", or the only image), "<new-tag>" is what it shall be
/// called as well. A tag of that name is replaced. If "<tag>" has several images, for different
/// platforms, so has "<new-tag>"; with --platform it is one of them.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci tag [command options] --image <image-path>[:<tag>] <new-tag>")]
pub(crate) struct Args {
    #[command(flatten)]
    image: ImageArg,

    /// the new tag
    #[arg(value_name = "NEW-TAG")]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.entry().target()?;
    let new = new_tag(args)?;
    let layout = target.layout_to_change()?;
    let writer = layout.writer().context("get writer")?;
    let image = match args.image.platform()? {
        Some(_) => args.image.target()?.resolve(&layout)?.target().clone(),
        None => target.resolve(&layout)?,
    };
    let name = writer.tag_as(&new, image).context("put reference")?;
    args::tell_name(&new, &name);
    log::info!("created new tag: \"{name}\" -> \"{}\"", target.selector);
    Ok(())
}

fn new_tag(args: &Args) -> Result<RefName, Error> {
    let word = args::one(&args.words, "new-tag", "new tag")?;
    args::text(word).and_then(str::parse).context("new tag is an invalid reference")
}
