// SPDX-License-Identifier: Apache-2.0
//! The Zstandard encoder: one frame with a checksum, cut into jobs of a fixed
//! size that the library compresses on several threads.

use std::io::{self, Write};
use std::num::NonZeroUsize;

use zstd::stream::write::Encoder;
use zstd::zstd_safe::CParameter;

/// The level: with jobs of this size the fastest that gives smaller layers than the usual tools.
const LEVEL: i32 = 3;

/// The bytes of input that one thread takes at a time. It decides the bytes
/// that come out, and the memory that each thread takes.
const JOB: u32 = 3 << 20;

/// How much of the input before it a job looks at: 8 of 9 is half a window.
const OVERLAP_LOG: u32 = 8;

/// Compresses what is written to it into one Zstandard frame.
pub(super) struct ZstdEncoder<W: Write>(Encoder<'static, W>);

impl<W: Write> ZstdEncoder<W> {
    pub(super) fn new(output: W, threads: NonZeroUsize) -> io::Result<Self> {
        let mut encoder = Encoder::new(output, LEVEL)?;
        encoder.include_checksum(true)?;
        // Even a single thread takes the way of several: otherwise it would cut no jobs.
        encoder.multithread(u32::try_from(threads.get()).unwrap_or(u32::MAX))?;
        encoder.set_parameter(CParameter::JobSize(JOB))?;
        encoder.set_parameter(CParameter::OverlapSizeLog(OVERLAP_LOG))?;
        Ok(Self(encoder))
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
