// SPDX-License-Identifier: Apache-2.0
//! One layer. A thread reads, hashes and decompresses it; the other hashes the archive and looks
//! through it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

use super::archive;
use super::blob::panicked;
use super::code::Code;
use super::finding::{Findings, Place};
use super::input::{Blob, Digesting};
use super::names::{Outline, Shared};
use super::stack::Volume;
use crate::error::{Error, Result};
use crate::interrupt::Interruptible;
use crate::layer::compress::{Compression, Decoder};
use crate::layer::{BufferPool, BufferReader, Limits, SharedBuffer, start_thread};
use crate::oci::{Algorithm, Digest};
use crate::progress::Progress;

/// How many buffers there are between the two threads: 2 MiB.
const BUFFERS: usize = 8;

/// What a layer turned out to be.
pub(super) struct Layer {
    /// Digest and size of the blob.
    pub(super) blob: io::Result<(Digest, u64)>,
    pub(super) compression: Compression,
    /// The digests of the archive, one for each algorithm that was asked for; nothing if it was
    /// not read to its end.
    pub(super) digests: Option<Vec<Digest>>,
    pub(super) findings: Findings,
    /// How much was read of it.
    pub(super) volume: Volume,
    pub(super) outline: Outline,
}

/// How a layer is read.
pub(super) struct Reader<'a> {
    pub(super) digest: &'a Digest,
    /// Those of the diff ids.
    pub(super) algorithms: BTreeSet<Algorithm>,
    /// What it may have at most.
    pub(super) limits: Limits,
    pub(super) shared: &'a Shared,
    pub(super) progress: Arc<Progress>,
}

impl Reader<'_> {
    /// Reads a layer, or of one that has too much as much as is allowed.
    ///
    /// # Errors
    /// When no thread can be started. All else is a finding.
    pub(super) fn read(self, file: Interruptible<File>) -> Result<Layer> {
        let Self { digest, algorithms, limits, shared, progress } = self;
        let place = Place::blob(digest);
        let blob = Blob::new(file, digest.algorithm(), progress);
        let limit = limits.unpacked_size.unwrap_or(u64::MAX);
        let (contents, digests, decoded) = thread::scope(|scope| {
            let (send, receive) = mpsc::channel();
            let decoding = start_thread(scope, move || decode(blob, limit, &send))?;
            let input = Digesting::new(BufferReader::new(&receive), algorithms);
            let (contents, input) = archive::check(input, &place, &limits, shared);
            let digests = input.finish();
            // Where no more is wanted, nothing more is decompressed.
            drop(receive);
            let decoded = decoding.join().map_err(|_| panicked("decoder of a layer"))?;
            Ok::<_, Error>((contents, digests, decoded))
        })?;
        let Decoded { blob, compression, bytes, junk, end } = decoded;
        let volume = Volume { bytes, entries: contents.entries };
        let (digests, mut findings, outline) = match end {
            End::Whole => (Some(digests), contents.findings, contents.outline),
            End::Damaged(_) | End::Stopped => (None, Findings::default(), Outline::default()),
        };
        if let End::Damaged(message) = end {
            findings.add(Code::CompressionDamaged, &place, message);
        }
        if junk > 0 {
            let message = format!("{junk} bytes follow the compressed stream");
            findings.add(Code::CompressionTrailing, &place, message);
        }
        Ok(Layer { blob, compression, digests, findings, volume, outline })
    }
}

/// What the thread that decompresses knows in the end.
struct Decoded {
    blob: io::Result<(Digest, u64)>,
    compression: Compression,
    /// The bytes of the archive.
    bytes: u64,
    /// How many bytes followed the compressed stream.
    junk: u64,
    end: End,
}

/// Where decompression has ended.
enum End {
    Whole,
    /// Where it is damaged.
    Damaged(String),
    /// Where there is too much of it, or it cannot be read.
    Stopped,
}

/// Reads a blob to its end, and sends what it is without compression.
fn decode(mut blob: Blob, limit: u64, to: &Sender<Arc<SharedBuffer>>) -> Decoded {
    let mut start = Vec::new();
    let started = (&mut blob).take(4).read_to_end(&mut start);
    let compression = compression_of(&start);
    let (mut bytes, mut junk, mut end) = (0, 0, End::Stopped);
    if started.is_ok() {
        match Decoder::new(Cursor::new(start).chain(&mut blob), compression) {
            Ok(decoder) => {
                let mut decoder = decoder.count_junk();
                (bytes, end) = send_all(&mut decoder, limit, to);
                junk = decoder.junk();
            }
            Err(error) => end = End::Damaged(error.to_string()),
        }
    }
    Decoded { blob: blob.finish(), compression, bytes, junk, end }
}

/// Sends a stream; gives the number of its bytes.
fn send_all(stream: &mut dyn Read, limit: u64, to: &Sender<Arc<SharedBuffer>>) -> (u64, End) {
    let pool = BufferPool::new(BUFFERS);
    let mut bytes: u64 = 0;
    loop {
        let buffer = match pool.fill(stream) {
            Ok(buffer) => buffer,
            Err(error) => return (bytes, End::Damaged(error.to_string())),
        };
        let is_last = buffer.is_empty();
        bytes = bytes.saturating_add(buffer.len() as u64);
        if bytes > limit || to.send(Arc::new(buffer)).is_err() {
            return (bytes, End::Stopped);
        }
        if is_last {
            return (bytes, End::Whole);
        }
    }
}

/// How a stream that begins like this is compressed.
fn compression_of(start: &[u8]) -> Compression {
    match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Compression::Zstd,
        _ => Compression::None,
    }
}
