// SPDX-License-Identifier: Apache-2.0
//! What an inode is and what is set on it: plain values, no disk.

use std::fmt;

use crate::idmap::Owner;

/// The type of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket, which no layer can hold.
    Socket,
}

/// A point in time of an inode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTime {
    /// Whole seconds since the epoch, rounded down.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, 0 to 999,999,999.
    pub nanoseconds: u32,
}

impl FileTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self { seconds: 0, nanoseconds: 0 };
}

/// The numbers of a device node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// The major number, at most 12 bits.
    pub major: u32,
    /// The minor number, at most 20 bits.
    pub minor: u32,
}

/// Which inode it is: two names with equal identities are hard links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The device that holds the filesystem.
    pub dev: u64,
    /// The inode number there.
    pub ino: u64,
}

/// What `stat` says of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its type.
    pub kind: Kind,
    /// Permission, setuid, setgid and sticky bits (`0o7777`).
    pub mode: u32,
    /// Its owner on the host.
    pub owner: Owner,
    /// Its size in bytes.
    pub size: u64,
    /// How many names it has.
    pub nlink: u64,
    /// Which inode it is.
    pub identity: Identity,
    /// Its numbers, when it is a device.
    pub device: Device,
    /// When it was last read.
    pub atime: FileTime,
    /// When its contents last changed.
    pub mtime: FileTime,
    /// When anything of it last changed.
    pub ctime: FileTime,
}

/// One extended attribute: its full name (`user.x`) and value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xattr {
    /// The name with its namespace.
    pub name: Box<[u8]>,
    /// The value, any bytes.
    pub value: Box<[u8]>,
}

impl fmt::Debug for Xattr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name.escape_ascii(), self.value.escape_ascii())
    }
}

/// What is to be set on an inode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The owner on the host.
    pub owner: Owner,
    /// Permission, setuid, setgid and sticky bits (`0o7777`); symbolic links have none.
    pub mode: u32,
    /// The time of the last read.
    pub atime: FileTime,
    /// The time of the last change of contents.
    pub mtime: FileTime,
    /// All extended attributes, sorted by name; others are removed.
    pub xattrs: Vec<Xattr>,
}
