// SPDX-License-Identifier: Apache-2.0
//! `umoci index list`: the platforms of an image.

use std::ffi::OsString;

use umoci::error::Context;
use umoci::image::{IndexEntry, entries, entries_to_json};
use umoci::oci::media_type::Kind;
use umoci::quote::quote_if_needed;

use super::no_index;
use crate::args::{self, EntryArg};
use crate::failure::Outcome;
use crate::output;
use crate::table::Column::{Left, Right};
use crate::table::{self, NOTHING, bytes};

/// list the images of an image for several platforms
///
/// Prints one line for each entry of the index that "<tag>" (default "latest", or the only image)
/// names: its platform, its digest, how many bytes all blobs of the image have together as they
/// are stored, and what it is. Entries of a nested index follow it, indented.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci index list [command options] --image <image-path>[:<tag>] [--json]"
)]
pub(crate) struct Args {
    /// print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    image: EntryArg,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    args::none(&args.words)?;
    let layout = target.layout()?;
    let entry = target.resolve(&layout)?;
    let listed = entries(&layout, &entry).map_err(|error| no_index(&target, error))?;
    if args.json {
        return output::json_result(&entries_to_json(&listed).context("encode list")?);
    }
    output::result(&table(&listed))
}

/// One line for each entry, in columns; below them what could not be read.
fn table(listed: &[IndexEntry]) -> String {
    let columns = [Left("PLATFORM"), Left("DIGEST"), Right("SIZE"), Left("TYPE")];
    let text = table::table(columns, listed.iter().map(row));
    for entry in listed {
        if let Some(problem) = &entry.problem {
            table::warn(&entry.entry, problem);
        }
    }
    text
}

fn row(listed: &IndexEntry) -> [String; 4] {
    let platform = match &listed.platform {
        Some(platform) if platform.os_version.is_empty() => platform.to_string(),
        Some(platform) => format!("{platform} {}", quote_if_needed(&platform.os_version)),
        None => NOTHING.to_owned(),
    };
    let indent = "  ".repeat(listed.depth);
    [
        format!("{indent}{platform}"),
        quote_if_needed(listed.entry.digest()),
        listed.size.map_or_else(|| NOTHING.to_owned(), bytes),
        output::one_line(&kind(listed)),
    ]
}

/// What an entry is, and what is wrong with it.
fn kind(listed: &IndexEntry) -> String {
    let kind = match (&listed.about, Kind::of(listed.entry.media_type())) {
        (Some(image), _) => format!("about {image}"),
        (None, Kind::Index) => "index".to_owned(),
        (None, Kind::Manifest) => "image".to_owned(),
        (None, _) => quote_if_needed(listed.entry.media_type()),
    };
    match &listed.problem {
        _ if listed.is_missing => format!("{kind} (not in the layout)"),
        Some(_) => format!("{kind} (cannot be read)"),
        None => kind,
    }
}
