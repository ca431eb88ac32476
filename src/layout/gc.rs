// SPDX-License-Identifier: Apache-2.0
//! Removal of blobs that nothing refers to, and of what killed writers left.
//!
//! Only regular files with the name of a digest are removed, from real
//! directories, and only after everything that is to stay has been verified.
//! Writers of this tool are kept out by the layout's lock. Writers of tools
//! without it may be about: those that lock a `.umoci-*` directory are waited
//! for, and a blob that any of them puts while garbage is collected stays.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Context, Error, Result};
use crate::oci::{Algorithm, Digest};
use crate::sys;

use super::lock::{Held, Mode, Patience};
use super::store::{TEMP_PREFIX, remove_flat};
use super::walk::walk_index;
use super::{BLOBS, Layout};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

/// How garbage is collected.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GcOptions {}

/// What [`collect_garbage`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcReport {
    /// The blobs that were removed.
    pub removed: Vec<Digest>,
    /// How many bytes they had.
    pub bytes: u64,
    /// How many temporary directories of killed writers were removed.
    pub temporary: usize,
}

/// Removes every blob that cannot be reached from the index, tagged or not.
///
/// # Errors
/// [`ErrorKind::Busy`](crate::ErrorKind::Busy) when others write for longer than the limit. When a
/// manifest, configuration or index that is to stay is missing or damaged,
/// nothing is removed.
pub fn collect_garbage(layout: &Layout, _options: &GcOptions) -> Result<GcReport> {
    let mut patience = Patience::new(layout.lock_limit);
    loop {
        let lock = lock(layout, &mut patience)?;
        if let Some(plan) = Plan::make(layout)? {
            return plan.carry_out(layout, &lock);
        }
        // Others of this tool need not wait for those who do not know its lock.
        drop(lock);
        patience.pause(|| format!("another program, which writes to {:?}", layout.path()))?;
    }
}

fn lock(layout: &Layout, patience: &mut Patience) -> Result<File> {
    match layout.lock_blobs(Mode::Exclusive, patience)? {
        (lock, Held::Yes) => Ok(lock),
        (_, Held::Impossible) => Err(Error::unsupported(format!(
            "{:?} cannot be locked, so nothing can be removed safely",
            layout.path()
        ))),
    }
}

/// A file that may be removed: still the same one when its turn comes.
struct Candidate {
    digest: Digest,
    inode: u64,
}

/// The blobs of one algorithm.
struct BlobDir {
    dir: File,
    garbage: Vec<Candidate>,
}

struct Plan {
    dirs: Vec<BlobDir>,
}

impl Plan {
    /// Finds the garbage; `None` when somebody without our lock is writing.
    ///
    /// The order matters: what is put after the list was made is not in it,
    /// and who put something before that and still has to refer to it either
    /// holds its directory, or has changed the index, when these are looked at.
    fn make(layout: &Layout) -> Result<Option<Self>> {
        if foreign_writer(layout)? {
            return Ok(None);
        }
        let mut dirs = list_blobs(layout)?;
        let index = layout.index_bytes()?;
        let reachable = mark(layout, &index)?;
        if foreign_writer(layout)? || layout.index_bytes()? != index {
            return Ok(None);
        }
        for dir in &mut dirs {
            dir.garbage.retain(|candidate| !reachable.contains(&candidate.digest));
        }
        Ok(Some(Self { dirs }))
    }

    fn carry_out(self, layout: &Layout, lock: &File) -> Result<GcReport> {
        let mut report = GcReport::default();
        for BlobDir { dir, garbage } in self.dirs {
            for candidate in garbage {
                let digest = candidate.digest.clone();
                let removed = remove(&dir, candidate);
                if let Some(size) = removed.with_context(|| format!("remove blob {digest}"))? {
                    report.bytes = report.bytes.saturating_add(size);
                    report.removed.push(digest);
                }
            }
            sys::sync_dir(&dir).context("sync blobs")?;
        }
        report.temporary = remove_abandoned(layout)?;
        sys::sync_dir(lock).at("sync", layout.path())?;
        Ok(report)
    }
}

/// Removes a file if it is still the one that was seen; gives its size.
fn remove(dir: &File, candidate: Candidate) -> io::Result<Option<u64>> {
    let name = Path::new(candidate.digest.hex());
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(error),
    };
    match sys::lstat(dir, name) {
        Ok(metadata) if metadata.is_file() && metadata.ino() == candidate.inode => {
            log::debug!("garbage collecting blob: {}", candidate.digest);
            sys::unlink(dir, name).map(|()| Some(metadata.len())).or_else(gone)
        }
        Ok(_) => Ok(None),
        Err(error) => gone(error),
    }
}

fn mark(layout: &Layout, index: &[u8]) -> Result<HashSet<Digest>> {
    let index = layout.parse_index(index)?;
    let mut reachable = HashSet::new();
    walk_index(layout, index, |descriptor| {
        reachable.insert(descriptor.digest.clone());
        Ok(())
    })
    .context("getting reachables")?;
    Ok(reachable)
}

fn list_blobs(layout: &Layout) -> Result<Vec<BlobDir>> {
    let path = layout.path().join(BLOBS);
    let blobs = sys::open_dir(&layout.dir, Path::new(BLOBS)).at("open directory", &path)?;
    let mut dirs = Vec::new();
    for algorithm in ALGORITHMS {
        let (name, path) = (algorithm.as_str(), path.join(algorithm.as_str()));
        match sys::open_dir(&blobs, Path::new(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => {
                let dir = opened.at("open directory", &path)?;
                let garbage = candidates(&dir, algorithm, &path).at("list", &path)?;
                dirs.push(BlobDir { dir, garbage });
            }
        }
    }
    Ok(dirs)
}

fn candidates(dir: &File, algorithm: Algorithm, path: &Path) -> io::Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for name in sys::list(dir)? {
        let digest = name
            .to_str()
            .and_then(|hex| format!("{}:{hex}", algorithm.as_str()).parse::<Digest>().ok());
        let metadata = match sys::lstat(dir, Path::new(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        match digest {
            Some(digest) if metadata.is_file() => {
                found.push(Candidate { digest, inode: metadata.ino() });
            }
            _ => log::warn!("{:?} is not a blob; it stays", path.join(&name)),
        }
    }
    Ok(found)
}

/// What a name like that of a writer's private directory turns out to be.
enum Temp {
    /// Its writer is at work.
    Live,
    /// Nobody holds it; now we do.
    Abandoned(File),
    /// Something else, or gone meanwhile.
    Other,
}

fn temp_names(layout: &Layout) -> Result<Vec<OsString>> {
    let dir = sys::open_dir(&layout.dir, Path::new(".")).at("open", layout.path())?;
    let names = sys::list(&dir).at("list", layout.path())?;
    Ok(names.into_iter().filter(|name| name.as_bytes().starts_with(TEMP_PREFIX)).collect())
}

fn examine(layout: &Layout, name: &Path) -> Result<Temp> {
    let path = layout.path().join(name);
    let file = match sys::lstat(&layout.dir, name) {
        Ok(metadata) if metadata.is_dir() => sys::open_dir(&layout.dir, name),
        Ok(metadata) if metadata.is_file() => sys::open_regular(&layout.dir, name),
        Ok(_) => return Ok(Temp::Other),
        Err(error) => Err(error),
    };
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Temp::Other),
        opened => opened.at("see whether it is in use: open", &path)?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Temp::Abandoned(file)),
        Err(TryLockError::WouldBlock) => Ok(Temp::Live),
        Err(TryLockError::Error(error)) => Err(error).at("lock", &path),
    }
}

fn foreign_writer(layout: &Layout) -> Result<bool> {
    for name in temp_names(layout)? {
        if matches!(examine(layout, Path::new(&name))?, Temp::Live) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes what killed writers left; a failure is only worth a warning.
fn remove_abandoned(layout: &Layout) -> Result<usize> {
    let mut count = 0;
    for name in temp_names(layout)? {
        let path = Path::new(&name);
        let removed = match examine(layout, path)? {
            Temp::Live => continue,
            Temp::Abandoned(file) if file.metadata().at("stat", path)?.is_dir() => {
                remove_flat(&layout.dir, path, &file)
            }
            Temp::Abandoned(_) => sys::unlink(&layout.dir, path),
            Temp::Other => Err(io::Error::other("neither a directory nor a file")),
        };
        match removed {
            Ok(()) => count += 1,
            Err(error) => log::warn!("{:?} stays: {error}", layout.path().join(path)),
        }
    }
    Ok(count)
}
