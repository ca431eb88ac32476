// SPDX-License-Identifier: Apache-2.0
//! `umoci gc`: delete what no image of a layout needs.

use std::ffi::OsString;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use umoci::error::{Context, Error, ErrorKind, Result};
use umoci::layout::{
    Effect, GcOptions, GcPolicy, GcReport, KeepSince, Layout, REF_NAME, StoredBlob, Untagged,
    collect_garbage,
};
use umoci::oci::{Descriptor, Digest};
use umoci::quote::quote;

use crate::args::{self, LayoutArg, hints};
use crate::failure::{Failure, Outcome};
use crate::output::{self, counted};

/// delete the blobs of a layout that no image needs
///
/// Also deletes what interrupted commands left in the layout. Waits for commands that are
/// writing to it.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci gc [command options] --layout <layout-path>")]
pub(crate) struct Args {
    /// delete nothing; print what would be deleted
    #[arg(long)]
    dry_run: bool,

    /// drop entries of the index that have no name and that nothing refers to
    #[arg(long)]
    untagged: bool,

    /// keep what was stored less than this time ago, such as 90m, 12h or 3d
    #[arg(long, value_name = "DURATION")]
    keep_younger_than: Option<String>,

    /// print what was deleted as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    layout: LayoutArg,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let path = args.layout.path()?;
    args::none(&args.words)?;
    let young = args.keep_younger_than.as_deref().map(since).transpose()?;
    let layout = args::open_to_change(path)?;
    let options = GcOptions {
        untagged: if args.untagged { Untagged::Drop } else { Untagged::Keep },
        policies: young.iter().map(|policy| policy as &dyn GcPolicy).collect(),
        effect: if args.dry_run { Effect::Report } else { Effect::Remove },
    };
    let report = collect_garbage(&layout, &options).context("collect garbage");
    let report = report.map_err(|error| on_unread(error, &layout))?;
    if args.json {
        output::json_result(&json(&report, options.effect)?)?;
    } else if args.dry_run {
        output::result(&listing(&report))?;
    }
    if args.dry_run || report != GcReport::default() {
        output::tell(&summary(&report, options.effect));
    }
    Ok(())
}

/// Says how to be rid of an entry of which it cannot be known what it needs.
fn on_unread(error: Error, layout: &Layout) -> Failure {
    let is_unread = error.kind() == ErrorKind::Unsupported;
    let failure = Failure::from(error);
    let index = layout.index().ok().filter(|_| is_unread);
    let Some(entry) = index.and_then(|index| index.unread.into_iter().next()) else {
        return failure;
    };
    let path = layout.path().to_string_lossy();
    let image = match (entry.annotation(REF_NAME), entry.digest()) {
        (Some(tag), _) => format!("{path}:{tag}"),
        (None, digest) if digest.contains(':') => format!("{path}@{digest}"),
        (None, _) => return failure,
    };
    failure.hint(format!("`umoci rm --image {}` removes it.", hints::shell_word(image.as_ref())))
}

/// The policy that keeps what is younger.
fn since(text: &str) -> Result<KeepSince> {
    let age = duration(text).map_err(|error| error.context("invalid --keep-younger-than"))?;
    // What is older than time itself is not younger than that.
    let since = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(KeepSince(since))
}

/// Reads a time span with units; a day has 24 hours.
fn duration(text: &str) -> Result<Duration> {
    let span: jiff::Span = text
        .parse()
        .map_err(|_| Error::invalid(format!("{} is no duration such as 12h", quote(text))))?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours());
    let duration = duration
        .map_err(|_| Error::invalid(format!("{}: units are w, d, h, m, s", quote(text))))?;
    duration.try_into().map_err(|_| Error::invalid(format!("{} is negative", quote(text))))
}

/// One line for each thing: what it is, its digest, its size.
fn listing(report: &GcReport) -> String {
    let mut lines = String::new();
    for entry in &report.dropped {
        let _ = writeln!(lines, "entry {} {}", entry.digest, entry.media_type);
    }
    for blob in &report.removed {
        let _ = writeln!(lines, "blob {} {}", blob.digest, blob.size);
    }
    lines
}

fn summary(report: &GcReport, effect: Effect) -> String {
    let (freed, dropped) = match effect {
        Effect::Remove => ("freed", "dropped"),
        Effect::Report => ("would free", "drop"),
    };
    let mut text =
        format!("{freed} {}, {} bytes", counted(report.removed.len(), "blob"), report.bytes());
    let mut add = |number: usize, what: &str| {
        if number > 0 {
            let _ = write!(text, "; {what}");
        }
    };
    let entries = report.dropped.len();
    let noun = if entries == 1 { "entry" } else { "entries" };
    add(entries, &format!("{dropped} {entries} {noun} without a name"));
    add(report.temporary, &format!("{} of killed commands", counted(report.temporary, "leftover")));
    add(report.spared.len(), &format!("kept {} as young", counted(report.spared.len(), "blob")));
    text
}

/// The version of the form of [`Document`]. Members are added without a new one.
const VERSION: u32 = 1;

/// The report as `--json` prints it.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    dry_run: bool,
    dropped: &'a [Descriptor],
    removed: Vec<Blob<'a>>,
    spared: Vec<Blob<'a>>,
    bytes: u64,
    temporary: usize,
}

#[derive(Serialize)]
struct Blob<'a> {
    digest: &'a Digest,
    size: u64,
}

fn json(report: &GcReport, effect: Effect) -> Result<Vec<u8>> {
    let document = Document {
        version: VERSION,
        dry_run: effect == Effect::Report,
        dropped: &report.dropped,
        removed: report.removed.iter().map(Blob::of).collect(),
        spared: report.spared.iter().map(Blob::of).collect(),
        bytes: report.bytes(),
        temporary: report.temporary,
    };
    let mut text = serde_json::to_vec(&document)
        .map_err(|error| Error::invalid(format!("encode report: {error}")))?;
    text.push(b'\n');
    Ok(text)
}

impl<'a> Blob<'a> {
    fn of(blob: &'a StoredBlob) -> Self {
        Self { digest: &blob.digest, size: blob.size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("0s", 0),
            ("90m", 5400),
            ("12h", 43_200),
            ("1h30m", 5400),
            ("3d", 259_200),
            ("1w", 604_800),
            ("2 days", 172_800),
            ("PT1H", 3600),
        ] {
            assert_eq!(duration(text).unwrap().as_secs(), seconds, "{text}");
        }
        for text in
            ["", "5", "h", "1x", "-1h", "1 month", "1y", "tomorrow", "99999999999999999999s"]
        {
            assert!(duration(text).is_err(), "{text:?}");
        }
        let error = since("5").unwrap_err().to_string();
        assert_eq!(error, "invalid --keep-younger-than: \"5\" is no duration such as 12h");
        assert!(since("400000h").is_ok());
    }
}
