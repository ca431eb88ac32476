// SPDX-License-Identifier: Apache-2.0
//! `umoci remove`: take a tag away.

use std::ffi::OsString;

use umoci::error::Context;

use crate::args::{self, EntryArg};
use crate::failure::Outcome;

/// remove a tag from a layout
///
/// "<tag>" (default "latest") need not exist. If it has several images, for different platforms,
/// all of them go; umoci-index-remove(1) removes one. The blobs of the image stay until umoci-gc(1)
/// deletes them.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci remove [command options] --image <image-path>[:<tag>]")]
pub(crate) struct Args {
    #[command(flatten)]
    image: EntryArg,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let tag = target.tag()?;
    args::none(&args.words)?;
    let writer = target.layout()?.writer().context("delete reference")?;
    writer.untag(&tag).context("delete reference")?;
    log::info!("removed tag: {tag}");
    Ok(())
}
