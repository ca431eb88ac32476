// SPDX-License-Identifier: Apache-2.0
//! Unpacks layers into a root filesystem, with its stages side by side:
//!
//! ```text
//! decode ──► shared buffers ──► apply (members, paths) ──► bodies (write, hash, metadata by handle)
//!                          └──► hash (diff id)
//! ```
//!
//! The next layer is decoded while one is applied. The number of buffers bounds the memory.

mod decode;

use std::io::{BufRead, Read};
use std::num::{NonZero, NonZeroUsize};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, ScopedJoinHandle};

pub(super) use self::decode::BUFFERS_OF_LAYER;
use self::decode::{Buffers, Decode, Unhashed};
use super::apply::{ApplyOptions, apply_members};
use super::bodies::{Bodies, FileDigests, FilledFiles, start_thread};
use super::buffer::BufferReader;
use super::entry::Members;
use super::format::Disk;
use super::ledger::Ledger;
use crate::error::{Error, ErrorKind, Result};
use crate::oci::{Digest, Hasher};
use crate::rootfs::{FsOps, RootPath, Stat};

/// How many workers write files at most, besides the stage that makes them. More only help
/// where storage is slow.
const WORKERS: usize = 2;

/// One layer as a stream.
pub struct LayerSource<'a> {
    /// How the layer is named in errors: the digest of its blob.
    pub name: String,
    /// The plain tar stream. It verifies the blob behind it when it is read to its end.
    pub stream: Box<dyn Read + Send + 'a>,
    /// What the plain stream must hash to; nothing is compared where it is not known.
    pub diff_id: Option<Digest>,
}

impl std::fmt::Debug for LayerSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerSource").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A failed unpack: which layer it was, counted from 0, and why.
#[derive(Debug)]
pub struct LayerFailure {
    /// The layer's place; `None` when the failure belongs to no single one.
    pub layer: Option<usize>,
    /// What happened.
    pub error: Error,
}

impl From<Error> for LayerFailure {
    fn from(error: Error) -> Self {
        Self { layer: None, error }
    }
}

/// What is known of the files that an unpack wrote.
#[derive(Debug, Default)]
pub struct Unpacked {
    ledger: Ledger,
    files: Arc<FilledFiles>,
}

/// What is known of a path that an unpack wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// The SHA-256 of a regular file's contents, if it was written and hashed here.
    pub digest: Option<[u8; 32]>,
    /// What a regular file was when it was finished, if nothing was done to it since: a hard
    /// link changes its inode.
    pub stat: Option<Stat>,
    /// Of a regular file to which links were made: the same number for all its names, and only
    /// for these.
    pub inode: Option<NonZero<u32>>,
    /// Whether a layer gave it extended attributes; `None` if no layer has the path.
    pub has_xattrs: Option<bool>,
}

impl Unpacked {
    /// What is known of a path.
    pub fn get(&self, path: &RootPath) -> Written {
        let Some(mark) = self.ledger.get(path) else { return Written::default() };
        let file = mark.body.and_then(|body| self.files.get(body));
        Written {
            digest: file.map(|file| file.digest),
            stat: file.filter(|_| !mark.is_linked).map(|file| file.stat()),
            inode: mark.body.filter(|_| mark.is_linked && !mark.is_copy),
            has_xattrs: Some(mark.has_xattrs),
        }
    }
}

/// Unpacks layers, the lowest first, into `fs`.
///
/// # Errors
/// When a layer breaks the rules, its bytes are not those that were promised,
/// or the disk fails. What has been written by then is the caller's to remove.
pub fn unpack_layers<'a, I>(
    fs: &dyn FsOps,
    layers: I,
    file_digests: FileDigests,
    options: &ApplyOptions,
) -> Result<Unpacked, LayerFailure>
where
    I: ExactSizeIterator<Item = Result<LayerSource<'a>>> + Send,
{
    unpack_layers_telling(fs, layers, file_digests, None, options)
}

/// Who is told of each layer, by its place from 0, when all of it is on disk and verified.
pub(crate) type AfterLayer<'a> = Option<&'a dyn Fn(usize) -> Result<()>>;

/// As [`unpack_layers`]. Whoever is told of a layer finds nothing of the next one on disk,
/// which costs time: files of one layer are not written while the next is looked at.
pub(crate) fn unpack_layers_telling<'a, I>(
    fs: &dyn FsOps,
    layers: I,
    file_digests: FileDigests,
    after: AfterLayer<'_>,
    options: &ApplyOptions,
) -> Result<Unpacked, LayerFailure>
where
    I: ExactSizeIterator<Item = Result<LayerSource<'a>>> + Send,
{
    let count = layers.len();
    let files = Arc::<FilledFiles>::default();
    let mut ledger = Ledger::new(files.clone());
    let disk = Disk::new(fs, options.format);
    thread::scope(|scope| {
        let (to_apply, decoded) = mpsc::channel();
        let (to_hash, unhashed) = mpsc::channel();
        let decode = Decode::new(layers, to_apply, to_hash, options.limits.clone());
        let decoders = decode.start(scope, count)?;
        let (verified, to_tell) = mpsc::channel();
        let hasher = start_thread(scope, move || hash_layers(unhashed, &verified))?;
        let (files, interrupt) = (files.clone(), options.interrupt.clone());
        let mut bodies =
            Bodies::start(scope, disk.fs(), workers(), file_digests, files, interrupt)?;
        let after = after.map(|tell| After { verified: to_tell, tell });
        let mut work = Apply { disk: &disk, ledger: &mut ledger, bodies: &mut bodies, options };
        let applied = work.layers(count, decoded, after.as_ref());
        if !matches!(applied, Ok(Stream::Whole)) {
            bodies.give_up();
        }
        let mut results = vec![bodies.finish().map_err(LayerFailure::from)];
        results.extend(decoders.into_iter().map(|decoder| join(decoder, "decoder")));
        results.extend([applied.map(drop), join(hasher, "hasher")]);
        first_cause(results)
    })?;
    Ok(Unpacked { ledger, files })
}

fn join(
    stage: ScopedJoinHandle<'_, Result<(), LayerFailure>>,
    name: &str,
) -> Result<(), LayerFailure> {
    stage.join().unwrap_or_else(|_| Err(panicked(name).into()))
}

/// Of what the stages say, in their order, what is the reason for all else: what happened to the
/// lowest layer. A file that cannot be written is the reason for what came after it, and a stream
/// that breaks off for what fails behind it.
fn first_cause(results: Vec<Result<(), LayerFailure>>) -> Result<(), LayerFailure> {
    let failures = results.into_iter().filter_map(Result::err);
    failures.min_by_key(|failure| failure.layer).map_or(Ok(()), Err)
}

/// As many as there are processors besides that of the stage that makes the files.
fn workers() -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    processors.saturating_sub(1).clamp(1, WORKERS)
}

/// Unpacks a single layer, a plain tar stream, into `fs`.
///
/// # Errors
/// As [`unpack_layers`].
pub fn unpack_layer(
    fs: &dyn FsOps,
    stream: impl Read + Send,
    options: &ApplyOptions,
) -> Result<()> {
    let source = LayerSource { name: "stream".to_owned(), stream: Box::new(stream), diff_id: None };
    unpack_layers(fs, std::iter::once(Ok(source)), FileDigests::Skip, options)
        .map(drop)
        .map_err(|failure| failure.error)
}

fn panicked(stage: &str) -> Error {
    Error::new(ErrorKind::Io, format!("internal error: the {stage} panicked"))
}

/// The stage that applies members.
struct Apply<'a, 'scope> {
    disk: &'a Disk<'a>,
    ledger: &'a mut Ledger,
    bodies: &'a mut Bodies<'scope>,
    options: &'a ApplyOptions,
}

/// Whoever is told of each layer, and the hasher's word that it is the right one.
struct After<'a> {
    verified: Receiver<()>,
    tell: &'a dyn Fn(usize) -> Result<()>,
}

impl Apply<'_, '_> {
    /// How the streams have ended; of those behind a broken one nothing is applied.
    fn layers(
        &mut self,
        count: usize,
        decoded: Receiver<Buffers>,
        after: Option<&After<'_>>,
    ) -> Result<Stream, LayerFailure> {
        let mut decoded = decoded.into_iter();
        for layer in 0..count {
            // The stages before have failed and say why themselves, here and below.
            let Some(buffers) = decoded.next() else { return Ok(Stream::Broken) };
            self.options.progress.next_layer();
            let failed = |error| LayerFailure { layer: Some(layer), error };
            let mut members = Members::new(BufferReader::new(&buffers));
            apply_members(self.disk, &mut members, self.ledger, self.bodies, self.options)
                .map_err(failed)?;
            if drain(members.into_inner()) == Stream::Broken {
                return Ok(Stream::Broken);
            }
            let Some(after) = after else { continue };
            self.bodies.settle().map_err(failed)?;
            let Ok(()) = after.verified.recv() else { return Ok(Stream::Broken) };
            (after.tell)(layer).map_err(failed)?;
        }
        Ok(Stream::Whole)
    }
}

/// How a stream has ended.
#[derive(Debug, PartialEq, Eq)]
enum Stream {
    /// As it should.
    Whole,
    /// Before its end. The stages before say why.
    Broken,
}

/// What follows the archive is not looked at, but it belongs to the diff id.
fn drain(mut rest: BufferReader<'_>) -> Stream {
    while let Ok(bytes @ [_, ..]) = rest.fill_buf() {
        let count = bytes.len();
        rest.consume(count);
    }
    if rest.is_whole() { Stream::Whole } else { Stream::Broken }
}

/// Compares the digest of each layer's plain stream with what the config says.
fn hash_layers(layers: Receiver<Unhashed>, verified: &Sender<()>) -> Result<(), LayerFailure> {
    for layer in layers {
        let at = layer.at;
        let stream = hash(layer).map_err(|error| LayerFailure { layer: Some(at), error })?;
        if stream == Stream::Broken {
            break;
        }
        // Mostly there is nobody who waits for it.
        let _ = verified.send(());
    }
    Ok(())
}

fn hash(layer: Unhashed) -> Result<Stream> {
    let mut hasher = layer.diff_id.as_ref().map(|expected| Hasher::new(expected.algorithm()));
    for bytes in layer.buffers {
        if bytes.is_empty() {
            let got = hasher.map(Hasher::finish);
            return match layer.diff_id.zip(got) {
                Some((expected, got)) if got != expected => {
                    Err(mismatch(&layer.name, &expected, &got))
                }
                _ => Ok(Stream::Whole),
            };
        }
        if let Some(hasher) = &mut hasher {
            hasher.update(&bytes);
        }
    }
    Ok(Stream::Broken)
}

fn mismatch(name: &str, expected: &Digest, got: &Digest) -> Error {
    let message = format!("layer {name}: diffid mismatch: got {got} expected {expected}");
    Error::new(ErrorKind::Mismatch, message)
}

#[cfg(test)]
mod tests;
