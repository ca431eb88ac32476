// SPDX-License-Identifier: Apache-2.0
//! The stat index: what `stat` said of every name when a manifest was taken,
//! so that a later walk can tell without reading that an inode has not been
//! touched since.
//!
//! Every change of an inode (contents, metadata, attributes, number of names)
//! sets its ctime, and nobody can set that back. So equal type, inode number,
//! size, mode, owner, link count, mtime and ctime mean an untouched inode, with one
//! exception: a clock has ticks, and a change within the tick in which the
//! index was taken need not show. As git does, an inode whose ctime or mtime
//! is not older than the index is therefore recorded by name only and never
//! vouched for. Neither is anything on another filesystem than the root, whose
//! clock may be another, and whoever takes an index where ctimes can be set says
//! that it was taken before everything.
//!
//! What no index can see is a write through a mapping that was made, and written
//! through, before the index was taken: the kernel sets times with the first write to a
//! page, and then not again until the page has been written back, which a filesystem
//! in memory never does.
//!
//! # Format
//! All integers are LEB128, signed ones zigzag, unless said otherwise.
//! ```text
//! "UMOCSTAT" version(2) device(of the root)
//! mode uid gid mtime-seconds count (name-length name value-length value)...   the root
//! path-length path record... 0                                                one block per directory
//! manifest-sha256 (32 bytes)  sha256 of all before (32 bytes)
//! record = name-length name kind [mode uid gid size nlink ino mtime-s mtime-ns ctime-s ctime-ns]
//! ```
//! Kind 0 is a name that is not vouched for, without what is in brackets.
//! Blocks come in the order of the walk; records are sorted by name.
//! An index that is not exactly this is no index: it only costs speed.

mod read;
mod write;

use crate::rootfs::{FileTime, Kind, Owner, Stat};

pub(super) use read::Cursor;
pub use read::StatIndex;
pub(super) use write::StatIndexWriter;

const MAGIC: &[u8; 8] = b"UMOCSTAT";
const VERSION: u64 = 2;
/// What stands in the place of a name after the last one of a directory.
const NO_NAME: &[u8] = b"";

/// What is compared of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    kind: Kind,
    mode: u32,
    owner: Owner,
    size: u64,
    nlink: u64,
    ino: u64,
    mtime: FileTime,
    ctime: FileTime,
}

impl Fingerprint {
    fn of(stat: &Stat) -> Self {
        Self {
            kind: stat.kind,
            mode: stat.mode,
            owner: stat.owner,
            size: stat.size,
            nlink: stat.nlink,
            ino: stat.identity.ino,
            mtime: stat.mtime,
            ctime: stat.ctime,
        }
    }
}

#[cfg(test)]
mod tests;
