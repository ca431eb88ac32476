// SPDX-License-Identifier: Apache-2.0
//! [`Members`], the pull reader over a tar stream: v7, ustar, GNU, star and
//! PAX headers, and sparse files. What two readers could take differently is
//! refused rather than guessed.

use std::io::{self, BufRead};

use super::header::{BLOCK, Block, invalid};
use super::member::{Pending, Sparse, assemble, shown};
use super::pax::{self, Pax};
use super::sparse::{self, BodyMap, OldMap, Region, SparseMap};
use super::{Entry, EntryKind};
use crate::error::{Context, Error, Result};

/// What a single member may ask for.
#[derive(Debug, Clone)]
pub struct MemberLimits {
    /// Bytes of all the extended headers of one member.
    pub metadata: u64,
    /// Extended headers before one member.
    pub headers: u32,
    /// Regions of a sparse file.
    pub regions: usize,
    /// Bytes of one extended attribute's value.
    pub xattr_value: usize,
    /// Bytes of a name or of a link's target.
    pub name: usize,
}

impl Default for MemberLimits {
    fn default() -> Self {
        Self {
            metadata: 1 << 20,
            headers: 64,
            regions: 10_000,
            xattr_value: 64 << 10,
            name: 64 << 10,
        }
    }
}

/// A piece of a file's contents and its place in the file. What lies between
/// the pieces and behind the last one, up to the file's size, is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Where the bytes belong.
    pub offset: u64,
    /// The bytes, never empty.
    pub bytes: &'a [u8],
}

/// Reads the members of a tar stream one after another.
///
/// After an error the position in the stream is unknown, and reading on is of no use.
#[derive(Debug)]
pub struct Members<R> {
    input: R,
    limits: MemberLimits,
    /// The header that was read last.
    header: Block,
    /// What is left of the current body, last region first; none is empty.
    regions: Vec<Region>,
    /// The bytes that fill the current body's last block.
    padding: u64,
    ending: Option<Ending>,
}

/// How an archive ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With two blocks of zeros, as it should.
    Marked,
    /// With one of them.
    Half,
    /// The input just ends.
    Bare,
}

impl<R: BufRead> Members<R> {
    /// Reads from `input`, whose `fill_buf` should give large slices.
    pub fn new(input: R) -> Self {
        let limits = MemberLimits::default();
        let header = Block::empty();
        Self { input, limits, header, regions: Vec::new(), padding: 0, ending: None }
    }

    /// Replaces the default limits.
    #[must_use]
    pub fn with_limits(mut self, limits: MemberLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Gives the next member, after what is left of the last one's body;
    /// `None` at the end of the archive, behind which nothing is read.
    pub fn next_member(&mut self) -> Result<Option<Entry>> {
        self.skip_body()?;
        let mut pending = Pending::default();
        while self.next_header()? {
            match self.header.typeflag() {
                b'x' => {
                    let body = self.metadata(&mut pending)?;
                    once(&mut pending.pax, Pax::new(&body, self.limits.xattr_value)?)?;
                }
                b'g' => pax::check_global(&self.metadata(&mut pending)?)?,
                b'L' => {
                    let body = self.metadata(&mut pending)?;
                    once(&mut pending.name, body)?;
                }
                b'K' => {
                    let body = self.metadata(&mut pending)?;
                    once(&mut pending.link, body)?;
                }
                _ => {
                    let member = assemble(&self.header, pending, &self.limits)?;
                    self.begin(&member.entry, member.stored, member.sparse)
                        .with_context(|| shown(&member.entry.path))?;
                    return Ok(Some(member.entry));
                }
            }
        }
        if pending.is_empty() { Ok(None) } else { Err(unexpected_end()) }
    }

    /// Gives the next bytes of the current member's body without copying them;
    /// `None` when all were consumed.
    pub fn body(&mut self) -> Result<Option<Chunk<'_>>> {
        let Some(region) = self.regions.last() else { return Ok(None) };
        let bytes = fill(&mut self.input)?;
        if bytes.is_empty() {
            return Err(unexpected_end());
        }
        let count = usize::try_from(region.len).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Some(Chunk { offset: region.offset, bytes: &bytes[..count] }))
    }

    /// Marks `count` bytes of what [`Members::body`] gave as read.
    pub fn consume(&mut self, count: usize) {
        let Some(region) = self.regions.last_mut() else { return };
        let count = usize::try_from(region.len).unwrap_or(usize::MAX).min(count);
        self.input.consume(count);
        region.offset += count as u64;
        region.len -= count as u64;
        if region.len == 0 {
            self.regions.pop();
        }
    }

    /// How many bytes of the current member's body are still to come, holes not counted.
    pub fn stored(&self) -> u64 {
        self.regions.iter().map(|region| region.len).fold(0, u64::saturating_add)
    }

    /// How the archive has ended, once it has.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// The input, which stands where [`Members::body`] has read to.
    pub fn input(&self) -> &R {
        &self.input
    }

    /// Gives back the input, which stands behind the last block that was read.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// Prepares the body of a member.
    fn begin(&mut self, entry: &Entry, stored: u64, sparse: Option<Sparse>) -> Result<()> {
        let real_size = if let EntryKind::File { size } = entry.kind { size } else { 0 };
        let mut left = stored;
        let mut regions = match sparse {
            None => vec![Region { offset: 0, len: stored }],
            Some(Sparse::Old(map, extended)) => self.old_map(map, extended)?,
            Some(Sparse::Pax(SparseMap::Known(regions))) => regions,
            Some(Sparse::Pax(SparseMap::InBody)) => self.map_in_body(&mut left)?,
        };
        sparse::check_count(regions.len(), self.limits.regions)?;
        sparse::check(&regions, real_size, left)?;
        regions.retain(|region| region.len > 0);
        regions.reverse();
        self.regions = regions;
        self.padding = padding(stored);
        Ok(())
    }

    fn old_map(&mut self, mut map: OldMap, mut extended: bool) -> Result<Vec<Region>> {
        while extended {
            extended = map.extension(&self.block()?.ok_or_else(unexpected_end)?)?;
            sparse::check_count(map.regions.len(), self.limits.regions)?;
        }
        Ok(map.regions)
    }

    fn map_in_body(&mut self, stored: &mut u64) -> Result<Vec<Region>> {
        let mut map = BodyMap::default();
        loop {
            *stored = stored
                .checked_sub(BLOCK as u64)
                .ok_or_else(|| invalid("map of a sparse file has no end"))?;
            let block = self.block()?.ok_or_else(unexpected_end)?;
            if let Some(regions) = map.block(&block, self.limits.regions)? {
                return Ok(regions);
            }
        }
    }

    /// Reads the body of an extended header.
    fn metadata(&mut self, pending: &mut Pending) -> Result<Vec<u8>> {
        let size = pending.count(self.header.size()?, &self.limits)?;
        let mut left = usize::try_from(size).map_err(|_| invalid("size out of range"))?;
        let mut body = Vec::with_capacity(left.min(64 << 10));
        while left > 0 {
            let bytes = fill(&mut self.input)?;
            if bytes.is_empty() {
                return Err(unexpected_end());
            }
            let count = bytes.len().min(left);
            body.extend_from_slice(&bytes[..count]);
            self.input.consume(count);
            left -= count;
        }
        self.skip(padding(size))?;
        Ok(body)
    }

    /// Reads the next header; `false` at the end of the archive, which is two
    /// blocks of zeros or the end of the input.
    fn next_header(&mut self) -> Result<bool> {
        if self.ending.is_some() {
            return Ok(false);
        }
        // Without copying it about, as far as it is in one piece.
        if let Some(bytes) = fill(&mut self.input)?.first_chunk::<BLOCK>()
            && *bytes != [0; BLOCK]
        {
            self.header.read(bytes)?;
            self.input.consume(BLOCK);
            return Ok(true);
        }
        let Some(bytes) = self.block()? else {
            self.ending = Some(Ending::Bare);
            return Ok(false);
        };
        if bytes != [0; BLOCK] {
            return self.header.read(&bytes).map(|()| true);
        }
        self.ending = Some(match self.block()? {
            None => Ending::Half,
            Some(second) if second == [0; BLOCK] => Ending::Marked,
            Some(_) => return Err(invalid("a block of zeros between members")),
        });
        Ok(false)
    }

    /// Reads one block; `None` when the input has ended.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let bytes = fill(&mut self.input)?;
            if bytes.is_empty() {
                return if filled == 0 { Ok(None) } else { Err(unexpected_end()) };
            }
            let count = bytes.len().min(BLOCK - filled);
            block[filled..filled + count].copy_from_slice(&bytes[..count]);
            self.input.consume(count);
            filled += count;
        }
        Ok(Some(block))
    }

    fn skip_body(&mut self) -> Result<()> {
        while let Some(region) = self.regions.pop() {
            if self.skip(region.len)? > 0 {
                return Err(unexpected_end());
            }
        }
        // An archive may end with its last member's last byte.
        let padding = std::mem::take(&mut self.padding);
        self.skip(padding).map(drop)
    }

    /// Skips bytes and tells how many were missing.
    fn skip(&mut self, count: u64) -> Result<u64> {
        let mut left = count;
        while left > 0 {
            let available = fill(&mut self.input)?.len();
            if available == 0 {
                break;
            }
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(available);
            self.input.consume(count);
            left -= count as u64;
        }
        Ok(left)
    }
}

/// Keeps an extended header. Of two of a kind some readers take the first, and some join them.
fn once<T>(kept: &mut Option<T>, header: T) -> Result<()> {
    match kept.replace(header) {
        None => Ok(()),
        Some(_) => Err(invalid("two extended headers of one kind for one member")),
    }
}

/// The input's next bytes; none at its end.
fn fill<R: BufRead>(input: &mut R) -> Result<&[u8]> {
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The bytes are there now; a second call is how to borrow them past the loop.
    Ok(input.fill_buf()?)
}

/// How many bytes follow `size` of them to fill the last block.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn unexpected_end() -> Error {
    Error::invalid("unexpected EOF")
}
