// SPDX-License-Identifier: Apache-2.0
//! Whiteouts of a layer (image-spec `layer.md`, "Whiteouts"): they remove what
//! lower layers left and spare what the same layer brings, in any order.

use std::io;
use std::rc::Rc;

use super::parents::Parent;
use super::{Applier, Context, DirLinks, Kind, Name, Removed, Result, RootPath, remove_unless};
use crate::rootfs::resolve_parent;

impl Applier<'_, '_> {
    /// `.wh.NAME`: what lower layers have under that name is gone.
    pub(super) fn whiteout(&mut self, parent: &RootPath, hidden: Name<'_>) -> Result<()> {
        match self.parents.open_existing(parent)? {
            Some(parent) => self.hide(&parent.path.join(hidden)),
            None => Ok(()),
        }
    }

    /// `.wh..wh..opq`: nothing that lower layers have in the directory shows.
    pub(super) fn opaque(&mut self, directory: &RootPath) -> Result<()> {
        if self.is_link(directory)? && self.options.dir_links == DirLinks::Replace {
            // The layer means a directory of that name, which takes the link's
            // place; what the link led to is not its business.
            return Ok(());
        }
        let Some(parent) = self.parents.open_existing(directory)? else { return Ok(()) };
        for entry in self.list(&parent)? {
            self.hide(&parent.path.join(Name::new(&entry)?))?;
        }
        Ok(())
    }

    fn list(&self, parent: &Rc<Parent>) -> Result<Vec<Box<[u8]>>> {
        let entries = self.fs.read_dir(&parent.dir)?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    fn is_link(&mut self, path: &RootPath) -> Result<bool> {
        let path = resolve_parent(self.fs, path)?;
        let Some((above, name)) = path.split() else { return Ok(false) };
        match self.fs.open_dir(&above).and_then(|dir| self.fs.stat(&dir, name)) {
            Ok(stat) => Ok(stat.kind == Kind::Symlink),
            Err(error) if nothing_there(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn hide(&mut self, path: &RootPath) -> Result<()> {
        let ledger = &*self.ledger;
        match remove_unless(self.fs, path, &|path| ledger.is_current(path)) {
            Ok(Removed::All | Removed::Part) => {
                self.parents.forget_hidden(path, self.ledger);
                Ok(())
            }
            Err(error) if nothing_there(&error) => Ok(()),
            Err(error) => Err(error).context("whiteout"),
        }
    }
}

fn nothing_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
