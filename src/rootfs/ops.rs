// SPDX-License-Identifier: Apache-2.0
//! The one door to a root filesystem: [`FsOps`].
//!
//! Every call names a directory by an open handle and one component in it,
//! so nothing an image says is ever looked up from the host's root, and
//! nobody who renames things meanwhile can redirect a call.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

use super::metadata::{Device, Kind, Metadata, Stat, Xattr};
use super::names::Names;
use super::path::{Name, RootPath};

/// An open directory of a root filesystem.
#[derive(Debug)]
pub struct Dir {
    file: File,
    /// Whether it tells names apart that differ in nothing but case, once that is known.
    pub(super) tells_case: OnceLock<bool>,
}

impl Dir {
    pub(super) fn new(file: File) -> Self {
        Self { file, tells_case: OnceLock::new() }
    }

    /// The directory as the open file it is.
    pub(super) fn as_file(&self) -> &File {
        &self.file
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Everything that is done in a root filesystem.
///
/// [`Native`](super::Native) does it with plain system calls. A decorator can
/// add what an ordinary user needs (making directories accessible for a
/// moment, recording owners that cannot be set). No call follows a symbolic
/// link in its last component, and `open_dir` follows none at all.
pub trait FsOps: fmt::Debug + Send + Sync {
    /// Opens the directory at a path without symbolic links.
    ///
    /// # Errors
    /// `ENOTDIR` when a component is a symbolic link or not a directory.
    fn open_dir(&self, path: &RootPath) -> io::Result<Dir>;

    /// Opens a directory inside another.
    fn open_child(&self, dir: &Dir, name: Name<'_>) -> io::Result<Dir>;

    /// Whether something is mounted on a directory inside another.
    fn is_mount_point(&self, dir: &Dir, name: Name<'_>) -> io::Result<bool>;

    /// Lists a directory.
    fn read_dir(&self, dir: &Dir) -> io::Result<Names>;

    /// Tells what a name is.
    fn stat(&self, dir: &Dir, name: Name<'_>) -> io::Result<Stat>;

    /// Tells what an open directory is.
    fn stat_dir(&self, dir: &Dir) -> io::Result<Stat>;

    /// Reads the target of a symbolic link.
    fn read_link(&self, dir: &Dir, name: Name<'_>) -> io::Result<Vec<u8>>;

    /// Opens a regular file for reading; never blocks on anything else.
    fn open_file(&self, dir: &Dir, name: Name<'_>) -> io::Result<File>;

    /// Makes a new regular file, open for writing, with the permission bits `mode` less the
    /// umask: setting the metadata afterwards takes least when they are the right ones already.
    fn create_file(&self, dir: &Dir, name: Name<'_>, mode: u32) -> io::Result<File>;

    /// Makes a new directory, mode 0700.
    fn create_dir(&self, dir: &Dir, name: Name<'_>) -> io::Result<()>;

    /// Makes a new symbolic link with `target` as it is.
    fn create_symlink(&self, target: &[u8], dir: &Dir, name: Name<'_>) -> io::Result<()>;

    /// Gives an existing inode a second name.
    ///
    /// # Errors
    /// `Unsupported` when a copy should take the link's place.
    fn create_link(
        &self,
        from: &Dir,
        source: Name<'_>,
        dir: &Dir,
        name: Name<'_>,
    ) -> io::Result<()>;

    /// Makes a device node or a named pipe, mode 0600.
    fn create_node(&self, dir: &Dir, name: Name<'_>, kind: Kind, device: Device) -> io::Result<()>;

    /// Makes a character device 0:0, which is a whiteout to overlayfs, or fails:
    /// whatever takes the place of other devices would hide nothing.
    fn create_whiteout(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.create_node(dir, name, Kind::CharDevice, Device::default())
    }

    /// Removes a name that is not a directory.
    fn remove_file(&self, dir: &Dir, name: Name<'_>) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Dir, name: Name<'_>) -> io::Result<()>;

    /// Sets owner, mode, extended attributes and times of an open file, and tells what it is then.
    /// Labels that are the host's own ([`is_host_label`](super::is_host_label)) are left as they are.
    fn set_file_metadata(&self, file: &File, change: &Change<'_>) -> io::Result<Stat>;

    /// As [`FsOps::set_file_metadata`], of an open directory.
    fn set_dir_metadata(&self, dir: &Dir, change: &Change<'_>) -> io::Result<()>;

    /// As [`FsOps::set_file_metadata`], of a name that cannot be opened: a symbolic link, device or pipe.
    fn set_node_metadata(&self, dir: &Dir, name: Name<'_>, change: &Change<'_>) -> io::Result<()>;

    /// Sets only the times of an open directory.
    fn set_dir_times(&self, dir: &Dir, metadata: &Metadata) -> io::Result<()>;

    /// Sets one extended attribute of an open file or directory.
    ///
    /// # Errors
    /// Also where the filesystem takes no attributes, unlike the calls that set all metadata.
    fn set_xattr(&self, file: &File, xattr: &Xattr) -> io::Result<()>;

    /// Reads all extended attributes of a name, sorted.
    fn xattrs(&self, dir: &Dir, name: Name<'_>) -> io::Result<Vec<Xattr>>;

    /// Reads all extended attributes of an open directory, sorted.
    fn dir_xattrs(&self, dir: &Dir) -> io::Result<Vec<Xattr>>;

    /// Whether a directory lists this very name. False where the filesystem takes another name
    /// for this one, as in directories that do not tell upper and lower case apart.
    fn has_exactly(&self, dir: &Dir, name: Name<'_>) -> io::Result<bool> {
        let _ = (dir, name);
        Ok(true)
    }

    /// The name that a directory lists in the place of one that is there, where it takes the two
    /// for the same; the name itself, where that is all that can be told. `None` where it lists
    /// this very name, or has nothing by it. Who asks means to use the other instead.
    fn namesake(&self, dir: &Dir, name: Name<'_>) -> io::Result<Option<Box<[u8]>>> {
        let _ = (dir, name);
        Ok(None)
    }

    /// Takes hold of what a name means, once: all that is given is of one inode, whatever
    /// the name means by then. It is in the terms of a [`Change`]: a decorator gives what
    /// it was told, not what it made of that.
    fn inode(&self, dir: &Dir, name: Name<'_>) -> io::Result<Inode>;

    /// As [`FsOps::inode`], of an open directory.
    fn dir_inode(&self, dir: &Dir) -> io::Result<Inode>;
}

/// All that a layer can say of an inode.
#[derive(Debug)]
pub struct Inode {
    /// What it is.
    pub stat: Stat,
    /// Its extended attributes, sorted; of a socket, none.
    pub xattrs: Vec<Xattr>,
    /// The names of those that are no part of an image: labels that are the host's own, and
    /// what the system keeps to itself.
    pub withheld: Vec<Box<[u8]>>,
    /// What is in it.
    pub contents: Contents,
}

/// What is in an inode.
#[derive(Debug)]
pub enum Contents {
    /// Of a regular file: its bytes, to be read from the start.
    File(File),
    /// Of a symbolic link: its target, verbatim.
    Symlink(Vec<u8>),
    /// Of anything else.
    Nothing,
}

/// What [`FsOps`] is to set on an inode.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The values.
    pub metadata: &'a Metadata,
    /// What the inode is.
    pub kind: Kind,
    /// Whether it may carry extended attributes that nobody asked for (an
    /// older inode, or one that inherited them); they are then removed.
    pub clear_xattrs: bool,
}
