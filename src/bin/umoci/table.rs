// SPDX-License-Identifier: Apache-2.0
//! Lists for people: text in columns, and how numbers look there.

use std::fmt::Write;

use umoci::oci::Entry;
use umoci::quote::quote_if_needed;

use crate::output;

/// What stands where there is nothing to say.
pub(crate) const NOTHING: &str = "-";

/// The title of a column, and the side at which its cells begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Left(&'static str),
    Right(&'static str),
}

/// One line for the titles and one for each row.
pub(crate) fn table<const N: usize>(
    columns: [Column; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let titles = columns.map(|column| match column {
        Column::Left(title) | Column::Right(title) => title.to_owned(),
    });
    let rows: Vec<[String; N]> = std::iter::once(titles).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or_default());
    rows.iter().fold(String::new(), |mut text, row| {
        let cells = row.iter().zip(widths).zip(columns);
        let cells = cells.map(|((cell, width), column)| match column {
            Column::Left(_) => format!("{cell:width$}"),
            Column::Right(_) => format!("{cell:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
        text
    })
}

/// Tells what is wrong with an entry of a list.
pub(crate) fn warn(entry: &Entry, problem: &str) {
    let digest = Some(entry.digest()).filter(|digest| !digest.is_empty());
    let digest = quote_if_needed(digest.unwrap_or_else(|| NOTHING.to_owned()));
    log::warn!("{digest}: {}", output::one_line(problem));
}

/// With three digits and a decimal prefix.
pub(crate) fn bytes(count: u64) -> String {
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
pub(crate) fn age(seconds: i64) -> String {
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
