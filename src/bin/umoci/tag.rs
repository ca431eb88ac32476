// SPDX-License-Identifier: Apache-2.0
//! `umoci tag`: give an image another name.

use std::ffi::OsString;

use umoci::error::{Context, Error};
use umoci::layout::RefName;

use crate::args::{self, ImageArg};
use crate::failure::Outcome;

/// create a new tag for an image
///
/// "<tag>" names the image (default "latest"), "<new-tag>" is what it shall be called as well.
/// A tag of that name is replaced.
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
    let target = args.image.target()?;
    let new = new_tag(args)?;
    let layout = target.layout()?;
    let writer = layout.writer().context("get writer")?;
    let image = target.resolve(&layout)?;
    writer.tag(&new, image.target().clone()).context("put reference")?;
    log::info!("created new tag: {new:?} -> {:?}", target.tag);
    Ok(())
}

fn new_tag(args: &Args) -> Result<RefName, Error> {
    let word = args::one(&args.words, "new-tag", "new tag")?;
    let text = word.to_str().ok_or_else(|| Error::invalid(format!("{word:?} is not UTF-8")));
    text.and_then(str::parse).context("new tag is an invalid reference")
}
