// SPDX-License-Identifier: Apache-2.0
//! A bundle in the making. Everything is built in a private directory inside
//! the bundle and moved to its place when it is complete; `umoci.json` comes
//! last. What a killed process left behind is recognised and removed by the
//! next one, which touches nothing that is not provably its kind's own.

use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::emulation::remove_below;
use super::moved::Moved;
use super::temp_file::{self, TempFile};
use super::{metadata, record, runtime_spec};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::layout::lock;
use crate::random::random;
use crate::rootfs::Strictness;
use crate::sys;

/// The name of the root filesystem in a bundle.
pub(super) const ROOTFS: &str = "rootfs";
/// The sticky bit and write permission for all: a directory such as `/tmp`.
const EVERYBODYS: u32 = 0o1002;
/// The permission bits of a bundle.
const CLOSED: u32 = 0o700;
/// What the names of private directories start with.
const PREFIX: &str = ".umoci-unpack-";

/// The directory of a bundle, open and locked from start to end.
#[derive(Debug)]
pub(super) struct BundleDir {
    pub(super) path: PathBuf,
    pub(super) dir: File,
    /// The directories that were missing, the outermost first.
    made: Vec<PathBuf>,
}

/// Who else may use a bundle meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Others who do not change it.
    Shared,
    /// Nobody.
    Alone,
}

impl BundleDir {
    /// Opens a directory that is to become a bundle, making it where it is missing. Nobody else
    /// gets into a new one.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let made = make_missing(path).at("create bundle", path)?;
        let opened = Self::open(path, Use::Alone);
        opened.map(|bundle| Self { made: made.clone(), ..bundle }).inspect_err(|_| remove(&made))
    }

    /// Opens the directory of an existing bundle.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] when others use it in a way that does not go together.
    pub(super) fn open(path: &Path, with: Use) -> Result<Self> {
        let dir = sys::open_any_dir(path).at("open", path)?;
        let bundle = Self { path: path.to_owned(), dir, made: Vec::new() };
        bundle.lock(with)?;
        Ok(bundle)
    }

    /// The same directory, with the same lock, which lasts as long as any of them.
    pub(super) fn share(&self) -> Result<Self> {
        let dir = self.dir.try_clone().at("open bundle", &self.path)?;
        Ok(Self { path: self.path.clone(), dir, made: Vec::new() })
    }

    /// Changes who else may use it.
    pub(super) fn lock(&self, with: Use) -> Result<()> {
        let locked = match with {
            Use::Shared => self.dir.try_lock_shared(),
            Use::Alone => self.dir.try_lock(),
        };
        match locked {
            Err(TryLockError::WouldBlock) if sys::is_locked_for_us(&self.dir) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                let holder = lock::process(&self.dir);
                let message = format!("bundle {:?} is in use by {holder}", self.path);
                Err(Error::new(ErrorKind::Busy, message))
            }
            Err(TryLockError::Error(error)) if !sys::cannot_lock(&error) => {
                Err(error).at("lock bundle", &self.path)
            }
            _ => Ok(()),
        }
    }

    /// Does `work` in a directory that is closed to everybody else, since a root
    /// filesystem may hold devices and setuid programs. When it fails, the
    /// directory is as it was.
    pub(super) fn fill(
        &self,
        strictness: Strictness,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let before = self.dir.metadata().at("look up bundle", &self.path)?.permissions();
        let done = self.close(&before, strictness).and_then(|()| work());
        if done.is_err() {
            // The reason of the failure counts, not that its traces stay.
            let _ = self.dir.set_permissions(before);
            remove(&self.made);
        }
        done
    }

    fn close(&self, before: &Permissions, strictness: Strictness) -> Result<()> {
        if before.mode() & EVERYBODYS == EVERYBODYS || self.is_root()? {
            let message = format!("{:?} is a directory that others need, too", self.path);
            return Err(Error::invalid(message));
        }
        match sys::set_mode(&self.dir, CLOSED) {
            Err(error)
                if error.kind() == std::io::ErrorKind::PermissionDenied
                    && strictness == Strictness::Substitute =>
            {
                let error = Error::from(error);
                log::warn!("bundle {:?} stays open to others: {error}", self.path);
                Ok(())
            }
            closed => closed.at("change mode of bundle", &self.path),
        }
    }

    fn is_root(&self) -> Result<bool> {
        let (own, root) = (self.dir.metadata()?, std::fs::metadata("/")?);
        Ok((own.dev(), own.ino()) == (root.dev(), root.ino()))
    }

    /// Refuses a bundle that is one already, or holds what is to be made.
    pub(super) fn refuse_existing(&self, others: &[String]) -> Result<()> {
        let parts = [runtime_spec::FILE_NAME, ROOTFS, metadata::FILE_NAME, record::FILE_NAME];
        for name in parts.into_iter().chain(others.iter().map(String::as_str)) {
            if self.has(name)? {
                let message = format!("{name} already exists in {:?}", self.path);
                return Err(Error::new(ErrorKind::AlreadyExists, message));
            }
        }
        Ok(())
    }

    /// Removes what processes that are no more have left half-made.
    pub(super) fn clear_interrupted(&self) -> Result<()> {
        for name in sys::list(&self.dir).at("list bundle", &self.path)? {
            let bytes = name.as_bytes();
            let cleared = if bytes.starts_with(PREFIX.as_bytes()) {
                self.clear_unpack(Path::new(&name))
            } else if bytes.starts_with(temp_file::PREFIX.as_bytes()) {
                self.clear_file(Path::new(&name))
            } else {
                Ok(())
            };
            cleared.at("remove interrupted work", self.path.join(&name))?;
        }
        Ok(())
    }

    fn clear_unpack(&self, name: &Path) -> Result<()> {
        let Ok(dir) = sys::open_dir(&self.dir, name) else { return Ok(()) };
        if !is_abandoned(&dir) {
            return Ok(());
        }
        // Published last, it says that the bundle is complete, and maybe long in use.
        if !self.has(metadata::FILE_NAME)? {
            Moved::read(&dir)?.remove(&self.dir)?;
        }
        log::info!("removing what an interrupted unpack left: {name:?}");
        remove_below(&self.dir, name)
    }

    fn clear_file(&self, name: &Path) -> Result<()> {
        match sys::open_regular(&self.dir, name) {
            Ok(file) if is_abandoned(&file) => self.remove(name),
            _ => Ok(()),
        }
    }

    /// Whether there is something of this name.
    pub(super) fn has(&self, name: &str) -> Result<bool> {
        match sys::lstat(&self.dir, Path::new(name)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).at("look up", self.path.join(name)),
        }
    }

    /// Makes a file that has no name of its own yet.
    pub(super) fn temporary(&self) -> Result<TempFile<'_>> {
        TempFile::create(self)
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &Path) -> Result<()> {
        match sys::unlink(&self.dir, name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.at("remove", self.path.join(name)),
        }
    }
}

/// Makes a directory and those above it that are missing, and gives them.
fn make_missing(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let missing: Vec<_> = path.ancestors().take_while(|path| is_missing(path)).collect();
    let mut made = Vec::new();
    for directory in missing.into_iter().rev() {
        let mode = if directory == path { CLOSED } else { 0o755 };
        match DirBuilder::new().mode(mode).create(directory) {
            Ok(()) => made.push(directory.to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                remove(&made);
                return Err(error);
            }
        }
    }
    Ok(made)
}

fn is_missing(path: &Path) -> bool {
    !path.as_os_str().is_empty()
        && path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Removes directories again, as far as nobody has put anything into them.
fn remove(made: &[PathBuf]) {
    for directory in made.iter().rev() {
        if std::fs::remove_dir(directory).is_err() {
            break;
        }
    }
}

/// Whether its process is no more. Where nothing can be locked nobody can tell.
fn is_abandoned(file: &File) -> bool {
    file.try_lock().is_ok()
}

/// The private directory of one unpack. Dropped before [`Staging::commit`], it
/// takes with it all that came from it.
#[derive(Debug)]
pub(super) struct Staging<'a> {
    bundle: &'a BundleDir,
    name: PathBuf,
    dir: File,
    moved: Moved,
}

impl<'a> Staging<'a> {
    pub(super) fn begin(bundle: &'a BundleDir) -> Result<Self> {
        let name = PathBuf::from(format!("{PREFIX}{:016x}", random()));
        let begin = || {
            let dir = sys::open_dir(&bundle.dir, &name)?;
            sys::hold(&dir).map(|()| dir)
        };
        let path = bundle.path.join(&name);
        sys::make_dir(&bundle.dir, &name, 0o700).at("create", &path)?;
        let dir = begin()
            .inspect_err(|_| {
                // What is left of it the next unpack removes.
                let _ = sys::remove_dir(&bundle.dir, &name);
            })
            .at("create", &path)?;
        Ok(Self { bundle, name, dir, moved: Moved::default() })
    }

    /// The directory as the open file it is.
    pub(super) fn as_file(&self) -> &File {
        &self.dir
    }

    /// Makes the root filesystem's directory.
    pub(super) fn create_rootfs(&self) -> Result<File> {
        sys::make_dir(&self.dir, Path::new(ROOTFS), 0o755).context("create rootfs")?;
        sys::open_dir(&self.dir, Path::new(ROOTFS)).context("open rootfs")
    }

    /// Makes a file, mode 0644 less umask.
    pub(super) fn create(&self, name: &Path) -> Result<File> {
        sys::create_file(&self.dir, name).at("create", self.bundle.path.join(name))
    }

    /// Makes a file with these contents.
    pub(super) fn write(&self, name: &Path, bytes: &[u8]) -> Result<()> {
        self.create(name)?.write_all(bytes).at("write", self.bundle.path.join(name))
    }

    /// Moves something to its place, where nothing may be.
    pub(super) fn publish(&mut self, name: &Path) -> Result<()> {
        let what = sys::lstat(&self.dir, name).at("look up", self.bundle.path.join(name))?;
        self.moved.add(&self.dir, name, what.identity())?;
        sys::rename_new(&self.dir, name, &self.bundle.dir, name)
            .at("create", self.bundle.path.join(name))
    }

    /// Ends the work: all that was published stays.
    pub(super) fn commit(mut self) {
        self.moved = Moved::default();
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        let removed = self
            .moved
            .remove(&self.bundle.dir)
            .and_then(|()| remove_below(&self.bundle.dir, &self.name));
        if let Err(error) = removed {
            log::warn!("cannot clean up {:?}: {error}", self.bundle.path);
        }
    }
}
