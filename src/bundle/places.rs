// SPDX-License-Identifier: Apache-2.0
//! [`Places`]: what is on disk in a bundle's tree.

use sha2::{Digest as _, Sha256};

use crate::error::{Context, Result};
use crate::rootfs::{Dir, FileTime, FsOps, Kind, Name, Native, RootPath, Rootless, Stat};

/// Objects of a tree by path; those of a directory come together.
pub(super) struct Places<'a> {
    pub(super) fs: &'a Rootless<Native>,
    open: Option<(RootPath, Dir)>,
}

impl<'a> Places<'a> {
    pub(super) fn of(fs: &'a Rootless<Native>) -> Self {
        Self { fs, open: None }
    }

    /// The root on disk.
    pub(super) fn root(&self) -> Result<Stat> {
        Ok(self.fs.stat_on_disk(&self.fs.open_dir(&RootPath::root())?, None)?)
    }

    fn dir(&mut self, path: &RootPath) -> std::io::Result<&Dir> {
        if self.open.as_ref().is_none_or(|(open, _)| open != path) {
            self.open = Some((path.clone(), self.fs.open_dir(path)?));
        }
        let open = self.open.as_ref().map(|(_, dir)| dir);
        open.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
    }

    /// `None` when there is nothing.
    pub(super) fn stat(&mut self, path: &RootPath) -> Result<Option<Stat>> {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        let fs = self.fs;
        let stat = match path.split() {
            Some((parent, name)) => {
                self.dir(&parent).and_then(|dir| fs.stat_on_disk(dir, Some(name)))
            }
            None => self.dir(path).and_then(|dir| fs.stat_on_disk(dir, None)),
        };
        match stat {
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
            stat => Ok(Some(stat.with_context(|| format!("stat {path:?}"))?)),
        }
    }

    /// When an object was made, if that can be told.
    pub(super) fn born(&mut self, path: &RootPath) -> Result<Option<FileTime>> {
        let fs = self.fs;
        let born = match path.split() {
            Some((parent, name)) => self.dir(&parent).and_then(|dir| fs.born(dir, Some(name))),
            None => self.dir(path).and_then(|dir| fs.born(dir, None)),
        };
        born.with_context(|| format!("stat {path:?}"))
    }

    /// The SHA-256 of what is in a file, or of a link's target; `None` for anything else.
    pub(super) fn contents(&mut self, path: &RootPath, kind: Kind) -> Result<Option<[u8; 32]>> {
        let fs = self.fs;
        let Some((parent, name)) = path.split() else { return Ok(None) };
        let contents = self.dir(&parent).and_then(|dir| match kind {
            Kind::File => fs.sha256(dir, name).map(Some),
            Kind::Symlink => {
                fs.read_link(dir, name).map(|target| Some(Sha256::digest(target).into()))
            }
            _ => Ok(None),
        });
        contents.with_context(|| format!("read {path:?}"))
    }

    /// Shows everything below the root that is on the same filesystem.
    pub(super) fn each(
        &mut self,
        mut visit: impl FnMut(&mut Self, &RootPath, &Stat) -> Result<()>,
    ) -> Result<()> {
        let device = self.root()?.identity.dev;
        let mut dirs = vec![RootPath::root()];
        while let Some(dir) = dirs.pop() {
            let fs = self.fs;
            let names = self.dir(&dir).and_then(|open| fs.read_dir(open));
            for name in names.with_context(|| format!("list {dir:?}"))?.iter() {
                let path = dir.join(Name::new(name)?);
                let Some(stat) = self.stat(&path)? else { continue };
                if stat.identity.dev != device {
                    continue;
                }
                visit(self, &path, &stat)?;
                if stat.kind == Kind::Dir {
                    dirs.push(path);
                }
            }
        }
        Ok(())
    }
}
