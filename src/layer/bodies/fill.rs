// SPDX-License-Identifier: Apache-2.0
//! [`Filler`]: writes and hashes the bytes of files, and sets their metadata by handle.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::{Batch, Body, FileDigests, Filled, FilledFiles, Job, NewFile, Piece};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::layer::entry::shown;
use crate::rootfs::{Change, FsOps, Kind};

/// Zeros to hash in place of a hole.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Whether there is still a use in filling files, and if not, the first error of any thread that
/// does so.
#[derive(Default)]
pub(super) struct Failure {
    failed: AtomicBool,
    error: Mutex<Option<Error>>,
}

impl Failure {
    pub(super) fn set(&self, error: Error) {
        // Later ones follow from the first.
        if !self.failed.swap(true, Ordering::AcqRel) {
            *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    /// Makes all threads stop for what is no error of theirs.
    pub(super) fn give_up(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(super) fn check(&self) -> Result<()> {
        if !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Io, "an earlier file could not be written"))
    }

    /// What went wrong, once.
    pub(super) fn take(&self) -> Option<Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Fills files.
pub(super) struct Filler<'a> {
    pub(super) fs: &'a dyn FsOps,
    pub(super) digests: FileDigests,
    pub(super) files: Arc<FilledFiles>,
    pub(super) interrupt: Interrupt,
    pub(super) failure: Failure,
}

impl Filler<'_> {
    /// Fills the files of a batch and notes what is known of them. After a failure, of whichever
    /// thread, it only lets go of them.
    pub(super) fn fill(&self, batch: Batch) {
        let (first, count) = (batch.first, batch.jobs.len());
        let mut filled =
            Vec::with_capacity(if self.digests == FileDigests::Skip { 0 } else { count });
        for Job { new, body } in batch.jobs {
            if self.failure.check().is_err() {
                continue;
            }
            match self.fill_one(&new, body) {
                Ok(known) => filled.extend(known),
                Err(error) => {
                    let path = shown(new.path.as_bytes());
                    self.failure.set(error.context(format!("unpack entry: {path}")));
                }
            }
        }
        self.files.add(first, filled);
    }

    fn fill_one(&self, new: &NewFile, body: Body) -> Result<Option<Filled>> {
        let pieces: &mut dyn Iterator<Item = io::Result<Piece>> = match body {
            Body::Whole(first, others) => {
                &mut first.into_iter().chain(others).map(|piece| write(&new.file, piece))
            }
            Body::Written(pieces) => &mut pieces.into_iter(),
        };
        let mut hash = (self.digests == FileDigests::Sha256).then(Sha256::new);
        let mut ends_in_hole = false;
        for piece in pieces {
            let piece = piece.context("write file")?;
            ends_in_hole = matches!(piece, Piece::Hole(_));
            if let Some(hash) = &mut hash {
                self.update(hash, &piece)?;
            }
        }
        if ends_in_hole {
            new.file.set_len(new.size).context("set file size")?;
        }
        let change =
            Change { metadata: &new.metadata, kind: Kind::File, clear_xattrs: new.clear_xattrs };
        let stat = self.fs.set_file_metadata(&new.file, &change).context("apply metadata")?;
        Ok(hash.map(|hash| Filled::new(hash.finalize().into(), &stat)))
    }

    fn update(&self, hash: &mut Sha256, piece: &Piece) -> Result<()> {
        match piece {
            Piece::Data(bytes) => hash.update(&**bytes),
            Piece::Hole(len) => {
                let mut left = *len;
                while left > 0 {
                    self.interrupt.check()?;
                    self.failure.check()?;
                    let zeros = left.min(ZEROS.len() as u64);
                    hash.update(&ZEROS[..usize::try_from(zeros).unwrap_or(ZEROS.len())]);
                    left -= zeros;
                }
            }
        }
        Ok(())
    }
}

/// Writes a piece behind those before it, and gives it back.
pub(super) fn write(mut file: &File, piece: Piece) -> io::Result<Piece> {
    match &piece {
        Piece::Data(bytes) => file.write_all(bytes)?,
        Piece::Hole(len) => {
            file.seek(SeekFrom::Current(i64::try_from(*len).map_err(io::Error::other)?))?;
        }
    }
    Ok(piece)
}
