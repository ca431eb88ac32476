// SPDX-License-Identifier: Apache-2.0
//! The compression around a layer: [`Decoder`] and [`Encoder`].
//!
//! What an encoder makes depends on what is written to it alone: not on the
//! number of threads, the sizes of the writes, or flushes.

mod decode;
mod deflate;
mod gzip;
mod zstandard;

use std::fmt;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::thread;

pub use decode::Decoder;
use gzip::GzipEncoder;
use zstandard::ZstdEncoder;

use crate::error::{Error, Result};
use crate::oci::media_type::split_compression;

/// How many threads are started at most unless the caller says otherwise: it
/// is they who decide how much memory an encoder takes.
const MOST_THREADS: usize = 8;

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
    /// The compression that a layer's media type names.
    ///
    /// # Errors
    /// For a compression that is not known.
    pub fn from_media_type(media_type: &str) -> Result<Self> {
        match split_compression(media_type).1 {
            "" if !media_type.ends_with('+') => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            method => Err(Error::unsupported(format!(
                "unsupported layer media type {media_type:?}: compression method {method:?} unsupported"
            ))),
        }
    }

    /// What media types call it; empty for none.
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
    /// How many threads compress; by default one per processor, at most 8. Zstandard has 4 at
    /// most. The bytes do not depend on it.
    pub threads: Option<NonZeroUsize>,
}

impl EncoderOptions {
    fn threads(&self) -> NonZeroUsize {
        let most = NonZeroUsize::new(MOST_THREADS).unwrap_or(NonZeroUsize::MIN);
        self.threads.unwrap_or_else(|| {
            thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).min(most)
        })
    }
}

/// Compresses what is written to it.
pub struct Encoder<W: Write>(Inner<W>);

enum Inner<W: Write> {
    None(W),
    Gzip(Box<GzipEncoder<W>>),
    Zstd(Box<ZstdEncoder<W>>),
}

impl<W: Write> Encoder<W> {
    /// Writes to `output`.
    pub fn new(output: W, compression: Compression, options: &EncoderOptions) -> Result<Self> {
        let threads = options.threads();
        Ok(Self(match compression {
            Compression::None => Inner::None(output),
            Compression::Gzip => Inner::Gzip(Box::new(GzipEncoder::new(output, threads))),
            Compression::Zstd => Inner::Zstd(Box::new(ZstdEncoder::new(output, threads)?)),
        }))
    }

    /// Writes what is left and gives back the output.
    pub fn finish(self) -> Result<W> {
        match self.0 {
            Inner::None(output) => Ok(output),
            Inner::Gzip(encoder) => Ok(encoder.finish()?),
            Inner::Zstd(encoder) => Ok(encoder.finish()?),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::None(output) => output.write(bytes),
            Inner::Gzip(encoder) => encoder.write(bytes),
            Inner::Zstd(encoder) => encoder.write(bytes),
        }
    }

    /// Flushes the output. What waits for its block to fill stays, for where
    /// blocks end must depend on nothing but the bytes.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Inner::None(output) => output.flush(),
            Inner::Gzip(encoder) => encoder.output().flush(),
            Inner::Zstd(encoder) => encoder.output().flush(),
        }
    }
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compression = match self.0 {
            Inner::None(_) => Compression::None,
            Inner::Gzip(_) => Compression::Gzip,
            Inner::Zstd(_) => Compression::Zstd,
        };
        f.debug_struct("Encoder").field("compression", &compression).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
