// SPDX-License-Identifier: Apache-2.0
//! Blobs that are not documents, layers above all. Each is read once, whatever refers to it,
//! and several at the same time.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

use super::archive;
use super::code::Code;
use super::finding::{Findings, Place};
use super::input::{BUFFER, Blob, Digesting};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::compress::{Compression, Decoder};
use crate::layout::LayoutFiles;
use crate::oci::{Algorithm, Digest};
use crate::progress::Progress;

/// A blob, and what refers to it.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) digest: Digest,
    pub(super) uses: Vec<Use>,
}

/// One descriptor that refers to a blob.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) place: Place,
    pub(super) size: Option<u64>,
    /// What it is if there is no such blob.
    pub(super) absence: Code,
    pub(super) layer: Option<Layer>,
}

/// What is said of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) compression: Compression,
    /// The digest of the plain archive, and where that is said.
    pub(super) diff_id: Option<(Digest, Place)>,
}

/// What was read, and what was found meanwhile.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) findings: Findings,
    pub(super) blobs: u64,
    pub(super) bytes: u64,
}

impl Reading {
    pub(super) fn append(&mut self, other: Self) {
        self.findings.append(other.findings);
        self.blobs += other.blobs;
        self.bytes += other.bytes;
    }
}

/// Reads all blobs with some threads. What is found is in the order of the tasks.
pub(super) fn read_all(
    files: &LayoutFiles,
    tasks: &[Task],
    threads: NonZeroUsize,
    progress: &Arc<Progress>,
) -> Result<Reading> {
    let mut order: Vec<(usize, &Task)> = tasks.iter().enumerate().collect();
    // A large one that comes last would leave all but one thread without work.
    order.sort_by_key(|(_, task)| Reverse(task.expected_size()));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((at, task)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            progress.next_layer();
            done.push((*at, task.read(files, progress)));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let helpers = 1..threads.get().min(tasks.len());
        // Where no thread can be had, there is still this one.
        let helpers = helpers.map_while(|_| Builder::new().spawn_scoped(scope, work).ok());
        let helpers: Vec<_> = helpers.collect();
        let mut done = work();
        for helper in helpers {
            done.extend(helper.join().map_err(|_| panicked())?);
        }
        Ok::<_, Error>(done)
    })?;
    done.sort_unstable_by_key(|(at, _)| *at);
    let mut all = Reading::default();
    for (_, one) in done {
        all.append(one);
    }
    Ok(all)
}

fn panicked() -> Error {
    Error::new(ErrorKind::Io, "internal error: the reader of a blob panicked")
}

/// Opens a blob.
pub(super) fn open(files: &LayoutFiles, digest: &Digest) -> io::Result<File> {
    files.blob(OsStr::new(digest.algorithm().as_str()), OsStr::new(digest.hex()))
}

/// Notes why a blob could not be opened or read.
pub(super) fn unreadable(digest: &Digest, error: &io::Error, findings: &mut Findings) {
    let code = match error.kind() {
        io::ErrorKind::InvalidData => Code::BlobType,
        _ => Code::BlobUnreadable,
    };
    findings.add(code, &Place::blob(digest), error.to_string());
}

/// Notes a blob that does not have its digest.
pub(super) fn wrong(expected: &Digest, actual: &Digest, size: u64, findings: &mut Findings) {
    let message = format!("its {size} bytes have the digest {actual}");
    findings.add(Code::BlobDigest, &Place::blob(expected), message);
}

/// Notes a size that is not that of the blob.
pub(super) fn check_size(place: &Place, said: Option<u64>, actual: u64, findings: &mut Findings) {
    if let Some(said) = said
        && said != actual
    {
        let message = format!("the size is said to be {said} and is {actual}");
        findings.add(Code::BlobSize, &place.at("size"), message);
    }
}

impl Task {
    pub(super) fn expected_size(&self) -> u64 {
        self.uses.iter().filter_map(|one| one.size).max().unwrap_or_default()
    }

    fn read(&self, files: &LayoutFiles, progress: &Arc<Progress>) -> Reading {
        let mut findings = Findings::default();
        let mut size = None;
        match open(files, &self.digest) {
            Ok(file) => {
                let blob = Blob::new(file, self.digest.algorithm(), progress.clone());
                size = self.contents(blob, &mut findings);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                for one in &self.uses {
                    let message = format!("{} is not in the layout", self.digest);
                    findings.add(one.absence, &one.place, message);
                }
            }
            Err(error) => unreadable(&self.digest, &error, &mut findings),
        }
        Reading { findings, blobs: size.is_some().into(), bytes: size.unwrap_or_default() }
    }

    /// Reads the blob to its end; gives its size.
    fn contents(&self, blob: Blob, findings: &mut Findings) -> Option<u64> {
        // What is found in a blob counts only if it is the right one.
        let mut inside = Findings::default();
        if self.uses.iter().any(|one| one.layer.is_some()) {
            self.layer(blob.clone(), &mut inside);
        }
        match blob.finish() {
            Ok((digest, size)) if digest == self.digest => {
                for one in &self.uses {
                    check_size(&one.place, one.size, size, findings);
                }
                findings.append(inside);
                Some(size)
            }
            Ok((digest, size)) => {
                wrong(&self.digest, &digest, size, findings);
                Some(size)
            }
            Err(error) => {
                unreadable(&self.digest, &error, findings);
                None
            }
        }
    }

    fn layer(&self, mut blob: Blob, findings: &mut Findings) {
        let mut start = Vec::new();
        if (&mut blob).take(4).read_to_end(&mut start).is_err() {
            return;
        }
        let actual = compression_of(&start);
        let input = Cursor::new(start).chain(blob);
        let place = Place::blob(&self.digest);
        let decoder = match Decoder::new(input, actual) {
            Ok(decoder) => decoder.count_junk(),
            Err(error) => return findings.add(Code::BlobUnreadable, &place, error.to_string()),
        };
        let digesting = Digesting::new(decoder, self.algorithms());
        let mut of_archive = Findings::default();
        let input = BufReader::with_capacity(BUFFER, digesting);
        let digesting = archive::check(input, &place, &mut of_archive).into_inner();
        let junk = digesting.get().junk();
        match digesting.finish() {
            Ok(digests) => {
                self.compare(actual, &digests, findings);
                findings.append(of_archive);
            }
            Err(failure) => findings.add(Code::CompressionDamaged, &place, failure),
        }
        if junk > 0 {
            let message = format!("{junk} bytes follow the compressed stream");
            findings.add(Code::CompressionTrailing, &place, message);
        }
    }

    fn layers(&self) -> impl Iterator<Item = (&Use, &Layer)> {
        self.uses.iter().filter_map(|one| Some((one, one.layer.as_ref()?)))
    }

    /// The algorithms of all diff ids.
    fn algorithms(&self) -> BTreeSet<Algorithm> {
        let diff_ids = self.layers().filter_map(|(_, layer)| layer.diff_id.as_ref());
        diff_ids.map(|(digest, _)| digest.algorithm()).collect()
    }

    /// Compares a layer with what is said of it.
    fn compare(&self, actual: Compression, digests: &[Digest], findings: &mut Findings) {
        for (one, layer) in self.layers() {
            if layer.compression != actual {
                let (said, actual) = (name(layer.compression), name(actual));
                let message = format!("the media type says {said}, the blob is {actual}");
                findings.add(Code::CompressionMismatch, &one.place, message);
                continue;
            }
            let Some((diff_id, place)) = &layer.diff_id else { continue };
            let found = digests.iter().find(|one| one.algorithm() == diff_id.algorithm());
            if let Some(found) = found.filter(|found| *found != diff_id) {
                let message = format!("the layer {} has the diff id {found}", self.digest);
                findings.add(Code::DiffId, place, message);
            }
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

fn name(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "not compressed",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    }
}
