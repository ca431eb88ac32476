// SPDX-License-Identifier: Apache-2.0
//! Unpacks layers into a root filesystem, with its stages side by side:
//!
//! ```text
//! decode ──► shared buffers ──► apply (members, paths) ──► bodies (write, hash, metadata by handle)
//!                          └──► hash (diff id)
//! ```
//!
//! Decoding runs ahead into the next layer. The number of buffers bounds the memory.

use std::io::{BufRead, Read};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::apply::{ApplyOptions, apply_members};
use super::bodies::{Bodies, FileDigests, FilledFiles, start_thread};
use super::buffer::{BufferPool, BufferReader, SharedBuffer};
use super::entry::Members;
use super::format::Disk;
use super::ledger::Ledger;
use super::limits::Limits;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::oci::{Digest, Hasher};
use crate::rootfs::{FsOps, RootPath, Stat};

/// How many buffers go round: 16 MiB in all.
pub(super) const BUFFERS: usize = 64;
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
        let (to_apply, buffers) = mpsc::channel();
        let (to_hash, stream) = mpsc::channel();
        let limits = options.limits.clone();
        let decode = Decode { to_apply, to_hash, limits, unpacked: 0 };
        let decode = start_thread(scope, move || decode.run(layers))?;
        let (verified, to_tell) = mpsc::channel();
        let hash = start_thread(scope, move || hash_layers(&stream, &verified))?;
        let mut bodies = Bodies::start(scope, disk.fs(), workers(), file_digests, files.clone())?;
        let after = after.map(|tell| After { verified: to_tell, tell });
        let mut work = Apply { disk: &disk, ledger: &mut ledger, bodies: &mut bodies, options };
        let applied = work.layers(count, &buffers, after.as_ref());
        drop(buffers);
        let written = bodies.finish();
        let decoded = decode.join().map_err(|_| panicked("decoder"))?;
        let hashed = hash.join().map_err(|_| panicked("hasher"))?;
        // A stream that breaks off is the reason for what fails behind it.
        decoded?;
        // So is a file that cannot be written for what came after it.
        written?;
        applied?;
        hashed?;
        Ok::<_, LayerFailure>(())
    })?;
    Ok(Unpacked { ledger, files })
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
    fn layers(
        &mut self,
        count: usize,
        buffers: &Receiver<Arc<SharedBuffer>>,
        after: Option<&After<'_>>,
    ) -> Result<(), LayerFailure> {
        for layer in 0..count {
            self.options.progress.next_layer();
            let failed = |error| LayerFailure { layer: Some(layer), error };
            let mut members = Members::new(BufferReader::new(buffers));
            apply_members(self.disk, &mut members, self.ledger, self.bodies, self.options)
                .map_err(failed)?;
            drain(members.into_inner());
            let Some(after) = after else { continue };
            self.bodies.settle().map_err(failed)?;
            // The stages before have failed and say why themselves.
            let Ok(()) = after.verified.recv() else { break };
            (after.tell)(layer).map_err(failed)?;
        }
        Ok(())
    }
}

/// What follows the archive is not looked at, but it belongs to the diff id.
fn drain(mut rest: BufferReader<'_>) {
    while let Ok(bytes @ [_, ..]) = rest.fill_buf() {
        let count = bytes.len();
        rest.consume(count);
    }
}

/// To the hasher: which layer begins, its bytes, and an empty buffer at its end.
enum Hashed {
    Begin { name: String, diff_id: Option<Digest> },
    Bytes(Arc<SharedBuffer>),
}

struct Decode {
    to_apply: Sender<Arc<SharedBuffer>>,
    to_hash: Sender<Hashed>,
    limits: Limits,
    /// The bytes of all layers so far.
    unpacked: u64,
}

impl Decode {
    fn run<'a>(
        mut self,
        layers: impl Iterator<Item = Result<LayerSource<'a>>>,
    ) -> Result<(), LayerFailure> {
        let pool = BufferPool::new(BUFFERS);
        for (at, layer) in layers.enumerate() {
            let failed = |error| LayerFailure { layer: Some(at), error };
            let layer = layer.map_err(failed)?;
            let name = layer.name.clone();
            let decoded = self.layer(&pool, layer).with_context(|| format!("layer {name}"));
            if decoded.map_err(failed)? == Reader::Gone {
                break;
            }
        }
        Ok(())
    }

    fn layer(&mut self, pool: &BufferPool, mut layer: LayerSource<'_>) -> Result<Reader> {
        let begin = Hashed::Begin { name: layer.name, diff_id: layer.diff_id };
        if self.to_hash.send(begin).is_err() {
            return Ok(Reader::Gone);
        }
        loop {
            let buffer = Arc::new(pool.fill(&mut layer.stream)?);
            let last = buffer.is_empty();
            self.unpacked = self.unpacked.saturating_add(buffer.len() as u64);
            self.limits.check_size(self.unpacked)?;
            let hashed = self.to_hash.send(Hashed::Bytes(buffer.clone()));
            if hashed.is_err() || self.to_apply.send(buffer).is_err() {
                return Ok(Reader::Gone);
            }
            if last {
                return Ok(Reader::There);
            }
        }
    }
}

/// Whether the stages behind still listen. When they do not, they say why themselves.
#[derive(Debug, PartialEq, Eq)]
enum Reader {
    There,
    Gone,
}

/// Compares the digest of each layer's plain stream with what the config says.
fn hash_layers(stream: &Receiver<Hashed>, verified: &Sender<()>) -> Result<(), LayerFailure> {
    let mut layers = 0;
    let mut current: Option<(String, Digest, Hasher)> = None;
    for message in stream {
        match message {
            Hashed::Begin { name, diff_id } => {
                current = diff_id.map(|diff_id| {
                    let hasher = Hasher::new(diff_id.algorithm());
                    (name, diff_id, hasher)
                });
            }
            Hashed::Bytes(bytes) if bytes.is_empty() => {
                if let Some((name, diff_id, hasher)) = current.take() {
                    compare(&name, &diff_id, &hasher.finish())
                        .map_err(|error| LayerFailure { layer: Some(layers), error })?;
                }
                layers += 1;
                // Mostly there is nobody who waits for it.
                let _ = verified.send(());
            }
            Hashed::Bytes(bytes) => {
                if let Some((_, _, hasher)) = &mut current {
                    hasher.update(&bytes);
                }
            }
        }
    }
    Ok(())
}

fn compare(name: &str, expected: &Digest, got: &Digest) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    let message = format!("layer {name}: diffid mismatch: got {got} expected {expected}");
    Err(Error::new(ErrorKind::Mismatch, message))
}

#[cfg(test)]
mod tests;
