// SPDX-License-Identifier: Apache-2.0
//! `umoci init`: make an empty layout.

use std::ffi::OsString;

use umoci::layout::Layout;

use crate::args::{self, LayoutArg};
use crate::failure::Outcome;
use crate::interrupt;

/// create a new, empty image layout
///
/// "<layout-path>" is a directory that does not exist yet. The new layout has no images;
/// umoci-new(1) makes one, and so do tools that copy images, such as skopeo.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci init [command options] --layout <layout-path>")]
pub(crate) struct Args {
    #[command(flatten)]
    layout: LayoutArg,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let path = args.layout.path()?;
    args::none(&args.words)?;
    // It is so short that a signal waits for its end.
    interrupt::watch();
    Layout::create(path)?;
    log::info!("created new OCI image: {}", path.display());
    Ok(())
}
