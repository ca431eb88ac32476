// SPDX-License-Identifier: Apache-2.0
//! What compression takes with more processors than this machine may have. The program has as
//! many threads as there are processors, so the library is asked for more, in a process of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroUsize;

use umoci::image::{CompressionChoice, Image, ImageEditor, LayerOptions};
use umoci::layer::compress::{Compression, EncoderOptions};
use umoci::layout::Layout;

use super::peak_of;
use crate::harness::{Sandbox, peer};

/// As many threads as the program starts at most.
const THREADS: usize = 8;
/// In the environment of the process that compresses: how.
const HOW: &str = "UMOCI_TEST_COMPRESSION";

/// In the same: of what.
const WHAT: &str = "UMOCI_TEST_BYTES";
/// Bytes that no compression makes smaller.
const NOISE: &str = "noise";
/// Bytes of which each three are found close before, but hardly ever more.
const SYLLABLES: &str = "syllables";

/// How many bytes there are. No encoder looks as far back as to where they repeat.
const LENGTH: usize = 4 << 20;
/// How often they are repeated.
const TIMES: usize = 24;
/// How much of a file the program reads at a time.
const PIECE: usize = 128 << 10;

fn noise() -> Vec<u8> {
    let mut noise = vec![0; LENGTH];
    File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    noise
}

fn syllables() -> Vec<u8> {
    let noise = noise();
    let choices = noise[..700 * 3].as_chunks::<3>().0;
    let chosen = noise.as_chunks::<2>().0.iter().map(|pair| usize::from(u16::from_le_bytes(*pair)));
    chosen.flat_map(|number| choices[number % choices.len()]).take(LENGTH).collect()
}

/// Adds a layer of such bytes to the image in the current directory.
fn compress(compression: Compression, bytes: &[u8]) {
    let layout = Layout::open("img").unwrap();
    let writer = layout.writer().unwrap();
    let name = "latest".parse().unwrap();
    let image = Image::load(&layout, layout.resolve(&name).unwrap()).unwrap();
    let options = LayerOptions {
        compression: CompressionChoice::Fixed(compression),
        encoder: EncoderOptions { threads: NonZeroUsize::new(THREADS) },
        ..LayerOptions::default()
    };
    let write = |output: &mut dyn Write| {
        let mut pieces = (0..TIMES).flat_map(|_| bytes.chunks(PIECE));
        pieces.try_for_each(|piece| output.write_all(piece)).map_err(Into::into)
    };
    let mut editor = ImageEditor::new(&writer, image);
    editor.add_layer(&options, write).unwrap();
    writer.tag(&name, editor.commit().unwrap().root().clone()).unwrap();
}

#[test]
fn eight_threads_take_no_more_than_the_program_may() {
    if let (Ok(suffix), Ok(what)) = (std::env::var(HOW), std::env::var(WHAT)) {
        let compression = Compression::from_media_type(&format!("tar+{suffix}")).unwrap();
        return compress(compression, &if what == NOISE { noise() } else { syllables() });
    }
    if peer("time").is_none() {
        return;
    }
    let this = std::env::current_exe().unwrap();
    let test = "memory::threads::eight_threads_take_no_more_than_the_program_may";
    for (how, what) in [("gzip", NOISE), ("gzip", SYLLABLES), ("zstd", NOISE)] {
        let sandbox = Sandbox::with_image();
        peak_of(&sandbox, &this, &["--exact", test], &[(HOW, how), (WHAT, what)]);
        assert_eq!(sandbox.layers("img", "latest")[0].len(), LENGTH * TIMES);
    }
}
