// SPDX-License-Identifier: Apache-2.0
//! `umoci list`: the tags of a layout, and what is behind them.

use std::ffi::OsString;
use std::fmt::Write;

use umoci::error::{Context, Error};
use umoci::image::{self, Summary};
use umoci::layout::full_name;
use umoci::quote::quote_if_needed;

use crate::args::{self, LayoutArg};
use crate::clock::Clock;
use crate::failure::Outcome;
use crate::output;

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

const TITLES: [&str; 5] = ["TAG", "DIGEST", "PLATFORM", "SIZE", "CREATED"];

/// What stands where there is nothing to say.
const NOTHING: &str = "-";

/// One line for each entry, in columns; below them what could not be read.
fn table(summaries: &[Summary], now: i64) -> String {
    let mut rows = vec![TITLES.map(str::to_owned)];
    rows.extend(summaries.iter().map(|summary| row(summary, now)));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 5] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for summary in summaries {
        if let Some(problem) = &summary.problem {
            let problem = output::one_line(problem);
            log::warn!("{}: {problem}", summary.entry.digest);
        }
    }
    text
}

fn row(summary: &Summary, now: i64) -> [String; 5] {
    let name = match (summary.tag(), full_name(&summary.entry)) {
        (Some(tag), Some(full)) if full != tag => format!("{tag} ({full})"),
        (Some(name), _) | (None, Some(name)) => name.to_owned(),
        (None, None) => NOTHING.to_owned(),
    };
    let platforms: Vec<String> = summary.platforms.iter().map(ToString::to_string).collect();
    let platforms = Some(platforms.join(",")).filter(|list| !list.is_empty());
    let created = summary.created.as_ref().map(|created| age(now - created.epoch_seconds()));
    [
        quote_if_needed(&name),
        summary.entry.digest.to_string(),
        quote_if_needed(&platforms.unwrap_or_else(|| NOTHING.to_owned())),
        bytes(summary.size),
        created.unwrap_or_else(|| NOTHING.to_owned()),
    ]
}

/// With three digits and a decimal prefix.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut unit, mut size) = (0, count);
    let mut rest = 0;
    while size >= 1000 && unit + 1 < UNITS.len() {
        (rest, size) = (size % 1000 / 100, size / 1000);
        unit += 1;
    }
    match size {
        ..10 if unit > 0 => format!("{size}.{rest} {}", UNITS[unit]),
        _ => format!("{size} {}", UNITS[unit]),
    }
}

/// How long ago something was, in the largest unit of which there are two or more.
fn age(seconds: i64) -> String {
    const UNITS: [(i64, &str); 6] = [
        (365 * 86_400, "years"),
        (30 * 86_400, "months"),
        (7 * 86_400, "weeks"),
        (86_400, "days"),
        (3_600, "hours"),
        (60, "minutes"),
    ];
    if seconds < 0 {
        return "in the future".to_owned();
    }
    let unit = UNITS.iter().find(|(unit, _)| seconds / unit >= 2);
    unit.map_or_else(|| "now".to_owned(), |(unit, name)| format!("{} {name} ago", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_short() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (9_990, "9.9 kB"),
            (12_345_678, "12 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in [
            (-1, "in the future"),
            (0, "now"),
            (119, "now"),
            (120, "2 minutes ago"),
            (7_199, "119 minutes ago"),
            (86_400 * 10, "10 days ago"),
            (86_400 * 20, "2 weeks ago"),
            (86_400 * 800, "2 years ago"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
