// SPDX-License-Identifier: Apache-2.0
//! `umoci new`: make an image without layers.

use std::ffi::OsString;

use umoci::error::Context;
use umoci::image;
use umoci::layout::Destination;
use umoci::oci::{Algorithm, ImageConfig, Platform};

use crate::args::{self, DestinationArg, hints};
use crate::clock::Clock;
use crate::failure::Outcome;
use crate::host::Host;

/// create a blank image
///
/// The image gets the tag "<tag>" (default "latest") in an existing layout and has no layers. A
/// tag of that name is replaced. With --platform the image is for that platform, which
/// umoci-config(1) can change later.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci new [command options] --image <image-path>[:<tag>]")]
pub(crate) struct Args {
    #[command(flatten)]
    image: DestinationArg,

    /// platform that the image is for, as 'os/arch[/variant]'; that of this machine if not given
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,

    /// algorithm of the image's digests, as 'sha256', 'sha384' or 'sha512'
    #[arg(long, value_name = "ALGORITHM", default_value = "sha256")]
    digest_algorithm: String,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    args::none(&args.words)?;
    let platform =
        args::platform(args.platform.as_deref())?.unwrap_or_else(|| Host::read().platform());
    let algorithm =
        args.digest_algorithm.parse::<Algorithm>().context("invalid --digest-algorithm")?;
    let config = blank_config(platform, &Clock::read()?);
    let open = target.layout_to_change();
    let layout = open.map_err(|failure| hints::on_first_use(failure, &target.path))?;
    // An index that cannot be changed is better found before there are blobs to throw away.
    layout.index().context("create new image")?;
    let writer = layout.writer().context("create new image")?;
    let name = target.name(&layout)?;
    let manifest = image::create_with(&writer, algorithm, &config).context("create new image")?;
    log::info!("new image manifest created: {}", manifest.digest);
    writer.place(&Destination::Name(name.clone()), manifest).context("add new tag")?;
    log::info!("created new tag for image manifest: {name}");
    Ok(())
}

fn blank_config(platform: Platform, clock: &Clock) -> ImageConfig {
    let mut config = ImageConfig::new(platform.architecture, platform.os);
    config.created = Some(clock.now);
    config.variant = platform.variant;
    config
}
