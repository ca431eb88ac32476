// SPDX-License-Identifier: Apache-2.0
//! Writes the blocks of the format, each the way that takes the fewest bits.

use std::sync::LazyLock;

use super::bits::{BitWriter, Bits, Packed};
use super::huffman::Code;
use super::symbols::{
    Counts, DISTANCES, END, LENGTH_CODES, LITERALS, Sequence, distance_base, distance_extra,
    length_base, length_extra,
};

/// The longest code of a literal: four of them are written at once, see [`Bits::put`].
const LITERAL_LIMIT: usize = 14;
const DISTANCE_LIMIT: usize = 15;
/// The longest code for a code's length (3.2.7).
const LENGTH_LIMIT: usize = 7;
/// The most bytes of a stored block (3.2.4).
const MOST_STORED: usize = 65535;

/// The order in which the lengths of the codes for lengths are told (3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The two codes of a block.
struct Codes {
    literals: Code<LITERALS>,
    distances: Code<DISTANCES>,
}

impl Codes {
    fn best(counts: &Counts) -> Self {
        Self {
            literals: Code::new(&counts.literals, LITERAL_LIMIT),
            distances: Code::new(&counts.distances, DISTANCE_LIMIT),
        }
    }

    fn size(&self, counts: &Counts) -> u64 {
        self.literals.size(&counts.literals) + self.distances.size(&counts.distances)
    }
}

/// The codes that need not be told (3.2.6).
static FIXED: LazyLock<Codes> = LazyLock::new(|| {
    let mut literals = [8; LITERALS];
    literals[144..256].fill(9);
    literals[256..280].fill(7);
    Codes { literals: Code::of(literals), distances: Code::of([5; DISTANCES]) }
});

/// Writes a block of `bytes`, which are what the sequences stand for. It is not the last.
pub(super) fn write(
    writer: &mut BitWriter,
    bytes: &[u8],
    sequences: &[Sequence],
    mut counts: Counts,
) {
    counts.literals[END] = 1;
    let (best, fixed) = (Codes::best(&counts), &*FIXED);
    let header = Header::new(&best);
    let extra = extra_bits(&counts);
    let with_best = 3 + header.size() + best.size(&counts) + extra;
    let with_fixed = 3 + fixed.size(&counts) + extra;
    if stored_size(writer, bytes.len()) <= with_best.min(with_fixed) {
        bytes.chunks(MOST_STORED).for_each(|bytes| writer.stored(bytes));
    } else if with_fixed <= with_best {
        writer.write(with_fixed, |bits| {
            bits.put(0b010, 3);
            bits.flush();
            write_symbols(bits, bytes, sequences, fixed);
        });
    } else {
        writer.write(with_best, |bits| {
            bits.put(0b100, 3);
            header.write(bits);
            write_symbols(bits, bytes, sequences, &best);
        });
    }
}

/// The bits of stored blocks, which begin at bytes.
fn stored_size(writer: &BitWriter, length: usize) -> u64 {
    let blocks = length.div_ceil(MOST_STORED) as u64;
    let first = 3 + u64::from((writer.padding() + 5) % 8);
    8 * length as u64 + 32 * blocks + first + 8 * (blocks - 1)
}

fn extra_bits(counts: &Counts) -> u64 {
    let lengths =
        (0..29).zip(&counts.literals[END + 1..]).map(|(code, count)| (length_extra(code), count));
    let distances =
        (0..30).zip(&counts.distances).map(|(symbol, count)| (distance_extra(symbol), count));
    lengths.chain(distances).map(|(extra, count)| u64::from(extra) * u64::from(*count)).sum()
}

/// What tells the codes (3.2.7): their lengths, runs of which are shortened.
struct Header {
    literals: usize,
    distances: usize,
    code: Code<19>,
    /// The symbols, and what their extra bits say.
    symbols: Vec<(u8, u8)>,
}

impl Header {
    fn new(codes: &Codes) -> Self {
        let (literals, distances) = (codes.literals.used(257), codes.distances.used(1));
        let lengths =
            [&codes.literals.lengths[..literals], &codes.distances.lengths[..distances]].concat();
        let mut symbols = Vec::with_capacity(lengths.len());
        for run in lengths.chunk_by(|one, other| one == other) {
            shorten(run[0], run.len(), &mut symbols);
        }
        let mut counts = [0; 19];
        for (symbol, _) in &symbols {
            counts[usize::from(*symbol)] += 1;
        }
        Self { literals, distances, code: Code::new(&counts, LENGTH_LIMIT), symbols }
    }

    /// How many lengths of the code for lengths are told.
    fn told(&self) -> usize {
        let last = ORDER.iter().rposition(|&symbol| self.code.lengths[symbol] > 0);
        last.map_or(4, |last| (last + 1).max(4))
    }

    fn size(&self) -> u64 {
        let bits = |(symbol, _): &(u8, u8)| {
            u64::from(self.code.lengths[usize::from(*symbol)]) + u64::from(run_extra(*symbol))
        };
        14 + 3 * self.told() as u64 + self.symbols.iter().map(bits).sum::<u64>()
    }

    fn write(&self, writer: &mut Bits<'_>) {
        let told = self.told();
        writer.put((self.literals - 257) as u64, 5);
        writer.put((self.distances - 1) as u64, 5);
        writer.put((told - 4) as u64, 4);
        for symbol in &ORDER[..told] {
            writer.flush();
            writer.put(u64::from(self.code.lengths[*symbol]), 3);
        }
        for &(symbol, extra) in &self.symbols {
            writer.flush();
            let index = usize::from(symbol);
            writer.put(u64::from(self.code.bits[index]), u32::from(self.code.lengths[index]));
            writer.put(u64::from(extra), run_extra(symbol));
        }
        writer.flush();
    }
}

/// Tells a run of equal lengths: zeros in up to 138, others by repetition of up to 6.
fn shorten(length: u8, mut count: usize, symbols: &mut Vec<(u8, u8)>) {
    if length > 0 {
        symbols.push((length, 0));
        count -= 1;
    }
    while count >= 3 {
        let (symbol, least, most) = match (length, count) {
            (0, 11..) => (18, 11, 138),
            (0, _) => (17, 3, 10),
            _ => (16, 3, 6),
        };
        let now = count.min(most);
        symbols.push((symbol, u8::try_from(now - least).unwrap_or_default()));
        count -= now;
    }
    symbols.extend(std::iter::repeat_n((length, 0), count));
}

/// The extra bits of the symbols for runs.
fn run_extra(symbol: u8) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

/// A distance's symbol as it is written.
#[derive(Clone, Copy, Default)]
struct Distance {
    bits: u16,
    length: u8,
    extra: u8,
    base: u32,
}

/// What each literal, length and distance is written as.
struct Writings {
    literals: [Packed; 256],
    lengths: [Packed; LENGTH_CODES.len()],
    distances: [Distance; DISTANCES],
}

impl Writings {
    fn new(codes: &Codes) -> Self {
        let code = &codes.literals;
        let literals =
            std::array::from_fn(|byte| Packed::new(code.bits[byte].into(), code.lengths[byte]));
        let mut lengths = [Packed::default(); LENGTH_CODES.len()];
        for number in 0..29 {
            let symbol = END + 1 + usize::from(number);
            let (bits, count) = (u32::from(code.bits[symbol]), code.lengths[symbol]);
            let of_number = lengths[length_base(number) as usize..].iter_mut();
            for (extra, writing) in (0..1 << length_extra(number)).zip(of_number) {
                *writing = Packed::new(bits | extra << count, count + length_extra(number));
            }
        }
        let mut distances = [Distance::default(); DISTANCES];
        for (symbol, distance) in (0..30).zip(&mut distances) {
            let code = &codes.distances;
            let (bits, length) =
                (code.bits[usize::from(symbol)], code.lengths[usize::from(symbol)]);
            *distance = Distance {
                bits,
                length,
                extra: distance_extra(symbol),
                base: distance_base(symbol),
            };
        }
        Self { literals, lengths, distances }
    }
}

/// Masks for four writings, of which so many are wanted. From a table, since a
/// comparison would become a branch that nobody can predict.
static WANTED: [[u32; 4]; 5] = {
    let mut masks = [[0; 4]; 5];
    let mut count = 0;
    while count < 5 {
        let mut place = 0;
        while place < count {
            masks[count][place] = u32::MAX;
            place += 1;
        }
        count += 1;
    }
    masks
};

fn write_symbols(writer: &mut Bits<'_>, bytes: &[u8], sequences: &[Sequence], codes: &Codes) {
    let writings = Writings::new(codes);
    let mut rest = bytes;
    for &sequence in sequences {
        let mut literals = rest;
        let mut count = usize::from(sequence.literals);
        while count > 4 {
            write_literals(writer, &writings, literals, 4);
            literals = &literals[4..];
            count -= 4;
        }
        write_literals(writer, &writings, literals, count);
        if sequence.length > 0 {
            write_reference(writer, &writings, sequence);
        }
        rest = &rest[sequence.bytes()..];
    }
    let end = u32::from(codes.literals.lengths[END]);
    writer.put(codes.literals.bits[END].into(), end);
    writer.flush();
}

/// Writes up to four literals.
#[inline]
fn write_literals(writer: &mut Bits<'_>, writings: &Writings, bytes: &[u8], count: usize) {
    let four = bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut four = [0; 4];
        four[..bytes.len()].copy_from_slice(bytes);
        four
    });
    for (byte, mask) in four.into_iter().zip(WANTED[count]) {
        writer.put_packed(writings.literals[usize::from(byte)].masked(mask));
    }
    writer.flush();
}

#[inline]
fn write_reference(writer: &mut Bits<'_>, writings: &Writings, sequence: Sequence) {
    writer.put_packed(writings.lengths[usize::from(sequence.length)]);
    let distance = writings.distances[usize::from(sequence.distance_symbol)];
    writer.put(distance.bits.into(), distance.length.into());
    writer.put((u32::from(sequence.distance) - distance.base).into(), distance.extra.into());
    writer.flush();
}
