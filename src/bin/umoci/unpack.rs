// SPDX-License-Identifier: Apache-2.0
//! `umoci unpack`: from an image to a runtime bundle.

use std::ffi::OsString;
use std::path::Path;

use umoci::bundle::runtime_spec::Host;
use umoci::bundle::{self, UnpackOptions};
use umoci::error::{Context, Result};
use umoci::image::Image;
use umoci::layer::DirLinks;

use crate::args::{self, IdMapArgs, ImageArg, LimitArgs, SpaceArg, StrictArg};
use crate::failure::{Failure, Outcome};
use crate::{host, interrupt, progress};

/// unpack an image into a runtime bundle
///
/// "<tag>" (default "latest") names the image. "<bundle>" is a directory: it is made, or it
/// exists without a bundle in it. The image's root filesystem goes to "<bundle>/rootfs", the
/// configuration for an OCI runtime to "<bundle>/config.json"; what umoci-repack(1) needs later
/// is stored beside them.
#[derive(Debug, clap::Args)]
#[command(override_usage = "umoci unpack [command options] --image <image-path>[:<tag>] <bundle>")]
pub(crate) struct Args {
    /// keep a symlink to a directory where a layer has a directory
    #[arg(long)]
    keep_dirlinks: bool,

    #[command(flatten)]
    ids: IdMapArgs,

    #[command(flatten)]
    strict: StrictArg,

    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    space: SpaceArg,

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
    let options = UnpackOptions { interrupt: interrupt.clone(), ..args.options(bundle)? };
    let layout = target.layout()?.with_interrupt(interrupt);
    let image = Image::load(&layout, target.resolve(&layout)?).context("invalid --image tag")?;
    log::info!("unpacking bundle ...");
    progress::shown(&options.progress, || bundle::unpack(&layout, &image, bundle, &options))
        .map_err(|error| Failure::from(error).suggest_rootless(args.ids.rootless))
        .map_err(args::suggest_flag)?;
    log::info!("unpacked image bundle: {}", bundle.display());
    Ok(())
}

impl Args {
    fn options(&self, bundle: &Path) -> Result<UnpackOptions> {
        Ok(UnpackOptions {
            maps: self.ids.maps_of_rootfs()?,
            dir_links: if self.keep_dirlinks { DirLinks::Keep } else { DirLinks::Replace },
            header: host::mtree_header(&bundle.join("rootfs")),
            rootless: self.ids.rootless.then(Host::read).transpose()?,
            strictness: self.strict.strictness(),
            limits: self.limits.limits()?,
            space: self.space.check(),
            ..UnpackOptions::default()
        })
    }
}
