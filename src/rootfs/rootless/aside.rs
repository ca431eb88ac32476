// SPDX-License-Identifier: Apache-2.0
//! Permission bits that have stepped aside, noted before they do: who is killed
//! in between leaves a note with which somebody else puts them back.
//!
//! A note names an inode, not a path: names may change while nobody looks.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::Arc;

use super::super::metadata::{FileTime, Identity, Kind};
use super::super::ops::FsOps;
use super::super::path::{Name, RootPath};
use super::super::sys::{self, Open};
use super::access::Handle;
use super::{Emulated, Rootless};

/// An inode whose permission bits have stepped aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aside {
    /// Which one it is.
    pub identity: Identity,
    /// When it was made, where that can be told: its number may be given to another one later.
    pub born: Option<FileTime>,
    /// Its permission bits as they were, and are to be again.
    pub mode: u32,
    /// What they are meanwhile.
    pub meanwhile: u32,
}

/// Remembers, beyond the life of this process, which permission bits have stepped aside.
pub trait Reminder: fmt::Debug + Send + Sync {
    /// Notes an inode. Only when that has succeeded do its permission bits change.
    fn add(&self, aside: &Aside) -> io::Result<()>;

    /// All that was added has been put back.
    fn clear(&self) -> io::Result<()>;

    /// Some of what was added could not be put back. That is left to somebody else.
    fn keep(&self) -> io::Result<()>;
}

/// What is known of a tree that something is taken out of, from who made it.
#[derive(Debug, Clone, Default)]
pub struct TreeNotes {
    /// What is remembered of inodes that are not what they are meant to be.
    pub emulated: Vec<(Identity, Emulated)>,
    /// Who remembers permission bits that step aside meanwhile.
    pub reminder: Option<Arc<dyn Reminder>>,
}

/// Inodes that are looked for.
type Wanted = HashMap<Identity, Aside>;

impl<F: FsOps> Rootless<F> {
    /// Gives the inodes of the tree that are still as a note says the permission bits that it
    /// says they had. Whatever somebody has changed since, or removed, stays so.
    ///
    /// # Errors
    /// When the system refuses it, or the tree cannot be read. What came before it is put back.
    pub fn put_back(&self, asides: &[Aside]) -> io::Result<()> {
        let mut wanted: Wanted = asides.iter().map(|aside| (aside.identity, *aside)).collect();
        let root = RootPath::root();
        put_back_one(&Handle::Open(self.root.try_clone()?), &mut wanted)?;
        if wanted.is_empty() {
            return Ok(());
        }
        let devices: HashSet<u64> = wanted.keys().map(|identity| identity.dev).collect();
        let mut levels = vec![(root.clone(), self.put_back_in(&root, &mut wanted)?.into_iter())];
        while let Some((path, rest)) = levels.last_mut() {
            match rest.next() {
                None => drop(levels.pop()),
                _ if wanted.is_empty() => break,
                Some((_, dev)) if !devices.contains(&dev) => {}
                Some((name, _)) => {
                    let path = path.join(Name::new(&name)?);
                    let dirs = self.put_back_in(&path, &mut wanted)?;
                    levels.push((path, dirs.into_iter()));
                }
            }
        }
        Ok(())
    }

    /// Does so with what is in one directory, and gives the directories there with their devices.
    fn put_back_in(
        &self,
        path: &RootPath,
        wanted: &mut Wanted,
    ) -> io::Result<Vec<(Box<[u8]>, u64)>> {
        let dir = match self.open_dir_on_disk(path) {
            // Somebody else's, in whose trees nobody could make anything step aside.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(Vec::new()),
            Err(error) if is_gone(&error) => return Ok(Vec::new()),
            opened => opened?,
        };
        let mut dirs = Vec::new();
        for name in self.read_dir(&dir)?.iter() {
            let name = Name::new(name)?;
            let open = || sys::open_at(&dir, name.as_os_str(), Open::Place);
            let place = match self.with_dir(&dir, open) {
                Err(error) if is_gone(&error) => continue,
                opened => opened?,
            };
            let stat = sys::stat_fd(&place)?;
            if matches!(stat.kind, Kind::Dir | Kind::File) && wanted.contains_key(&stat.identity) {
                put_back_one(&Handle::Place(place), wanted)?;
            }
            if stat.kind == Kind::Dir {
                dirs.push((name.as_bytes().into(), stat.identity.dev));
            }
        }
        Ok(dirs)
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn put_back_one(handle: &Handle, wanted: &mut Wanted) -> io::Result<()> {
    let (stat, born) = (handle.stat()?, handle.born()?);
    let Some(aside) = wanted.remove(&stat.identity) else { return Ok(()) };
    let is_same = aside.born.is_none() || born.is_none() || aside.born == born;
    if is_same && stat.mode == aside.meanwhile { handle.set_mode(aside.mode) } else { Ok(()) }
}
