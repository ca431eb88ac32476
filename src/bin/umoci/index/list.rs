// SPDX-License-Identifier: Apache-2.0
//! `umoci index list`: the platforms of an image.

use std::ffi::OsString;
use std::fmt::Write;

use serde::Serialize;
use umoci::error::Context;
use umoci::image::{IndexEntry, entries};
use umoci::oci::media_type::Kind;
use umoci::oci::{Entry, Platform, json};
use umoci::quote::quote_if_needed;

use super::no_index;
use crate::args::{self, EntryArg};
use crate::failure::Outcome;
use crate::output;

/// list the images of an image for several platforms
///
/// Prints one line for each entry of the index that "<tag>" (default "latest") names: its
/// platform, its digest, the size of the image (configuration and layers, as they are stored) and
/// what it is. Entries of a nested index follow it, indented.
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
        let listed: Vec<_> = listed.iter().map(JsonEntry::new).collect();
        return output::json_result(&json::to_bytes(&listed).context("encode list")?);
    }
    output::result(&table(&listed))
}

/// An entry as programs read it.
#[derive(Serialize)]
struct JsonEntry<'a> {
    descriptor: &'a Entry,
    depth: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'a Platform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<&'a str>,
}

impl<'a> JsonEntry<'a> {
    fn new(entry: &'a IndexEntry) -> Self {
        let IndexEntry { depth, entry, platform, size, about, .. } = entry;
        let (platform, about) = (platform.as_ref(), about.as_deref());
        Self { descriptor: entry, depth: *depth, platform, size: *size, about }
    }
}

fn table(listed: &[IndexEntry]) -> String {
    let rows: Vec<[String; 4]> = listed.iter().map(row).collect();
    let heads = ["PLATFORM", "DIGEST", "SIZE", "TYPE"].map(str::to_owned);
    let rows = std::iter::once(heads).chain(rows);
    let rows: Vec<_> = rows.collect();
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2)];
    rows.iter().fold(String::new(), |mut text, [platform, digest, size, kind]| {
        let [first, second, third] = widths;
        let _ = writeln!(text, "{platform:first$}  {digest:second$}  {size:>third$}  {kind}");
        text
    })
}

fn row(entry: &IndexEntry) -> [String; 4] {
    let platform = match &entry.platform {
        Some(platform) if platform.os_version.is_empty() => platform.to_string(),
        Some(platform) => format!("{platform} {}", quote_if_needed(&platform.os_version)),
        None => "-".to_owned(),
    };
    let kind = match (&entry.about, Kind::of(entry.entry.media_type())) {
        _ if entry.entry.descriptor().is_none() => "unknown algorithm".to_owned(),
        (Some(image), _) => format!("about {image}"),
        (None, Kind::Index) => "index".to_owned(),
        (None, Kind::Manifest) if entry.size.is_none() => "image (not in the layout)".to_owned(),
        (None, Kind::Manifest) => "image".to_owned(),
        (None, _) => entry.entry.media_type().to_owned(),
    };
    let size = entry.size.map_or_else(|| "-".to_owned(), |size| size.to_string());
    let indent = "  ".repeat(entry.depth);
    [format!("{indent}{platform}"), entry.entry.digest(), size, output::one_line(&kind)]
}
