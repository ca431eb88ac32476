// SPDX-License-Identifier: Apache-2.0
//! `umoci new`: make an image without layers.

use std::ffi::OsString;

use umoci::error::Context;
use umoci::image;
use umoci::oci::ImageConfig;

use crate::args::{self, ImageArg};
use crate::clock::Clock;
use crate::failure::Outcome;
use crate::host::Host;

/// create a blank image
///
/// The image gets the tag "<tag>" (default "latest") in an existing layout, has no layers, and
/// is for the platform of this machine. A tag of that name is replaced.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci new [command options] --image <image-path>[:<tag>]")]
pub(crate) struct Args {
    #[command(flatten)]
    image: ImageArg,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    args::none(&args.words)?;
    let config = blank_config(&Host::read(), &Clock::read()?);
    let layout = target.layout()?;
    // An index that cannot be changed is better found before there are blobs to throw away.
    layout.index().context("create new image")?;
    let writer = layout.writer().context("create new image")?;
    let manifest = image::create(&writer, &config).context("create new image")?;
    log::info!("new image manifest created: {}", manifest.digest);
    writer.tag(&target.tag, manifest).context("add new tag")?;
    log::info!("created new tag for image manifest: {}", target.tag);
    Ok(())
}

fn blank_config(host: &Host, clock: &Clock) -> ImageConfig {
    let mut config = ImageConfig::new(host.architecture, host.os);
    config.created = Some(clock.now);
    host.variant.clone_into(&mut config.variant);
    config
}
