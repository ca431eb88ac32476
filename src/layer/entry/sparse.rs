// SPDX-License-Identifier: Apache-2.0
//! Sparse files in GNU tar's four ways (old header, PAX 0.0, 0.1 and 1.0):
//! which bytes of the file the archive holds.

use tar::{GnuExtSparseHeader, GnuSparseHeader};

use super::header::{BLOCK, Block, invalid};
use super::number;
use crate::error::{Error, ErrorKind, Result};

/// The digits of the largest size.
const MOST_DIGITS: usize = 20;

/// A run of bytes that the archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// The `GNU.sparse.*` records of an extended header.
#[derive(Debug, Default)]
pub(super) struct SparseRecords {
    major: Option<i128>,
    minor: Option<i128>,
    pub(super) name: Option<Vec<u8>>,
    real_size: Option<i128>,
    count: Option<i128>,
    /// Offset, length, offset, length … of version 0.1.
    map: Vec<i128>,
    /// The same, of version 0.0.
    pairs: Vec<i128>,
}

/// Where the map of a sparse file is.
#[derive(Debug)]
pub(super) enum SparseMap {
    /// It was in the headers.
    Known(Vec<Region>),
    /// It is in front of the body.
    InBody,
}

impl SparseRecords {
    /// Takes the record `GNU.sparse.NAME=value`.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) -> Result<()> {
        let number = || {
            number::decimal(value)
                .ok_or_else(|| invalid(&format!("GNU.sparse.{}", name.escape_ascii())))
        };
        match name {
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"size" | b"realsize" => self.real_size = Some(number()?),
            b"numblocks" => self.count = Some(number()?),
            b"name" if value.contains(&0) => return Err(invalid("NUL byte in GNU.sparse.name")),
            b"name" => self.name = Some(value.to_vec()).filter(|name| !name.is_empty()),
            b"map" if value.is_empty() => self.map.clear(),
            b"map" => {
                let numbers = value.split(|byte| *byte == b',').map(number::decimal);
                self.map =
                    numbers.collect::<Option<_>>().ok_or_else(|| invalid("GNU.sparse.map"))?;
            }
            b"offset" if self.pairs.len().is_multiple_of(2) => self.pairs.push(number()?),
            b"numbytes" if !self.pairs.len().is_multiple_of(2) => self.pairs.push(number()?),
            b"offset" | b"numbytes" => return Err(invalid("GNU.sparse.offset without numbytes")),
            _ => {}
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        let Self { major, minor, name, real_size, count, map, pairs } = self;
        let numbers = [major, minor, real_size, count];
        numbers.iter().all(|number| number.is_none())
            && name.is_none()
            && map.is_empty()
            && pairs.is_empty()
    }

    /// Whether the records describe a sparse file, and how.
    pub(super) fn map(&self) -> Result<Option<SparseMap>> {
        let numbers = if self.map.is_empty() { &self.pairs } else { &self.map };
        match (self.major, self.minor) {
            (Some(1), Some(0)) => return Ok(Some(SparseMap::InBody)),
            (None, None) if self.is_empty() => return Ok(None),
            (None, None) | (Some(0), Some(0 | 1)) => {}
            _ => return Err(Error::unsupported("unsupported version of GNU.sparse")),
        }
        let whole = numbers.chunks_exact(2);
        let counted = i128::try_from(whole.len()).ok();
        if !whole.remainder().is_empty() || self.count != counted {
            return Err(invalid("GNU.sparse.numblocks does not count the regions"));
        }
        let regions = whole.map(|pair| region(pair[0], pair[1])).collect::<Result<_>>()?;
        Ok(Some(SparseMap::Known(regions)))
    }

    /// The size of the file with its holes.
    pub(super) fn real_size(&self) -> Result<i128> {
        self.real_size.ok_or_else(|| invalid("sparse file without its size"))
    }
}

fn region(offset: i128, len: i128) -> Result<Region> {
    match (u64::try_from(offset), u64::try_from(len)) {
        (Ok(offset), Ok(len)) => Ok(Region { offset, len }),
        _ => Err(invalid("region of a sparse file out of range")),
    }
}

/// Checks that regions are ordered, apart, inside the file and as long
/// together as what the archive holds.
pub(super) fn check(regions: &[Region], real_size: u64, stored: u64) -> Result<()> {
    let mut end = 0_u64;
    let mut sum = 0_u64;
    for region in regions {
        let next = region.offset.checked_add(region.len).filter(|next| *next <= real_size);
        let (Some(next), true) = (next, region.offset >= end) else {
            return Err(invalid("regions of a sparse file overlap or leave the file"));
        };
        end = next;
        // Regions that do not overlap are no longer than the file.
        sum = sum.saturating_add(region.len);
    }
    if sum == stored {
        Ok(())
    } else {
        Err(invalid("regions of a sparse file are not what the archive holds"))
    }
}

/// Regions on their way out of old GNU headers.
#[derive(Debug, Default)]
pub(super) struct OldMap {
    pub(super) regions: Vec<Region>,
}

impl OldMap {
    /// Reads a member's header; gives the map, the real size, and whether an extension follows.
    pub(super) fn new(block: &Block) -> Result<(Self, i128, bool)> {
        let gnu = block.gnu().ok_or_else(|| invalid("sparse file in another format than GNU's"))?;
        let real_size = number::field(&gnu.realsize)
            .ok_or_else(|| invalid("size of a sparse file is not a number"))?;
        let mut map = Self::default();
        map.extend(&gnu.sparse)?;
        Ok((map, real_size, gnu.isextended[0] != 0))
    }

    /// Reads an extension; tells whether another follows.
    pub(super) fn extension(&mut self, bytes: &[u8; BLOCK]) -> Result<bool> {
        let mut extension = GnuExtSparseHeader::new();
        *extension.as_mut_bytes() = *bytes;
        self.extend(&extension.sparse)?;
        Ok(extension.isextended[0] != 0)
    }

    fn extend(&mut self, sparse: &[GnuSparseHeader]) -> Result<()> {
        for slot in sparse.iter().take_while(|slot| slot.offset[0] != 0) {
            let not_a_number = || invalid("region of a sparse file is not a number");
            let offset = number::field(&slot.offset).ok_or_else(not_a_number)?;
            let len = number::field(&slot.numbytes).ok_or_else(not_a_number)?;
            self.regions.push(region(offset, len)?);
        }
        Ok(())
    }
}

/// The map in front of the body of PAX 1.0: decimals, each on its line, the
/// first of which counts the pairs that follow; padded to whole blocks.
#[derive(Debug, Default)]
pub(super) struct BodyMap {
    count: Option<usize>,
    numbers: Vec<i128>,
    digits: Vec<u8>,
}

impl BodyMap {
    /// Reads a block; gives the regions when they are complete.
    pub(super) fn block(
        &mut self,
        bytes: &[u8; BLOCK],
        most: usize,
    ) -> Result<Option<Vec<Region>>> {
        for byte in bytes {
            if *byte != b'\n' {
                self.digits.push(*byte);
                if self.digits.len() > MOST_DIGITS {
                    return Err(invalid("map of a sparse file is not of numbers"));
                }
                continue;
            }
            self.line(most)?;
            let pairs = self.numbers.chunks_exact(2);
            if pairs.remainder().is_empty() && self.count == Some(pairs.len()) {
                return pairs.map(|pair| region(pair[0], pair[1])).collect::<Result<_>>().map(Some);
            }
        }
        Ok(None)
    }

    fn line(&mut self, most: usize) -> Result<()> {
        let number = number::decimal(&self.digits)
            .ok_or_else(|| invalid("map of a sparse file is not of numbers"))?;
        self.digits.clear();
        if self.count.is_some() {
            self.numbers.push(number);
            return Ok(());
        }
        let count = usize::try_from(number)
            .map_err(|_| invalid("map of a sparse file has no valid count"))?;
        check_count(count, most)?;
        self.count = Some(count);
        Ok(())
    }
}

/// Refuses more regions than the limit.
pub(super) fn check_count(count: usize, most: usize) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    let message = format!("sparse file has {count} regions, more than the limit of {most}");
    Err(Error::new(ErrorKind::Limit, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(pairs: &[(u64, u64)]) -> Vec<Region> {
        pairs.iter().map(|&(offset, len)| Region { offset, len }).collect()
    }

    #[test]
    fn regions_are_ordered_apart_and_inside() {
        for (pairs, real, stored) in
            [(&[][..], 10, 0), (&[(0, 10)], 10, 10), (&[(2, 2), (4, 1), (10, 0)], 10, 3)]
        {
            assert!(check(&regions(pairs), real, stored).is_ok(), "{pairs:?}");
        }
        for (pairs, real, stored) in [
            (&[(4, 1), (2, 2)][..], 10, 3),
            (&[(0, 3), (2, 3)], 10, 6),
            (&[(8, 3)], 10, 3),
            (&[(11, 0)], 10, 0),
            (&[(u64::MAX, 2)], u64::MAX, 2),
            (&[(0, 3)], 10, 4),
            (&[], 10, 1),
        ] {
            assert!(check(&regions(pairs), real, stored).is_err(), "{pairs:?}");
        }
    }

    #[test]
    fn a_map_in_the_body_is_of_decimals() {
        let read = |text: &[u8]| {
            let mut block = [0; BLOCK];
            block[..text.len()].copy_from_slice(text);
            BodyMap::default().block(&block, 3)
        };
        assert_eq!(read(b"0\n").unwrap(), Some(vec![]));
        assert_eq!(read(b"2\n1\n2\n3\n4\n").unwrap(), Some(regions(&[(1, 2), (3, 4)])));
        assert_eq!(read(&[b'1'; 20]).map_err(|_| ()), Err(()));
        for text in [&b"x\n"[..], b"1\n-1\n2\n", b"\n", b"1\n\n", b"-1\n", b"4\n"] {
            assert!(read(text).is_err(), "{}", text.escape_ascii());
        }
    }
}
