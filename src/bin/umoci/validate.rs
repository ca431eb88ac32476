// SPDX-License-Identifier: Apache-2.0
//! `umoci validate`: whether a layout or an image is as the specification wants it.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use umoci::error::{Context, Error, ErrorKind};
use umoci::image::validate::{Report, Scope, ValidateOptions, validate};
use umoci::layout::{ImageRef, PlatformChoice};

use crate::args::{self, EntryArg, LayoutArg, LimitArgs};
use crate::failure::{Failure, Outcome};
use crate::output::{self, counted};
use crate::{interrupt, progress};

/// check a layout, or an image in it, against the specification
///
/// Reads every blob once and compares it with all that is said of it. Prints one line for each
/// finding, and fails if there are errors among them. Nothing is changed, and no lock is taken.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci validate [command options] --layout <layout-path> [--json]
   umoci validate [command options] --image <image-path>[:<tag>] [--platform <platform>] [--json]")]
pub(crate) struct Args {
    #[command(flatten)]
    image: EntryArg,

    /// check only the image for this platform, as 'os/arch[/variant]', of a tag that has several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,

    #[command(flatten)]
    layout: LayoutArg,

    #[command(flatten)]
    limits: LimitArgs,

    /// print JSON
    #[arg(long)]
    json: bool,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let (path, scope) = args.what()?;
    args::none(&args.words)?;
    let limits = args.limits.limits()?;
    let options =
        ValidateOptions { scope, limits, interrupt: interrupt::watch(), ..Default::default() };
    let report = progress::shown(&options.progress, || validate(&path, &options))?;
    if args.json {
        output::json_result(&report.to_json().context("encode the report")?)?;
    } else {
        output::result(&text(&path, &report))?;
    }
    match report.errors {
        0 => Ok(()),
        count => Err(invalid(&path, count)),
    }
}

fn invalid(path: &Path, errors: u64) -> Failure {
    let errors = counted(errors, "error");
    Failure::no(Error::new(ErrorKind::Invalid, format!("validate {path:?}: {errors} found")))
}

impl Args {
    /// The layout, and what of it.
    fn what(&self) -> Outcome<(PathBuf, Scope)> {
        match (self.image.is_given(), self.layout.is_given()) {
            (true, true) => Err(Error::invalid("--image and --layout exclude each other").into()),
            (false, false) => {
                Err(Error::invalid("missing mandatory argument: --image or --layout").into())
            }
            (true, false) => {
                let target = self.image.target()?;
                let platform = args::platform(self.platform.as_deref())?;
                let platform = platform.map_or(PlatformChoice::Any, PlatformChoice::Require);
                Ok((
                    target.path,
                    Scope::Image(Box::new(ImageRef { selector: target.selector, platform })),
                ))
            }
            (false, true) if self.platform.is_some() => {
                Err(Error::invalid("--platform and --layout exclude each other").into())
            }
            (false, true) => Ok((self.layout.path()?.to_owned(), Scope::Layout)),
        }
    }
}

/// One line a finding, and a summary.
fn text(path: &Path, report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let _ = writeln!(text, "{}", output::one_line(&finding.to_string()));
    }
    if report.omitted() > 0 {
        let _ = writeln!(text, "{} not shown", counted(report.omitted(), "finding"));
    }
    let path = output::one_line(&path.to_string_lossy());
    let _ = writeln!(
        text,
        "{path}: {}, {}, {} for information; {} and {} read",
        counted(report.errors, "error"),
        counted(report.warnings, "warning"),
        report.information,
        counted(report.images, "image"),
        counted(report.blobs, "blob"),
    );
    text
}
