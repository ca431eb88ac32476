// SPDX-License-Identifier: Apache-2.0
//! Reading a stat index and asking it. It stays in memory as the bytes it is on
//! disk, about 45 and the name for each inode.

use std::cmp::Ordering;
use std::fmt;

use super::{Fingerprint, MAGIC, NO_NAME, VERSION};
use crate::rootfs::{Kind, Name, Owner, RootPath, Stat, Xattr};
use crate::snapshot::contents::sum;
use crate::snapshot::packed::{Taker, kind_of};

/// What `stat` said of a tree when its manifest was taken.
pub struct StatIndex {
    bytes: Vec<u8>,
    device: u64,
    root: Root,
    /// Where blocks start, ordered by the paths of their directories.
    blocks: Vec<usize>,
}

/// The root's own state, as a manifest has it. Its ctime is of no use, since
/// giving the tree another place sets it.
#[derive(Debug, PartialEq, Eq)]
struct Root {
    mode: u32,
    owner: Owner,
    mtime: i64,
    xattrs: Vec<Xattr>,
}

impl StatIndex {
    /// Takes an index, if it is one of this version, whole, and of the manifest with the
    /// SHA-256 `manifest`. Any other is not an error: files are hashed then.
    pub fn parse(bytes: Vec<u8>, manifest: &[u8; 32]) -> Option<Self> {
        let (body, checksum) = bytes.split_last_chunk::<32>()?;
        let (content, of) = body.split_last_chunk::<32>()?;
        if of != manifest || !content.starts_with(MAGIC) || sum(body) != *checksum {
            return None;
        }
        let mut taker = Taker(content.get(MAGIC.len()..)?);
        if taker.number()? != VERSION {
            return None;
        }
        let (device, root) = (taker.number()?, take_root(&mut taker)?);
        let mut blocks = Vec::new();
        while !taker.0.is_empty() {
            blocks.push(content.len() - taker.0.len());
            check_block(&mut taker)?;
        }
        let length = content.len();
        let mut index = Self { bytes, device, root, blocks };
        index.bytes.truncate(length);
        let mut blocks = std::mem::take(&mut index.blocks);
        blocks.sort_by(|one, other| index.path_of(*one).cmp(index.path_of(*other)));
        Some(Self { blocks, ..index })
    }

    /// Whether the index can say anything of a tree whose root is this.
    pub(in crate::snapshot) fn is_of(&self, root: &Stat) -> bool {
        root.identity.dev == self.device
    }

    /// Whether the root is as it was.
    pub(in crate::snapshot) fn vouches_for_root(&self, stat: &Stat, xattrs: &[Xattr]) -> bool {
        let Root { mode, owner, mtime, xattrs: recorded } = &self.root;
        stat.kind == Kind::Dir
            && (stat.mode, stat.owner, stat.mtime.seconds) == (*mode, *owner, *mtime)
            && xattrs == recorded
    }

    /// Whether the inode of a record has not been touched since the index was taken.
    pub(in crate::snapshot) fn vouches_for(&self, record: &Record<'_>, stat: &Stat) -> bool {
        stat.identity.dev == self.device && record.fingerprint == Some(Fingerprint::of(stat))
    }

    /// The names in a directory, sorted; `None` when it is not in the index.
    pub(in crate::snapshot) fn cursor(&self, directory: &RootPath) -> Option<Cursor<'_>> {
        let path = directory.as_bytes();
        let found = self.blocks.binary_search_by(|start| self.path_of(*start).cmp(path));
        let start = self.blocks.get(found.ok()?)?;
        let mut taker = Taker(self.bytes.get(*start..)?);
        taker.bytes()?;
        Some(Cursor { records: Records(taker).peekable() })
    }

    fn path_of(&self, block: usize) -> &[u8] {
        Taker(self.bytes.get(block..).unwrap_or_default()).bytes().unwrap_or_default()
    }
}

impl fmt::Debug for StatIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatIndex").field("directories", &self.blocks.len()).finish_non_exhaustive()
    }
}

fn take_root(taker: &mut Taker<'_>) -> Option<Root> {
    let mode = taker.number32()?;
    let (owner, mtime) = (taker.owner()?, taker.signed()?);
    Some(Root { mode, owner, mtime, xattrs: taker.xattrs()? })
}

/// Goes over a block once, so that nothing can be amiss when it is asked later.
fn check_block(taker: &mut Taker<'_>) -> Option<()> {
    taker.bytes()?;
    let mut last = NO_NAME;
    loop {
        let record = Record::take(taker)?;
        if record.name == NO_NAME {
            return Some(());
        }
        if record.name <= last || Name::new(record.name).is_err() {
            return None;
        }
        last = record.name;
    }
}

/// One name of a directory in the index.
#[derive(Debug, Clone, Copy)]
pub(in crate::snapshot) struct Record<'a> {
    name: &'a [u8],
    fingerprint: Option<Fingerprint>,
}

impl<'a> Record<'a> {
    /// Takes the next record, or the end of the directory, which has no name; `None` when it is
    /// neither.
    fn take(taker: &mut Taker<'a>) -> Option<Self> {
        let name = taker.bytes()?;
        let code = if name == NO_NAME { 0 } else { taker.byte()? };
        if code == 0 {
            return Some(Self { name, fingerprint: None });
        }
        let fingerprint = Fingerprint {
            kind: kind_of(code)?,
            mode: taker.number32()?,
            owner: taker.owner()?,
            size: taker.number()?,
            nlink: taker.number()?,
            ino: taker.number()?,
            mtime: taker.time()?,
            ctime: taker.time()?,
        };
        Some(Self { name, fingerprint: Some(fingerprint) })
    }
}

/// The names in a directory of the index.
#[derive(Debug, Clone)]
struct Records<'a>(Taker<'a>);

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let record = Record::take(&mut self.0).filter(|record| record.name != NO_NAME);
        if record.is_none() {
            self.0 = Taker(b"");
        }
        record
    }
}

/// Asks an index for the names of a directory in their order, each once.
#[derive(Debug)]
pub(in crate::snapshot) struct Cursor<'a> {
    records: std::iter::Peekable<Records<'a>>,
}

impl<'a> Cursor<'a> {
    /// The record of `name`, and whether others were passed over to reach it.
    pub(in crate::snapshot) fn seek(&mut self, name: &[u8]) -> Sought<'a> {
        let mut passed = false;
        while let Some(record) = self.records.peek() {
            match record.name.cmp(name) {
                Ordering::Less => passed = true,
                Ordering::Equal => return Sought { record: self.records.next(), passed },
                Ordering::Greater => break,
            }
            self.records.next();
        }
        Sought { record: None, passed }
    }

    /// Whether no name is left.
    pub(in crate::snapshot) fn is_at_end(&mut self) -> bool {
        self.records.peek().is_none()
    }
}

/// What [`Cursor::seek`] found.
#[derive(Debug)]
pub(in crate::snapshot) struct Sought<'a> {
    pub(in crate::snapshot) record: Option<Record<'a>>,
    pub(in crate::snapshot) passed: bool,
}
