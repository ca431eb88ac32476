// SPDX-License-Identifier: Apache-2.0
//! `umoci gc`: delete what no image of a layout needs.

use std::ffi::OsString;

use umoci::error::Context;
use umoci::layout::{GcOptions, collect_garbage};

use crate::args::{self, LayoutArg};
use crate::failure::Outcome;

/// delete the blobs of a layout that no image needs
///
/// Also deletes what interrupted commands left in the layout. Waits for commands that are
/// writing to it.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci gc [command options] --layout <layout-path>")]
pub(crate) struct Args {
    #[command(flatten)]
    layout: LayoutArg,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let path = args.layout.path()?;
    args::none(&args.words)?;
    let layout = args::open(path)?;
    collect_garbage(&layout, &GcOptions::default()).context("collect garbage")?;
    Ok(())
}
