// SPDX-License-Identifier: Apache-2.0
//! `umoci unpack`: from an image to a runtime bundle.

use std::ffi::OsString;

use crate::args::{self, IdMapArgs, ImageArg};
use crate::failure::Outcome;

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
    let _target = args.image.target()?;
    let _bundle = args::one(&args.words, "bundle", "bundle path")?;
    let _maps = args.ids.maps()?;
    Ok(())
}
