// SPDX-License-Identifier: Apache-2.0
//! Why a command failed, and what the user can do about it.

use std::io;

use umoci::error::{Bound, Error, ErrorKind};

use crate::host;
use crate::output::{self, Label};

/// The result of a command.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// An error of the library, with a hint where the user can act.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Error,
    hint: Option<String>,
    status: u8,
}

/// Exit status of a command that could not do what it was asked for.
const FAILED: u8 = 1;

/// Exit status of a question that was answered "no".
pub(crate) const NO: u8 = 3;

impl Failure {
    /// Makes the answer "no" to a question that a command was asked.
    pub(crate) fn no(error: Error) -> Self {
        Self { status: NO, ..error.into() }
    }

    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        self.status
    }

    /// Adds a hint: one sentence.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the hint that `--rootless` may help, where it can: an ordinary user tried
    /// what only root may do. A file that is closed to the caller is another matter.
    pub(crate) fn suggest_rootless(self, rootless: bool) -> Self {
        let errno = self.error.io_error().and_then(io::Error::raw_os_error);
        let is_root = host::caller().uid == 0;
        if errno == Some(nix::errno::Errno::EPERM as i32) && !rootless && !is_root {
            return self.hint("This needs root's privileges; --rootless may help.");
        }
        self
    }

    /// What went wrong.
    #[cfg(test)]
    pub(crate) fn error(&self) -> &Error {
        &self.error
    }

    /// The sort of failure.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// The limit that was met, if there is a flag for it.
    pub(crate) fn bound(&self) -> Option<Bound> {
        self.error.bound()
    }

    /// Whether the reader of standard output went away, which is no failure of ours.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Tells the error, and the hint if there is one.
    pub(crate) fn tell(&self) {
        output::complain(Label::Error, &self.error.to_string());
        if let Some(hint) = &self.hint {
            output::complain(Label::Hint, hint);
        }
    }
}

impl AsRef<Error> for Failure {
    fn as_ref(&self) -> &Error {
        &self.error
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, hint: None, status: FAILED }
    }
}
