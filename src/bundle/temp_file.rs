// SPDX-License-Identifier: Apache-2.0
//! [`TempFile`]: a file of a bundle until it has its contents and its name.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::staging::BundleDir;
use crate::error::{Context, Result};
use crate::random::random;
use crate::sys;

/// What the names of new files start with.
pub(super) const PREFIX: &str = ".umoci-new-";

/// A new file of a bundle; dropped before it is committed, it is gone.
#[derive(Debug)]
pub(super) struct TempFile<'a> {
    bundle: &'a BundleDir,
    name: Option<PathBuf>,
    file: File,
}

impl<'a> TempFile<'a> {
    pub(super) fn create(bundle: &'a BundleDir) -> Result<Self> {
        let name = PathBuf::from(format!("{PREFIX}{:016x}", random()));
        let file = sys::create_file(&bundle.dir, &name).at("create", bundle.path.join(&name))?;
        let temporary = Self { bundle, name: Some(name), file };
        sys::hold(&temporary.file).at("lock new file in", &bundle.path)?;
        Ok(temporary)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, in the place of what has it, so that both
    /// contents and name survive a power cut.
    pub(super) fn commit(mut self, name: &Path) -> Result<()> {
        let commit = || -> std::io::Result<()> {
            self.file.sync_all()?;
            if let Some(temporary) = &self.name {
                sys::rename(&self.bundle.dir, temporary, &self.bundle.dir, name)?;
            }
            sys::sync_dir(&self.bundle.dir)
        };
        commit().at("write", self.bundle.path.join(name))?;
        self.name = None;
        Ok(())
    }
}

impl Drop for TempFile<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // What stays behind is found by the next one.
            let _ = sys::unlink(&self.bundle.dir, name);
        }
    }
}
