// SPDX-License-Identifier: Apache-2.0
//! `umoci config`: change an image's configuration.

mod settings;

use std::ffi::OsString;

use crate::args::{self, HistoryArgs, ImageArg, TagArg};
use crate::failure::Outcome;

use settings::{Edits, Settings};

/// change the configuration of an image
///
/// "<tag>" (default "latest") names the image to start from. The result gets that tag too, or
/// "<new-tag>" if that is given. First everything that --clear names is cleared, then the other
/// flags are applied. Flags that add something can be repeated.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci config [command options] --image <image-path>[:<tag>] [--tag <new-tag>]"
)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    tag: TagArg,

    #[command(flatten)]
    history: HistoryArgs,

    #[command(flatten)]
    image: ImageArg,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    args.history.check()?;
    let _tag = args.tag.or(&target.tag)?;
    args::none(&args.words)?;
    let _edits: Edits = args.settings.edits()?;
    Ok(())
}
