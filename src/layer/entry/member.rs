// SPDX-License-Identifier: Apache-2.0
//! Puts a member together from its header block and the extended headers
//! before it. Where two of them speak of one thing, there is one rule.

use super::header::{Block, invalid, until_nul};
use super::pax::Pax;
use super::read::MemberLimits;
use super::sparse::{OldMap, SparseMap};
use super::{Entry, EntryKind};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::rootfs::{FileTime, Owner};

/// Extended headers that wait for their member.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) pax: Option<Pax>,
    /// The body of a GNU long name, and of a GNU long link.
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    /// How many headers there are, and how long together.
    pub(super) headers: u32,
    pub(super) bytes: u64,
}

impl Pending {
    /// Counts one more header with a body of `size` bytes; gives the size if it is within the limits.
    pub(super) fn count(&mut self, size: i128, limits: &MemberLimits) -> Result<u64> {
        let size = u64::try_from(size).map_err(|_| invalid("size out of range"))?;
        self.headers = self.headers.saturating_add(1);
        self.bytes = self.bytes.saturating_add(size);
        let (headers, bytes) = (limits.headers, limits.metadata);
        if self.headers > headers {
            let message = format!("more than the limit of {headers} extended headers in a row");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if self.bytes > bytes {
            let message = format!("extended headers are larger than the limit of {bytes} bytes");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(size)
    }

    /// Whether a member has to follow.
    pub(super) fn is_empty(&self) -> bool {
        self.headers == 0
    }
}

/// A member and what is needed to read its body.
#[derive(Debug)]
pub(super) struct Assembled {
    pub(super) entry: Entry,
    /// How many bytes the archive holds of it.
    pub(super) stored: u64,
    pub(super) sparse: Option<Sparse>,
}

/// The map of a sparse file, as far as it is in the headers.
#[derive(Debug)]
pub(super) enum Sparse {
    /// An old GNU header; with `true`, an extension block follows it.
    Old(OldMap, bool),
    /// Said by PAX records.
    Pax(SparseMap),
}

/// Puts a member together.
pub(super) fn assemble(
    block: &Block,
    pending: Pending,
    limits: &MemberLimits,
) -> Result<Assembled> {
    let mut pax = pending.pax.unwrap_or_default();
    let mut path = one_name(pax.path.take(), pending.name, block.name()?)?;
    if let Some(name) = &pax.sparse.name {
        path.clone_from(name);
    }
    let mut assembling = Assembling { block, pax, long_link: pending.link, limits, path };
    let assembled = assembling.finish();
    // The path is gone only when nothing has failed.
    assembled.with_context(|| shown(&assembling.path))
}

/// A member's name as errors show it.
pub(crate) fn shown(path: &[u8]) -> String {
    /// How many bytes of a long name are shown.
    const BEGINNING: usize = 200;
    match path.get(..BEGINNING) {
        Some(beginning) if path.len() > 4 * BEGINNING => {
            format!("{}... ({} bytes)", beginning.escape_ascii(), path.len())
        }
        _ if path.is_empty() => "member without a name".to_owned(),
        _ => path.escape_ascii().to_string(),
    }
}

/// A name may be said twice, but not differently, nor to be none: readers disagree on which counts.
fn one_name(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>, plain: Vec<u8>) -> Result<Vec<u8>> {
    let gnu = gnu.map(|body| until_nul(&body).to_vec());
    match (pax, gnu) {
        (_, Some(gnu)) if gnu.is_empty() => Err(invalid("empty long name")),
        (Some(pax), Some(gnu)) if pax != gnu => {
            Err(invalid("two extended headers name one member differently"))
        }
        (Some(name), _) | (None, Some(name)) => Ok(name),
        (None, None) => Ok(plain),
    }
}

struct Assembling<'a> {
    block: &'a Block,
    pax: Pax,
    /// The body of a GNU long link.
    long_link: Option<Vec<u8>>,
    limits: &'a MemberLimits,
    path: Vec<u8>,
}

impl Assembling<'_> {
    fn finish(&mut self) -> Result<Assembled> {
        self.check_length(&self.path)?;
        let (kind, stored, sparse) = self.kind()?;
        self.check_real_size(&kind)?;
        let entry = Entry {
            kind,
            mode: self.mode()?,
            owner: self.owner()?,
            mtime: self.mtime()?,
            atime: self.atime(),
            xattrs: self.pax.take_xattrs(),
            path: std::mem::take(&mut self.path),
        };
        Ok(Assembled { entry, stored, sparse })
    }

    fn check_length(&self, name: &[u8]) -> Result<()> {
        let (length, most) = (name.len(), self.limits.name);
        if length <= most {
            return Ok(());
        }
        let message = format!("name of {length} bytes is longer than the limit of {most}");
        Err(Error::new(ErrorKind::Limit, message))
    }

    /// The type, how many bytes follow, and the map if it is a sparse file.
    /// Only regular files have bytes.
    fn kind(&mut self) -> Result<(EntryKind, u64, Option<Sparse>)> {
        let kind = match self.block.typeflag() {
            0 if self.is_old_directory()? => EntryKind::Dir,
            0 | b'0' | b'7' | b'S' if self.path.ends_with(b"/") => {
                return Err(invalid("regular file with the name of a directory"));
            }
            0 | b'0' | b'7' => return self.file(),
            b'S' => return self.old_sparse(),
            b'1' => EntryKind::Hardlink { target: self.target()? },
            b'2' => EntryKind::Symlink { target: self.target()? },
            b'3' => EntryKind::CharDevice(self.block.device()?),
            b'4' => EntryKind::BlockDevice(self.block.device()?),
            b'5' => EntryKind::Dir,
            b'6' => EntryKind::Fifo,
            unknown => {
                return Err(Error::unsupported(format!("unknown typeflag '\\x{unknown:02x}'")));
            }
        };
        if self.pax.sparse.map()?.is_some() {
            return Err(invalid("sparse map for what is not a regular file"));
        }
        // In its own header the size of a directory has had other meanings, and no reader takes
        // it for that of a body. Of all else some do, and would see other members than the rest.
        let means_nothing = self.block.typeflag() == b'5' && self.pax.size.is_none();
        if !means_nothing && self.stored()? != 0 {
            return Err(invalid("size of what is not a regular file"));
        }
        Ok((kind, 0, None))
    }

    /// Some readers take star's word for the size of a file with its holes, which here is known
    /// from the map.
    fn check_real_size(&self, kind: &EntryKind) -> Result<()> {
        let known = if let EntryKind::File { size } = kind { i128::from(*size) } else { 0 };
        match self.pax.real_size {
            Some(real_size) if real_size != known => {
                Err(invalid("extended header SCHILY.realsize is not the size"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the name ends with `/`, the only mark of a directory that the oldest archives
    /// have. The name in the block and the one that counts must not differ in that.
    fn is_old_directory(&self) -> Result<bool> {
        let marked = self.path.ends_with(b"/");
        if marked == self.block.name()?.ends_with(b"/") {
            return Ok(marked);
        }
        Err(invalid("headers differ on whether it is a directory"))
    }

    fn target(&mut self) -> Result<Vec<u8>> {
        let (pax, gnu) = (self.pax.link.take(), self.long_link.take());
        let target = one_name(pax, gnu, self.block.link())?;
        self.check_length(&target)?;
        Ok(target)
    }

    /// The bytes that the archive holds: an extended header's word goes above the block's.
    fn stored(&self) -> Result<u64> {
        let size = match self.pax.size {
            Some(size) => size,
            None => self.block.size()?,
        };
        self::size(size)
    }

    fn file(&self) -> Result<(EntryKind, u64, Option<Sparse>)> {
        let stored = self.stored()?;
        let records = &self.pax.sparse;
        let Some(map) = records.map()? else {
            return Ok((EntryKind::File { size: stored }, stored, None));
        };
        let size = self::size(records.real_size()?)?;
        Ok((EntryKind::File { size }, stored, Some(Sparse::Pax(map))))
    }

    fn old_sparse(&self) -> Result<(EntryKind, u64, Option<Sparse>)> {
        if self.pax.sparse.map()?.is_some() {
            return Err(invalid("two maps for one sparse file"));
        }
        let (map, real_size, extended) = OldMap::new(self.block)?;
        let kind = EntryKind::File { size: self::size(real_size)? };
        Ok((kind, self.stored()?, Some(Sparse::Old(map, extended))))
    }

    fn mode(&self) -> Result<u32> {
        // Some writers put the file's type there too.
        let bits = u64::try_from(self.block.mode()?).map_err(|_| invalid("mode out of range"))?;
        Ok(u32::try_from(bits & 0o7777).unwrap_or_default())
    }

    fn owner(&self) -> Result<Owner> {
        let uid = match self.pax.uid {
            Some(uid) => uid,
            None => self.block.uid()?,
        };
        let gid = match self.pax.gid {
            Some(gid) => gid,
            None => self.block.gid()?,
        };
        Ok(Owner { uid: id("uid", uid)?, gid: id("gid", gid)? })
    }

    fn mtime(&self) -> Result<FileTime> {
        if let Some(mtime) = self.pax.mtime {
            return Ok(mtime);
        }
        let seconds = i64::try_from(self.block.mtime()?);
        let seconds = seconds.map_err(|_| invalid("mtime out of range"))?;
        Ok(FileTime { seconds, nanoseconds: 0 })
    }

    fn atime(&self) -> Option<FileTime> {
        let of_block = || {
            let seconds = i64::try_from(self.block.atime()?).ok()?;
            Some(FileTime { seconds, nanoseconds: 0 })
        };
        self.pax.atime.or_else(of_block)
    }
}

/// A size, which the system takes as a signed number.
fn size(number: i128) -> Result<u64> {
    let size = u64::try_from(number).ok().filter(|size| i64::try_from(*size).is_ok());
    size.ok_or_else(|| invalid("size out of range"))
}

/// An id. The last 32-bit number means "leave as it is" to the system and is none.
fn id(name: &str, number: i128) -> Result<u32> {
    let id = u32::try_from(number).ok().filter(|id| *id != u32::MAX);
    id.ok_or_else(|| invalid(&format!("{name} {number} out of range")))
}
