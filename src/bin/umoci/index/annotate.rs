// SPDX-License-Identifier: Apache-2.0
//! `umoci index annotate`: what an index says of itself and of its entries.

use std::ffi::OsString;

use umoci::error::{Context, Error};
use umoci::image::{Annotated, EntryChoice};

use super::change;
use crate::args::{EntryArg, IndexAnnotationArgs};
use crate::failure::Outcome;

/// change annotations of an image for several platforms
///
/// Each "<name>=<value>" becomes an annotation of the index that "<tag>" (default "latest", or the
/// only image) names, or with --entry of the descriptor of one of its entries, as with
/// --annotation. Removals come first, and what they name need not be there.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci index annotate [command options] --image <image-path>[:<tag>] [--entry <entry>] [<name>=<value>...]"
)]
pub(crate) struct Args {
    /// platform ('os/arch[/variant]') or digest of an entry, to annotate that instead of the index
    #[arg(long, value_name = "ENTRY")]
    entry: Option<String>,

    #[command(flatten)]
    annotations: IndexAnnotationArgs,

    #[command(flatten)]
    image: EntryArg,

    /// annotations
    #[arg(value_name = "NAME=VALUE")]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let entry: Option<EntryChoice> =
        args.entry.as_deref().map(str::parse).transpose().context("invalid --entry")?;
    let usual = if entry.is_some() { Annotated::Descriptor } else { Annotated::Index };
    let edits = args.annotations.edits(&args.words, usual)?;
    if edits.is_empty() {
        let message = "invalid number of positional arguments: expected <name>=<value>";
        return Err(Error::invalid(message).into());
    }
    change(&target, |editor| {
        for edit in &edits {
            let entry = entry.as_ref().filter(|_| edit.of == Annotated::Descriptor);
            editor.annotate(entry, |found| edit.apply(found)).context("annotate index")?;
        }
        Ok(())
    })
}
