// SPDX-License-Identifier: Apache-2.0
//! Whiteouts of a layer (image-spec `layer.md`, "Whiteouts"): they remove what
//! lower layers left and spare what the same layer brings, in any order.
//!
//! In overlay form the lower layers are elsewhere, so that the tree has to say
//! what of them is gone. What is to be said of a name depends on all of the
//! layer: a directory that it both removes and brings is opaque, and a whiteout
//! in an opaque directory is needless (and would show when that is listed). So
//! it is said at the end of the layer, by [`Applier::finish_whiteouts`].

use std::io;

use super::{Applier, Context, DirLinks, Kind, Name, Place, Result, RootPath, resolve_within};
use crate::rootfs::{Overlay, Removed, remove_unless, resolve_parent};

/// What of the layers below is gone at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// What is in the directory.
    Children,
    /// The name, and so what is below it.
    Name,
}

impl Applier<'_, '_> {
    /// `.wh.NAME`: what lower layers have under that name is gone.
    pub(super) fn whiteout(&mut self, parent: &RootPath, hidden: Name<'_>) -> Result<()> {
        if let Some(parent) = self.parents.open_existing(parent, self.ledger)?
            && self.fs.has_exactly(&parent.dir, hidden)?
        {
            let place = Place::new(parent, hidden);
            // A directory that only its children are gone from may be a lower layer's itself.
            let is_done = self.is_cleared(&place.path) && self.ledger.is_current(&place.path);
            if !is_done && self.hide(&place)? == Some(Removed::Part) {
                self.set_cleared(place.path)?;
            }
        }
        if self.disk.overlay().is_some() {
            let path = resolve_within(self.fs, parent, &mut self.ledger.steps)?.join(hidden);
            self.gone.insert(path, Gone::Name);
        }
        Ok(())
    }

    /// `.wh..wh..opq`: nothing that lower layers have in the directory shows.
    pub(super) fn opaque(&mut self, directory: &RootPath) -> Result<()> {
        if self.disk.overlay().is_some() {
            let path = match self.options.dir_links {
                DirLinks::Replace => resolve_parent(self.fs, directory, &mut self.ledger.steps)?,
                DirLinks::Keep => resolve_within(self.fs, directory, &mut self.ledger.steps)?,
            };
            self.gone.entry(path).or_insert(Gone::Children);
        }
        if self.is_link(directory)? && self.options.dir_links == DirLinks::Replace {
            // A directory of that name may be to come and take the link's place;
            // then what the link leads to is not its business.
            self.opaque_links.push(directory.clone());
            return Ok(());
        }
        self.hide_children(directory)
    }

    fn hide_children(&mut self, directory: &RootPath) -> Result<()> {
        let Some(parent) = self.parents.open_existing(directory, self.ledger)? else {
            return Ok(());
        };
        if self.is_cleared(&parent.path) {
            return Ok(());
        }
        for name in self.fs.read_dir(&parent.dir)?.iter() {
            self.hide(&Place::new(parent.clone(), Name::new(name)?))?;
        }
        self.set_cleared(parent.path.clone())
    }

    /// Whether nothing of the layers below is left below a path. What comes there later is the
    /// layer's own, so that nobody needs to look twice, however often a layer asks for it.
    fn is_cleared(&self, path: &RootPath) -> bool {
        let mut next = (!self.cleared.is_empty()).then(|| path.clone());
        while let Some(path) = next {
            if self.cleared.contains(&path) {
                return true;
            }
            next = path.parent();
        }
        false
    }

    fn set_cleared(&mut self, path: RootPath) -> Result<()> {
        self.parents.remember(path.as_bytes().len())?;
        self.cleared.insert(path);
        Ok(())
    }

    /// Does what could not be done before all of the layer was known, and says in the tree
    /// what of the layers below is gone, where the format has words for it.
    pub(super) fn finish_whiteouts(&mut self) -> Result<()> {
        for link in std::mem::take(&mut self.opaque_links) {
            if self.is_link(&link)? {
                self.hide_children(&link).with_context(|| format!("whiteout: {link}"))?;
            }
        }
        let disk = self.disk;
        let Some(overlay) = disk.overlay() else { return Ok(()) };
        // Directories come before what is in them.
        for (path, gone) in std::mem::take(&mut self.gone) {
            self.say(overlay, &path, gone).with_context(|| format!("whiteout: {path}"))?;
        }
        Ok(())
    }

    fn say(&mut self, overlay: &Overlay<'_>, path: &RootPath, gone: Gone) -> Result<()> {
        let Some((above, name)) = path.split() else { return self.make_opaque(path) };
        let kind = match self.fs.open_dir(&above).and_then(|dir| self.fs.stat(&dir, name)) {
            Ok(stat) => Some(stat.kind),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // The way there ends at a file, link or whiteout, which hides as much.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match (kind, gone) {
            // A file of this layer hides what is below it by itself.
            (Some(kind), _) if kind != Kind::Dir && self.ledger.is_current(path) => return Ok(()),
            (Some(Kind::Dir), Gone::Children) => {}
            _ if self.parents.is_below_opaque(overlay, &above)? => return Ok(()),
            (None, Gone::Name) => {
                let parent = self.parents.open(&above, self.ledger, self.bodies)?;
                let owner = self.parents.root_owner();
                return Ok(overlay.hide(&parent.dir, name, owner)?);
            }
            (None, Gone::Children) | (Some(Kind::Dir), Gone::Name) => {}
            (Some(_), _) => {
                let parent = self.parents.open(&above, self.ledger, self.bodies)?;
                self.remove_existing(&Place { parent, name, path: path.clone() })?;
            }
        }
        self.make_opaque(path)
    }

    fn make_opaque(&mut self, path: &RootPath) -> Result<()> {
        self.parents.open(path, self.ledger, self.bodies)?;
        self.parents.mark_opaque(path);
        Ok(())
    }

    fn is_link(&mut self, path: &RootPath) -> Result<bool> {
        let path = resolve_parent(self.fs, path, &mut self.ledger.steps)?;
        let Some((above, name)) = path.split() else { return Ok(false) };
        match self.fs.open_dir(&above).and_then(|dir| self.fs.stat(&dir, name)) {
            Ok(stat) => Ok(stat.kind == Kind::Symlink),
            Err(error) if nothing_there(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what lower layers have at a place; `None` where there is nothing.
    fn hide(&mut self, place: &Place<'_>) -> Result<Option<Removed>> {
        match self.remove_hidden(place) {
            Ok(removed) => Ok(Some(removed)),
            Err(error) if nothing_there(&error) => Ok(None),
            Err(error) => Err(error).context("whiteout"),
        }
    }

    /// A file goes through the directory that is open already, and all that is open stays true.
    fn remove_hidden(&mut self, place: &Place<'_>) -> io::Result<Removed> {
        // What this layer has brought stays.
        self.bodies.settle_before(self.first_body)?;
        let (dir, ledger, bodies) = (&place.parent.dir, &*self.ledger, &mut *self.bodies);
        if ledger.is_lower_file(&place.path) {
            return self.fs.remove_file(dir, place.name).map(|()| Removed::All);
        }
        let kind = self.fs.stat(dir, place.name)?.kind;
        let removed = if kind == Kind::Dir {
            let keep = |path: &RootPath| ledger.is_current(path);
            remove_unless(self.fs, &place.path, &keep, || Ok(bodies.settle()?))?
        } else if ledger.is_current(&place.path) {
            Removed::Part
        } else {
            self.fs.remove_file(dir, place.name)?;
            Removed::All
        };
        if matches!(kind, Kind::Dir | Kind::Symlink) {
            self.parents.forget_hidden(&place.path, ledger);
        }
        Ok(removed)
    }
}

fn nothing_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
