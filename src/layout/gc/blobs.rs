// SPDX-License-Identifier: Apache-2.0
//! The files that hold blobs: which there are, and their removal.

use std::fs::File;
use std::io;
use std::path::Path;

use super::StoredBlob;
use crate::error::{Context, Result};
use crate::interrupt::Interrupt;
use crate::layout::{BLOBS, Layout};
use crate::oci::{Algorithm, Digest};
use crate::sys;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

/// A file that may be removed: still the same one when its turn comes.
pub(super) struct Found {
    pub(super) blob: StoredBlob,
    /// Device and number of the inode.
    identity: (u64, u64),
}

/// The blobs of one algorithm.
pub(super) struct BlobDir {
    dir: File,
    pub(super) garbage: Vec<Found>,
}

impl BlobDir {
    /// Removes what is garbage, and adds to `removed` what is gone now.
    pub(super) fn remove_garbage(
        self,
        removed: &mut Vec<StoredBlob>,
        interrupt: &Interrupt,
    ) -> Result<()> {
        for found in self.garbage {
            interrupt.check()?;
            let is_gone = remove(&self.dir, &found);
            if is_gone.with_context(|| format!("remove blob {}", found.blob.digest))? {
                removed.push(found.blob);
            }
        }
        sys::sync_dir(&self.dir).context("sync blobs")
    }
}

/// Removes a file if it is still the one that was seen, and tells whether it was.
fn remove(dir: &File, found: &Found) -> io::Result<bool> {
    let name = Path::new(found.blob.digest.hex());
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(false),
        _ => Err(error),
    };
    match sys::lstat(dir, name) {
        Ok(now) if now.is_file() && now.identity() == found.identity => {
            log::debug!("garbage collecting blob: {}", found.blob.digest);
            sys::unlink(dir, name).map(|()| true).or_else(gone)
        }
        Ok(_) => Ok(false),
        Err(error) => gone(error),
    }
}

/// All blobs of a layout.
pub(super) fn list(layout: &Layout) -> Result<Vec<BlobDir>> {
    let path = layout.path().join(BLOBS);
    let blobs =
        sys::open_dir(&layout.dir, Path::new(BLOBS)).at("open as a real directory", &path)?;
    let mut dirs = Vec::new();
    for algorithm in ALGORITHMS {
        let (name, path) = (algorithm.as_str(), path.join(algorithm.as_str()));
        match sys::open_dir(&blobs, Path::new(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => {
                let dir = opened.at("open as a real directory", &path)?;
                let garbage = candidates(&dir, algorithm, &path).at("list", &path)?;
                dirs.push(BlobDir { dir, garbage });
            }
        }
    }
    Ok(dirs)
}

fn candidates(dir: &File, algorithm: Algorithm, path: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in sys::list(dir)? {
        let digest = name
            .to_str()
            .and_then(|hex| format!("{}:{hex}", algorithm.as_str()).parse::<Digest>().ok());
        let file = match sys::lstat(dir, Path::new(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        match digest {
            Some(digest) if file.is_file() => {
                let (size, stored) = (file.size(), file.modified());
                let blob = StoredBlob { digest, size, stored };
                found.push(Found { blob, identity: file.identity() });
            }
            _ => log::warn!("{:?} is not a blob; it stays", path.join(&name)),
        }
    }
    Ok(found)
}
