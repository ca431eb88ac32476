// SPDX-License-Identifier: Apache-2.0
//! Deflate (RFC 1951) for blocks that are in memory as a whole.
//!
//! Other libraries are made for streams, and slower, or know neither dictionaries
//! nor flushes, so that blocks which were compressed apart cannot be joined. Here
//! the input is one piece: bytes before it, which it may refer to, and its own. It
//! becomes blocks of which none is the last, and ends at a byte (a sync flush).
//!
//! [`lanes`] divides each half of the bytes into literals and references, in small
//! parts, with what [`matches`] finds. A part joins the ones before it if one code for
//! all of them takes fewer bits than a new one, and [`block`] writes what belongs
//! together, with the code that [`huffman`] finds.

mod bits;
mod block;
mod huffman;
mod lanes;
mod matches;
mod symbols;
#[cfg(test)]
mod tests;

use bits::BitWriter;
use lanes::{Division, Lane, Part};

/// About how many bits it takes to tell new codes, and what the estimate may err.
const NEW_CODES: f32 = 1400.0;
/// From so many sequences on a block is written.
const MOST_SEQUENCES: usize = 32 << 10;

impl Part {
    fn is_worth_joining(&self, next: &Self, joined: &Self) -> bool {
        self.sequences < MOST_SEQUENCES && joined.bits <= self.bits + next.bits + NEW_CODES
    }

    fn join(&self, next: &Self) -> Self {
        let mut counts = self.counts.clone();
        counts.add(&next.counts);
        Self {
            sequences: self.sequences + next.sequences,
            bytes: self.bytes + next.bytes,
            bits: counts.bits(),
            counts,
        }
    }
}

/// A compressor, and the memory that it works with: 160 KiB and for each byte of a block of 512 KiB
/// 5.3 at most. So much it is where all references are to three bytes: 4 for the sequences, the
/// rest for the parts, both with the room that vectors have to spare.
pub(super) struct Deflate {
    lanes: [Lane; 2],
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self { lanes: [Lane::new(), Lane::new()] }
    }

    /// Compresses what is behind the first `dictionary` bytes, and appends it to
    /// `output`: blocks of which none is marked as the last, and in the end an empty
    /// stored one. What comes of it depends on these bytes alone.
    pub(super) fn compress(&mut self, bytes: &[u8], dictionary: usize, output: Vec<u8>) -> Vec<u8> {
        let middle = dictionary.midpoint(bytes.len());
        let [first, second] = &mut self.lanes;
        lanes::divide(
            Division::new(first, &bytes[..middle], dictionary),
            Division::new(second, bytes, middle),
        );
        let mut writer = BitWriter::new(output);
        write(&mut writer, &bytes[dictionary..middle], first);
        write(&mut writer, &bytes[middle..], second);
        writer.stored(&[]);
        writer.finish()
    }
}

/// Writes bytes that have been divided.
fn write(writer: &mut BitWriter, mut bytes: &[u8], lane: &mut Lane) {
    let mut sequences = &lane.sequences[..];
    let mut write = |part: Part| {
        let (here, behind) = bytes.split_at(part.bytes);
        let (of_part, others) = sequences.split_at(part.sequences);
        block::write(writer, here, of_part, part.counts);
        (bytes, sequences) = (behind, others);
    };
    let mut open = Part::default();
    for part in lane.parts.drain(..) {
        let joined = open.join(&part);
        if open.is_worth_joining(&part, &joined) {
            open = joined;
        } else {
            write(std::mem::replace(&mut open, part));
        }
    }
    if open.bytes > 0 {
        write(open);
    }
}
