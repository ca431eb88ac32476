// SPDX-License-Identifier: Apache-2.0
//! How a bundle's root filesystem is reached: with whose privileges, and what
//! is done when the system refuses something.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::metadata::Privileges;
use super::staging::{BundleDir, ROOTFS};
use crate::error::{Context, Result};
use crate::idmap::IdMaps;
use crate::interrupt::Interrupt;
use crate::rootfs::{
    Afterwards, Native, Ownership, Reminder, RootPath, Rootless, RootlessOptions, Strictness, View,
    open_own_dir, remove_all,
};

/// How a root filesystem is worked on.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    pub(super) privileges: Privileges,
    pub(super) strictness: Strictness,
    pub(super) interrupt: Interrupt,
    /// Who remembers which permission bits have stepped aside. Of a tree that is thrown away
    /// if it is not completed, nobody does.
    pub(super) reminder: Option<Arc<dyn Reminder>>,
}

impl Terms {
    /// Takes the open directory of a root filesystem.
    pub(super) fn open(&self, root: File, view: View) -> Result<Rootless<Native>> {
        let ownership = match self.privileges {
            Privileges::Full => Ownership::Set,
            Privileges::Rootless => Ownership::Record,
        };
        let (interrupt, reminder) = (self.interrupt.clone(), self.reminder.clone());
        let default = RootlessOptions::new(ownership, self.strictness);
        Ok(Rootless::native(root, RootlessOptions { view, reminder, interrupt, ..default })?)
    }

    /// Opens the root filesystem of a bundle, whatever its permission bits are.
    pub(super) fn open_bundle(&self, bundle: &BundleDir, view: View) -> Result<Rootless<Native>> {
        let root = open_own_dir(&bundle.dir, Path::new(ROOTFS), self.reminder.as_deref())
            .at("open", bundle.path.join(ROOTFS))?;
        self.open(root, view)
    }

    /// The maps between the ids of the image and those that the filesystem is given:
    /// without privileges it gets those of the image.
    pub(super) fn maps(&self, maps: &IdMaps) -> IdMaps {
        match self.privileges {
            Privileges::Full => maps.clone(),
            Privileges::Rootless => IdMaps::default(),
        }
    }
}

/// Removes a file or a tree in an open directory, whatever its permission bits are.
pub(super) fn remove_below(dir: &File, path: &Path) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let options = RootlessOptions { afterwards: Afterwards::Leave, ..RootlessOptions::default() };
    let fs = Rootless::native(dir.try_clone()?, options)?;
    let path = RootPath::clean(path.as_os_str().as_bytes())?;
    remove_all(&fs, &path).with_context(|| format!("remove {path:?}"))
}
