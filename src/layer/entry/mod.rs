// SPDX-License-Identifier: Apache-2.0
//! One member of a layer as a value, [`Entry`], with the reader that gives
//! such values out of a tar stream ([`Members`]) and the encoder that makes
//! header blocks of them ([`Entry::encode`]). Nothing here touches a disk.

mod encode;
mod header;
mod member;
mod number;
mod pax;
mod read;
mod sparse;

pub(crate) use member::shown;
pub use read::{Chunk, Ending, MemberLimits, Members};

use crate::error::{Error, Result};
use crate::rootfs::{Device, FileTime, Kind, Owner, RootPath, Stat, Xattr};

/// One member of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as the archive has it: any bytes, not normalised, a directory's
    /// perhaps with a `/` at the end.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission, setuid, setgid and sticky bits (`0o7777`).
    pub mode: u32,
    /// Its owner inside the container.
    pub owner: Owner,
    /// When its contents last changed.
    pub mtime: FileTime,
    /// When it was last read, where the archive says it.
    pub atime: Option<FileTime>,
    /// Its extended attributes, sorted by name; none has an empty value.
    pub xattrs: Vec<Xattr>,
}

/// The type of a member, with what only that type has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its size in bytes, holes included.
        size: u64,
    },
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink {
        /// Where it points, verbatim.
        target: Vec<u8>,
    },
    /// A further name of an earlier member.
    Hardlink {
        /// The earlier member's name, verbatim.
        target: Vec<u8>,
    },
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
}

impl Entry {
    /// Makes the member that stands for an inode. The owner and the times are
    /// those of `stat`: the caller maps the one, [`LayerWriter`] cuts the others.
    /// `target` is the target of a symbolic link and ignored for other types.
    ///
    /// # Errors
    /// For a socket, which a layer cannot hold.
    ///
    /// [`LayerWriter`]: crate::layer::LayerWriter
    pub fn from_stat(
        path: &RootPath,
        stat: &Stat,
        target: Vec<u8>,
        xattrs: Vec<Xattr>,
    ) -> Result<Self> {
        let kind = match stat.kind {
            Kind::File => EntryKind::File { size: stat.size },
            Kind::Dir => EntryKind::Dir,
            Kind::Symlink => EntryKind::Symlink { target },
            Kind::CharDevice => EntryKind::CharDevice(stat.device),
            Kind::BlockDevice => EntryKind::BlockDevice(stat.device),
            Kind::Fifo => EntryKind::Fifo,
            Kind::Socket => {
                return Err(Error::unsupported(format!("{path}: sockets not supported")));
            }
        };
        Ok(Self {
            path: member_name(path, stat.kind),
            kind,
            mode: if stat.kind == Kind::Symlink { 0o777 } else { stat.mode & 0o7777 },
            owner: stat.owner,
            mtime: stat.mtime,
            atime: None,
            xattrs,
        })
    }
}

/// The name of a member: a directory's ends with `/`, the root's is `.`.
pub fn member_name(path: &RootPath, kind: Kind) -> Vec<u8> {
    if path.is_root() {
        return b".".to_vec();
    }
    let mut name = path.as_bytes().to_vec();
    if kind == Kind::Dir {
        name.push(b'/');
    }
    name
}

#[cfg(test)]
mod tests;
