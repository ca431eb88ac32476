// SPDX-License-Identifier: Apache-2.0
//! Making an empty layout: built beside its place under a temporary name,
//! synced, and renamed, so that nobody ever sees half of it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::oci::{Algorithm, Index, json};
use crate::quote::quote_if_needed;
use crate::random::random;
use crate::sys;

use super::{BLOBS, INDEX_FILE, LAYOUT_FILE, store};

const MARKER: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}\n";

/// How much of the name goes into the temporary one, which must not be longer than names may be.
const NAME_PART: usize = 200;

/// Makes the layout.
pub(super) fn create(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(_) => return Err(exists(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).at("stat", path),
    }
    let Some(name) = path.file_name() else {
        return Err(Error::invalid(format!("{path:?} does not end in a name")));
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_parents(parent)?;
    let dir = sys::open_place(parent).at("open", parent)?;
    remove_abandoned(&dir, name);
    let temp = Unfinished::create(&dir, name).at("create", path)?;
    temp.fill().at("create", path)?;
    temp.finish(Path::new(name)).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Error::from(error).context(format!("create {path:?}")),
    })?;
    sync(&dir).at("sync", parent)
}

fn exists(path: &Path) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        format!("path already exists: {}", quote_if_needed(path.as_os_str().as_bytes())),
    )
}

/// Makes a directory and those above it, each synced into the one it is in.
fn make_parents(path: &Path) -> Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty() && fs::metadata(above).is_err())
        .collect();
    for dir in missing.into_iter().rev() {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made.at("create directory", dir)?,
        }
        let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
        let above = above.unwrap_or(Path::new("."));
        sys::open_place(above).and_then(|above| sync(&above)).at("sync", above)?;
    }
    Ok(())
}

fn sync(place: &File) -> io::Result<()> {
    sys::sync_dir(&sys::open_dir(place, Path::new("."))?)
}

/// A layout that does not have its name yet; dropped, it is removed.
struct Unfinished<'a> {
    parent: &'a File,
    name: Option<PathBuf>,
    dir: File,
}

impl<'a> Unfinished<'a> {
    fn create(parent: &'a File, name: &OsStr) -> io::Result<Self> {
        let (name, dir) = store::held_dir(parent, 0o755, || temporary_name(name))?;
        Ok(Self { parent, name: Some(name), dir })
    }

    fn open(parent: &'a File, name: PathBuf) -> io::Result<Self> {
        let dir = sys::open_dir(parent, &name)?;
        Ok(Self { parent, name: Some(name), dir })
    }

    fn fill(&self) -> io::Result<()> {
        let blobs = make_dir(&self.dir, BLOBS)?;
        make_dir(&blobs, Algorithm::default().as_str())?;
        sys::sync_dir(&blobs)?;
        let index = json::to_bytes(&Index::default())?;
        make_file(&self.dir, INDEX_FILE, &index)?;
        make_file(&self.dir, LAYOUT_FILE, MARKER)?;
        sys::sync_dir(&self.dir)
    }

    fn finish(mut self, name: &Path) -> io::Result<()> {
        if let Some(temporary) = &self.name {
            sys::rename_new(self.parent, temporary, self.parent, name)?;
        }
        self.name = None;
        Ok(())
    }

    fn has_only_known_names(&self) -> bool {
        let known = |name: &OsString| [BLOBS, INDEX_FILE, LAYOUT_FILE].iter().any(|k| name == k);
        sys::list(&self.dir).is_ok_and(|names| names.iter().all(known))
    }

    /// Stops at the first blob, if there should be one.
    fn remove(&self, name: &Path) -> io::Result<()> {
        if let Ok(blobs) = sys::open_dir(&self.dir, Path::new(BLOBS)) {
            for algorithm in sys::list(&blobs)? {
                sys::remove_dir(&blobs, Path::new(&algorithm))?;
            }
            sys::remove_dir(&self.dir, Path::new(BLOBS))?;
        }
        store::remove_flat(self.parent, name, &self.dir)
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name
            && let Err(error) = self.remove(name)
        {
            log::warn!("cannot remove {name:?}: {error}");
        }
    }
}

/// Removes what killed processes left when they made the same layout. Where
/// that cannot be seen or done, it is no reason not to make it now.
fn remove_abandoned(parent: &File, name: &OsStr) {
    let names = sys::open_dir(parent, Path::new(".")).and_then(|dir| sys::list(&dir));
    let prefix = temporary_prefix(name);
    for name in names.unwrap_or_default() {
        let number = name.as_bytes().strip_prefix(&prefix[..]).unwrap_or_default();
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            continue;
        }
        if let Ok(mut found) = Unfinished::open(parent, Path::new(&name).into()) {
            let abandoned = found.dir.try_lock().is_ok() && found.has_only_known_names();
            if abandoned && found.remove(Path::new(&name)).is_err() {
                log::debug!("{name:?} stays");
            }
            found.name = None;
        }
    }
}

/// `.NAME.tmp-<number>`
fn temporary_name(name: &OsStr) -> PathBuf {
    let mut temporary = temporary_prefix(name);
    temporary.extend_from_slice(random().to_string().as_bytes());
    OsString::from_vec(temporary).into()
}

fn temporary_prefix(name: &OsStr) -> Vec<u8> {
    let part = name.as_bytes().get(..NAME_PART).unwrap_or(name.as_bytes());
    [b".", part, b".tmp-"].concat()
}

fn make_dir(parent: &File, name: &str) -> io::Result<File> {
    sys::make_dir(parent, Path::new(name), 0o755)?;
    sys::open_dir(parent, Path::new(name))
}

fn make_file(dir: &File, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = sys::create_file(dir, Path::new(name))?;
    file.write_all(bytes)?;
    file.sync_all()
}
