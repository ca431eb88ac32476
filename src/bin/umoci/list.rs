// SPDX-License-Identifier: Apache-2.0
//! `umoci list`: the tags of a layout, and what is behind them.

use std::ffi::OsString;

use umoci::error::{Context, Error};
use umoci::image::{self, Summary};
use umoci::quote::quote_if_needed;

use crate::args::{self, LayoutArg};
use crate::clock::Clock;
use crate::failure::Outcome;
use crate::output;
use crate::table::Column::{Left, Right};
use crate::table::{self, NOTHING, age, bytes};

/// list the tags in a layout
///
/// Prints one tag per line, in the order in which the layout's index has them; in quotes where a
/// name has characters that cannot be seen. umoci-stat(1)
/// shows what is behind a tag. The options --long and --json show more, and entries without a
/// tag too.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci list [command options] --layout <layout-path>")]
pub(crate) struct Args {
    #[command(flatten)]
    layout: LayoutArg,

    /// show digest, platforms, size and age too
    #[arg(long, short = 'l')]
    long: bool,

    /// print JSON
    #[arg(long)]
    json: bool,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let path = args.layout.path()?;
    args::none(&args.words)?;
    if args.long && args.json {
        return Err(Error::invalid("--long and --json exclude each other").into());
    }
    let layout = args::open(path)?;
    if args.json {
        let summaries = image::summaries(&layout).context("list references")?;
        return output::json_result(&image::summaries_to_json(&summaries)?);
    }
    if args.long {
        let now = Clock::read()?.now.epoch_seconds();
        return output::result(&table(&image::summaries(&layout).context("list references")?, now));
    }
    let tags = layout.references().context("list references")?;
    // No tag of the image-spec's grammar needs quotes; another could pose as several lines.
    let lines: String = tags.iter().flat_map(|tag| [quote_if_needed(tag), "\n".into()]).collect();
    output::result(&lines)
}

/// One line for each entry, in columns; below them what could not be read.
fn table(summaries: &[Summary], now: i64) -> String {
    let columns = [Left("TAG"), Left("DIGEST"), Left("PLATFORM"), Right("SIZE"), Left("CREATED")];
    let text = table::table(columns, summaries.iter().map(|summary| row(summary, now)));
    for summary in summaries {
        if let Some(problem) = &summary.problem {
            table::warn(&summary.entry, problem);
        }
    }
    text
}

fn row(summary: &Summary, now: i64) -> [String; 5] {
    let name = match (summary.tag(), summary.full_name()) {
        (Some(tag), Some(full)) if full != tag => format!("{tag} ({full})"),
        (Some(name), _) | (None, Some(name)) => name.to_owned(),
        (None, None) => NOTHING.to_owned(),
    };
    let platforms: Vec<String> = summary.platforms.iter().map(ToString::to_string).collect();
    let platforms = Some(platforms.join(",")).filter(|list| !list.is_empty());
    let created = summary.created.as_ref().map(|created| age(now - created.epoch_seconds()));
    [
        quote_if_needed(name),
        quote_if_needed(summary.entry.digest()),
        quote_if_needed(platforms.unwrap_or_else(|| NOTHING.to_owned())),
        bytes(summary.size),
        created.unwrap_or_else(|| NOTHING.to_owned()),
    ]
}
