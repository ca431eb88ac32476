// SPDX-License-Identifier: Apache-2.0
//! Hard links of a layer. A link names an inode, not a path: once made it
//! keeps its contents whatever happens to the other name. Links that come
//! before their target wait until the end of the layer.

use std::io;
use std::rc::Rc;

use super::parents::Parent;
use super::{Applier, Place, listed};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::layer::entry::shown;
use crate::rootfs::{Change, Contents, Inode, Kind, Metadata, Name, RootPath, Stat};

/// A hard link that waits for its target.
#[derive(Debug)]
pub(super) struct Deferred {
    path: RootPath,
    target: RootPath,
}

/// The inode that a link names, by one of its names.
struct Target<'n> {
    parent: Rc<Parent>,
    name: Name<'n>,
    path: RootPath,
}

impl Applier<'_, '_> {
    pub(super) fn hard_link(&mut self, place: Place<'_>, target: &[u8]) -> Result<()> {
        let target = RootPath::clean(target)?;
        if self.link(&place, &target)? {
            return Ok(());
        }
        self.parents.remember(place.path.as_bytes().len() + target.as_bytes().len())?;
        // What has the name now goes, as with any other member; what takes it later stays.
        match self.fs.stat(&place.parent.dir, place.name) {
            Ok(_) => self.remove_existing(&place)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        self.ledger.forget(&place.path);
        self.deferred.push(Deferred { path: place.path, target });
        Ok(())
    }

    pub(super) fn finish_links(&mut self) -> Result<()> {
        for Deferred { path, target } in std::mem::take(&mut self.deferred) {
            let Some((parent, name)) = path.split() else { continue };
            // A later member of the layer has taken the name.
            if self.ledger.is_current(&path) {
                continue;
            }
            let parent = self.parents.open(&parent, self.ledger, self.bodies)?;
            let place = Place { parent, name, path: path.clone() };
            if !self
                .link(&place, &target)
                .with_context(|| format!("unpack entry: {}", shown(path.as_bytes())))?
            {
                let (path, target) = (shown(path.as_bytes()), shown(target.as_bytes()));
                let message =
                    format!("unpack entry: {path}: link: {target}: no such file or directory");
                return Err(Error::new(ErrorKind::NotFound, message));
            }
        }
        Ok(())
    }

    /// Makes the link, or says that there is no target yet.
    fn link(&mut self, place: &Place<'_>, target: &RootPath) -> Result<bool> {
        let Some(target) = self.target(target)? else { return Ok(false) };
        if target.path == place.path {
            return Err(Error::invalid("hard link to itself"));
        }
        match self.fs.namesake(&target.parent.dir, target.name)? {
            None => self.link_to(place, &target),
            Some(listed) => {
                let name = Name::new(&listed)?;
                let path = target.parent.path.join(name);
                self.link_to(place, &Target { parent: target.parent, name, path })
            }
        }
    }

    fn link_to(&mut self, place: &Place<'_>, target: &Target<'_>) -> Result<bool> {
        let made = self.make_link(target, place);
        let made = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // The old object goes only when the new one can come.
                match self.fs.stat(&target.parent.dir, target.name) {
                    Ok(stat) if stat.kind == Kind::Dir => return Err(to_a_directory()),
                    Ok(stat) if self.is_at(place, target, &stat)? => Ok(()),
                    Ok(_) => {
                        self.remove_existing(place)?;
                        self.make_link(target, place)
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                    Err(error) => return Err(error.into()),
                }
            }
            made => made,
        };
        match made {
            Ok(()) => self.ledger.link(&place.path, &target.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.copy(target, place).with_context(|| format!("copy {}", target.path))?;
                self.ledger.copy(&place.path, &target.path);
            }
            Err(error) => return Err(self.explain(target, error)),
        }
        Ok(true)
    }

    /// Whether a place has the target already: by that name, or by one that is taken for it.
    fn is_at(&self, place: &Place<'_>, target: &Target<'_>, stat: &Stat) -> Result<bool> {
        let Place { parent, name, .. } = place;
        match self.fs.stat(&parent.dir, *name) {
            Ok(there) if there.identity == stat.identity => Ok(true),
            Ok(_) => Ok(listed::path_in(self.fs, &parent.path, &parent.dir, *name)? == target.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Where there can be no links: another inode with the same contents and metadata.
    fn copy(&mut self, target: &Target<'_>, place: &Place<'_>) -> Result<()> {
        self.bodies.settle()?;
        let (from, dir) = (&target.parent.dir, &place.parent.dir);
        let Inode { stat, xattrs, contents, .. } = self.fs.inode(from, target.name)?;
        let Stat { owner, mode, atime, mtime, kind, .. } = stat;
        let metadata = Metadata { owner, mode, atime, mtime, xattrs };
        let clear_xattrs = place.parent.inherits_xattrs;
        let change = Change { metadata: &metadata, kind, clear_xattrs };
        match contents {
            Contents::File(mut source) => {
                let mut file = self.fs.create_file(dir, place.name, 0o600)?;
                io::copy(&mut source, &mut file)?;
                return Ok(self.fs.set_file_metadata(&file, &change).map(drop)?);
            }
            Contents::Symlink(leads_to) => {
                self.fs.create_symlink(&leads_to, dir, place.name)?;
            }
            Contents::Nothing => self.fs.create_node(dir, place.name, kind, stat.device)?,
        }
        Ok(self.fs.set_node_metadata(dir, place.name, &change)?)
    }

    fn target<'n>(&mut self, path: &'n RootPath) -> Result<Option<Target<'n>>> {
        let (Some(above), Some(name)) = (path.parent(), path.name()) else {
            return Err(to_a_directory());
        };
        let Some(parent) = self.parents.open_existing(&above, self.ledger)? else {
            return Ok(None);
        };
        let path = parent.path.join(name);
        Ok(Some(Target { parent, name, path }))
    }

    fn make_link(&self, target: &Target<'_>, place: &Place<'_>) -> io::Result<()> {
        self.fs.create_link(&target.parent.dir, target.name, &place.parent.dir, place.name)
    }

    fn explain(&self, target: &Target<'_>, error: io::Error) -> Error {
        match self.fs.stat(&target.parent.dir, target.name) {
            Ok(stat) if stat.kind == Kind::Dir => to_a_directory(),
            _ => Error::from(error).context(format!("link to {}", shown(target.path.as_bytes()))),
        }
    }
}

fn to_a_directory() -> Error {
    Error::invalid("hard link to a directory")
}
