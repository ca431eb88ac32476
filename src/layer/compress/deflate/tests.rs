// SPDX-License-Identifier: Apache-2.0
//! What was compressed is what another library inflates; the laws of codes.

use std::collections::BinaryHeap;
use std::iter;

use flate2::{Decompress, FlushDecompress, Status};
use proptest::prelude::*;

use super::*;
use huffman::Code;

const WINDOW: usize = 32 << 10;

fn compress(bytes: &[u8], dictionary: usize) -> Vec<u8> {
    Deflate::new().compress(bytes, dictionary, Vec::new())
}

/// Inflates what was compressed behind a dictionary, which stored blocks stand for.
fn inflate(dictionary: &[u8], compressed: &[u8]) -> Vec<u8> {
    let mut writer = BitWriter::default();
    dictionary.chunks(65535).for_each(|bytes| writer.stored(bytes));
    let stream = [&writer.finish(), compressed, &[3, 0]].concat();
    let mut output = Vec::with_capacity(64 + dictionary.len() + 1032 * compressed.len());
    let mut inflate = Decompress::new(false);
    let status = inflate.decompress_vec(&stream, &mut output, FlushDecompress::Finish);
    assert_eq!(status.unwrap(), Status::StreamEnd);
    assert_eq!(inflate.total_in(), stream.len() as u64);
    output
}

/// Compresses what is behind the dictionary, and gives how many bytes it took.
fn round_trip(bytes: &[u8], dictionary: usize) -> usize {
    let compressed = compress(bytes, dictionary);
    assert!(compressed.ends_with(&[0, 0, 0xff, 0xff]));
    assert!(inflate(&bytes[..dictionary], &compressed) == bytes, "{} bytes", bytes.len());
    let size = bytes.len() - dictionary;
    assert!(compressed.len() <= size + size / 256 + 16, "{size} bytes became {}", compressed.len());
    compressed.len()
}

fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    })
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    letters(seed, 256, len)
}

/// Bytes by chance, of so many kinds.
fn letters(seed: u64, kinds: u64, len: usize) -> Vec<u8> {
    numbers(seed).map(|number| u8::try_from(number % kinds).unwrap()).take(len).collect()
}

/// A part of an input.
#[derive(Debug, Clone)]
enum Part {
    Letters {
        seed: u64,
        kinds: u64,
        len: usize,
    },
    Run {
        byte: u8,
        len: usize,
    },
    /// What is so far back, once more; overlapping itself if it is longer.
    Again {
        back: usize,
        len: usize,
    },
}

fn append(bytes: &mut Vec<u8>, part: &Part) {
    match *part {
        Part::Letters { seed, kinds, len } => bytes.extend(letters(seed, kinds, len)),
        Part::Run { byte, len } => bytes.extend(iter::repeat_n(byte, len)),
        Part::Again { back, len } => {
            if bytes.is_empty() {
                return;
            }
            let back = back.min(bytes.len());
            for _ in 0..len {
                bytes.push(bytes[bytes.len() - back]);
            }
        }
    }
}

fn part() -> impl Strategy<Value = Part> {
    let len = || prop_oneof![0..12_usize, 250..270_usize, 0..3000_usize, Just(65536)];
    let back =
        prop_oneof![1..9_usize, 1..40_000_usize, 32760..32776_usize, Just(WINDOW), Just(65536)];
    let kinds = prop_oneof![1..6_u64, Just(256), 1..=256_u64];
    prop_oneof![
        2 => (any::<u64>(), kinds, len()).prop_map(|(seed, kinds, len)| Part::Letters { seed, kinds, len }),
        1 => (any::<u8>(), len()).prop_map(|(byte, len)| Part::Run { byte, len }),
        4 => (back, len()).prop_map(|(back, len)| Part::Again { back, len }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_input_comes_back(parts in prop::collection::vec(part(), 0..20), divide in 0..=WINDOW) {
        let mut bytes = Vec::new();
        for part in &parts {
            append(&mut bytes, part);
        }
        round_trip(&bytes, 0);
        round_trip(&bytes, divide.min(bytes.len()));
    }
}

#[test]
fn short_inputs_come_back() {
    let text = b"To be, or not to be, that is the question: ".repeat(16);
    for len in 0..300 {
        for bytes in [&noise(1, 600), &text, &letters(2, 2, 600), &vec![7; 600]] {
            round_trip(&bytes[..len], 0);
            round_trip(&bytes[..300 + len], 300);
            round_trip(&bytes[..300 + len], len);
        }
    }
    assert_eq!(compress(&[], 0), [0, 0, 0, 0xff, 0xff]);
}

#[test]
fn references_reach_exactly_as_far_as_they_may() {
    let piece = noise(3, 258);
    for (gap, found) in [(WINDOW - 258, true), (WINDOW - 257, false)] {
        let bytes = [&piece[..], &vec![0; gap], &piece].concat();
        assert_eq!(round_trip(&bytes, bytes.len() - 258) < 258, found, "{gap}");
    }
}

#[test]
fn references_cross_the_end_of_the_dictionary() {
    let piece = noise(4, 500);
    for before in [1, 3, 4, 8, 100, 499] {
        let bytes = [&piece[..], &piece[..before], &piece[before..], &piece].concat();
        assert!(round_trip(&bytes, 500 + before) < 30);
    }
}

#[test]
fn long_runs_take_the_longest_references() {
    for len in [257, 258, 259, 260, 261, 266, 516, 517, 100_000] {
        assert!(round_trip(&vec![0; len], 0) < 24 + len / 500, "{len}");
    }
}

#[test]
fn what_cannot_be_compressed_is_stored() {
    for len in [1, 1000, 65535, 65536, 131_070, 400_000] {
        let blocks = len / 65535 + 2;
        assert!(round_trip(&noise(5, len), 0) <= len + 5 * blocks + 5, "{len}");
    }
}

#[test]
fn text_and_noise_are_not_written_with_one_code() {
    let (text, noise) = (letters(6, 16, 100_000), noise(6, 100_000));
    let both = [&text[..], &noise].concat();
    assert!(round_trip(&both, 0) < round_trip(&text, 0) + round_trip(&noise, 0) + 3000);
}

#[test]
fn few_symbols_are_written_with_the_fixed_code() {
    let compressed = compress(b"To be, or not to be", 0);
    assert_eq!(compressed[0] & 7, 0b010);
    assert!(compressed.len() <= 26);
}

#[test]
fn rare_symbols_get_codes_that_are_not_too_long() {
    let mut bytes = Vec::new();
    let (mut count, mut next) = (1, 1);
    for symbol in 0..22_u8 {
        bytes.extend(iter::repeat_n(symbol, count));
        (count, next) = (next, count + next);
    }
    let mut order: Vec<_> = numbers(7).zip(bytes).collect();
    order.sort_unstable();
    let mixed: Vec<u8> = order.into_iter().map(|(_, byte)| byte).chain(0..=255).collect();
    round_trip(&mixed, 0);
}

#[test]
fn a_block_does_not_depend_on_the_ones_before() {
    let mut used = Deflate::new();
    for seed in 1..30 {
        let bytes = letters(seed, 3, WINDOW + 3000);
        assert!(used.compress(&bytes, WINDOW, Vec::new()) == compress(&bytes, WINDOW), "{seed}");
        used.compress(&letters(seed + 200, 5, 3 * WINDOW), 0, Vec::new());
    }
}

#[test]
fn output_is_appended() {
    let whole = Deflate::new().compress(b"abcabcabc", 0, vec![1, 2]);
    assert_eq!(whole, [&[1, 2], &compress(b"abcabcabc", 0)[..]].concat());
}

/// The bits that Huffman's own way takes, without a limit.
fn least_bits(counts: &[u32]) -> u64 {
    let some = counts.iter().filter(|count| **count > 0);
    let mut heap: BinaryHeap<_> = some.map(|count| std::cmp::Reverse(u64::from(*count))).collect();
    let mut bits = 0;
    while heap.len() > 1 {
        let sum = heap.pop().unwrap().0 + heap.pop().unwrap().0;
        bits += sum;
        heap.push(std::cmp::Reverse(sum));
    }
    bits
}

/// Complete, none too long, and as short as can be unless the limit binds.
fn check_code<const N: usize>(counts: &[u32; N], limit: usize) {
    let code = Code::new(counts, limit);
    let used = counts.iter().filter(|count| **count > 0).count();
    let lengths =
        || code.lengths.iter().map(|length| usize::from(*length)).filter(|length| *length > 0);
    assert_eq!(lengths().map(|length| 1 << (15 - length)).sum::<u32>(), 1 << 15, "{counts:?}");
    assert!(lengths().all(|length| length <= limit));
    assert_eq!(lengths().count(), used.max(2));
    assert!(counts.iter().zip(&code.lengths).all(|(count, length)| *count == 0 || *length > 0));
    if used > 1 && lengths().max() < Some(limit) {
        assert_eq!(code.size(counts), least_bits(counts), "{counts:?}");
    }
    for (symbol, length) in code.lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
        let begins =
            |other: usize| (code.bits[other] ^ code.bits[symbol]) & ((1 << length) - 1) == 0;
        let longer = |other: &usize| *other != symbol && code.lengths[*other] >= *length;
        assert!(!(0..N).filter(longer).any(begins), "{symbol} begins another");
    }
}

fn counts<const N: usize>() -> impl Strategy<Value = [u32; N]> {
    let steep = (0..20_u32).prop_flat_map(|log| 0..=1_u32 << log);
    prop::collection::vec(prop_oneof![Just(0), 0..3_u32, steep], N)
        .prop_map(|counts| counts.try_into().unwrap())
}

proptest! {
    #[test]
    fn codes_are_complete_and_short(
        literals in counts::<288>(),
        distances in counts::<32>(),
        lengths in counts::<19>(),
    ) {
        check_code(&literals, 14);
        check_code(&literals, 15);
        check_code(&distances, 15);
        check_code(&lengths, 7);
    }
}

#[test]
fn codes_of_extreme_counts_are_complete() {
    let mut fibonacci = [0_u32; 32];
    (fibonacci[0], fibonacci[1]) = (1, 1);
    for symbol in 2..32 {
        fibonacci[symbol] = fibonacci[symbol - 1] + fibonacci[symbol - 2];
    }
    for used in 0..=32 {
        let mut counts = [0; 32];
        counts[32 - used..].copy_from_slice(&fibonacci[..used]);
        for limit in [7, 14, 15] {
            check_code(&counts, limit);
            check_code::<32>(&std::array::from_fn(|symbol| u32::from(symbol < used)), limit);
        }
    }
    assert_eq!(Code::new(&fibonacci, 15).lengths[0], 15);
    for only in 0..19 {
        check_code(&std::array::from_fn::<_, 19, _>(|symbol| u32::from(symbol == only)), 7);
    }
}

#[test]
fn symbols_are_those_of_the_format() {
    use symbols::{
        LENGTH_CODES, distance_base, distance_extra, distance_symbol, length_base, length_extra,
    };
    for (length, code) in LENGTH_CODES.iter().enumerate().skip(3) {
        let (length, base) = (u32::try_from(length).unwrap(), length_base(*code));
        assert!((base..base + (1 << length_extra(*code))).contains(&length), "{length}");
    }
    for distance in 0..=32767_u16 {
        let symbol = distance_symbol(distance);
        let base = distance_base(symbol);
        assert!(
            (base..base + (1 << distance_extra(symbol))).contains(&distance.into()),
            "{distance}"
        );
    }
    // From the tables of RFC 1951, 3.2.5.
    let bases: Vec<u32> = (0..30).map(distance_base).collect();
    assert_eq!(bases[..8], [0, 1, 2, 3, 4, 6, 8, 12]);
    assert_eq!(bases[26..], [8192, 12288, 16384, 24576]);
    let bases: Vec<u32> = (0..29).map(length_base).collect();
    assert_eq!(bases[..10], [3, 4, 5, 6, 7, 8, 9, 10, 11, 13]);
    assert_eq!(bases[24..], [131, 163, 195, 227, 258]);
}
