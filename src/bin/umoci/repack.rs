// SPDX-License-Identifier: Apache-2.0
//! `umoci repack`: from a changed bundle to an image with one more layer.

use std::ffi::OsString;

use umoci::error::{Context, Error};

use crate::args::{self, CompressArgs, HistoryArgs, HistoryDefaults, ImageArg};
use crate::clock::Clock;
use crate::failure::Outcome;

/// make an image of a bundle and what was changed in it
///
/// "<bundle>" was made by umoci-unpack(1) from an image of the same layout. The changes to its
/// root filesystem become a layer on top of that image; the result gets the tag "<new-tag>"
/// (default "latest"), which is replaced if it exists.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci repack [command options] --image <image-path>[:<new-tag>] <bundle>"
)]
pub(crate) struct Args {
    /// ignore changes to this path and below it; may be repeated
    #[arg(long, value_name = "PATH")]
    mask_path: Vec<String>,

    /// do not ignore changes below the image's volumes
    #[arg(long)]
    no_mask_volumes: bool,

    /// let the bundle be one of the new image, so that it can be repacked again
    #[arg(long)]
    refresh_bundle: bool,

    #[command(flatten)]
    compress: CompressArgs,

    #[command(flatten)]
    history: HistoryArgs,

    #[command(flatten)]
    image: ImageArg,

    /// directory of the bundle
    #[arg(value_name = "BUNDLE", value_hint = clap::ValueHint::DirPath)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    args.history.check()?;
    let _compression = args.compress.choice()?;
    let bundle = args::one(&args.words, "bundle", "bundle path")?;
    let clock = Clock::read()?;
    let defaults = HistoryDefaults { created_by: "umoci repack", created: clock.now };
    let _history = args.history.entry(&defaults)?;
    let layout = target.layout()?;
    let _writer = layout.writer().context("write image")?;
    let _latest_mtime = clock.source_date_epoch;
    Err(Error::unsupported(format!("repack bundle {bundle:?}: not supported yet")).into())
}
