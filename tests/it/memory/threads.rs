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

/// Bytes that no compression makes smaller: no encoder looks as far back as to where they repeat.
const NOISE: usize = 4 << 20;
/// How often they are repeated.
const TIMES: usize = 24;
/// How much of a file the program reads at a time.
const PIECE: usize = 128 << 10;

/// Adds a layer of noise to the image in the current directory.
fn compress(compression: Compression) {
    let mut noise = vec![0; NOISE];
    File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
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
        let mut pieces = (0..TIMES).flat_map(|_| noise.chunks(PIECE));
        pieces.try_for_each(|piece| output.write_all(piece)).map_err(Into::into)
    };
    let mut editor = ImageEditor::new(&writer, image);
    editor.add_layer(&options, write).unwrap();
    writer.tag(&name, editor.commit().unwrap().root().clone()).unwrap();
}

#[test]
fn eight_threads_take_no_more_than_the_program_may() {
    if let Ok(suffix) = std::env::var(HOW) {
        let media_type = format!("tar+{suffix}");
        return compress(Compression::from_media_type(&media_type).unwrap());
    }
    if peer("time").is_none() {
        return;
    }
    let this = std::env::current_exe().unwrap();
    let test = "memory::threads::eight_threads_take_no_more_than_the_program_may";
    for compression in [Compression::Gzip, Compression::Zstd] {
        let (sandbox, how) = (Sandbox::with_image(), [(HOW, compression.suffix())]);
        peak_of(&sandbox, &this, &["--exact", test], &how);
        assert_eq!(sandbox.layers("img", "latest")[0].len(), NOISE * TIMES);
    }
}
