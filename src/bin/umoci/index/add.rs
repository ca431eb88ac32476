// SPDX-License-Identifier: Apache-2.0
//! `umoci index add`: more platforms for an image.

use std::ffi::OsString;

use umoci::error::Context;

use super::{add, change, entries_of, sources};
use crate::args::EntryArg;
use crate::failure::Outcome;

/// add images to an image for several platforms
///
/// Each "<source-tag>" names an image in the same layout. It is added at the end of the index that
/// "<tag>" (default "latest", or the only image) names, or takes the place of the image that is
/// there for its platform already, with the attestations about that one.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci index add [command options] --image <image-path>[:<tag>] <source-tag>..."
)]
pub(crate) struct Args {
    /// put in the place of nested indexes what is in them
    #[arg(long)]
    flatten: bool,

    #[command(flatten)]
    image: EntryArg,

    /// tags of the images
    #[arg(value_name = "SOURCE-TAG")]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let tags = sources(&args.words)?;
    let layout = target.layout()?;
    change(&target, |editor| {
        for tag in &tags {
            for entry in entries_of(&layout, tag).context("add to index")? {
                let old = add(editor, &entry, args.flatten);
                for old in old.with_context(|| format!("add {tag} to index"))? {
                    log::info!("replaced in index: {}", old.digest);
                }
            }
        }
        Ok(())
    })
}
