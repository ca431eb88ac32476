// SPDX-License-Identifier: Apache-2.0
//! [`Members`], the pull reader over a tar stream.

use std::io::BufRead;

use super::Entry;
use crate::error::Result;

/// What a single member may ask for.
#[derive(Debug, Clone)]
pub struct Limits {
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

impl Default for Limits {
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
#[derive(Debug)]
pub struct Members<R> {
    input: R,
}

impl<R: BufRead> Members<R> {
    /// Reads from `input`, whose `fill_buf` should give large slices.
    pub fn new(input: R) -> Self {
        Self { input }
    }

    /// Replaces the default limits.
    #[must_use]
    pub fn with_limits(self, _limits: Limits) -> Self {
        self
    }

    /// Gives the next member, after what is left of the last one's body;
    /// `None` at the end of the archive, behind which nothing is read.
    pub fn next_member(&mut self) -> Result<Option<Entry>> {
        unimplemented!()
    }

    /// Gives the next bytes of the current member's body without copying them;
    /// `None` when all were consumed.
    pub fn body(&mut self) -> Result<Option<Chunk<'_>>> {
        unimplemented!()
    }

    /// Marks `count` bytes of what [`Members::body`] gave as read.
    pub fn consume(&mut self, _count: usize) {
        unimplemented!()
    }

    /// The input, which stands where [`Members::body`] has read to.
    pub fn input(&self) -> &R {
        &self.input
    }

    /// Gives back the input, which stands behind the last block that was read.
    pub fn into_inner(self) -> R {
        self.input
    }
}
