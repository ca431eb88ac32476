// SPDX-License-Identifier: Apache-2.0
//! [`Abilities`]: what a filesystem can do, found out by trying it once, so
//! that nothing is asked of it again and again that it refuses.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::super::metadata::{Device, Kind};
use super::super::ops::Dir;
use super::super::sys::{self, Open, XattrTarget};
use super::super::{Owner, capability};
use super::dates::Dates;
use crate::random::random;

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
    /// Hard links that can be told from files of their own, by one inode number for all names and
    /// by how many there are.
    pub(super) links: Ability,
    /// Device nodes.
    pub(super) devices: Ability,
    /// Symbolic links.
    pub(super) symlinks: Ability,
    /// Extended attributes of the namespace `user`.
    pub(super) user_attributes: Ability,
    /// Keeping a file's capabilities while what was written before is still under way: a
    /// filesystem in user space may do the writing later, and writing takes them away.
    pub(super) capabilities: Ability,
    /// Keeping names as they are made.
    pub(super) names: Ability,
    /// The dates that it holds.
    pub(super) dates: Dates,
}

/// What the names of directories start with in which everything is tried.
const PREFIX: &str = ".umoci-probe-";
/// What is made in such a directory.
const FILE: &str = "File";
const LINK: &str = "link";
const NODE: &str = "node";
const SYMLINK: &str = "symlink";
const NAMES: [&str; 4] = [FILE, LINK, NODE, SYMLINK];
/// How often one is made that somebody takes for abandoned before it can be locked.
const ATTEMPTS: u32 = 5;
/// No capabilities at all, in version 2 of the format.
const CAPABILITY: [u8; 20] = [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The device that does nothing.
const NULL: Device = Device { major: 1, minor: 3 };
/// What is written into a file.
const CONTENTS: &[u8] = b"x";
/// Permission bits that no new file has by itself.
const BITS: u32 = 0o641;
/// An owner that an ordinary file may well have.
const SOMEBODY: Owner = Owner { uid: 1, gid: 1 };

impl Abilities {
    /// Tries everything in the directory `dir`, and leaves nothing there, nor what a process left
    /// that was killed meanwhile. What cannot be tried, as in a directory that is full or closed,
    /// counts as given.
    pub(super) fn probe(dir: &File) -> Self {
        if let Err(error) = remove_abandoned(dir) {
            log::debug!("cannot look for what is left of {PREFIX}: {error}");
        }
        Self::find(dir).unwrap_or_default()
    }

    fn find(dir: &File) -> io::Result<Self> {
        let place = Place::make(dir)?;
        Self::try_in(&place.dir)
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
        let node = sys::make_node_at(place, name(NODE), Kind::CharDevice, 0o600, NULL);
        let symlink = sys::symlink_at(name(FILE), place, name(SYMLINK));
        let attribute = XattrTarget::Open(&file).set(b"user.umoci", b"1");
        let dates = Dates::probe(&file);
        let is_listed = sys::read_dir(place)?.contains(FILE.as_bytes());
        Ok(Self {
            // Some refuse, and some do nothing without a word. EINVAL is an id that the user
            // namespace lacks, not the filesystem.
            owners: missing_if(is_denied(&owner) || owner.is_ok() && !has_owner),
            modes: missing_if(is_denied(&mode) || mode.is_ok() && !has_mode),
            links: missing_if(!link.is_ok_and(|link| link.identity == own && link.nlink > 1)),
            devices: missing_if(is_denied(&node)),
            symlinks: missing_if(is_denied(&symlink) || is_unsupported(&symlink)),
            user_attributes: missing_if(is_unsupported(&attribute)),
            capabilities: missing_if(loses_capability(place, file)?),
            names: missing_if(!is_listed),
            // Where asking for others is an error, it is one for each file that has such a date.
            dates: dates.unwrap_or_default(),
        })
    }
}

/// A directory to try things in, locked, removed when dropped.
struct Place<'a> {
    parent: &'a File,
    name: OsString,
    dir: Dir,
}

impl<'a> Place<'a> {
    fn make(parent: &'a File) -> io::Result<Self> {
        let mut made = Self::make_one(parent);
        for _ in 1..ATTEMPTS {
            match made {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                made => return made,
            }
            made = Self::make_one(parent);
        }
        made
    }

    fn make_one(parent: &'a File) -> io::Result<Self> {
        let name = OsString::from(format!("{PREFIX}{:016x}", random()));
        sys::create_dir_at(parent, &name, 0o700)?;
        let opened = sys::open_at(parent, &name, Open::Dir).inspect_err(|_| {
            // As where the umask takes all permission away.
            let _ = sys::remove_dir_at(parent, &name);
        });
        let dir = File::from(opened?);
        let is_locked = dir.try_lock();
        let place = Self { parent, name, dir: Dir::new(dir) };
        match is_locked {
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::NotFound.into()),
            // Where nothing can be locked nobody is kept away.
            _ if sys::stat_fd(&place.dir)?.nlink == 0 => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(place),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        for name in NAMES {
            // Not all of them have been made.
            let _ = sys::remove_file_at(&self.dir, OsStr::new(name));
        }
        if let Err(error) = sys::remove_dir_at(self.parent, &self.name) {
            log::debug!("cannot remove {:?}: {error}", self.name);
        }
    }
}

/// Whether a name is one of those that such directories have.
pub(crate) fn is_probe(name: &[u8]) -> bool {
    let number = name.strip_prefix(PREFIX.as_bytes());
    number.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Removes what a killed process has left. What anybody else has put under such a name stays.
fn remove_abandoned(parent: &File) -> io::Result<()> {
    for name in sys::read_dir(parent)?.iter().filter(|name| is_probe(name)) {
        let name = OsString::from_vec(name.into());
        let Ok(dir) = sys::open_at(parent, &name, Open::Dir).map(File::from) else { continue };
        let is_in_use = matches!(dir.try_lock(), Err(TryLockError::WouldBlock));
        if !is_in_use && is_own(&dir)? {
            drop(Place { parent, name, dir: Dir::new(dir) });
        }
    }
    Ok(())
}

/// Whether a directory holds nothing but what is made there.
fn is_own(dir: &File) -> io::Result<bool> {
    for name in sys::read_dir(dir)?.iter() {
        let name = OsStr::from_bytes(name);
        let stat = sys::stat_at(dir, name)?;
        let is_made = match stat.kind {
            Kind::Symlink => name == SYMLINK && sys::read_link_at(dir, name)? == FILE.as_bytes(),
            Kind::File => name != NODE && name != SYMLINK && stat.size <= CONTENTS.len() as u64,
            Kind::CharDevice => name == NODE && stat.device == NULL,
            _ => false,
        };
        if !is_made || !NAMES.iter().any(|made| name == *made) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn loses_capability(place: &Dir, mut file: File) -> io::Result<bool> {
    file.write_all(CONTENTS)?;
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
    use std::fs::{create_dir, read, read_dir, write};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    fn find(root: &Path) -> Abilities {
        let dir = File::open(root).unwrap();
        remove_abandoned(&dir).unwrap();
        Abilities::find(&dir).unwrap()
    }

    fn name(number: usize) -> String {
        format!("{PREFIX}{number:016x}")
    }

    #[test]
    fn nothing_is_left_where_it_is_tried() {
        let root = tempfile::tempdir().unwrap();
        let found = find(root.path());
        assert_eq!((found.names, found.links), (Ability::Given, Ability::Given));
        assert_eq!(read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_process_has_left_goes() {
        let root = tempfile::tempdir().unwrap();
        for made in 0..=NAMES.len() {
            let place = root.path().join(name(made));
            create_dir(&place).unwrap();
            // Where there are no devices, there is none.
            for name in NAMES[..made].iter().filter(|name| **name != NODE) {
                match *name {
                    SYMLINK => symlink(FILE, place.join(name)).unwrap(),
                    _ => write(place.join(name), CONTENTS).unwrap(),
                }
            }
        }
        find(root.path());
        assert_eq!(read_dir(root.path()).unwrap().count(), 0);
    }

    /// Whoever put it there, and why.
    #[test]
    fn what_is_nobody_elses_stays_and_is_no_obstacle() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| root.path().join(name);
        write(outside.path().join(FILE), "x").unwrap();
        symlink(outside.path(), at(&name(1))).unwrap();
        write(at(&name(2)), "x").unwrap();
        std::fs::set_permissions(at(&name(2)), PermissionsExt::from_mode(0o4755)).unwrap();
        let fifo = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::unistd::mkfifo(&at(&name(3)), fifo).unwrap();
        for (number, inside) in [(4, "other"), (5, FILE), (6, LINK), (7, NODE), (9, SYMLINK)] {
            create_dir(at(&name(number))).unwrap();
            write(at(&name(number)).join(inside), "long").unwrap();
        }
        create_dir(at(".umoci-probe")).unwrap();
        create_dir(at(".umoci-probe-0123456789ABCDEG")).unwrap();
        create_dir(at(&name(8))).unwrap();
        let held = File::open(at(&name(8))).unwrap();
        held.lock().unwrap();
        find(root.path());
        assert_eq!(read_dir(root.path()).unwrap().count(), 11);
        assert_eq!(read(at(&name(2))).unwrap(), b"x");
        assert_eq!(read(at(&name(5)).join(FILE)).unwrap(), b"long");
        assert_eq!(read(outside.path().join(FILE)).unwrap(), b"x");
    }
}
