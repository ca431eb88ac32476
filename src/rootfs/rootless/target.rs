// SPDX-License-Identifier: Apache-2.0
//! [`Target`]: the inode that a call is about, as an open file or as a name in
//! an open directory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::metadata::Stat;
use super::super::ops::Dir;
use super::super::path::{Name, RootPath};
use super::super::sys::{self, XattrTarget};
use super::super::{FileTime, Owner};

#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    Open(&'a File),
    Name(&'a Dir, Name<'a>),
}

impl<'a> Target<'a> {
    pub(super) fn xattrs(self) -> XattrTarget<'a> {
        match self {
            Self::Open(file) => XattrTarget::Open(file),
            Self::Name(dir, name) => XattrTarget::Name(dir.as_file(), name.as_os_str()),
        }
    }

    pub(super) fn stat(self) -> io::Result<Stat> {
        match self {
            Self::Open(file) => sys::stat_fd(file),
            Self::Name(dir, name) => sys::stat_at(dir, name.as_os_str()),
        }
    }

    pub(super) fn chown(self, owner: Owner) -> io::Result<()> {
        match self {
            Self::Open(file) => sys::chown_fd(file, owner),
            Self::Name(dir, name) => sys::chown_at(dir, name.as_os_str(), owner),
        }
    }

    pub(super) fn chmod(self, mode: u32) -> io::Result<()> {
        match self {
            Self::Open(file) => sys::chmod_fd(file, mode),
            Self::Name(dir, name) => sys::chmod_at(dir, name.as_os_str(), mode),
        }
    }

    pub(super) fn set_times(self, atime: FileTime, mtime: FileTime) -> io::Result<()> {
        match self {
            Self::Open(file) => sys::set_times_fd(file, atime, mtime),
            Self::Name(dir, name) => sys::set_times_at(dir, name.as_os_str(), atime, mtime),
        }
    }

    /// Where it is below `root` at the moment, for messages only; they call the root `place`.
    pub(super) fn shown(self, root: &File, place: &Path) -> String {
        let (handle, name) = match self {
            Self::Open(file) => (file.as_fd(), None),
            Self::Name(dir, name) => (dir.as_fd(), Some(name)),
        };
        let above = below(root, handle).unwrap_or_default();
        let path = name.map_or(above.clone(), |name| above.join(name));
        format!("{:?}", path.below(place))
    }
}

fn below(root: &File, handle: BorrowedFd<'_>) -> Option<RootPath> {
    let path = sys::path_of(handle).ok()?;
    RootPath::clean(path.strip_prefix(sys::path_of(root).ok()?).ok()?.as_os_str().as_bytes()).ok()
}
