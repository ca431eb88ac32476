// SPDX-License-Identifier: Apache-2.0
//! [`Interrupt`]: a request to stop, as a signal makes it.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// A request to stop that work on layouts and root filesystems heeds between two steps.
/// Clones are the same request.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes a flag that somebody else sets.
    pub fn from_flag(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    /// Asks to stop. What is being done ends with an error and cleans up after itself.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether somebody has asked to stop.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Fails when somebody has asked to stop.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`]; it stays that on its way through an [`io::Error`], whose kind
    /// of that name would be tried again.
    pub fn check(&self) -> Result<()> {
        if self.is_raised() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
        }
        Ok(())
    }
}

/// A stream that ends with an error when somebody asks to stop.
#[derive(Debug)]
pub struct Interruptible<T> {
    inner: T,
    interrupt: Interrupt,
}

impl<T> Interruptible<T> {
    /// Takes a stream.
    pub fn new(inner: T, interrupt: Interrupt) -> Self {
        Self { inner, interrupt }
    }
}

impl<R: Read> Read for Interruptible<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupt.check()?;
        self.inner.read(buffer)
    }
}

impl<W: Write> Write for Interruptible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.interrupt.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
