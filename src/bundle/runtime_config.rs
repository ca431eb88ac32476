// SPDX-License-Identifier: Apache-2.0
//! [`write_runtime_config`]: a `config.json` on its own, for a root filesystem
//! that came into being in another way.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::passwd::{Accounts, User};
use super::runtime_spec::{Host, RuntimeSpecOptions, runtime_spec};
use super::source::open_tree;
use super::staging::{BundleDir, Use};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::idmap::IdMaps;
use crate::image::Image;
use crate::interrupt::Interrupt;
use crate::rootfs::{FsOps, Native};
use crate::sys;

/// How long it takes at most to notice that somebody reads a pipe.
const PAUSE: Duration = Duration::from_millis(20);

/// How a runtime configuration is made for no bundle in particular.
#[derive(Debug, Clone, Default)]
pub struct RuntimeConfigOptions {
    /// The root filesystem, to look up users in. Without it only numbers are users, and the
    /// configuration names its own directory as the root filesystem.
    pub rootfs: Option<PathBuf>,
    /// The id maps of the root filesystem.
    pub maps: IdMaps,
    /// What the machine is like, for a container that an ordinary user is to run. What its owner
    /// has closed in the root filesystem is then no obstacle.
    pub rootless: Option<Host>,
    /// When to stop.
    pub interrupt: Interrupt,
}

/// Writes the runtime configuration of an image to `path`. A regular file there is replaced
/// when all is known to be well, and keeps its mode; a pipe or device is written to.
///
/// # Errors
/// As [`runtime_spec`]; also when the user is not known in the root filesystem, and for a
/// symbolic link that leads nowhere. What is at `path` is then as it was.
pub fn write_runtime_config(
    image: &Image,
    path: &Path,
    options: &RuntimeConfigOptions,
) -> Result<()> {
    let spec = image.config().config.user.as_str();
    let (user, root_path) = match &options.rootfs {
        None => (User::without_rootfs(spec)?, ".".to_owned()),
        Some(rootfs) => (accounts(rootfs, options)?.find(spec)?, base_name(rootfs)?),
    };
    let spec_options = RuntimeSpecOptions {
        root_path,
        maps: options.maps.clone(),
        rootless: options.rootless.clone(),
    };
    let spec = runtime_spec(image.config(), &user, &spec_options)?;
    replace(path, &spec.to_bytes()?, &options.interrupt).at("write", path)
}

/// Who is known in a root filesystem, which need not be there yet.
fn accounts(rootfs: &Path, options: &RuntimeConfigOptions) -> Result<Accounts> {
    match open(rootfs, options) {
        Ok(fs) => Accounts::read(&*fs),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Accounts::default()),
        Err(error) => Err(error),
    }
}

fn open(rootfs: &Path, options: &RuntimeConfigOptions) -> Result<Box<dyn FsOps>> {
    if options.rootless.is_some() {
        let fs = open_tree(rootfs, &options.interrupt).context("open rootfs")?;
        return Ok(Box::new(fs));
    }
    Ok(Box::new(Native::open(rootfs).at("open rootfs", rootfs)?))
}

/// The last component of a directory's path, or of what the path leads to.
fn base_name(path: &Path) -> Result<String> {
    let found = match path.file_name() {
        Some(name) => Some(name.to_owned()),
        None => path.canonicalize().at("open rootfs", path)?.file_name().map(ToOwned::to_owned),
    };
    match found.map(std::ffi::OsString::into_string) {
        None => Ok("/".to_owned()),
        Some(Ok(name)) => Ok(name),
        Some(Err(name)) => Err(Error::invalid(format!("name of rootfs {name:?} is not UTF-8"))),
    }
}

/// Gives a file new contents, all of them or none.
fn replace(path: &Path, bytes: &[u8], interrupt: &Interrupt) -> Result<()> {
    let (path, mode) = match path.metadata() {
        Ok(metadata) if metadata.is_dir() => return Err(Error::invalid("is a directory")),
        Ok(metadata) if !metadata.is_file() => {
            let is_pipe = metadata.file_type().is_fifo();
            let _reader = is_pipe.then(|| wait_for_reader(path, interrupt)).transpose()?;
            return Ok(OpenOptions::new().write(true).open(path)?.write_all(bytes)?);
        }
        Ok(metadata) => (path.canonicalize()?, Some(metadata.permissions())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if path.symlink_metadata().is_ok() {
                return Err(Error::invalid("a symbolic link that leads nowhere"));
            }
            (path.to_owned(), None)
        }
        Err(error) => return Err(error.into()),
    };
    let Some(name) = path.file_name() else { return Err(Error::invalid("not a file name")) };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let dir = BundleDir::open(parent.unwrap_or(Path::new(".")), Use::Shared)?;
    let temporary = dir.temporary()?;
    temporary.file().write_all(bytes)?;
    if let Some(mode) = mode {
        sys::set_mode(temporary.file(), mode.mode() & 0o7777)?;
    }
    temporary.commit(Path::new(name))
}

/// Waits until somebody reads a pipe. Opening it to write waits as well, but is not interrupted.
fn wait_for_reader(path: &Path, interrupt: &Interrupt) -> Result<File> {
    loop {
        match sys::open_read_pipe(path)? {
            Some(file) => return Ok(file),
            None => interrupt.check()?,
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
        super::replace(path, bytes, &Interrupt::default())
    }

    #[test]
    fn files_are_replaced_and_nothing_else_is() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        replace(&at("new"), b"1").unwrap();
        fs::write(at("old"), "a longer text").unwrap();
        fs::set_permissions(at("old"), PermissionsExt::from_mode(0o600)).unwrap();
        symlink("old", at("link")).unwrap();
        replace(&at("link"), b"2").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(
            (fs::read(at("new")).unwrap(), fs::read(at("old")).unwrap()),
            (b"1".to_vec(), b"2".to_vec())
        );
        assert_eq!(at("old").metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        symlink("nowhere", at("dangling")).unwrap();
        assert!(replace(&at("dangling"), b"3").is_err());
        assert!(replace(place.path(), b"4").is_err());
        assert!(replace(&at("missing/file"), b"5").is_err());
        replace(Path::new("/dev/null"), b"6").unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 4);
    }

    #[test]
    fn a_rootfs_is_called_by_its_name() {
        let name = |path: &str| base_name(Path::new(path)).unwrap();
        assert_eq!(name("a/rootfs/"), "rootfs");
        assert_eq!(name("/"), "/");
        let here = std::env::current_dir().unwrap();
        assert_eq!(name("."), here.file_name().unwrap().to_str().unwrap());
    }
}
