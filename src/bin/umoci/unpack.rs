// SPDX-License-Identifier: Apache-2.0
//! `umoci unpack`: from an image to a runtime bundle.

use std::ffi::OsString;
use std::path::Path;

use umoci::error::Error;
use umoci::idmap::IdMaps;
use umoci::image::Image;
use umoci::layout::Layout;
use umoci::oci::DescriptorPath;

use crate::args::{self, IdMapArgs, ImageArg};
use crate::failure::{Failure, Outcome};

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
    image: ImageArg,

    /// directory of the bundle
    #[arg(value_name = "BUNDLE", value_hint = clap::ValueHint::DirPath)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let bundle = args::one(&args.words, "bundle", "bundle path")?;
    let maps = args.ids.maps()?;
    let layout = target.layout()?;
    let image = target.resolve(&layout)?;
    unpack(&layout, &image, Path::new(bundle), maps)
        .map_err(|error| Failure::from(error).suggest_rootless(args.ids.rootless))?;
    log::info!("unpacked image bundle: {bundle:?}");
    Ok(())
}

fn unpack(layout: &Layout, image: &DescriptorPath, bundle: &Path, _: IdMaps) -> Result<(), Error> {
    Image::load(layout, image.clone())?;
    Err(Error::unsupported(format!("create runtime bundle {bundle:?}: not supported yet")))
}
