// SPDX-License-Identifier: Apache-2.0
//! `umoci index remove`: fewer platforms for an image.

use std::ffi::OsString;

use umoci::error::{Context, Error, Result};
use umoci::image::EntryChoice;

use super::change;
use crate::args::{self, EntryArg};
use crate::failure::Outcome;

/// remove images from an image for several platforms
///
/// Each "<entry>" is a platform ('os/arch[/variant]') or a digest of the index that "<tag>"
/// (default "latest", or the only image) names, or of an index within. Attestations about a
/// removed image go with it, as does an index within that has no other entries. Nothing is removed if there is no such entry, and the last one cannot
/// be; umoci-remove(1) removes the tag.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci index remove [command options] --image <image-path>[:<tag>] <entry>..."
)]
pub(crate) struct Args {
    /// remove the attestations about images that are neither in the index nor in one within
    #[arg(long)]
    stale: bool,

    #[command(flatten)]
    image: EntryArg,

    /// platforms or digests of the entries
    #[arg(value_name = "ENTRY")]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let choices = choices(args)?;
    change(&target, |editor| {
        for choice in &choices {
            let removed = editor.remove(choice).context("remove from index")?;
            log::info!("removed from index: {removed}");
        }
        if args.stale {
            for removed in editor.remove_stale().context("remove from index")? {
                log::info!("removed from index: {removed}");
            }
        }
        Ok(())
    })
}

fn choices(args: &Args) -> Result<Vec<EntryChoice>> {
    if args.words.is_empty() && !args.stale {
        let message = "invalid number of positional arguments: expected at least one <entry>";
        return Err(Error::invalid(message));
    }
    let read = |word: &OsString| args::text(word).and_then(str::parse).context("invalid entry");
    args.words.iter().map(read).collect()
}
