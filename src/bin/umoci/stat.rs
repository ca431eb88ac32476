// SPDX-License-Identifier: Apache-2.0
//! `umoci stat`: show what an image is made of.

use std::ffi::OsString;

use umoci::error::Context;
use umoci::image::Stat;

use crate::args::{self, ImageArg};
use crate::failure::Outcome;
use crate::output;

/// show the manifest, configuration and history of an image
///
/// Without --json the text is for people to read; scripts should use --json.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci stat [command options] --image <image-path>[:<tag>] [--json]")]
pub(crate) struct Args {
    /// print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    image: ImageArg,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    args::none(&args.words)?;
    let layout = target.layout()?;
    let image = target.resolve(&layout)?;
    let stat = Stat::load(&layout, image.target()).context("stat")?;
    if args.json {
        return output::json_result(&stat.to_json().context("encoding stat")?);
    }
    output::result(&stat.to_text())
}
