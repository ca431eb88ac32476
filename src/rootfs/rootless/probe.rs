// SPDX-License-Identifier: Apache-2.0
//! [`Abilities`]: what a filesystem can do, found out by trying it once, so
//! that nothing is asked of it again and again that it refuses.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};

use super::super::metadata::{Device, Kind};
use super::super::ops::Dir;
use super::super::sys::{self, Open, XattrTarget};
use super::super::{Owner, capability};

/// Whether a filesystem can do something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Ability {
    /// It can, or nobody knows yet: single objects may still be refused.
    #[default]
    Given,
    /// It never does.
    Missing,
}

/// What the filesystem of a tree can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Giving files to others.
    pub(super) owners: Ability,
    /// Setting permission bits.
    pub(super) modes: Ability,
    /// Hard links that can be told from files of their own, by one inode number for all names.
    pub(super) links: Ability,
    /// Device nodes.
    pub(super) devices: Ability,
    /// Extended attributes of the namespace `user`.
    pub(super) user_attributes: Ability,
    /// Keeping a file's capabilities while what was written before is still under way: a
    /// filesystem in user space may do the writing later, and writing takes them away.
    pub(super) capabilities: Ability,
    /// Telling names apart that differ in nothing but case.
    pub(super) case: Ability,
}

/// The directory in which everything is tried, and its contents.
const PLACE: &str = ".umoci-probe";
const FILE: &str = "file";
const SAME: &str = "FILE";
const LINK: &str = "link";
const NODE: &str = "node";
/// No capabilities at all, in version 2 of the format.
const CAPABILITY: [u8; 20] = [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Permission bits that no new file has by itself.
const BITS: u32 = 0o641;
/// An owner that an ordinary file may well have.
const SOMEBODY: Owner = Owner { uid: 1, gid: 1 };

impl Abilities {
    /// Tries everything in the directory `dir`, and leaves nothing there. What cannot be
    /// tried, as in a directory that is full or closed, counts as given.
    pub(super) fn probe(dir: &File) -> Self {
        if sys::create_dir_at(dir, OsStr::new(PLACE), 0o700).is_err() {
            return Self::default();
        }
        let place = sys::open_at(dir, OsStr::new(PLACE), Open::Dir);
        let found = place.and_then(|place| {
            let place = Dir::new(place.into());
            let found = Self::try_in(&place);
            for name in [FILE, LINK, NODE] {
                // Not all of them have been made.
                let _ = sys::remove_file_at(&place, OsStr::new(name));
            }
            found
        });
        if let Err(error) = sys::remove_dir_at(dir, OsStr::new(PLACE)) {
            log::debug!("cannot remove {PLACE}: {error}");
        }
        found.unwrap_or_default()
    }

    fn try_in(place: &Dir) -> io::Result<Self> {
        let name = OsStr::new;
        let file = File::from(sys::open_at(place, name(FILE), Open::Create(0o600))?);
        let link = sys::link_at(place, name(FILE), place, name(LINK));
        let link = link.and_then(|()| sys::stat_at(place, name(LINK)));
        let owner = sys::chown_fd(&file, SOMEBODY);
        let has_owner = sys::stat_fd(&file)?.owner == SOMEBODY;
        let mode = sys::chmod_fd(&file, BITS);
        let has_mode = sys::stat_fd(&file)?.mode == BITS;
        let own = sys::stat_at(place, name(FILE))?.identity;
        let null = Device { major: 1, minor: 3 };
        let node = sys::make_node_at(place, name(NODE), Kind::CharDevice, 0o600, null);
        let attribute = XattrTarget::Open(&file).set(b"user.umoci", b"1");
        let same = sys::stat_at(place, name(SAME));
        Ok(Self {
            // Some refuse, and some do nothing without a word. EINVAL is an id that the user
            // namespace lacks, not the filesystem.
            owners: missing_if(is_denied(&owner) || owner.is_ok() && !has_owner),
            modes: missing_if(is_denied(&mode) || mode.is_ok() && !has_mode),
            links: missing_if(!link.is_ok_and(|link| link.identity == own)),
            devices: missing_if(is_denied(&node)),
            user_attributes: missing_if(is_unsupported(&attribute)),
            capabilities: missing_if(loses_capability(place, file)?),
            case: missing_if(same.is_ok()),
        })
    }
}

fn loses_capability(place: &Dir, mut file: File) -> io::Result<bool> {
    file.write_all(b"x")?;
    if XattrTarget::Open(&file).set(capability::NAME, &CAPABILITY).is_err() {
        return Ok(false);
    }
    drop(file);
    let file = File::from(sys::open_at(place, OsStr::new(FILE), Open::Read)?);
    Ok(XattrTarget::Open(&file).get(capability::NAME)?.is_none())
}

fn missing_if(refused: bool) -> Ability {
    if refused { Ability::Missing } else { Ability::Given }
}

fn is_denied(done: &io::Result<()>) -> bool {
    matches!(done, Err(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

fn is_unsupported(done: &io::Result<()>) -> bool {
    matches!(done, Err(error) if error.kind() == io::ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_where_it_is_tried() {
        let root = tempfile::tempdir().unwrap();
        let dir = File::open(root.path()).unwrap();
        let found = Abilities::probe(&dir);
        assert_eq!((found.case, found.links), (Ability::Given, Ability::Given));
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_there_already_stays() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join(PLACE);
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join(FILE), "x").unwrap();
        assert_eq!(Abilities::probe(&File::open(root.path()).unwrap()), Abilities::default());
        assert_eq!(std::fs::read(place.join(FILE)).unwrap(), b"x");
    }
}
