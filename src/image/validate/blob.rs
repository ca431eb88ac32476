// SPDX-License-Identifier: Apache-2.0
//! Blobs that are not documents, layers above all, and what is said of them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;

use super::code::Code;
use super::finding::{Findings, Place};
use super::layer;
use crate::error::{Error, ErrorKind};
use crate::layer::compress::Compression;
use crate::layout::LayoutFiles;
use crate::oci::{Algorithm, Digest};

/// A blob, and what refers to it.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) digest: Digest,
    /// The bytes that it has in the layout.
    pub(super) size: u64,
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
    /// The number of the stack that it is in.
    pub(super) stack: usize,
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

pub(super) fn panicked(what: &str) -> Error {
    Error::new(ErrorKind::Io, format!("internal error: the {what} panicked"))
}

/// Opens a blob.
pub(super) fn open(files: &LayoutFiles, digest: &Digest) -> io::Result<File> {
    files.blob(OsStr::new(digest.algorithm().as_str()), OsStr::new(digest.hex()))
}

/// The size of a blob; none if it is not there.
pub(super) fn size(files: &LayoutFiles, digest: &Digest) -> u64 {
    let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
    files.blob_size(OsStr::new(algorithm), OsStr::new(hex)).unwrap_or_default()
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
    /// Notes that there is no such blob, or why it cannot be opened.
    pub(super) fn not_open(&self, error: &io::Error, findings: &mut Findings) {
        if error.kind() != io::ErrorKind::NotFound {
            return unreadable(&self.digest, error, findings);
        }
        for one in &self.uses {
            let message = format!("{} is not in the layout", self.digest);
            findings.add(one.absence, &one.place, message);
        }
    }

    pub(super) fn check_sizes(&self, size: u64, findings: &mut Findings) {
        for one in &self.uses {
            check_size(&one.place, one.size, size, findings);
        }
    }

    pub(super) fn layers(&self) -> impl Iterator<Item = (&Use, &Layer)> {
        self.uses.iter().filter_map(|one| Some((one, one.layer.as_ref()?)))
    }

    /// The stacks that the layer is in, as often as it is there.
    pub(super) fn stacks(&self) -> impl Iterator<Item = usize> {
        self.layers().map(|(_, layer)| layer.stack)
    }

    /// The algorithms of all diff ids.
    pub(super) fn algorithms(&self) -> BTreeSet<Algorithm> {
        let diff_ids = self.layers().filter_map(|(_, layer)| layer.diff_id.as_ref());
        diff_ids.map(|(digest, _)| digest.algorithm()).collect()
    }

    /// Compares a layer with what is said of it.
    pub(super) fn compare(&self, layer: &layer::Layer, findings: &mut Findings) {
        let Some(digests) = &layer.digests else { return };
        let actual = layer.compression;
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

fn name(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "not compressed",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    }
}
