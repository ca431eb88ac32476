// SPDX-License-Identifier: Apache-2.0
//! Reading a blob as what its descriptor promises, and writing a new one.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read, Write};

use crate::error::{Error, ErrorKind, Result};
use crate::oci::{Digest, Hasher, Hashing};

use super::store::TempFile;
use super::writer::Session;

/// A reader of a blob that never hands out more bytes than its descriptor
/// says, and never the last of them before size and digest are verified.
///
/// A failed verification is an [`ErrorKind::Mismatch`] inside the
/// [`io::Error`]; `?` into this crate's [`Error`] brings it back.
pub struct BlobReader {
    source: Source,
    digest: Digest,
    size: u64,
    passed: u64,
    state: State,
}

enum Source {
    File(File),
    Memory(Cursor<Vec<u8>>),
}

enum State {
    Reading(Box<Hasher>),
    Verified,
    Failed,
}

impl Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Memory(bytes) => bytes.read(buffer),
        }
    }

    /// Whether there is nothing more.
    fn is_at_end(&mut self) -> io::Result<bool> {
        let mut probe = [0];
        loop {
            match self.read(&mut probe) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return Ok(read? == 0),
            }
        }
    }
}

impl BlobReader {
    /// Reads an open blob file.
    pub(super) fn of_file(file: File, digest: Digest, size: u64) -> Self {
        Self::new(Source::File(file), digest, size)
    }

    /// Reads bytes that came with the descriptor.
    pub(super) fn of_data(data: Vec<u8>, digest: Digest, size: u64) -> Self {
        Self::new(Source::Memory(Cursor::new(data)), digest, size)
    }

    fn new(source: Source, digest: Digest, size: u64) -> Self {
        let state = State::Reading(Box::new(Hasher::new(digest.algorithm())));
        Self { source, digest, size, passed: 0, state }
    }

    /// The digest that the bytes must have.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many bytes there must be.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads what is left and verifies the whole, for callers that stop early.
    pub fn verify(mut self) -> Result<()> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        let State::Reading(hasher) = std::mem::replace(&mut self.state, State::Failed) else {
            return Ok(());
        };
        let (expected, actual, size) = (&self.digest, hasher.finish(), self.size);
        if actual != *expected {
            let missing = match self.passed {
                passed if passed < size => format!(" (only {passed} of {size} bytes in stream)"),
                _ => String::new(),
            };
            return Err(mismatch(format!(
                "expected {expected} not {actual}: verified reader digest mismatch{missing}"
            )));
        }
        if self.passed < size {
            let passed = self.passed;
            return Err(mismatch(format!(
                "expected {size} bytes (only {passed} bytes in stream): verified reader size mismatch"
            )));
        }
        if !self.source.is_at_end()? {
            return Err(mismatch(format!(
                "expected {size} bytes (extra bytes in stream): verified reader size mismatch"
            )));
        }
        self.state = State::Verified;
        Ok(())
    }

    fn name(&self, error: Error) -> Error {
        error.context(format!("read blob {}", self.digest))
    }

    fn read_more(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.passed).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let count = match self.source.read(&mut buffer[..wanted]) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(self.name(error.into()).into());
            }
            read => read?,
        };
        if let State::Reading(hasher) = &mut self.state {
            hasher.update(&buffer[..count]);
        }
        self.passed += count as u64;
        if count == 0 || self.passed == self.size {
            self.check().map_err(|error| self.name(error))?;
        }
        Ok(count)
    }
}

fn mismatch(message: String) -> Error {
    Error::new(ErrorKind::Mismatch, message)
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.state {
            State::Reading(_) if buffer.is_empty() => Ok(0),
            State::Reading(_) => self.read_more(buffer),
            State::Verified => Ok(0),
            State::Failed => Err(mismatch(format!("blob {} is damaged", self.digest)).into()),
        }
    }
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader")
            .field("digest", &self.digest)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// A writer of a new blob, which becomes visible under its digest with
/// [`BlobWriter::commit`]. Dropped without that, it leaves nothing.
///
/// Each `write` is a system call: hand it large pieces.
pub struct BlobWriter {
    sink: Hashing<TempFile>,
    session: Session,
}

impl BlobWriter {
    pub(super) fn new(sink: Hashing<TempFile>, session: Session) -> Self {
        Self { sink, session }
    }

    /// How many bytes were written.
    pub fn count(&self) -> u64 {
        self.sink.count()
    }

    /// Syncs the bytes and names them by their digest; gives digest and size.
    ///
    /// A file that has this name already is replaced, never trusted: it might
    /// be damaged, or not be on the disk yet. That the name survives a power
    /// cut is seen to by the next update of the index.
    pub fn commit(self) -> Result<(Digest, u64)> {
        let (file, digest, size) = self.sink.finish();
        self.session.name_blob(file, &digest)?;
        Ok((digest, size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for BlobWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobWriter").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl Write for TempFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;

    fn reader(bytes: &[u8], of: &[u8], size: u64) -> BlobReader {
        BlobReader::of_data(bytes.to_vec(), Digest::of(Algorithm::Sha256, of), size)
    }

    fn failure(bytes: &[u8], of: &[u8], size: u64) -> String {
        let error = reader(bytes, of, size).verify().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        error.to_string()
    }

    #[test]
    fn hands_out_what_is_right() {
        for bytes in [&b""[..], b"x", b"hello"] {
            let mut out = Vec::new();
            let mut reader = reader(bytes, bytes, bytes.len() as u64);
            reader.read_to_end(&mut out).unwrap();
            assert_eq!(out, bytes);
            assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        }
    }

    #[test]
    fn tells_what_is_wrong() {
        assert!(failure(b"hellp", b"hello", 5).contains(": verified reader digest mismatch"));
        assert!(
            failure(b"hello\0", b"hello", 5).ends_with(
                "expected 5 bytes (extra bytes in stream): verified reader size mismatch"
            )
        );
        assert!(failure(b"hello", b"hello", 4).contains("verified reader digest mismatch"));
        assert!(
            failure(b"hell", b"hello", 5)
                .ends_with("verified reader digest mismatch (only 4 of 5 bytes in stream)")
        );
        assert!(
            failure(b"hello", b"hello", 9).ends_with(
                "expected 9 bytes (only 5 bytes in stream): verified reader size mismatch"
            )
        );
        assert!(failure(b"x", b"", 0).contains("extra bytes in stream"));
    }

    #[test]
    fn never_hands_out_the_end_of_a_wrong_blob() {
        let mut reader = reader(b"hellp", b"hello", 5);
        let mut buffer = [0; 3];
        assert_eq!(reader.read(&mut buffer).unwrap(), 3);
        assert!(reader.read(&mut buffer).is_err());
        assert!(reader.read(&mut buffer).is_err(), "an error is not followed by an end");
    }

    #[test]
    fn can_be_used_in_another_thread() {
        fn check<T: Send + 'static>() {}
        check::<BlobReader>();
        check::<BlobWriter>();
    }
}
