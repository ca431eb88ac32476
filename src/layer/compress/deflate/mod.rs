// SPDX-License-Identifier: Apache-2.0
//! Deflate (RFC 1951) for blocks that are in memory as a whole.
//!
//! Other libraries are made for streams, and slower, or know neither dictionaries
//! nor flushes, so that blocks which were compressed apart cannot be joined. Here
//! the input is one piece: bytes before it, which it may refer to, and its own. It
//! becomes blocks of which none is the last, and ends at a byte (a sync flush).
//!
//! [`matches`] divides the bytes into literals and references, in small chunks.
//! A chunk joins the ones before it if one code for all of them takes fewer bits
//! than a new one, and [`block`] writes what belongs together, with the code that
//! [`huffman`] finds.

mod bits;
mod block;
mod huffman;
mod matches;
mod symbols;
#[cfg(test)]
mod tests;

use bits::BitWriter;
use matches::Matcher;
use symbols::{Counts, Sequence};

/// About how many bits it takes to tell new codes, and what the estimate may err.
const NEW_CODES: f32 = 1400.0;
/// From so many sequences on a block is written.
const MOST_SEQUENCES: usize = 32 << 10;

/// A compressor, and the memory that it works with: less than 512 KiB.
pub(super) struct Deflate {
    matcher: Matcher,
    sequences: Vec<Sequence>,
}

/// Sequences that will be one block.
#[derive(Default)]
struct Open {
    sequences: usize,
    bytes: usize,
    counts: Counts,
    bits: f32,
}

impl Open {
    fn is_worth_joining(&self, chunk: &Self, joined: &Self) -> bool {
        self.sequences < MOST_SEQUENCES && joined.bits <= self.bits + chunk.bits + NEW_CODES
    }

    fn join(&self, chunk: &Self) -> Self {
        let mut counts = self.counts.clone();
        counts.add(&chunk.counts);
        Self {
            sequences: self.sequences + chunk.sequences,
            bytes: self.bytes + chunk.bytes,
            bits: counts.bits(),
            counts,
        }
    }
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self { matcher: Matcher::new(), sequences: Vec::new() }
    }

    /// Compresses what is behind the first `dictionary` bytes, and appends it to
    /// `output`: blocks of which none is marked as the last, and in the end an empty
    /// stored one. What comes of it depends on these bytes alone.
    pub(super) fn compress(&mut self, bytes: &[u8], dictionary: usize, output: Vec<u8>) -> Vec<u8> {
        let mut writer = BitWriter::new(output);
        self.matcher.start(&bytes[..dictionary]);
        self.sequences.clear();
        let mut rest = &bytes[dictionary..];
        let mut open = Open::default();
        while open.bytes < rest.len() {
            let from = bytes.len() - rest.len() + open.bytes;
            let chunk = self.chunk(bytes, from);
            let joined = open.join(&chunk);
            if open.is_worth_joining(&chunk, &joined) {
                open = joined;
                continue;
            }
            rest = self.write(&mut writer, rest, open);
            open = chunk;
        }
        if open.bytes > 0 {
            self.write(&mut writer, rest, open);
        }
        writer.stored(&[]);
        writer.finish()
    }

    fn chunk(&mut self, bytes: &[u8], from: usize) -> Open {
        let earlier = self.sequences.len();
        // The caller's blocks are far from 32 bits.
        let from = u32::try_from(from).unwrap_or(u32::MAX);
        let counts = self.matcher.chunk(bytes, from, &mut self.sequences);
        let sequences = &self.sequences[earlier..];
        Open {
            sequences: sequences.len(),
            bytes: sequences.iter().map(|sequence| sequence.bytes()).sum(),
            bits: counts.bits(),
            counts,
        }
    }

    /// Writes the open block, and gives the bytes behind it.
    fn write<'a>(&mut self, writer: &mut BitWriter, rest: &'a [u8], open: Open) -> &'a [u8] {
        let (bytes, rest) = rest.split_at(open.bytes);
        block::write(writer, bytes, &self.sequences[..open.sequences], open.counts);
        self.sequences.drain(..open.sequences);
        rest
    }
}
