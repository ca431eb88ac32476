// SPDX-License-Identifier: Apache-2.0
//! The Zstandard encoder: one frame with a checksum, cut into jobs of a fixed
//! size that the library compresses on several threads.

use std::io::{self, Write};
use std::num::NonZeroUsize;

use zstd::stream::raw::Encoder as Compressor;
use zstd::stream::write::Encoder;
use zstd::stream::zio;
use zstd::zstd_safe::CParameter;

/// The level: with jobs of this size the fastest that gives smaller layers than the usual tools.
const LEVEL: i32 = 3;

/// The bytes of input that one thread takes at a time. It decides the bytes
/// that come out, and the memory that each thread takes.
const JOB: u32 = 3 << 20;

/// With how many threads the library has 8 jobs on their way at most, in 24 MiB, and 21 MiB of
/// input for them. With 6 it would have 16. All 4 are faster than anything makes a layer.
const MOST_THREADS: u32 = 4;

/// How much of the input before it a job looks at: 8 of 9 is half a window.
const OVERLAP_LOG: u32 = 8;

/// How many bytes of output are taken at a time: more than a piece of input becomes, or what
/// jobs have made would pile up in the library, each in a buffer of the size of a job.
const OUTPUT: usize = 512 << 10;

/// Compresses what is written to it into one Zstandard frame.
pub(super) struct ZstdEncoder<W: Write>(Encoder<'static, W>);

impl<W: Write> ZstdEncoder<W> {
    pub(super) fn new(output: W, threads: NonZeroUsize) -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        // Even a single thread takes the way of several: otherwise it would cut no jobs.
        let threads =
            u32::try_from(threads.get()).map_or(MOST_THREADS, |threads| threads.min(MOST_THREADS));
        for parameter in [
            CParameter::ChecksumFlag(true),
            CParameter::NbWorkers(threads),
            CParameter::JobSize(JOB),
            CParameter::OverlapSizeLog(OVERLAP_LOG),
        ] {
            compressor.set_parameter(parameter)?;
        }
        let writer = zio::Writer::new_with_capacity(output, compressor, OUTPUT);
        Ok(Self(Encoder::with_writer(writer)))
    }

    pub(super) fn output(&mut self) -> &mut W {
        self.0.get_mut()
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    pub(super) fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}
