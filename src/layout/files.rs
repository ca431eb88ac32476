// SPDX-License-Identifier: Apache-2.0
//! The files of a directory that may be a layout, for those who look at what is wrong
//! with it. [`Layout`](super::Layout) reads layouts that are in order.
//!
//! No link is followed, nothing is waited for, and nothing is locked.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{Context, Result};
use crate::sys;

use super::{BLOBS, INDEX_FILE, LAYOUT_FILE};

/// A directory that may be a layout.
#[derive(Debug)]
pub(crate) struct LayoutFiles {
    dir: File,
}

impl LayoutFiles {
    /// The file that makes a directory a layout.
    pub(crate) const MARKER: &str = LAYOUT_FILE;
    /// The file that names what is in it.
    pub(crate) const INDEX: &str = INDEX_FILE;
    /// The directory of all blobs.
    pub(crate) const BLOBS: &str = BLOBS;

    /// Opens the directory itself; whoever names it may do so by a link.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self { dir: sys::open_place(path).at("open", path)? })
    }

    /// Opens a regular file beside the blobs.
    pub(crate) fn file(&self, name: &str) -> io::Result<File> {
        sys::open_regular(&self.dir, Path::new(name))
    }

    /// Opens a regular file among the blobs of an algorithm.
    pub(crate) fn blob(&self, algorithm: &OsStr, name: &OsStr) -> io::Result<File> {
        sys::open_regular(&self.blob_dir(algorithm)?, Path::new(name))
    }

    /// How many bytes a regular file among the blobs of an algorithm has, without opening it.
    pub(crate) fn blob_size(&self, algorithm: &OsStr, name: &OsStr) -> io::Result<u64> {
        let found = sys::lstat(&self.blob_dir(algorithm)?, Path::new(name))?;
        Ok(if found.is_file() { found.size() } else { 0 })
    }

    /// The names among the blobs: those of algorithms, if the layout is in order.
    pub(crate) fn algorithms(&self) -> io::Result<Vec<OsString>> {
        sys::list(&sys::open_dir(&self.dir, Path::new(BLOBS))?)
    }

    /// The names among the blobs of an algorithm.
    pub(crate) fn blobs(&self, algorithm: &OsStr) -> io::Result<Vec<OsString>> {
        sys::list(&self.blob_dir(algorithm)?)
    }

    fn blob_dir(&self, algorithm: &OsStr) -> io::Result<File> {
        let blobs = sys::open_dir(&self.dir, Path::new(BLOBS))?;
        sys::open_dir(&blobs, Path::new(algorithm))
    }
}
