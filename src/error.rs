// SPDX-License-Identifier: Apache-2.0
//! The one error type of the library: opaque to print, with a small
//! [`ErrorKind`] to branch on.
//!
//! An error is built where it happens and gets context on its way up, so that
//! its one line reads from what was being done to what was wrong:
//! `unpack layer sha256:…: etc/passwd: no space left on device`.

use std::fmt;
use std::io;
use std::path::Path;

/// The result of the library's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure an [`Error`] is, for callers that act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something that was named does not exist (a tag, a blob, a file).
    NotFound,
    /// Something that was to be made is there already.
    AlreadyExists,
    /// A name leads to more than one image.
    Ambiguous,
    /// None of the images that a name leads to is for the platform that was asked for.
    Platform,
    /// Input is in another format than the one that was asked for.
    Format,
    /// Input breaks the rules of its format.
    Invalid,
    /// Input is well-formed, but asks for what this library does not do.
    Unsupported,
    /// Bytes are not those that a descriptor promises (digest or size).
    Mismatch,
    /// Input is over a documented limit.
    Limit,
    /// Another process holds a lock that is needed.
    Busy,
    /// Another process has changed what this one was working on.
    Changed,
    /// The system refused for want of permission (EACCES or EPERM).
    Permission,
    /// Owners on disk do not mean here what they meant elsewhere, as in another user namespace.
    ForeignOwner,
    /// Somebody has asked to stop.
    Interrupted,
    /// Any other failure of the system.
    Io,
}

/// A limit that the caller has set or could have set otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bound {
    /// The bytes of an image's layers when they are decompressed.
    UnpackedSize,
    /// The members of an image's layers.
    Entries,
    /// The components of a member's name.
    PathDepth,
    /// The space that the filesystem has, where that is looked at beforehand.
    FreeSpace,
}

/// An error of this library. Its `Display` is the whole chain in one line.
///
/// `source` is empty on purpose: everything it could say is in the line.
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    /// Innermost first.
    messages: Vec<String>,
    io: Option<io::Error>,
    bound: Option<Bound>,
}

impl Error {
    /// Makes an error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Repr { kind, messages: vec![message.into()], io: None, bound: None }))
    }

    /// Makes an [`ErrorKind::Invalid`] error.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Makes an [`ErrorKind::Unsupported`] error.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Makes an [`ErrorKind::Limit`] error of a limit that the caller can change.
    pub fn over(bound: Bound, message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::Limit, message);
        error.0.bound = Some(bound);
        error
    }

    /// The limit that was met, if the caller can change it.
    pub fn bound(&self) -> Option<Bound> {
        self.0.bound
    }

    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The system's error behind this one, if there is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        self.0.io.as_ref()
    }

    /// Puts what was being done in front of the message.
    #[must_use]
    pub fn context(mut self, doing: impl Into<String>) -> Self {
        self.0.messages.push(doing.into());
        self
    }
}

impl AsRef<Error> for Error {
    fn as_ref(&self) -> &Error {
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, message) in self.0.messages.iter().rev().enumerate() {
            if i > 0 {
                f.write_str(": ")?;
            }
            f.write_str(message)?;
        }
        match &self.0.io {
            None => Ok(()),
            Some(io) if self.0.messages.is_empty() => write!(f, "{}", describe(io)),
            Some(io) => write!(f, ": {}", describe(io)),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for Error {}

/// The system's text without Rust's "(os error N)", in lower case as the field writes it.
fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if error.raw_os_error().is_some() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        // An error that crossed an io trait (`Read`, `Write`) comes out as it went in.
        match error.downcast::<Error>() {
            Ok(own) => own,
            Err(io) => {
                let (kind, messages) = (kind_of(&io), Vec::new());
                Self(Box::new(Repr { kind, messages, io: Some(io), bound: None }))
            }
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ErrorKind::Invalid,
        _ => ErrorKind::Io,
    }
}

/// Adds to a failed result what was being done.
pub trait Context<T> {
    /// Puts `doing` in front of the error's message.
    fn context(self, doing: impl Into<String>) -> Result<T>;

    /// As [`Context::context`], with a message that is only built on failure.
    fn with_context(self, doing: impl FnOnce() -> String) -> Result<T>;

    /// Names the action and the path it was done to: `open "/x/index.json"`.
    fn at(self, action: &str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, doing: impl Into<String>) -> Result<T> {
        self.map_err(|error| error.into().context(doing))
    }

    fn with_context(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.into().context(doing()))
    }

    fn at(self, action: &str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|error| error.into().context(format!("{action} {:?}", path.as_ref())))
    }
}

/// A number of things, for a message.
pub(crate) fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_from_the_outside_in() {
        let missing = Err::<(), _>(io::Error::from_raw_os_error(2));
        let error = missing.at("open", "/x/y").context("read layout").unwrap_err();
        assert_eq!(error.to_string(), "read layout: open \"/x/y\": no such file or directory");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn counts_in_words() {
        let layers = [0, 1, 2].map(|count| counted(count, "layer", "layers"));
        assert_eq!(layers, ["0 layers", "1 layer", "2 layers"]);
    }

    #[test]
    fn survives_the_way_through_an_io_trait() {
        let inner = Error::new(ErrorKind::Mismatch, "digest differs");
        let outer = Error::from(io::Error::from(inner)).context("unpack");
        assert_eq!(outer.kind(), ErrorKind::Mismatch);
        assert_eq!(outer.to_string(), "unpack: digest differs");
    }
}
