// SPDX-License-Identifier: Apache-2.0
//! `umoci raw runtime-config`: the configuration for a runtime, and nothing else.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use umoci::bundle::runtime_spec::Host;
use umoci::bundle::{RuntimeConfigOptions, write_runtime_config};
use umoci::error::{Context, Result};
use umoci::image::Image;

use crate::args::{self, IdMapArgs, ImageArg};
use crate::failure::Outcome;
use crate::interrupt;

/// generate the runtime configuration of an image
///
/// "<tag>" (default "latest", or the only image) names the image. The configuration for an OCI
/// runtime is written to "<config.json>", which is replaced if it exists.
///
/// With --rootfs, users and groups are looked up in that root filesystem, which the configuration
/// names by its last component. Without it, a user that is no number becomes root, and the
/// configuration names its own directory as root filesystem.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci raw runtime-config [command options] --image <image-path>[:<tag>] [--rootfs <rootfs>] <config.json>"
)]
pub(crate) struct Args {
    /// root filesystem to look up users and groups in
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::DirPath)]
    rootfs: Option<OsString>,

    #[command(flatten)]
    ids: IdMapArgs,

    #[command(flatten)]
    image: ImageArg,

    /// file to write
    #[arg(value_name = "CONFIG.JSON", value_hint = clap::ValueHint::FilePath)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let path = Path::new(args::one(&args.words, "config.json", "config.json path")?);
    let options = args.options()?;
    let layout = target.layout()?;
    let image = Image::load(&layout, target.resolve(&layout)?).context("invalid --image tag")?;
    log::info!("generating config.json");
    write_runtime_config(&image, path, &options).context("create runtime config")?;
    Ok(())
}

impl Args {
    fn options(&self) -> Result<RuntimeConfigOptions> {
        Ok(RuntimeConfigOptions {
            rootfs: self.rootfs.as_ref().filter(|path| !path.is_empty()).map(PathBuf::from),
            maps: self.ids.maps()?,
            rootless: self.ids.rootless.then(Host::read).transpose()?,
            interrupt: self.ids.rootless.then(interrupt::watch).unwrap_or_default(),
        })
    }
}
