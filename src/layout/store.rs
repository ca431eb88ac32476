// SPDX-License-Identifier: Apache-2.0
//! New files of a layout: written in a private directory inside it, synced,
//! and renamed to where they belong.
//!
//! The directory `.umoci-<number>` is locked while it is in use, so that
//! garbage collection knows it from one that a killed process left behind.
//! Being inside the layout, it is on the same filesystem as the blobs.

use std::ffi::OsStr;
use std::fs::{File, Metadata, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::sys;

/// What the names of private directories start with.
pub(super) const TEMP_PREFIX: &[u8] = b".umoci-";

const ATTEMPTS: u32 = 1000;

/// A number that no other process is likely to choose.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Who is to own new files: set only when run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner(Option<(u32, u32)>);

impl Owner {
    /// The owner of the layout's directory.
    pub(super) fn of(dir: &File) -> io::Result<Self> {
        if !sys::is_root() {
            return Ok(Self(None));
        }
        Ok(Self(Some(ids(&dir.metadata()?))))
    }

    /// Gives an open file to the owner.
    pub(super) fn give(self, file: &File) -> io::Result<()> {
        match self.0 {
            // Not asked for where nothing changes: some filesystems have no owners at all.
            Some(owner) if ids(&file.metadata()?) != owner => {
                fchown(file, Some(owner.0), Some(owner.1))
            }
            _ => Ok(()),
        }
    }
}

fn ids(metadata: &Metadata) -> (u32, u32) {
    (metadata.uid(), metadata.gid())
}

/// Opens the directory `name`, a real one, making it where it is missing.
pub(super) fn ensure_dir(parent: &File, name: &Path, owner: Owner) -> io::Result<File> {
    match sys::open_dir(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match sys::make_dir(parent, name, 0o755) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let dir = sys::open_dir(parent, name)?;
    owner.give(&dir)?;
    sys::sync_dir(&sys::open_dir(parent, Path::new("."))?)?;
    Ok(dir)
}

/// A private directory inside a layout, locked, removed when dropped.
#[derive(Debug)]
pub(super) struct TempDir {
    layout: Arc<File>,
    name: PathBuf,
    dir: File,
    owner: Owner,
    files: AtomicU64,
}

impl TempDir {
    /// Makes one; `path` is the layout's, for messages.
    pub(super) fn create(layout: Arc<File>, path: &Path, owner: Owner) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            let name = PathBuf::from(format!(".umoci-{}", random()));
            let dir = Self::try_create(&layout, &name, owner)
                .at("create temporary directory", path.join(&name))?;
            if let Some(dir) = dir {
                return Ok(Self { layout, name, dir, owner, files: AtomicU64::new(0) });
            }
        }
        Err(Error::new(
            ErrorKind::Io,
            format!("create temporary directory in {path:?}: no free name"),
        ))
    }

    fn try_create(layout: &File, name: &Path, owner: Owner) -> io::Result<Option<File>> {
        match sys::make_dir(layout, name, 0o700) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            made => made?,
        }
        match Self::lock(layout, name, owner) {
            Ok(dir) => Ok(Some(dir)),
            // Until it is locked it looks abandoned, and garbage collection may take it.
            Err(error) if is_taken(&error) => Ok(None),
            Err(error) => {
                // What is left of it is garbage.
                let _ = sys::remove_dir(layout, name);
                Err(error)
            }
        }
    }

    fn lock(layout: &File, name: &Path, owner: Owner) -> io::Result<File> {
        let dir = sys::open_dir(layout, name)?;
        match dir.try_lock() {
            Err(TryLockError::Error(error)) if sys::cannot_lock(&error) => {}
            locked => locked?,
        }
        owner.give(&dir)?;
        match dir.metadata()?.nlink() {
            0 => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(dir),
        }
    }

    /// Makes a new file in the directory.
    pub(super) fn file(self: &Arc<Self>) -> io::Result<TempFile> {
        let name = PathBuf::from(format!("file-{}", self.files.fetch_add(1, Ordering::Relaxed)));
        let file = sys::create_file(&self.dir, &name)?;
        // Made before anything can fail, so that the name is removed then.
        let temp = TempFile { dir: Arc::clone(self), name: Some(name), file };
        self.owner.give(&temp.file)?;
        Ok(temp)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Err(error) = remove_flat(&self.layout, &self.name, &self.dir) {
            log::warn!("cannot remove temporary directory {:?}: {error}", self.name);
        }
    }
}

/// Whether somebody else removes, or is about to remove, what was just made.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::WouldBlock)
}

/// Removes a directory that holds no directories.
pub(super) fn remove_flat(parent: &File, name: &Path, dir: &File) -> io::Result<()> {
    for entry in sys::list(dir)? {
        sys::unlink(dir, Path::new(&entry))?;
    }
    sys::remove_dir(parent, name)
}

/// A new file that has no name in the layout yet; dropped, it is gone.
#[derive(Debug)]
pub(super) struct TempFile {
    dir: Arc<TempDir>,
    name: Option<PathBuf>,
    file: File,
}

impl TempFile {
    /// The open file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Syncs the contents and gives the file its name, replacing what has it.
    /// The name survives a power cut once `to` has been synced.
    pub(super) fn commit(mut self, to: &File, name: impl AsRef<OsStr>) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(temp) = &self.name {
            sys::rename(&self.dir.dir, temp, to, Path::new(name.as_ref()))?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // What stays behind goes with the directory.
            let _ = sys::unlink(&self.dir.dir, name);
        }
    }
}
