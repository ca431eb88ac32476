// SPDX-License-Identifier: Apache-2.0
//! How the files of an image are put on disk.

use umoci::bundle::UnpackOptions;
use umoci::bundle::runtime_spec::Host;
use umoci::error::{Error, Result};
use umoci::interrupt::Interrupt;
use umoci::layer::DirLinks;

use super::limits::{SpaceArg, suggest_flag};
use super::{IdMapArgs, LimitArgs, StrictArg};
use crate::failure::Failure;

/// Flags for commands that unpack an image.
#[derive(Debug, clap::Args)]
pub(crate) struct ExtractionArgs {
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
}

impl ExtractionArgs {
    pub(crate) fn options(&self, interrupt: Interrupt) -> Result<UnpackOptions> {
        Ok(UnpackOptions {
            maps: self.ids.maps_of_rootfs()?,
            dir_links: if self.keep_dirlinks { DirLinks::Keep } else { DirLinks::Replace },
            rootless: self.ids.rootless.then(Host::read).transpose()?,
            strictness: self.strict.strictness(),
            limits: self.limits.limits()?,
            space: self.space.check(),
            interrupt,
            ..UnpackOptions::default()
        })
    }

    /// Names the flag that would have let an unpack go on.
    pub(crate) fn suggest(&self, error: Error) -> Failure {
        suggest_flag(Failure::from(error).suggest_rootless(self.ids.rootless))
    }
}
