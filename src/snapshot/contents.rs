// SPDX-License-Identifier: Apache-2.0
//! SHA-256 of what files hold and of what is written.

use std::io::{self, Write};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::walk::at;
use crate::error::{Context, Result};
use crate::progress::Progress;
use crate::rootfs::{Dir, FsOps, Name, RootPath, sha256};

const BUFFER: usize = 128 << 10;

/// Hashes files one after the other with the same buffer.
#[derive(Debug)]
pub(super) struct FileHasher {
    buffer: Vec<u8>,
    progress: Arc<Progress>,
}

impl FileHasher {
    /// What is read is counted in `progress`.
    pub(super) fn new(progress: Arc<Progress>) -> Self {
        Self { buffer: vec![0; BUFFER], progress }
    }

    /// Reads and hashes the regular file `name` in `dir`; `path` is for messages.
    pub(super) fn hash(
        &mut self,
        fs: &dyn FsOps,
        dir: &Dir,
        name: Name<'_>,
        path: &RootPath,
    ) -> Result<[u8; 32]> {
        let file = fs.open_file(dir, name).with_context(|| at("open", path))?;
        sha256(file, &mut self.buffer, |count| self.progress.add_bytes(count))
            .with_context(|| at("read", path))
    }
}

/// A writer that hashes what it passes on.
pub(super) struct Summed<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Summed<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new() }
    }

    /// Gives back the writer and the sum of all that was written.
    pub(super) fn finish(self) -> (W, [u8; 32]) {
        (self.inner, self.hash.finalize().into())
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Hashes bytes in memory.
pub(super) fn sum(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
