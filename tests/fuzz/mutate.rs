// SPDX-License-Identifier: Apache-2.0
//! Changes by chance: of bits, numbers and blocks, with words of the target's
//! and with pieces of other inputs.

use crate::dice::Dice;

/// Numbers at which something ends.
const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "127",
    "128",
    "255",
    "256",
    "512",
    "4096",
    "65535",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
];

/// Changes an input once, or a few times.
pub(crate) fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], words: &[&[u8]], dice: &mut Dice) {
    let times = 1 + dice.below(4);
    for _ in 0..times {
        once(input, others, words, dice);
    }
}

fn once(input: &mut Vec<u8>, others: &[Vec<u8>], words: &[&[u8]], dice: &mut Dice) {
    let at = dice.below(input.len() + 1);
    match dice.below(12) {
        0 => change(input, at, |byte, dice| byte ^ (1 << dice.below(8)), dice),
        1 => change(input, at, |_, dice| u8::try_from(dice.below(256)).unwrap(), dice),
        2 => change(input, at, |byte, dice| byte.wrapping_add(*dice.pick(&[1, 255])), dice),
        3 => replace(input, at, 0, &[b'0' + u8::try_from(dice.below(10)).unwrap()]),
        4 | 5 if !words.is_empty() => {
            let word = *dice.pick(words);
            let gone = if dice.one_in(2) { word.len() } else { 0 };
            replace(input, at, gone, word);
        }
        6 => number(input, at, dice.pick(&NUMBERS).as_bytes()),
        7 => replace(input, at, 1 + dice.below(16), b""),
        8 => {
            let end = (at + 1 + dice.below(64)).min(input.len());
            let piece = input[at..end].to_vec();
            replace(input, dice.below(input.len() + 1), 0, &piece);
        }
        9 => {
            let other = dice.pick(others);
            let from = dice.below(other.len() + 1);
            let to = from + dice.below(other.len() - from + 1);
            replace(input, at, dice.below(32), &other[from..to]);
        }
        10 => blocks(input, dice),
        _ if dice.one_in(4) => input.truncate(at),
        _ => replace(input, at, 0, &vec![*dice.pick(b"\0\xff/a .\n"); 1 + dice.below(300)]),
    }
}

fn change(input: &mut [u8], at: usize, with: impl Fn(u8, &mut Dice) -> u8, dice: &mut Dice) {
    if let Some(byte) = input.get_mut(at) {
        *byte = with(*byte, dice);
    }
}

fn replace(input: &mut Vec<u8>, at: usize, gone: usize, new: &[u8]) {
    let end = (at + gone).min(input.len());
    input.splice(at..end, new.iter().copied());
}

/// Puts a number in the place of the next one.
fn number(input: &mut Vec<u8>, at: usize, new: &[u8]) {
    let Some(start) = input[at..].iter().position(u8::is_ascii_digit) else { return };
    let start = at + start;
    let length = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    replace(input, start, length, new);
}

/// Removes, doubles or swaps blocks of an archive.
fn blocks(input: &mut Vec<u8>, dice: &mut Dice) {
    const BLOCK: usize = 512;
    let count = input.len() / BLOCK;
    if count < 2 {
        return;
    }
    let (one, other) = (dice.below(count) * BLOCK, dice.below(count) * BLOCK);
    let block = input[one..one + BLOCK].to_vec();
    match dice.below(3) {
        0 => replace(input, one, BLOCK, b""),
        1 => replace(input, other, 0, &block),
        _ => {
            let swapped = input[other..other + BLOCK].to_vec();
            replace(input, one, BLOCK, &swapped);
            replace(input, other, BLOCK, &block);
        }
    }
}
