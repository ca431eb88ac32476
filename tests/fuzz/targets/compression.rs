// SPDX-License-Identifier: Apache-2.0
//! What is compressed comes back, and hardly grows.

use std::io::{Read, Write};
use std::num::NonZeroUsize;

use umoci::layer::compress::{Compression, Decoder, Encoder, EncoderOptions};

use crate::driver::Target;

pub(crate) const TARGET: Target = Target {
    name: "compression",
    run,
    words: &[
        &[0; 258],
        b"abcabcabcabc",
        b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8",
        b"etaoin shrdlu",
        b"\0\0\0\0\0\0\0\x01",
    ],
    mend: super::as_it_is,
};

/// More than one block of the encoder.
const LONG: usize = 600 << 10;
/// The frame, and what ends each block.
const FRAME: usize = 64;

fn run(input: &[u8]) -> String {
    let mut bytes = input.to_vec();
    // Once in a while over a block's end, where references reach into the one before.
    if input.len() > 1000 && input[0].is_multiple_of(16) {
        bytes = input.iter().copied().cycle().take(LONG).collect();
    }
    let options = EncoderOptions { threads: Some(NonZeroUsize::MIN) };
    let mut encoder = Encoder::new(Vec::new(), Compression::Gzip, &options).unwrap();
    encoder.write_all(&bytes).unwrap();
    let compressed = encoder.finish().unwrap();
    let mut back = Vec::new();
    Decoder::new(&compressed[..], Compression::Gzip).unwrap().read_to_end(&mut back).unwrap();
    assert!(back == bytes, "something else comes back");
    assert!(compressed.len() <= bytes.len() + bytes.len() / 256 + FRAME, "{}", compressed.len());
    // The kind of the first block, and about how large everything is.
    let kind = ["stored", "fixed", "dynamic"][usize::from((compressed[10] >> 1) & 3)];
    let digits = |size: usize| "x".repeat(size.checked_ilog2().map_or(0, |log| log as usize));
    format!("{kind} {}a {}b", digits(bytes.len()), digits(compressed.len()))
}
