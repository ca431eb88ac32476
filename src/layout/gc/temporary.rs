// SPDX-License-Identifier: Apache-2.0
//! The private directories of writers: which are in use, and which were left behind.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::layout::store::{TEMP_PREFIX, remove_flat};
use crate::sys;

/// How long a writer may need from making its private directory to locking it.
const MOMENT: Duration = Duration::from_millis(20);

/// What a name like that of a writer's private directory turns out to be.
enum Temp {
    /// Its writer is at work.
    Live,
    /// Nobody holds it; now we do.
    Abandoned(File),
    /// Removed meanwhile.
    Gone,
    /// Something else.
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
        Ok(found) if found.is_dir() => sys::open_dir(&layout.dir, name),
        Ok(found) if found.is_file() => sys::open_regular(&layout.dir, name),
        Ok(_) => return Ok(Temp::Other),
        Err(error) => Err(error),
    };
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Temp::Gone),
        opened => opened.at("see whether it is in use: open", &path)?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Temp::Abandoned(file)),
        Err(TryLockError::WouldBlock) => Ok(Temp::Live),
        Err(TryLockError::Error(error)) => Err(error).at("lock", &path),
    }
}

/// The private directories of writers that are no more; `None` when one of them is at work.
pub(super) fn abandoned(layout: &Layout) -> Result<Option<Vec<OsString>>> {
    let names = temp_names(layout)?;
    if !names.is_empty() {
        // Who has just made one is about to lock it, and must not find it locked.
        std::thread::sleep(MOMENT);
    }
    for name in &names {
        if matches!(examine(layout, Path::new(name))?, Temp::Live) {
            return Ok(None);
        }
    }
    Ok(Some(names))
}

/// How many of these would be removed.
pub(super) fn count(layout: &Layout, names: &[OsString]) -> Result<usize> {
    let mut count = 0;
    for name in names {
        count += usize::from(matches!(examine(layout, Path::new(name))?, Temp::Abandoned(_)));
    }
    Ok(count)
}

/// Removes what killed writers left; a failure is only worth a warning.
pub(super) fn remove(layout: &Layout, names: Vec<OsString>) -> Result<usize> {
    let mut count = 0;
    for name in names {
        let path = Path::new(&name);
        let removed = match examine(layout, path)? {
            Temp::Live | Temp::Gone => continue,
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
