// SPDX-License-Identifier: Apache-2.0
//! Directories and files that their owner may not enter, list or read: they
//! are made accessible for one call and get their permission bits back after
//! it, whether it succeeds or not. Always by handle, never through a link.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use super::super::metadata::Kind;
use super::super::ops::{Dir, FsOps};
use super::super::path::{Name, RootPath};
use super::super::sys::{self, Open};

/// What an owner needs to work in a directory.
const DIR_BITS: u32 = 0o700;
/// What an owner needs to read a file and its attributes, and to set them.
pub(super) const FILE_BITS: u32 = 0o600;

/// What becomes of permission bits that were in the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Afterwards {
    /// They are put back after the call.
    #[default]
    PutBack,
    /// They stay off: all of it is about to be removed.
    Leave,
}

/// An object that may be in the way of a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Object<'a> {
    Dir(&'a Dir),
    Open(&'a File),
    Named(&'a Dir, Name<'a>),
}

/// Makes objects accessible, one call at a time.
#[derive(Debug)]
pub(super) struct Access {
    root: File,
    afterwards: Afterwards,
    /// Held alone while permission bits are other than they should be, so that
    /// no other thread takes them for the real ones.
    changing: RwLock<()>,
}

impl Access {
    pub(super) fn new(root: File, afterwards: Afterwards) -> Self {
        Self { root, afterwards, changing: RwLock::new(()) }
    }

    /// Makes a call, again and again with one more object made accessible as
    /// long as it is refused. The outermost object is the first.
    pub(super) fn reach<T>(
        &self,
        objects: &[Object<'_>],
        call: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut done = self.try_shared(&call);
        if !is_refused(&done) {
            return done;
        }
        let _alone = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        let mut opened = Opened::new(self.afterwards);
        for object in objects {
            match opened.add(*object) {
                Ok(true) => done = call(),
                Ok(false) => {}
                // Somebody else's: the refusal stands.
                Err(_) => break,
            }
            if !is_refused(&done) {
                break;
            }
        }
        opened.put_back().and(done)
    }

    /// As [`Access::reach`], for a path: every directory on it may be in the way.
    pub(super) fn open_dir(&self, fs: &dyn FsOps, path: &RootPath) -> io::Result<Dir> {
        let refused = self.try_shared(&|| fs.open_dir(path));
        if !is_refused(&refused) {
            return refused;
        }
        let _alone = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        let mut opened = Opened::new(self.afterwards);
        let done = match opened.walk(&self.root, path) {
            Ok(()) => fs.open_dir(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refused,
            Err(error) => Err(error),
        };
        opened.put_back().and(done)
    }

    /// Makes a call for which the root itself has to be accessible.
    pub(super) fn with_root<T>(&self, call: impl FnOnce() -> T) -> io::Result<T> {
        let _alone = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        let mut opened = Opened::new(self.afterwards);
        opened.open(Handle::Open(self.root.try_clone()?))?;
        let done = call();
        opened.put_back().map(|()| done)
    }

    fn try_shared<T>(&self, call: &impl Fn() -> io::Result<T>) -> io::Result<T> {
        let _shared = self.changing.read().unwrap_or_else(PoisonError::into_inner);
        call()
    }
}

/// Opens a directory for listing that its owner may have no permission for.
pub fn open_own_dir(parent: &File, name: &Path) -> io::Result<File> {
    let open = || sys::open_at(parent, name.as_os_str(), Open::Dir).map(File::from);
    let done = open();
    if !is_refused(&done) {
        return done;
    }
    let mut opened = Opened::new(Afterwards::PutBack);
    opened.open(Handle::Place(sys::open_at(parent, name.as_os_str(), Open::Place)?))?;
    let done = open();
    opened.put_back().and(done)
}

fn is_refused<T>(done: &io::Result<T>) -> bool {
    matches!(done, Err(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

/// An inode, in a way that permission bits can be set by.
#[derive(Debug)]
enum Handle {
    Open(File),
    Place(OwnedFd),
}

impl Handle {
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        match self {
            Self::Open(file) => sys::chmod_fd(file, mode),
            Self::Place(place) => sys::chmod_place(place, mode),
        }
    }
}

/// What has been made accessible, with the permission bits it had.
struct Opened {
    afterwards: Afterwards,
    changed: Vec<(Handle, u32)>,
}

impl Opened {
    fn new(afterwards: Afterwards) -> Self {
        Self { afterwards, changed: Vec::new() }
    }

    /// Makes an object accessible, or says that its permission bits are not what is in the way.
    fn add(&mut self, object: Object<'_>) -> io::Result<bool> {
        self.open(match object {
            Object::Dir(dir) => Handle::Open(dir.as_file().try_clone()?),
            Object::Open(file) => Handle::Open(file.try_clone()?),
            Object::Named(dir, name) => {
                Handle::Place(sys::open_at(dir, name.as_os_str(), Open::Place)?)
            }
        })
    }

    fn open(&mut self, handle: Handle) -> io::Result<bool> {
        let stat = match &handle {
            Handle::Open(file) => sys::stat_fd(file)?,
            Handle::Place(place) => sys::stat_fd(place)?,
        };
        let bits = match stat.kind {
            Kind::Dir => DIR_BITS,
            Kind::File => FILE_BITS,
            _ => return Ok(false),
        };
        if stat.mode & bits == bits {
            return Ok(false);
        }
        handle.set_mode(stat.mode | bits)?;
        if self.afterwards == Afterwards::PutBack {
            self.changed.push((handle, stat.mode));
        }
        Ok(true)
    }

    /// Makes all directories on the way accessible, and the last one.
    fn walk(&mut self, root: &File, path: &RootPath) -> io::Result<()> {
        self.open(Handle::Open(root.try_clone()?))?;
        let mut dir = OwnedFd::from(root.try_clone()?);
        for name in path.components() {
            dir = sys::open_at(&dir, name.as_os_str(), Open::Place)?;
            if sys::stat_fd(&dir)?.kind != Kind::Dir {
                return Err(io::Error::from(io::ErrorKind::NotADirectory));
            }
            self.open(Handle::Place(dir.try_clone()?))?;
        }
        Ok(())
    }

    /// Puts the permission bits back, the innermost first.
    fn put_back(mut self) -> io::Result<()> {
        self.restore()
    }

    fn restore(&mut self) -> io::Result<()> {
        let mut done = Ok(());
        while let Some((handle, mode)) = self.changed.pop() {
            done = done.and(handle.set_mode(mode));
        }
        done
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // Only after a panic or an early error is there anything left to do, and nobody to tell.
        let _ = self.restore();
    }
}
