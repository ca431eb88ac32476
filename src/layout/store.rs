// SPDX-License-Identifier: Apache-2.0
//! New files of a layout: written in a private directory inside it, synced,
//! and renamed to where they belong.
//!
//! The directory `.umoci-<number>` is locked while it is in use, so that
//! garbage collection knows it from one that a killed process left behind.
//! Being inside the layout, it is on the same filesystem as the blobs.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Context, Error, Result};
use crate::random::random;
use crate::sys;

/// What the names of private directories start with.
pub(super) const TEMP_PREFIX: &[u8] = b".umoci-";

const ATTEMPTS: u32 = 1000;

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
    Ok(dir)
}

/// A private directory inside a layout, locked, removed when dropped.
#[derive(Debug)]
pub(super) struct TempDir {
    layout: Arc<File>,
    name: PathBuf,
    dir: File,
    /// Who is to own what is made; nobody else than the caller where the filesystem refuses.
    pub(super) owner: Owner,
    files: AtomicU64,
}

impl TempDir {
    /// Makes one; `path` is the layout's, for messages.
    pub(super) fn create(layout: Arc<File>, path: &Path, owner: Owner) -> Result<Self> {
        let made = held_dir(&layout, 0o700, || PathBuf::from(format!(".umoci-{}", random())));
        let (name, dir) = made.at("create temporary directory in", path)?;
        let mut temp = Self { layout, name, dir, owner, files: AtomicU64::new(0) };
        match owner.give(&temp.dir) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let error = Error::from(error);
                log::warn!("new files do not get the owner of layout {path:?}: {error}");
                temp.owner = Owner(None);
            }
            given => given.at("create temporary directory in", path)?,
        }
        Ok(temp)
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

/// Makes a directory under one of these names, and locks it, for others to see that it is in
/// use. Until it is locked it looks abandoned: if somebody takes it away, another is made.
pub(super) fn held_dir(
    parent: &File,
    mode: u32,
    name: impl Fn() -> PathBuf,
) -> io::Result<(PathBuf, File)> {
    for _ in 0..ATTEMPTS {
        let name = name();
        match sys::make_dir(parent, &name, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        match hold_dir(parent, &name) {
            Ok(dir) => return Ok((name, dir)),
            Err(error) if is_taken(&error) => {}
            Err(error) => {
                // What is left of it is garbage.
                let _ = sys::remove_dir(parent, &name);
                return Err(error);
            }
        }
    }
    Err(io::Error::other("no free name"))
}

fn hold_dir(parent: &File, name: &Path) -> io::Result<File> {
    let dir = sys::open_dir(parent, name)?;
    sys::hold(&dir)?;
    match dir.metadata()?.nlink() {
        0 => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(dir),
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
