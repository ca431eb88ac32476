// SPDX-License-Identifier: Apache-2.0
//! Finds earlier places that a text repeats.
//!
//! Two tables remember the last place of what the first three and the first six
//! bytes hash to: the near and short repetitions, and the long. That costs two
//! looks a byte, and what it overlooks beside a search through all places is
//! made good by looking from three bytes at once, and taking what is longest.
//!
//! What bounds the speed are branches that nobody can predict. So there are few: one
//! tells whether any of three bytes begins a reference, one whether it is long.

use super::symbols::{Counts, LENGTH_CODES, MOST_DISTANCE, MOST_LENGTH, Sequence, distance_symbol};

/// How many bytes a look reads.
const READ: u32 = 8;
/// Beyond, three literals take no more than a reference to three bytes.
const NEAR: u32 = 4096;
/// How many bytes in a row are looked from at once.
const LOOKS: u32 = 3;
/// After each so many (a power of two) literals in a row one more byte is passed over between looks.
const PATIENCE: u32 = 6;
/// A chunk ends with so many sequences, or when it has so many bytes.
const CHUNK_SEQUENCES: usize = 512;
const CHUNK_BYTES: u32 = 32 << 10;

/// A reference; a length of 0 is none.
#[derive(Clone, Copy)]
struct Reference {
    length: u32,
    distance: u32,
}

/// The last place, in its low 16 bits, of what has a hash of so many bits.
/// What a table says is looked up, so that a place long ago, or none, does no harm.
struct Table<const SLOTS: usize>(Box<[u16; SLOTS]>);

impl<const SLOTS: usize> Table<SLOTS> {
    fn new() -> Self {
        Self(Box::new([0; SLOTS]))
    }

    /// Puts `at` in the place of what had the same hash, and gives that.
    #[inline]
    fn replace(&mut self, bytes: u64, at: u32) -> u16 {
        // The golden ratio spreads what differs in any bit over the upper ones.
        let hash = bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.ilog2());
        let slot = &mut self.0[usize::try_from(hash).unwrap_or_default() % SLOTS];
        std::mem::replace(slot, low(at))
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
fn low(at: u32) -> u16 {
    at as u16
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

    /// Forgets everything, and takes in the first bytes, which references may reach.
    pub(super) fn start(&mut self, dictionary: &[u8]) {
        self.of_three.0.fill(0);
        self.of_six.0.fill(0);
        for at in 0..end(dictionary).saturating_sub(READ - 1) {
            self.remember(dictionary, at);
        }
    }

    #[inline]
    fn remember(&mut self, bytes: &[u8], at: u32) {
        let word = word(bytes, at);
        self.of_three.replace(word << 40, at);
        self.of_six.replace(word << 16, at);
    }

    /// The longer of what the tables know, of which no more than the bytes of a look
    /// are compared. Remembers this place.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a tenth of the speed")]
    fn find(&mut self, bytes: &[u8], at: u32) -> Reference {
        let here = word(bytes, at);
        let of_six = self.of_six.replace(here << 16, at);
        let of_three = self.of_three.replace(here << 40, at);
        let (mut same, mut distance) = (0, 0);
        for place in [of_six, of_three] {
            // The place's upper bits are those that bring it close behind `at`. It is not
            // before the first byte: below 65536 the tables have nothing but true places.
            let back = u32::from(low(at).wrapping_sub(place));
            let there = word(bytes, at.wrapping_sub(back));
            // A place that is `at` itself (a table that has nothing yet says 0) is 0 back, which
            // becomes the largest number of all here, and no match.
            let bits = if back.wrapping_sub(1) < MOST_DISTANCE {
                (here ^ there).trailing_zeros()
            } else {
                0
            };
            (same, distance) = if bits > same { (bits, back) } else { (same, distance) };
        }
        let least = if distance > NEAR { 4 } else { 3 };
        let length = if same / 8 < least { 0 } else { same / 8 };
        Reference { length, distance }
    }

    /// The longest of the references from here and the next places, the first of them if
    /// there are several, and how many bytes are before it. (Written out, since a loop is 3 % slower.)
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as `find`")]
    fn find_longest(&mut self, bytes: &[u8], at: u32) -> (Reference, u32) {
        let first = self.find(bytes, at);
        let second = self.find(bytes, at + 1);
        let third = self.find(bytes, at + 2);
        let is_second = second.length > first.length;
        let longer = if is_second { second } else { first };
        let is_third = third.length > longer.length;
        let skipped = if is_third { 2 } else { u32::from(is_second) };
        (if is_third { third } else { longer }, skipped)
    }

    /// Divides the bytes from `from` on into sequences, until there are enough, and counts their symbols.
    pub(super) fn chunk(
        &mut self,
        bytes: &[u8],
        from: u32,
        sequences: &mut Vec<Sequence>,
    ) -> Counts {
        let end = end(bytes);
        let until = end.min(from.saturating_add(CHUNK_BYTES));
        let last = until.min(end.saturating_sub(READ + LOOKS - 1));
        let most = sequences.len() + CHUNK_SEQUENCES;
        let mut counts = Counts::default();
        let (mut at, mut literals) = (from, from);
        while at < last && sequences.len() < most {
            let (mut found, skipped) = self.find_longest(bytes, at);
            if found.length == 0 {
                let next = last.min(at + LOOKS + ((at - literals) >> PATIENCE));
                at = count_literals(&mut counts, bytes, at, next);
                continue;
            }
            for place in 0..LOOKS - 1 {
                counts.literal(bytes[(at + place) as usize], u32::from(skipped > place));
            }
            at += skipped;
            if found.length == READ {
                found.length = extend(bytes, at, found.distance);
            }
            sequences.push(sequence(&mut counts, at - literals, found));
            let next = at + found.length;
            if next < last {
                for place in [at + 2, next - 2, next - 1] {
                    self.remember(bytes, place);
                }
            }
            (at, literals) = (next, next);
        }
        if at >= last && at < until {
            at = count_literals(&mut counts, bytes, at, until);
        }
        if at > literals {
            sequences.push(Sequence {
                literals: low(at - literals),
                length: 0,
                distance: 0,
                distance_symbol: 0,
            });
        }
        counts
    }
}

#[inline]
fn count_literals(counts: &mut Counts, bytes: &[u8], at: u32, next: u32) -> u32 {
    for byte in &bytes[at as usize..next as usize] {
        counts.literal(*byte, 1);
    }
    next
}

#[inline]
fn sequence(counts: &mut Counts, literals: u32, found: Reference) -> Sequence {
    let distance = low(found.distance.wrapping_sub(1));
    let symbol = distance_symbol(distance);
    counts.reference(LENGTH_CODES[found.length as usize], symbol);
    Sequence {
        literals: low(literals),
        length: low(found.length),
        distance,
        distance_symbol: u16::from(symbol),
    }
}

/// Places have 32 bits.
fn end(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// The length of a reference of which eight bytes are known to be the same.
#[inline]
fn extend(bytes: &[u8], at: u32, distance: u32) -> u32 {
    let mut length = READ;
    let most = MOST_LENGTH.min(end(bytes) - at);
    while length + READ <= most {
        let differ = word(bytes, at + length) ^ word(bytes, at + length - distance);
        if differ != 0 {
            return length + differ.trailing_zeros() / 8;
        }
        length += READ;
    }
    let same =
        |length: &u32| bytes[(at + length) as usize] == bytes[(at + length - distance) as usize];
    (length..most).find(|length| !same(length)).unwrap_or(most)
}

/// The eight bytes at a place, which must be there.
#[inline]
fn word(bytes: &[u8], at: u32) -> u64 {
    let at = at as usize;
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
