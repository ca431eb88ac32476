// SPDX-License-Identifier: Apache-2.0
//! [`Interrupt`]: a request to stop, as a signal makes it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request to stop that work on a root filesystem heeds between two steps.
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
    pub(super) fn check(&self) -> io::Result<()> {
        if self.is_raised() { Err(io::Error::other("interrupted")) } else { Ok(()) }
    }
}
