// SPDX-License-Identifier: Apache-2.0
//! Divides bytes into literals and references, in two lanes side by side.
//!
//! What is found at one place tells which is next, so that a processor has to wait
//! for each look before it can begin the next. Of two lanes that know nothing of
//! each other it does the looks at the same time.
//!
//! The other bound of the speed are branches that nobody can predict. So there are
//! few: one tells whether any of three bytes begins a reference, one whether it is long.

use super::matches::{LOOKS, Matcher, READ, Reference, end, extend, low};
use super::symbols::{Counts, LENGTH_CODES, MOST_DISTANCE, Sequence, distance_symbol};

/// After each so many (a power of two) literals in a row one more byte is passed over between looks.
const PATIENCE: u32 = 6;
/// A part ends with so many sequences, or when it has so many bytes.
const PART_SEQUENCES: usize = 512;
const PART_BYTES: u32 = 32 << 10;
/// Where its bytes end a part, that may be between the places of a look, and the next look begins
/// at one that is remembered already. The distance from there to itself, or to a later place,
/// comes out as up to the longest there is, so as many bytes must be before it.
const _: () = assert!(PART_BYTES >= MOST_DISTANCE, "a look could go back beyond all bytes");

/// Sequences that stay together.
#[derive(Default)]
pub(super) struct Part {
    pub(super) sequences: usize,
    /// How many bytes they stand for.
    pub(super) bytes: usize,
    pub(super) counts: Counts,
    /// About how many bits their symbols take.
    pub(super) bits: f32,
}

/// What is made of a lane's bytes, and the memory that this needs.
pub(super) struct Lane {
    matcher: Box<Matcher>,
    pub(super) sequences: Vec<Sequence>,
    pub(super) parts: Vec<Part>,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self { matcher: Box::new(Matcher::new()), sequences: Vec::new(), parts: Vec::new() }
    }
}

/// A lane on its way through `bytes`.
pub(super) struct Division<'a> {
    lane: &'a mut Lane,
    bytes: &'a [u8],
    /// Where to look next.
    at: u32,
    /// From here to `at` there are literals.
    literals: u32,
    /// From here on there are too few bytes for a look.
    last: u32,
    /// Of the part that is being made, what it has so far, where it begins, and where it ends at the latest.
    counts: Counts,
    from: u32,
    until: u32,
    /// How many sequences the parts before have.
    earlier: usize,
}

impl<'a> Division<'a> {
    /// Will divide the bytes from `from` on. References may reach those before.
    pub(super) fn new(lane: &'a mut Lane, bytes: &'a [u8], from: usize) -> Self {
        // The caller's blocks are far from 32 bits.
        let from = u32::try_from(from).unwrap_or(u32::MAX);
        lane.matcher.start(bytes, from);
        lane.sequences.clear();
        lane.parts.clear();
        let last = end(bytes).saturating_sub(READ + LOOKS - 1);
        let counts = Counts::default();
        let mut division = Self {
            lane,
            bytes,
            at: from,
            literals: from,
            last,
            counts,
            from,
            until: 0,
            earlier: 0,
        };
        division.begin_part();
        if from == 0 {
            // Before the first byte of all there is nothing to look at.
            division.pass(1.min(division.until));
        }
        division
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.last
    }

    /// Looks for a reference from here or close behind.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the looks of both lanes are to be side by side")]
    fn look(&mut self) -> (Reference, u32) {
        self.lane.matcher.find_longest(self.bytes, self.at)
    }

    /// Goes on behind what was found.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as `look`")]
    fn advance(&mut self, (found, skipped): (Reference, u32)) {
        if found.length == 0 {
            self.pass(self.until.min(self.at + LOOKS + ((self.at - self.literals) >> PATIENCE)));
        } else {
            self.refer(found, skipped);
        }
        if self.at >= self.until || self.lane.sequences.len() - self.earlier >= PART_SEQUENCES {
            self.end_part();
        }
    }

    /// Makes literals of what is before `next`.
    #[inline]
    fn pass(&mut self, next: u32) {
        for byte in &self.bytes[self.at as usize..next as usize] {
            self.counts.literal(*byte, 1);
        }
        self.at = next;
    }

    /// Makes literals of what is skipped, and a sequence that ends with what was found there.
    #[inline]
    fn refer(&mut self, found: Reference, skipped: u32) {
        for place in 0..LOOKS - 1 {
            let literal = self.bytes[(self.at + place) as usize];
            self.counts.literal(literal, u32::from(skipped > place));
        }
        let at = self.at + skipped;
        let length =
            if found.length < READ { found.length } else { extend(self.bytes, at, found.distance) };
        let distance = low(found.distance);
        let symbol = distance_symbol(distance);
        self.counts.reference(LENGTH_CODES[length as usize], symbol);
        self.lane.sequences.push(Sequence {
            literals: low(at - self.literals),
            length: low(length),
            distance,
            distance_symbol: u16::from(symbol),
        });
        self.at = at + length;
        self.literals = self.at;
        if self.at < self.last {
            for place in [at + 2, self.at - 2, self.at - 1] {
                self.lane.matcher.remember(self.bytes, place);
            }
        }
    }

    fn begin_part(&mut self) {
        self.earlier = self.lane.sequences.len();
        self.from = self.at;
        self.until = self.last.min(self.at + PART_BYTES);
    }

    #[cold]
    fn end_part(&mut self) {
        if self.is_at_end() {
            self.pass(end(self.bytes));
        }
        if self.at > self.literals {
            let literals = low(self.at - self.literals);
            self.lane.sequences.push(Sequence { literals, ..Sequence::default() });
            self.literals = self.at;
        }
        let counts = std::mem::take(&mut self.counts);
        self.lane.parts.push(Part {
            sequences: self.lane.sequences.len() - self.earlier,
            bytes: (self.at - self.from) as usize,
            bits: counts.bits(),
            counts,
        });
        self.begin_part();
    }

    /// Goes on to the end.
    fn finish(mut self) {
        while !self.is_at_end() {
            let found = self.look();
            self.advance(found);
        }
        if self.from < end(self.bytes) {
            self.end_part();
        }
    }
}

/// Divides what is in both lanes.
pub(super) fn divide(mut one: Division<'_>, mut other: Division<'_>) {
    while !one.is_at_end() && !other.is_at_end() {
        let (found, found_in_other) = (one.look(), other.look());
        one.advance(found);
        other.advance(found_in_other);
    }
    one.finish();
    other.finish();
}
