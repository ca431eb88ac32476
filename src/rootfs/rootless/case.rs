// SPDX-License-Identifier: Apache-2.0
//! Directories in which names are the same that differ in nothing but case. A filesystem may have
//! some that are like that and some that are not, so each is asked for itself, once, and only where
//! it matters.

use std::io;

use super::super::metadata::Identity;
use super::super::names::Names;
use super::super::ops::{Dir, FsOps};
use super::super::path::Name;
use super::super::sys;
use super::Rootless;
use super::census::Substitute;
use super::target::Target;

impl<F: FsOps> Rootless<F> {
    /// Makes something in a directory, where another name may be taken for this one.
    pub(super) fn exactly<T>(
        &self,
        dir: &Dir,
        name: Name<'_>,
        make: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        self.exact(dir, name, || self.with_dir(dir, &make))
    }

    pub(super) fn exact<T>(
        &self,
        dir: &Dir,
        name: Name<'_>,
        make: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let made = make();
        let is_taken = matches!(&made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists);
        if is_taken && !self.is_listed(dir, name)? {
            let what = || "its place is taken by a name that differs in case only".to_owned();
            self.substitute_name(Substitute::SameName, dir, name, what)?;
        }
        made
    }

    /// As [`Rootless::substitute`], where it is about a name of which there is nothing yet.
    pub(super) fn substitute_name(
        &self,
        substitute: Substitute,
        dir: &Dir,
        name: Name<'_>,
        what: impl Fn() -> String,
    ) -> io::Result<()> {
        self.substitute(substitute, Target::Name(dir, name), what)?;
        self.ledger.note_name(substitute, sys::stat_fd(dir)?.identity, name);
        Ok(())
    }

    /// See [`FsOps::has_exactly`].
    pub(super) fn is_listed(&self, dir: &Dir, name: Name<'_>) -> io::Result<bool> {
        Ok(self.tells_case(dir, name)? || self.list(dir)?.contains(name.as_bytes()))
    }

    /// See [`FsOps::namesake`].
    pub(super) fn find_namesake(&self, dir: &Dir, name: Name<'_>) -> io::Result<Option<Box<[u8]>>> {
        if self.tells_case(dir, name)? {
            return Ok(None);
        }
        let Some(there) = self.identity(dir, name)? else { return Ok(None) };
        let names = self.list(dir)?;
        if names.contains(name.as_bytes()) {
            return Ok(None);
        }
        let namesake = self.choose(dir, &alike(&names, name), there)?;
        let namesake = namesake.unwrap_or_else(|| name.as_bytes().into());
        let what =
            || format!("{} is taken for it, which differs in case only", namesake.escape_ascii());
        self.substitute_name(Substitute::SameName, dir, name, what)?;
        Ok(Some(namesake))
    }

    /// Which of several names means this inode. One alone is not asked: there are filesystems
    /// that give an inode another number for each way to write its name.
    fn choose(
        &self,
        dir: &Dir,
        names: &[Box<[u8]>],
        inode: Identity,
    ) -> io::Result<Option<Box<[u8]>>> {
        if let [only] = names {
            return Ok(Some(only.clone()));
        }
        for name in names {
            let means = Name::new(name).map_err(io::Error::from)?;
            if self.identity(dir, means)? == Some(inode) {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    /// Whether a directory is known to tell a name from others of another case. It is asked by
    /// a name that is there; without one nothing is known, and there is nothing to mistake.
    fn tells_case(&self, dir: &Dir, name: Name<'_>) -> io::Result<bool> {
        if let Some(known) = dir.tells_case.get() {
            return Ok(*known);
        }
        let Some(other) = in_other_case(name.as_bytes()) else {
            return Ok(name.as_bytes().is_ascii());
        };
        let other = Name::new(&other).map_err(io::Error::from)?;
        if self.identity(dir, name)?.is_none() {
            return Ok(true);
        }
        // Where both are there, they may be one, with whatever numbers, or two.
        let tells = self.identity(dir, other)?.is_none() || {
            let names = self.list(dir)?;
            names.contains(name.as_bytes()) && names.contains(other.as_bytes())
        };
        Ok(*dir.tells_case.get_or_init(|| tells))
    }

    fn identity(&self, dir: &Dir, name: Name<'_>) -> io::Result<Option<Identity>> {
        match self.stat_on_disk(dir, Some(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            stat => stat.map(|stat| Some(stat.identity)),
        }
    }

    fn list(&self, dir: &Dir) -> io::Result<Names> {
        self.with_dir(dir, || self.inner.read_dir(dir))
    }
}

/// The names that may be listed in the place of this one. Letters of ASCII are the same in all
/// directories that take any for the same, so that one which differs in nothing else is the one.
fn alike(names: &Names, name: Name<'_>) -> Vec<Box<[u8]>> {
    let folded = fold(name.as_bytes());
    let mut alike = Vec::new();
    for other in names.iter() {
        if other.eq_ignore_ascii_case(name.as_bytes()) {
            return vec![other.into()];
        }
        if fold(other) == folded {
            alike.push(other.into());
        }
    }
    alike
}

/// A name with upper and lower case of its ASCII letters exchanged, which no filesystem fails to
/// take for the same where it does so at all; `None` if it has none.
fn in_other_case(name: &[u8]) -> Option<Vec<u8>> {
    let other = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' => byte ^ 0x20,
        byte => *byte,
    };
    let other: Vec<_> = name.iter().map(other).collect();
    (other != name).then_some(other)
}

/// A name without its case, as nearly as can be told: each filesystem has rules of its own.
fn fold(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase()
}
