// SPDX-License-Identifier: Apache-2.0
//! Whose the members of a layer are: [`Owners`], and [`OwnerCheck`], which
//! finds owners that no layer can name before one is begun.

use std::path::Path;

use super::dirs::OpenDirs;
use crate::error::{Context, Error, Result};
use crate::idmap::{IdMaps, Owner};
use crate::rootfs::{FsOps, Kind, Name, RootPath, Stat};

/// Who owns the members of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// Whom the maps make of the owners on disk.
    Mapped(IdMaps),
    /// Whom the filesystem names: it knows the owners in the image
    /// ([`Ownership::Record`](crate::rootfs::Ownership::Record)).
    OfImage,
}

impl Default for Owners {
    fn default() -> Self {
        Self::Mapped(IdMaps::default())
    }
}

impl Owners {
    /// The owner in the image of what belongs to `owner` in the tree.
    ///
    /// # Errors
    /// When a map lacks an id.
    pub(super) fn in_image(&self, owner: Owner) -> Result<Owner> {
        match self {
            Self::Mapped(maps) => maps.to_container(owner).context("map header"),
            Self::OfImage => Ok(owner),
        }
    }

    /// Whether a user of this machine, by id, is root in the image: without privileges, in
    /// whatever user namespace the image is worked on.
    pub(super) fn is_root(&self, id: u32) -> bool {
        match self {
            Self::Mapped(maps) => maps.uid.to_host(0).is_ok_and(|root| root == id),
            Self::OfImage => true,
        }
    }

    /// Whether there may be owners that have none in the image.
    fn may_fail(&self) -> bool {
        matches!(self, Self::Mapped(maps) if !maps.is_identity())
    }
}

/// Looks at objects that are to become members, and remembers those whose owner the maps lack.
#[derive(Debug)]
pub struct OwnerCheck<'a> {
    fs: &'a dyn FsOps,
    owners: &'a Owners,
    place: &'a Path,
    open: OpenDirs,
    first: Option<Error>,
    more: u64,
}

impl<'a> OwnerCheck<'a> {
    /// Checks what `fs` holds.
    pub fn new(fs: &'a dyn FsOps, owners: &'a Owners) -> Self {
        let place = Path::new("");
        Self { fs, owners, place, open: OpenDirs::default(), first: None, more: 0 }
    }

    /// Calls the root of the tree this in errors.
    #[must_use]
    pub fn with_place(mut self, place: &'a Path) -> Self {
        self.place = place;
        self
    }

    /// Looks at the objects at these paths.
    ///
    /// # Errors
    /// When something cannot be looked at, and as [`OwnerCheck::all_below`].
    pub fn each<'p>(mut self, paths: impl Iterator<Item = &'p RootPath>) -> Result<()> {
        if self.owners.may_fail() {
            for path in paths {
                self.look(path)?;
            }
        }
        self.finish()
    }

    /// Looks at the object at a path and all that is below it.
    ///
    /// # Errors
    /// When an owner is outside of the maps: it names the first such object and its id, and
    /// says how many others there are.
    pub fn all_below(mut self, path: &RootPath) -> Result<()> {
        let mut pending = if self.owners.may_fail() { vec![path.clone()] } else { Vec::new() };
        while let Some(path) = pending.pop() {
            if self.look(&path)? != Kind::Dir {
                continue;
            }
            let dir = self.open.get(self.fs, &path)?;
            let entries = self.fs.read_dir(&dir);
            let entries = entries.with_context(|| format!("list {:?}", path.below(self.place)))?;
            for entry in entries.iter().rev() {
                pending.push(path.join(Name::new(&entry.name)?));
            }
        }
        self.finish()
    }

    fn look(&mut self, path: &RootPath) -> Result<Kind> {
        let adding = || format!("could not add file {:?}", path.below(self.place));
        let stat = self.stat(path).with_context(adding)?;
        if let Err(error) = self.owners.in_image(stat.owner) {
            match self.first {
                None => self.first = Some(error.context(adding())),
                Some(_) => self.more += 1,
            }
        }
        Ok(stat.kind)
    }

    fn stat(&mut self, path: &RootPath) -> Result<Stat> {
        let Some((parent, name)) = path.split() else {
            let root = self.open.get(self.fs, path)?;
            return Ok(self.fs.stat_dir(&root)?);
        };
        let dir = self.open.get(self.fs, &parent)?;
        Ok(self.fs.stat(&dir, name)?)
    }

    fn finish(self) -> Result<()> {
        let Some(error) = self.first else { return Ok(()) };
        Err(match self.more {
            0 => error,
            more => error.context(format!("{} objects have owners outside of the maps", more + 1)),
        })
    }
}
