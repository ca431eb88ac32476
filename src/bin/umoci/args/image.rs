// SPDX-License-Identifier: Apache-2.0
//! `--image` and `--platform`: one image of those that a name can lead to.

use clap::Args;
use umoci::error::{Context, ErrorKind, Result};
use umoci::layout::{ImageRef, Layout, PlatformChoice};
use umoci::oci::{DescriptorPath, Platform};

use super::entry::tell_meaning;
use super::{EntryArg, EntryTarget, hints};
use crate::failure::{Failure, Outcome};
use crate::host::Host;

/// The flags of commands that work on one image.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImageArg {
    #[command(flatten)]
    entry: EntryArg,

    /// which image of a tag that has several, as 'os/arch[/variant]'; that for this machine if not given
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
}

impl ImageArg {
    /// What was asked for.
    pub(crate) fn target(&self) -> Outcome<ImageTarget> {
        let place = self.entry.target()?;
        let platform = match self.platform()? {
            Some(platform) => PlatformChoice::Require(platform),
            None => PlatformChoice::Prefer(Host::read().platform()),
        };
        Ok(ImageTarget { place, platform })
    }

    /// The flag about entries alone.
    pub(crate) fn entry(&self) -> &EntryArg {
        &self.entry
    }

    /// The platform that was given.
    pub(crate) fn platform(&self) -> Result<Option<Platform>> {
        platform(self.platform.as_deref())
    }
}

/// Reads a platform, if one is given.
pub(crate) fn platform(text: Option<&str>) -> Result<Option<Platform>> {
    text.map(str::parse).transpose().context("invalid --platform")
}

/// An image's place: an entry, which need not exist, and which of its images it is.
#[derive(Debug, Clone)]
pub(crate) struct ImageTarget {
    pub(crate) place: EntryTarget,
    pub(crate) platform: PlatformChoice,
}

impl ImageTarget {
    /// Opens the layout.
    pub(crate) fn layout(&self) -> Outcome<Layout> {
        self.place.layout()
    }

    /// Opens the layout, to be changed.
    pub(crate) fn layout_to_change(&self) -> Outcome<Layout> {
        self.place.layout_to_change()
    }

    /// Finds the image.
    pub(crate) fn resolve(&self, layout: &Layout) -> Outcome<DescriptorPath> {
        let selector = &self.place.selector;
        let image = ImageRef { selector: selector.clone(), platform: self.platform.clone() };
        let found = layout.find(&image).map_err(|error| match (error.kind(), &self.platform) {
            (ErrorKind::Platform, PlatformChoice::Prefer(_)) => {
                Failure::from(error).hint("--platform chooses one of them.")
            }
            _ => hints::on_entry(error, layout, &self.place),
        })?;
        tell_meaning(selector, found.root());
        Ok(found)
    }
}
