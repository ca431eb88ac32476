// SPDX-License-Identifier: Apache-2.0
//! `umoci unpack`: from an image to a runtime bundle.

use std::ffi::OsString;
use std::path::Path;

use umoci::bundle::{self, UnpackOptions};
use umoci::error::Context;
use umoci::image::Image;

use crate::args::{self, ExtractionArgs, ImageArg};
use crate::failure::Outcome;
use crate::{host, interrupt, progress};

/// unpack an image into a runtime bundle
///
/// "<tag>" (default "latest", or the only image) names the image. "<bundle>" is a directory: it is
/// made, or it exists without a bundle in it. The image's root filesystem goes to
/// "<bundle>/rootfs", the configuration for an OCI runtime to "<bundle>/config.json"; what
/// umoci-repack(1) needs later is stored beside them.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci unpack [command options] --image <image-path>[:<tag>] <bundle>")]
pub(crate) struct Args {
    #[command(flatten)]
    extraction: ExtractionArgs,

    #[command(flatten)]
    image: ImageArg,

    /// directory of the bundle
    #[arg(value_name = "BUNDLE", value_hint = clap::ValueHint::DirPath)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let bundle = Path::new(args::one(&args.words, "bundle", "bundle path")?);
    let interrupt = interrupt::watch();
    let options = UnpackOptions {
        header: host::mtree_header(&bundle.join("rootfs")),
        ..args.extraction.options(interrupt.clone())?
    };
    let layout = target.layout()?.with_interrupt(interrupt);
    let image = Image::load(&layout, target.resolve(&layout)?).context("invalid --image tag")?;
    log::info!("unpacking bundle ...");
    progress::shown(&options.progress, || bundle::unpack(&layout, &image, bundle, &options))
        .map_err(|error| args.extraction.suggest(error))?;
    log::info!("unpacked image bundle: {}", bundle.display());
    Ok(())
}
