// SPDX-License-Identifier: Apache-2.0
//! Names inside a root filesystem: [`RootPath`] and its single component
//! [`Name`]. Neither can hold `..`, `.`, an empty component or a NUL byte, so
//! no value of these types leads out of the root by itself. Symbolic links on
//! the way are the business of [`super::resolve`].

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// One component of a path: not empty, not `.` or `..`, without `/` and NUL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Checks one component.
    pub fn new(name: &'a [u8]) -> Result<Self> {
        let plain = !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/');
        if plain && !name.contains(&0) {
            Ok(Self(name))
        } else {
            Err(Error::invalid(format!("{:?} is not a file name", OsStr::from_bytes(name))))
        }
    }

    /// The bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The name as the system takes it.
    pub fn as_os_str(self) -> &'a OsStr {
        OsStr::from_bytes(self.0)
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_os_str().fmt(f)
    }
}

/// A path below a root: relative, lexically normalised, any bytes but NUL.
///
/// The empty path is the root itself. The order is bytewise on the plain path.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootPath(Box<[u8]>);

impl RootPath {
    /// The root itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Normalises `path` as if the root were `/`: a leading `/` is dropped and
    /// `..` never climbs above the root.
    ///
    /// # Errors
    /// When the path holds a NUL byte.
    pub fn clean(path: impl AsRef<[u8]>) -> Result<Self> {
        let path = path.as_ref();
        if path.contains(&0) {
            return Err(Error::invalid(format!(
                "path {:?} holds a NUL byte",
                OsStr::from_bytes(path)
            )));
        }
        let mut clean = Vec::with_capacity(path.len());
        for component in path.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => truncate_to_parent(&mut clean),
                name => push(&mut clean, name),
            }
        }
        Ok(Self(clean.into()))
    }

    /// The path for messages, where the root is called `place`; without a name it is `.`.
    pub(crate) fn below(&self, place: &Path) -> PathBuf {
        let path = Path::new(OsStr::from_bytes(&self.0));
        match (place.as_os_str().is_empty(), self.is_root()) {
            (true, true) => PathBuf::from("."),
            (true, false) => path.to_owned(),
            (false, true) => place.to_owned(),
            (false, false) => place.join(path),
        }
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, without a leading or trailing `/`; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The least of the paths below this one, in the order of paths.
    pub(crate) fn first_below(&self) -> Self {
        if self.is_root() { Self::root() } else { Self([&*self.0, b"/"].concat().into()) }
    }

    /// The components in order.
    pub fn components(&self) -> impl Iterator<Item = Name<'_>> {
        self.0.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).map(Name)
    }

    /// The directory and the last component; `None` for the root.
    pub fn split(&self) -> Option<(RootPath, Name<'_>)> {
        if self.is_root() {
            return None;
        }
        let cut = self.0.iter().rposition(|byte| *byte == b'/');
        let parent = cut.map_or(&[][..], |at| &self.0[..at]);
        Some((Self(parent.into()), Name(&self.0[cut.map_or(0, |at| at + 1)..])))
    }

    /// The directory this path is in; `None` for the root.
    pub fn parent(&self) -> Option<RootPath> {
        self.split().map(|(parent, _)| parent)
    }

    /// The last component; `None` for the root.
    pub fn name(&self) -> Option<Name<'_>> {
        let name = self.0.rsplit(|byte| *byte == b'/').next();
        name.filter(|name| !name.is_empty()).map(Name)
    }

    /// The path of `name` inside this directory.
    #[must_use]
    pub fn join(&self, name: Name<'_>) -> Self {
        let mut joined = Vec::with_capacity(self.0.len() + 1 + name.0.len());
        joined.extend_from_slice(&self.0);
        push(&mut joined, name.0);
        Self(joined.into())
    }

    /// Whether this path is `directory` or below it.
    pub fn is_within(&self, directory: &RootPath) -> bool {
        match self.0.strip_prefix(&*directory.0) {
            Some(rest) => directory.is_root() || rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }
}

fn truncate_to_parent(path: &mut Vec<u8>) {
    let cut = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.truncate(cut);
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

impl fmt::Debug for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.below(Path::new("")).fmt(f)
    }
}

/// Shows the path for people: `.` for the root, control and other odd bytes escaped.
impl fmt::Display for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str(".") } else { write!(f, "{}", self.0.escape_ascii()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(path: &str) -> String {
        RootPath::clean(path).unwrap().to_string()
    }

    #[test]
    fn never_climbs_above_the_root() {
        for (path, expected) in [
            ("../../x", "x"),
            ("/abs", "abs"),
            ("a/../../y", "y"),
            ("./q", "q"),
            ("a//b/./c/", "a/b/c"),
            ("", "."),
            ("/", "."),
            ("..", "."),
            ("a/b/../../../../escape", "escape"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn splits_and_joins() {
        let path = RootPath::clean("a/b/c").unwrap();
        let (parent, name) = path.split().unwrap();
        assert_eq!((parent.as_bytes(), name.as_bytes()), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(parent.join(name), path);
        assert!(RootPath::root().split().is_none());
    }

    #[test]
    fn within_means_whole_components() {
        let directory = RootPath::clean("a/b").unwrap();
        let within = |path: &str| RootPath::clean(path).unwrap().is_within(&directory);
        assert!(within("a/b") && within("a/b/c"));
        assert!(!within("a/bc") && !within("a"));
        assert!(directory.is_within(&RootPath::root()));
    }

    #[test]
    fn refuses_what_is_not_a_name() {
        for name in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
            assert!(Name::new(name).is_err(), "{name:?}");
        }
        assert!(RootPath::clean(b"a\0b").is_err());
    }
}
