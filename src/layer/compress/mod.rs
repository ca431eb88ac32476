// SPDX-License-Identifier: Apache-2.0
//! The compression around a layer: [`Decoder`] and [`Encoder`].

use std::fmt;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

use crate::error::Result;

/// How a layer's blob is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952).
    #[default]
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compression {
    /// The compression that a layer's media type names, after its first `+`.
    ///
    /// # Errors
    /// For a compression that is not known.
    pub fn from_media_type(_media_type: &str) -> Result<Self> {
        unimplemented!()
    }

    /// What is put behind the `+` of a media type; empty for none.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// How to compress.
#[derive(Debug, Clone, Default)]
pub struct EncoderOptions {
    /// How many threads compress; default is one per processor. The bytes do not depend on it.
    pub threads: Option<NonZeroUsize>,
}

/// Decompresses what it reads. At its end the input was read to its end too.
pub struct Decoder<R>(R);

impl<R: Read> Decoder<R> {
    /// Reads `input`.
    pub fn new(input: R, _compression: Compression) -> Result<Self> {
        Ok(Self(input))
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        unimplemented!()
    }
}

impl<R> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

/// Compresses what is written to it.
pub struct Encoder<W>(W);

impl<W: Write> Encoder<W> {
    /// Writes to `output`.
    pub fn new(output: W, _compression: Compression, _options: &EncoderOptions) -> Result<Self> {
        Ok(Self(output))
    }

    /// Writes what is left and gives back the output.
    pub fn finish(self) -> Result<W> {
        Ok(self.0)
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        unimplemented!()
    }

    fn flush(&mut self) -> io::Result<()> {
        unimplemented!()
    }
}

impl<W> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}
