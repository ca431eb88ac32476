// SPDX-License-Identifier: Apache-2.0
//! Finds earlier places that a text repeats.
//!
//! Two tables remember the last place of what the first three and the first six
//! bytes hash to: the near and short repetitions, and the long. That costs two
//! looks a byte, and what it overlooks beside a search through all places is
//! made good by looking from three bytes at once, and taking what is longest.

use super::symbols::{MOST_DISTANCE, MOST_LENGTH};

/// How many bytes a look reads.
pub(super) const READ: u32 = 8;
/// How many bytes in a row are looked from at once.
pub(super) const LOOKS: u32 = 3;
/// Beyond, three literals take no more than a reference to three bytes.
const NEAR: u32 = 4096;

/// A reference; a length of 0 is none.
#[derive(Clone, Copy)]
pub(super) struct Reference {
    pub(super) length: u32,
    /// How far back, less 1.
    pub(super) distance: u32,
}

/// The last place of what has a hash of so many bits, or rather the complement of its low 16
/// bits, to which a place is added to get the distance less 1.
struct Table<const SLOTS: usize>([u16; SLOTS]);

impl<const SLOTS: usize> Table<SLOTS> {
    fn new() -> Self {
        Self([0; SLOTS])
    }

    /// Remembers `at`, and gives the distance less 1 to what had the same hash. It is in reach in any
    /// case, but if that place was out of reach, or there was none, something else is there.
    #[inline]
    fn replace(&mut self, hash: u32, at: u32) -> u32 {
        let slot = &mut self.0[(hash >> (32 - SLOTS.ilog2())) as usize % SLOTS];
        u32::from(std::mem::replace(slot, low(!at))).wrapping_add(at) % MOST_DISTANCE
    }

    /// Forgets everything: at the first byte there is what has not been seen.
    fn clear(&mut self) {
        self.0.fill(low(!0));
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
pub(super) fn low(at: u32) -> u16 {
    at as u16
}

// The golden ratio spreads what differs in any bit over the upper ones.

/// The hash of the first three bytes, in its upper bits.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "three bytes of eight are wanted")]
fn hash_of_three(word: u64) -> u32 {
    ((word as u32) << 8).wrapping_mul(0x9e37_79b1)
}

/// The same of the first six.
#[inline]
fn hash_of_six(word: u64) -> u32 {
    ((word << 16).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// What the bytes before have in them. 80 KiB.
pub(super) struct Matcher {
    of_three: Table<{ 1 << 13 }>,
    of_six: Table<{ 1 << 15 }>,
}

impl Matcher {
    pub(super) fn new() -> Self {
        Self { of_three: Table::new(), of_six: Table::new() }
    }

    /// Forgets everything, and takes in the bytes before `from`, which references may reach.
    pub(super) fn start(&mut self, bytes: &[u8], from: u32) {
        self.of_three.clear();
        self.of_six.clear();
        for at in from.saturating_sub(MOST_DISTANCE)..from.saturating_sub(READ - 1) {
            self.remember(bytes, at);
        }
    }

    #[inline]
    pub(super) fn remember(&mut self, bytes: &[u8], at: u32) {
        let word = word(bytes, at);
        self.of_three.replace(hash_of_three(word), at);
        self.of_six.replace(hash_of_six(word), at);
    }

    /// The longer of what the tables know, of which no more than the bytes of a look
    /// are compared. Remembers this place, which is not the first of all: what is not known
    /// is looked for there. Nor is it one of the first [`MOST_DISTANCE`], if it or a later place
    /// is remembered already: then that is how far back it is looked for.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a tenth of the speed")]
    fn find(&mut self, bytes: &[u8], at: u32) -> Reference {
        let here = word(bytes, at);
        let six = self.of_six.replace(hash_of_six(here), at);
        let three = self.of_three.replace(hash_of_three(here), at);
        let of_six = (here ^ word(bytes, back(at, six))).trailing_zeros();
        let of_three = (here ^ word(bytes, back(at, three))).trailing_zeros();
        let (same, distance) = if of_three > of_six { (of_three, three) } else { (of_six, six) };
        let least = if distance < NEAR { 3 } else { 4 };
        let length = if same / 8 < least { 0 } else { same / 8 };
        Reference { length, distance }
    }

    /// The longest of the references from here and the next places, the first of them if
    /// there are several, and how many bytes are before it. (Written out, since a loop is 3 % slower.)
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as `find`")]
    pub(super) fn find_longest(&mut self, bytes: &[u8], at: u32) -> (Reference, u32) {
        let first = self.find(bytes, at);
        let second = self.find(bytes, at + 1);
        let third = self.find(bytes, at + 2);
        let is_second = second.length > first.length;
        let longer = if is_second { second } else { first };
        let is_third = third.length > longer.length;
        let skipped = if is_third { 2 } else { u32::from(is_second) };
        (if is_third { third } else { longer }, skipped)
    }
}

/// The place that a distance less 1 leads to.
#[inline]
fn back(at: u32, distance: u32) -> u32 {
    at.wrapping_sub(1).wrapping_sub(distance)
}

/// The whole length of a reference of which all bytes of a look are the same.
#[inline]
pub(super) fn extend(bytes: &[u8], at: u32, distance: u32) -> u32 {
    let there = back(at, distance);
    let most = MOST_LENGTH.min(end(bytes) - at);
    let mut length = READ;
    while length + READ <= most {
        let differ = word(bytes, at + length) ^ word(bytes, there + length);
        if differ != 0 {
            return length + differ.trailing_zeros() / 8;
        }
        length += READ;
    }
    let same = |length: &u32| bytes[(at + length) as usize] == bytes[(there + length) as usize];
    (length..most).find(|length| !same(length)).unwrap_or(most)
}

/// Places have 32 bits.
pub(super) fn end(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// The eight bytes at a place, which must be there.
#[inline]
fn word(bytes: &[u8], at: u32) -> u64 {
    let at = at as usize;
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
