// SPDX-License-Identifier: Apache-2.0
//! Bytes on their way into the checks: read once, hashed and counted meanwhile.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use crate::interrupt::Interruptible;
use crate::oci::{Algorithm, Digest, Hasher};
use crate::progress::Progress;

/// How much is read at once.
const BUFFER: usize = 256 << 10;

/// A blob that is read through its digest.
pub(super) struct Blob {
    file: Interruptible<File>,
    hasher: Hasher,
    count: u64,
    progress: Arc<Progress>,
}

impl Blob {
    pub(super) fn new(
        file: Interruptible<File>,
        algorithm: Algorithm,
        progress: Arc<Progress>,
    ) -> Self {
        Self { file, hasher: Hasher::new(algorithm), count: 0, progress }
    }

    /// Reads what is left; gives the digest and size of the whole.
    pub(super) fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut BufReader::with_capacity(BUFFER, &mut self), &mut io::sink())?;
        Ok((self.hasher.finish(), self.count))
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.count += count as u64;
        self.progress.add_bytes(count);
        Ok(count)
    }
}

/// A reader that hashes with several algorithms at once what is consumed of it.
pub(super) struct Digesting<R> {
    inner: R,
    hashers: Vec<Hasher>,
}

impl<R> Digesting<R> {
    pub(super) fn new(inner: R, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        Self { inner, hashers: algorithms.into_iter().map(Hasher::new).collect() }
    }

    /// The digests, one for each algorithm.
    pub(super) fn finish(self) -> Vec<Digest> {
        self.hashers.into_iter().map(Hasher::finish).collect()
    }
}

impl<R: BufRead> BufRead for Digesting<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Ok(bytes) = self.inner.fill_buf() {
            let bytes = bytes.get(..amount).unwrap_or_default();
            self.hashers.iter_mut().for_each(|hasher| hasher.update(bytes));
        }
        self.inner.consume(amount);
    }
}

impl<R: BufRead> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
