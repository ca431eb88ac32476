// SPDX-License-Identifier: Apache-2.0
//! [`Native`]: a root filesystem by plain system calls, as root or as a user
//! who owns all of it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::metadata::{Device, Kind, Metadata, Stat, Xattr};
use super::names::Names;
use super::ops::{Change, Contents, Dir, FsOps, Inode};
use super::path::{Name, RootPath};
use super::sys::{self, Open, XattrTarget};
use super::xattr;

/// The longest piece of a path that is handed to the kernel at once; `PATH_MAX` is 4096.
const PIECE: usize = 4000;

/// A root filesystem, held open from start to end.
#[derive(Debug)]
pub struct Native {
    root: Dir,
    /// Set when the kernel has no `openat2` (before 5.6, or a filter forbids it).
    walk_by_component: AtomicBool,
}

impl Native {
    /// Opens the directory at `path`, which must not be a symbolic link itself.
    /// What comes before it is the caller's own and may hold links.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::from_dir(open_dir(path)?)
    }

    /// Takes an open directory as the root.
    pub fn from_dir(root: File) -> io::Result<Self> {
        if !root.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(Self { root: Dir::new(root), walk_by_component: AtomicBool::new(false) })
    }

    fn open_piecewise(&self, path: &RootPath) -> io::Result<Dir> {
        let mut dir = self.open_child_path(&self.root, OsStr::new("."))?;
        for piece in pieces(path) {
            dir = self.open_child_path(&dir, OsStr::from_bytes(piece))?;
        }
        Ok(dir)
    }

    fn open_child_path(&self, dir: &Dir, path: &OsStr) -> io::Result<Dir> {
        if !self.walk_by_component.load(Ordering::Relaxed) {
            match sys::open_dir_beneath(dir.as_fd(), path) {
                Ok(fd) => return Ok(Dir::new(fd.into())),
                Err(error) if lacks_openat2(&error) => {
                    self.walk_by_component.store(true, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
        open_by_component(dir, path)
    }
}

/// Opens a directory of this machine, which must not be a symbolic link itself. What comes
/// before it is the caller's own and may hold links.
pub fn open_dir(path: &Path) -> io::Result<File> {
    // With a `/` at its end a link would be followed.
    let path = path.components().as_path();
    Ok(sys::open_path(path, Open::Dir)?.into())
}

/// Cuts a path at component borders into pieces that the kernel takes.
fn pieces(path: &RootPath) -> Vec<&[u8]> {
    let mut rest = path.as_bytes();
    let mut pieces = Vec::new();
    while rest.len() > PIECE {
        let Some(cut) = rest[..PIECE].iter().rposition(|byte| *byte == b'/') else { break };
        pieces.push(&rest[..cut]);
        rest = &rest[cut + 1..];
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// `ENOSYS` from old kernels; `EPERM` from filters that do not know the call.
fn lacks_openat2(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(code) if code == ENOSYS || code == EPERM)
}

const ENOSYS: i32 = nix::errno::Errno::ENOSYS as i32;
const EPERM: i32 = nix::errno::Errno::EPERM as i32;

/// What `openat2` does, step by step: no component may be a link.
fn open_by_component(dir: &Dir, path: &OsStr) -> io::Result<Dir> {
    let mut current: Dir = Dir::new(sys::open_at(dir, OsStr::new("."), Open::Dir)?.into());
    for component in path.as_bytes().split(|byte| *byte == b'/') {
        current = Dir::new(sys::open_at(&current, OsStr::from_bytes(component), Open::Dir)?.into());
    }
    Ok(current)
}

impl FsOps for Native {
    fn open_dir(&self, path: &RootPath) -> io::Result<Dir> {
        if path.as_bytes().len() > PIECE || path.is_root() {
            return self.open_piecewise(path);
        }
        self.open_child_path(&self.root, OsStr::from_bytes(path.as_bytes()))
    }

    fn open_child(&self, dir: &Dir, name: Name<'_>) -> io::Result<Dir> {
        Ok(Dir::new(sys::open_at(dir, name.as_os_str(), Open::Dir)?.into()))
    }

    fn is_mount_point(&self, dir: &Dir, name: Name<'_>) -> io::Result<bool> {
        if !self.walk_by_component.load(Ordering::Relaxed) {
            match sys::is_mounted_on(dir, name.as_os_str()) {
                Err(error) if lacks_openat2(&error) => {}
                answer => return answer,
            }
        }
        // Without that call a mount of the same filesystem does not show.
        let inside = sys::stat_at(dir, name.as_os_str())?.identity.dev;
        Ok(inside != sys::stat_fd(dir)?.identity.dev)
    }

    fn read_dir(&self, dir: &Dir) -> io::Result<Names> {
        sys::read_dir(dir)
    }

    fn stat(&self, dir: &Dir, name: Name<'_>) -> io::Result<Stat> {
        sys::stat_at(dir, name.as_os_str())
    }

    fn stat_dir(&self, dir: &Dir) -> io::Result<Stat> {
        sys::stat_fd(dir)
    }

    fn read_link(&self, dir: &Dir, name: Name<'_>) -> io::Result<Vec<u8>> {
        sys::read_link_at(dir, name.as_os_str())
    }

    fn open_file(&self, dir: &Dir, name: Name<'_>) -> io::Result<File> {
        let file = File::from(sys::open_at(dir, name.as_os_str(), Open::Read)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(no_regular_file()) }
    }

    fn create_file(&self, dir: &Dir, name: Name<'_>, mode: u32) -> io::Result<File> {
        Ok(sys::open_at(dir, name.as_os_str(), Open::Create(mode & 0o777))?.into())
    }

    fn create_dir(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        sys::create_dir_at(dir, name.as_os_str(), 0o700)
    }

    fn create_symlink(&self, target: &[u8], dir: &Dir, name: Name<'_>) -> io::Result<()> {
        sys::symlink_at(OsStr::from_bytes(target), dir, name.as_os_str())
    }

    fn create_link(
        &self,
        from: &Dir,
        source: Name<'_>,
        dir: &Dir,
        name: Name<'_>,
    ) -> io::Result<()> {
        sys::link_at(from, source.as_os_str(), dir, name.as_os_str())
    }

    fn create_node(&self, dir: &Dir, name: Name<'_>, kind: Kind, device: Device) -> io::Result<()> {
        sys::make_node_at(dir, name.as_os_str(), kind, 0o600, device)
    }

    fn remove_file(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        sys::remove_file_at(dir, name.as_os_str())
    }

    fn remove_dir(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        sys::remove_dir_at(dir, name.as_os_str())
    }

    fn set_file_metadata(&self, file: &File, change: &Change<'_>) -> io::Result<Stat> {
        let metadata = change.metadata;
        // Most new files need nothing but their times, which no later step changes, and one
        // look costs less than setting what is right already.
        sys::set_times_fd(file, metadata.atime, metadata.mtime)?;
        let stat = sys::stat_fd(file)?;
        let has_other_owner = stat.owner != metadata.owner;
        let has_other_mode = stat.mode != metadata.mode;
        let may_have_xattrs = change.clear_xattrs || !metadata.xattrs.is_empty();
        if !has_other_owner && !has_other_mode && !may_have_xattrs {
            return Ok(stat);
        }
        if has_other_owner {
            sys::chown_fd(file, metadata.owner)?;
        }
        // A new owner costs a file its setuid and setgid bits.
        if has_other_mode || (has_other_owner && metadata.mode & 0o6000 != 0) {
            sys::chmod_fd(file, metadata.mode)?;
        }
        set_xattrs(XattrTarget::Open(file), change)?;
        sys::stat_fd(file)
    }

    fn set_dir_metadata(&self, dir: &Dir, change: &Change<'_>) -> io::Result<()> {
        self.set_file_metadata(dir.as_file(), change).map(drop)
    }

    fn set_node_metadata(&self, dir: &Dir, name: Name<'_>, change: &Change<'_>) -> io::Result<()> {
        let (metadata, own) = (change.metadata, name.as_os_str());
        sys::chown_at(dir, own, metadata.owner)?;
        if change.kind != Kind::Symlink {
            sys::chmod_at(dir, own, metadata.mode)?;
        }
        set_xattrs(XattrTarget::Name(dir.as_file(), own), change)?;
        sys::set_times_at(dir, own, metadata.atime, metadata.mtime)
    }

    fn set_dir_times(&self, dir: &Dir, metadata: &Metadata) -> io::Result<()> {
        sys::set_times_fd(dir, metadata.atime, metadata.mtime)
    }

    fn set_xattr(&self, file: &File, xattr: &Xattr) -> io::Result<()> {
        xattr::set(XattrTarget::Open(file), xattr)
    }

    fn xattrs(&self, dir: &Dir, name: Name<'_>) -> io::Result<Vec<Xattr>> {
        xattr::read_all(XattrTarget::Name(dir.as_file(), name.as_os_str()))
    }

    fn dir_xattrs(&self, dir: &Dir) -> io::Result<Vec<Xattr>> {
        xattr::read_all(XattrTarget::Open(dir.as_file()))
    }

    fn inode(&self, dir: &Dir, name: Name<'_>) -> io::Result<Inode> {
        // Opening a device or a pipe for reading may do something; so it is asked first
        // what it is, and again what has been opened.
        match sys::stat_at(dir, name.as_os_str())?.kind {
            Kind::File => {
                let file = File::from(sys::open_at(dir, name.as_os_str(), Open::Read)?);
                regular(file)
            }
            _ => other(&sys::open_at(dir, name.as_os_str(), Open::Place)?.into()),
        }
    }

    fn dir_inode(&self, dir: &Dir) -> io::Result<Inode> {
        let stat = sys::stat_fd(dir)?;
        let (xattrs, withheld) = xattr::read_for_image(XattrTarget::Open(dir.as_file()))?;
        Ok(Inode { stat, xattrs, withheld, contents: Contents::Nothing })
    }
}

fn regular(file: File) -> io::Result<Inode> {
    let stat = sys::stat_fd(&file)?;
    if stat.kind != Kind::File {
        return Err(no_regular_file());
    }
    let (xattrs, withheld) = xattr::read_for_image(XattrTarget::Open(&file))?;
    Ok(Inode { stat, xattrs, withheld, contents: Contents::File(file) })
}

fn other(place: &File) -> io::Result<Inode> {
    let stat = sys::stat_fd(place)?;
    let contents = match stat.kind {
        Kind::File => return Err(io::Error::other("it has become a regular file meanwhile")),
        Kind::Symlink => Contents::Symlink(sys::read_link_at(place, OsStr::new(""))?),
        _ => Contents::Nothing,
    };
    let (xattrs, withheld) = match stat.kind {
        Kind::Socket => Default::default(),
        _ => xattr::read_for_image(XattrTarget::Place(place))?,
    };
    Ok(Inode { stat, xattrs, withheld, contents })
}

fn no_regular_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

fn set_xattrs(target: XattrTarget<'_>, change: &Change<'_>) -> io::Result<()> {
    if change.clear_xattrs {
        xattr::clear(target)?;
    }
    let own = change.metadata.xattrs.iter().filter(|xattr| !xattr::is_host_label(&xattr.name));
    own.into_iter().try_for_each(|xattr| xattr::set(target, xattr))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name<'_> {
        Name::new(name.as_bytes()).unwrap()
    }

    fn path(path: &str) -> RootPath {
        RootPath::clean(path).unwrap()
    }

    #[test]
    fn follows_no_link_on_the_way_to_a_directory() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/", root.path().join("out")).unwrap();
        for by_component in [false, true] {
            let fs = Native::open(root.path()).unwrap();
            fs.walk_by_component.store(by_component, Ordering::Relaxed);
            fs.open_dir(&path("real")).unwrap();
            for link in ["link", "out", "out/etc", "link/x"] {
                assert!(fs.open_dir(&path(link)).is_err(), "{link}");
            }
        }
    }

    #[test]
    fn opens_paths_longer_than_the_kernel_takes() {
        let root = tempfile::tempdir().unwrap();
        let fs = Native::open(root.path()).unwrap();
        let long = "d".repeat(200);
        let mut deep = RootPath::root();
        for _ in 0..30 {
            let dir = fs.open_dir(&deep).unwrap();
            fs.create_dir(&dir, name(&long)).unwrap();
            deep = deep.join(name(&long));
        }
        let dir = fs.open_dir(&deep).unwrap();
        fs.create_file(&dir, name("f"), 0o600).unwrap();
        assert_eq!(fs.read_dir(&dir).unwrap().len(), 1);
    }

    #[test]
    fn a_fifo_does_not_block_a_reader() {
        let root = tempfile::tempdir().unwrap();
        let fs = Native::open(root.path()).unwrap();
        let dir = fs.open_dir(&RootPath::root()).unwrap();
        fs.create_node(&dir, name("fifo"), Kind::Fifo, Device::default()).unwrap();
        assert!(fs.open_file(&dir, name("fifo")).is_err());
    }

    #[test]
    fn the_root_is_not_a_link() {
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", outside.path().join("rootfs")).unwrap();
        assert!(Native::open(&outside.path().join("rootfs")).is_err());
    }
}
