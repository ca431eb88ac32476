// SPDX-License-Identifier: Apache-2.0
//! `umoci list`: the tags of a layout.

use std::ffi::OsString;

use umoci::error::Context;

use crate::args::{self, LayoutArg};
use crate::failure::Outcome;
use crate::output;

/// list the tags in a layout
///
/// Prints one tag per line, in the order in which the layout's index has them. umoci-stat(1)
/// shows what is behind a tag.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci list [command options] --layout <layout-path>")]
pub(crate) struct Args {
    #[command(flatten)]
    layout: LayoutArg,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let path = args.layout.path()?;
    args::none(&args.words)?;
    let tags = args::open(path)?.references().context("list references")?;
    let lines: String = tags.iter().flat_map(|tag| [tag.as_str(), "\n"]).collect();
    output::result(&lines)
}
