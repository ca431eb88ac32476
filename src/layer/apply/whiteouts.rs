// SPDX-License-Identifier: Apache-2.0
//! Whiteouts of a layer (image-spec `layer.md`, "Whiteouts"): they remove what
//! lower layers left and spare what the same layer brings, in any order.
//!
//! In overlay form the lower layers are elsewhere, so that the tree has to say
//! what of them is gone. What is said of a name depends on all of the layer: a
//! whiteout of a directory that the layer itself has makes it opaque, and one
//! in an opaque directory is needless (and would show when the directory is
//! listed). So that is left to the end of the layer.

use std::io;
use std::rc::Rc;

use super::parents::Parent;
use super::{
    Applier, Context, DirLinks, Kind, Name, Place, Removed, Result, RootPath, remove_unless,
    resolve,
};
use crate::rootfs::{Overlay, resolve_parent};

impl Applier<'_, '_> {
    /// `.wh.NAME`: what lower layers have under that name is gone.
    pub(super) fn whiteout(&mut self, parent: &RootPath, hidden: Name<'_>) -> Result<()> {
        let existing = self.parents.open_existing(parent)?;
        if let Some(parent) = &existing {
            self.hide(&parent.path.join(hidden))?;
        }
        if self.disk.overlay().is_some() {
            let parent = match existing {
                Some(parent) => parent.path.clone(),
                None => resolve(self.fs, parent)?,
            };
            self.hidden.insert(parent.join(hidden));
        }
        Ok(())
    }

    /// `.wh..wh..opq`: nothing that lower layers have in the directory shows.
    pub(super) fn opaque(&mut self, directory: &RootPath) -> Result<()> {
        let link = match self.options.dir_links {
            DirLinks::Replace => self.link_at(directory)?,
            DirLinks::Keep => None,
        };
        let parent = match (self.disk.overlay(), link) {
            // The layer means a directory of that name, which takes the link's
            // place; what the link led to is not its business.
            (None, Some(_)) => None,
            (None, None) => self.parents.open_existing(directory)?,
            (Some(_), link) => Some(self.opaque_directory(directory, link)?),
        };
        let Some(parent) = parent else { return Ok(()) };
        for entry in self.list(&parent)? {
            self.hide(&parent.path.join(Name::new(&entry)?))?;
        }
        self.parents.mark_opaque(&parent.path);
        Ok(())
    }

    /// Where lower layers are elsewhere, the directory has to be there to hide theirs.
    fn opaque_directory(
        &mut self,
        directory: &RootPath,
        link: Option<RootPath>,
    ) -> Result<Rc<Parent>> {
        let Some(path) = link else { return self.parents.open(directory, self.ledger) };
        if let Some((above, name)) = path.split() {
            let parent = self.parents.open(&above, self.ledger)?;
            self.remove_existing(&Place { parent, name, path: path.clone() })?;
        }
        self.parents.open(&path, self.ledger)
    }

    /// Says in the tree what of the layers below is gone, where the format has words for it.
    pub(super) fn finish_whiteouts(&mut self) -> Result<()> {
        let disk = self.disk;
        let Some(overlay) = disk.overlay() else { return Ok(()) };
        for path in std::mem::take(&mut self.hidden) {
            self.say_hidden(overlay, &path).with_context(|| format!("whiteout: {path}"))?;
        }
        Ok(())
    }

    fn say_hidden(&mut self, overlay: &Overlay<'_>, path: &RootPath) -> Result<()> {
        let Some((above, name)) = path.split() else { return Ok(()) };
        match self.fs.open_dir(&above) {
            // A file, link or whiteout has come in the way, which hides as much.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(()),
            Ok(_) | Err(_) => {}
        }
        if self.parents.is_below_opaque(overlay, &above)? {
            return Ok(());
        }
        let parent = self.parents.open(&above, self.ledger)?;
        match self.fs.stat(&parent.dir, name).map(|stat| stat.kind) {
            Ok(Kind::Dir) => {
                self.parents.open(path, self.ledger)?;
                self.parents.mark_opaque(path);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(overlay.create_whiteout(&parent.dir, name, self.parents.root_owner())?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn list(&self, parent: &Rc<Parent>) -> Result<Vec<Box<[u8]>>> {
        let entries = self.fs.read_dir(&parent.dir)?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    /// The path without links on the way, if there is a link at its end.
    fn link_at(&mut self, path: &RootPath) -> Result<Option<RootPath>> {
        let path = resolve_parent(self.fs, path)?;
        let Some((above, name)) = path.split() else { return Ok(None) };
        match self.fs.open_dir(&above).and_then(|dir| self.fs.stat(&dir, name)) {
            Ok(stat) => Ok((stat.kind == Kind::Symlink).then_some(path)),
            Err(error) if nothing_there(&error) => Ok(None),
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
