// SPDX-License-Identifier: Apache-2.0
//! What goes to make room, or because a whiteout says so.
//!
//! A worker may still have it open. Filesystems in user space and of other machines look for an
//! open file by its path at each call: once that is gone the worker's calls fail, or reach what has
//! taken its place, another file's owner and mode with them. Some give a removed file another path
//! as long as it is open, but only if it is removed by the name that it was opened by, and where
//! upper and lower case are the same it has more. So the workers finish first whatever may be theirs.

use super::{Applier, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::bodies::Bodies;
use crate::rootfs::{Dir, FsOps, Kind, Name, remove_unless};

impl Applier<'_, '_> {
    /// Removes what is at a place, which may be listed by another name there.
    pub(super) fn remove_existing(&mut self, place: &Place<'_>) -> Result<()> {
        let dir = &place.parent.dir;
        let kind = self.fs.stat(dir, place.name)?.kind;
        let namesake = self.fs.namesake(dir, place.name)?;
        if kind == Kind::Dir {
            refuse_namesake(namesake.as_deref())?;
            self.let_go(place)?;
            let bodies = &mut *self.bodies;
            remove_unless(self.fs, &place.path, &|_| false, || Ok(bodies.settle()?))?;
        } else if let Some(namesake) = namesake {
            self.bodies.settle()?;
            let name = Name::new(&namesake)?;
            self.fs.remove_file(dir, name)?;
            self.ledger.forget(&place.parent.path.join(name));
        } else {
            self.let_go(place)?;
            self.fs.remove_file(dir, place.name)?;
        }
        if matches!(kind, Kind::Dir | Kind::Symlink) {
            self.parents.forget(&place.path);
        }
        Ok(())
    }

    /// Has the workers finish what they may have of a path that is about to go: of the layers
    /// below it is all that they had when this layer began, once.
    pub(super) fn let_go(&mut self, place: &Place<'_>) -> Result<()> {
        let is_own = self.ledger.is_current(&place.path);
        let before = if is_own { self.bodies.next_id() } else { self.first_body };
        self.bodies.settle_before(before)
    }
}

/// Removes a file that is where a directory has to be which no member describes.
pub(super) fn make_room(
    fs: &dyn FsOps,
    dir: &Dir,
    name: Name<'_>,
    bodies: &mut Bodies<'_>,
) -> Result<()> {
    bodies.settle()?;
    match fs.namesake(dir, name)? {
        Some(namesake) => fs.remove_file(dir, Name::new(&namesake)?)?,
        None => fs.remove_file(dir, name)?,
    }
    Ok(())
}

/// A directory of another name is not to be lost with all that is in it for something that
/// differs in case only.
fn refuse_namesake(namesake: Option<&[u8]>) -> Result<()> {
    if namesake.is_none() {
        return Ok(());
    }
    let message = "its place is taken by a directory whose name differs in case only";
    Err(Error::new(ErrorKind::AlreadyExists, message))
}
