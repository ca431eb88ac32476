// SPDX-License-Identifier: Apache-2.0
//! What a deflate block is made of: literals and references (RFC 1951, 3.2.5),
//! and how often each symbol occurs.

/// Symbols of the alphabet of literals and lengths.
pub(super) const LITERALS: usize = 288;
/// Symbols of the alphabet of distances.
pub(super) const DISTANCES: usize = 32;
/// The symbol that ends a block.
pub(super) const END: usize = 256;

/// The longest that a reference may be.
pub(super) const MOST_LENGTH: u32 = 258;
/// How far a reference may reach.
pub(super) const MOST_DISTANCE: u32 = 32 << 10;

/// Literals, which are not repeated here, and then a reference, or none at the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sequence {
    pub(super) literals: u16,
    /// 0 for none.
    pub(super) length: u16,
    /// How far back, less 1.
    pub(super) distance: u16,
    /// The number of the distance's symbol.
    pub(super) distance_symbol: u16,
}

impl Sequence {
    pub(super) fn bytes(self) -> usize {
        usize::from(self.literals) + usize::from(self.length)
    }
}

/// For each length the number of its symbol above [`END`] + 1.
pub(super) const LENGTH_CODES: [u8; 259] = {
    let mut codes = [0; 259];
    let mut over = 0;
    while over + 3 < 258 {
        codes[over as usize + 3] = number_of(over, 2);
        over += 1;
    }
    // The longest has one of its own, without extra bits.
    codes[258] = 28;
    codes
};

/// The extra bits of the length whose symbol is `code` above [`END`] + 1.
pub(super) const fn length_extra(code: u8) -> u8 {
    if code == 28 { 0 } else { extra_of(code, 2) }
}

/// The least length with that symbol.
pub(super) const fn length_base(code: u8) -> u32 {
    if code == 28 { 258 } else { 3 + least_of(code, 2) }
}

/// The symbols of the distances less 1: of those below 256, and of the others for
/// each 128 of them, which have the same.
const DISTANCE_SYMBOLS: [u8; 512] = {
    let mut symbols = [0; 512];
    let mut place = 0_u32;
    while place < 512 {
        let distance = if place < 256 { place } else { (place - 256) << 7 };
        symbols[place as usize] = number_of(distance, 1);
        place += 1;
    }
    symbols
};

/// The symbol of a distance less 1.
#[inline]
pub(super) fn distance_symbol(distance: u16) -> u8 {
    let place = if distance < 256 { distance } else { 256 + (distance >> 7) };
    DISTANCE_SYMBOLS[usize::from(place) % DISTANCE_SYMBOLS.len()]
}

/// The extra bits of a distance with that symbol.
pub(super) const fn distance_extra(symbol: u8) -> u8 {
    extra_of(symbol, 1)
}

/// The least distance less 1 with that symbol.
pub(super) const fn distance_base(symbol: u8) -> u32 {
    least_of(symbol, 1)
}

// Both alphabets are made the same way: 2^`steps` symbols for each power of two,
// below which every value has its own.

#[inline]
const fn number_of(value: u32, steps: u32) -> u8 {
    let number = match value.checked_ilog2() {
        Some(log) if log >= steps => {
            ((log - steps + 1) << steps) + ((value >> (log - steps)) & ((1 << steps) - 1))
        }
        _ => value,
    };
    number.to_le_bytes()[0]
}

const fn extra_of(number: u8, steps: u8) -> u8 {
    (number >> steps).saturating_sub(1)
}

const fn least_of(number: u8, steps: u8) -> u32 {
    if number >> steps == 0 {
        return number as u32;
    }
    let first = (1 << steps) + (number & ((1 << steps) - 1));
    (first as u32) << extra_of(number, steps)
}

/// How often each symbol occurs, the end apart. A block's symbols are no more than
/// its bytes, far from the 32 bits, so sums need no look whether they wrap.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) literals: [u32; LITERALS],
    pub(super) distances: [u32; DISTANCES],
}

impl Default for Counts {
    fn default() -> Self {
        Self { literals: [0; LITERALS], distances: [0; DISTANCES] }
    }
}

impl Counts {
    #[inline]
    pub(super) fn literal(&mut self, byte: u8, times: u32) {
        let count = &mut self.literals[usize::from(byte)];
        *count = count.wrapping_add(times);
    }

    #[inline]
    pub(super) fn reference(&mut self, length_code: u8, distance_symbol: u8) {
        let of_length = &mut self.literals[END + 1 + usize::from(length_code)];
        *of_length = of_length.wrapping_add(1);
        let of_distance = &mut self.distances[usize::from(distance_symbol) % DISTANCES];
        *of_distance = of_distance.wrapping_add(1);
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, other) in self.literals.iter_mut().zip(&other.literals) {
            *count = count.wrapping_add(*other);
        }
        for (count, other) in self.distances.iter_mut().zip(&other.distances) {
            *count = count.wrapping_add(*other);
        }
    }

    /// About how many bits the symbols take, without extra bits.
    pub(super) fn bits(&self) -> f32 {
        entropy(&self.literals) + entropy(&self.distances)
    }
}

/// The bits of the best code for symbols that occur so often, were parts of bits possible.
fn entropy<const N: usize>(counts: &[u32; N]) -> f32 {
    // In lanes, for which there are vector instructions. The order of the sums is
    // fixed, and so is the result, on every processor.
    const LANES: usize = 8;
    let (mut sums, mut totals) = ([0.0; LANES], [0_u32; LANES]);
    for counts in counts.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            sums[lane] += times_log(counts[lane]);
            totals[lane] = totals[lane].wrapping_add(counts[lane]);
        }
    }
    times_log(totals.iter().sum()) - sums.iter().sum::<f32>()
}

/// `count` times its logarithm to base 2, within a hundredth of `count`; 0 for 0.
#[inline]
#[expect(
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "an estimate of small numbers"
)]
fn times_log(count: u32) -> f32 {
    let count = count as i32 as f32;
    let bits = count.to_bits();
    let exponent = ((bits >> 23) as i32 - 127) as f32;
    let part = f32::from_bits(bits & 0x7f_ffff | 0x3f80_0000) - 1.0;
    count * (exponent + part * (1.344 - 0.344 * part))
}
