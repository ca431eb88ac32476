// SPDX-License-Identifier: Apache-2.0
//! Bytes on their way into the checks: read once, hashed and counted meanwhile.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::rc::Rc;
use std::sync::Arc;

use crate::oci::{Algorithm, Digest, Hasher};
use crate::progress::Progress;

/// How much is read at once.
pub(super) const BUFFER: usize = 256 << 10;

/// A blob that is read through its digest.
///
/// Clones share one position, so that what a decoder leaves can still be read behind it.
#[derive(Clone)]
pub(super) struct Blob(Rc<RefCell<Inner>>);

struct Inner {
    file: File,
    hasher: Hasher,
    count: u64,
    progress: Arc<Progress>,
}

impl Blob {
    pub(super) fn new(file: File, algorithm: Algorithm, progress: Arc<Progress>) -> Self {
        let hasher = Hasher::new(algorithm);
        Self(Rc::new(RefCell::new(Inner { file, hasher, count: 0, progress })))
    }

    /// Reads what is left; gives the digest and size of the whole.
    pub(super) fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut BufReader::with_capacity(BUFFER, &mut self), &mut io::sink())?;
        let inner = self.0.borrow();
        Ok((inner.hasher.clone().finish(), inner.count))
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let inner = &mut *self.0.borrow_mut();
        let count = inner.file.read(buffer)?;
        inner.hasher.update(&buffer[..count]);
        inner.count += count as u64;
        inner.progress.add_bytes(count);
        Ok(count)
    }
}

/// A reader that hashes with several algorithms at once, and remembers why it failed.
pub(super) struct Digesting<R> {
    inner: R,
    hashers: Vec<Hasher>,
    failure: Option<String>,
}

impl<R> Digesting<R> {
    pub(super) fn new(inner: R, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let hashers = algorithms.into_iter().map(Hasher::new).collect();
        Self { inner, hashers, failure: None }
    }

    /// What was read through.
    pub(super) fn get(&self) -> &R {
        &self.inner
    }

    /// The digests, one for each algorithm, or why there are none.
    pub(super) fn finish(self) -> Result<Vec<Digest>, String> {
        match self.failure {
            None => Ok(self.hashers.into_iter().map(Hasher::finish).collect()),
            Some(failure) => Err(failure),
        }
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer);
        let count = read.inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failure = Some(error.to_string());
            }
        })?;
        for hasher in &mut self.hashers {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}
