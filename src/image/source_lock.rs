// SPDX-License-Identifier: Apache-2.0
//! [`SourceLock`]: several commands read one tree at the same time, and each sees the permission
//! bits that it has, not those that another one has made to step aside.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::layout::lock::{DEFAULT_LIMIT, Mode, Patience, attempt, process};
use crate::rootfs::{Aside, Reminder};

/// A lock on the directory that a source is reached from: shared while it is read, held alone
/// from the first permission bits that step aside to the end.
///
/// Two who share it and both want it alone do not wait for each other: the attempt lets go of it.
#[derive(Debug)]
pub(super) struct SourceLock {
    dir: File,
    path: PathBuf,
    interrupt: Interrupt,
}

impl SourceLock {
    /// Shares the open directory `dir`, which messages call `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) when somebody holds it alone for too long.
    pub(super) fn share(dir: File, path: &Path, interrupt: Interrupt) -> Result<Self> {
        let lock = Self { dir, path: path.to_owned(), interrupt };
        lock.take(Mode::Shared)?;
        Ok(lock)
    }

    fn take(&self, mode: Mode) -> Result<()> {
        let Self { dir, path, interrupt } = self;
        let mut patience = Patience::new(DEFAULT_LIMIT, interrupt.clone());
        while attempt(dir, mode, path)?.is_none() {
            patience.pause(|| format!("{}, which reads the same tree", process(dir)))?;
        }
        Ok(())
    }
}

impl Reminder for SourceLock {
    fn add(&self, _: &Aside) -> io::Result<()> {
        Ok(self.take(Mode::Exclusive)?)
    }

    fn clear(&self) -> io::Result<()> {
        Ok(())
    }

    fn keep(&self) -> io::Result<()> {
        Ok(())
    }
}
