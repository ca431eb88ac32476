// SPDX-License-Identifier: Apache-2.0
//! `umoci raw unpack`: the root filesystem of an image, and nothing else.

use std::ffi::OsString;
use std::path::Path;

use umoci::bundle;
use umoci::error::Context;
use umoci::image::Image;

use crate::args::{self, ExtractionArgs, ImageArg};
use crate::failure::Outcome;
use crate::{interrupt, progress};

/// unpack an image into a root filesystem
///
/// "<tag>" (default "latest", or the only image) names the image. Its layers are unpacked to the
/// directory "<rootfs>", over what may be there already. Without the other files of a bundle it
/// cannot be repacked. When the unpack fails, a directory that it made is removed; one that was
/// there before stays, with what has been written by then.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci raw unpack [command options] --image <image-path>[:<tag>] <rootfs>"
)]
pub(crate) struct Args {
    #[command(flatten)]
    extraction: ExtractionArgs,

    #[command(flatten)]
    image: ImageArg,

    /// directory of the root filesystem
    #[arg(value_name = "ROOTFS", value_hint = clap::ValueHint::DirPath)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let rootfs = Path::new(args::one(&args.words, "rootfs", "rootfs path")?);
    let interrupt = interrupt::watch();
    let options = args.extraction.options(interrupt.clone())?;
    let layout = target.layout()?.with_interrupt(interrupt);
    let image = Image::load(&layout, target.resolve(&layout)?).context("invalid --image tag")?;
    log::info!("unpacking rootfs ...");
    progress::shown(&options.progress, || bundle::unpack_into(&layout, &image, rootfs, &options))
        .context("create rootfs")
        .map_err(|error| args.extraction.suggest(error))?;
    log::info!("... done");
    log::info!("unpacked image rootfs: {}", rootfs.display());
    Ok(())
}
