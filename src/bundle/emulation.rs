// SPDX-License-Identifier: Apache-2.0
//! How a bundle's root filesystem is reached: with whose privileges, what is
//! done when the system refuses something, and what the user hears of it.

use std::fs::File;
use std::path::Path;

use super::metadata::Privileges;
use crate::error::{Context, Result};
use crate::idmap::IdMaps;
use crate::interrupt::Interrupt;
use crate::rootfs::{
    Afterwards, Census, Native, Ownership, Refusals, RootPath, Rootless, RootlessOptions,
    Strictness, Substitute, View, remove_all,
};
use crate::sys;

/// How a root filesystem is worked on.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    pub(super) privileges: Privileges,
    pub(super) strictness: Strictness,
    pub(super) interrupt: Interrupt,
}

impl Terms {
    /// Takes the open directory of a root filesystem.
    pub(super) fn open(&self, root: File, view: View) -> Result<Rootless<Native>> {
        let options = RootlessOptions {
            ownership: match self.privileges {
                Privileges::Full => Ownership::Set,
                Privileges::Rootless => Ownership::Record,
            },
            refusals: self.refusals(),
            view,
            afterwards: Afterwards::PutBack,
            interrupt: self.interrupt.clone(),
        };
        Ok(Rootless::native(root, options)?)
    }

    fn refusals(&self) -> Refusals {
        match (self.strictness, self.privileges) {
            (Strictness::Refuse, _) => Refusals::Strict,
            (Strictness::Substitute, Privileges::Rootless) => Refusals::Substitute,
            // Root is refused something by the filesystem or the user namespace. Somebody
            // else has forgotten to say that no privileges are to be used.
            (Strictness::Substitute, Privileges::Full) if sys::is_root() => Refusals::Substitute,
            (Strictness::Substitute, Privileges::Full) => Refusals::Fail,
        }
    }

    /// The maps between the ids of the image and those that the filesystem is given:
    /// without privileges it gets those of the image.
    pub(super) fn maps(&self, maps: &IdMaps) -> IdMaps {
        match self.privileges {
            Privileges::Full => maps.clone(),
            Privileges::Rootless => IdMaps::default(),
        }
    }

    /// Tells the user in one line what is not as it should be.
    pub(super) fn tell(&self, census: &Census, keeping: Keeping) {
        if census.is_empty() {
            return;
        }
        match (self.privileges, keeping) {
            (_, Keeping::Nothing) if needs_record(census) => {
                log::warn!("emulated: {census}; without a bundle, the record is lost");
            }
            (Privileges::Rootless, _) => log::warn!("emulated: {census}"),
            (Privileges::Full, _) => {
                log::warn!("the system refused some of what was to be set; emulated: {census}");
            }
        }
    }
}

/// Whether some of what was emulated is known from nothing but the record.
fn needs_record(census: &Census) -> bool {
    let kinds = [Substitute::OwnerRecord, Substitute::Placeholder, Substitute::AttributeRecord];
    kinds.into_iter().any(|kind| census.of(kind) > 0)
}

/// Whether the record of what was emulated is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    Record,
    Nothing,
}

/// Removes a file or a tree in an open directory, whatever its permission bits are.
pub(super) fn remove_below(dir: &File, path: &Path) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let options = RootlessOptions { afterwards: Afterwards::Leave, ..RootlessOptions::default() };
    let fs = Rootless::native(dir.try_clone()?, options)?;
    let path = RootPath::clean(path.as_os_str().as_bytes())?;
    remove_all(&fs, &path).with_context(|| format!("remove {path:?}"))
}
