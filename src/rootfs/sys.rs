// SPDX-License-Identifier: Apache-2.0
//! The door to the crates `nix` and `xattr` for what is inside a root
//! filesystem, in this crate's own types. Every call takes an open directory and
//! a name in it, and none follows a symbolic link in the last component.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags};
use xattr::FileExt;

use super::{Device, FileTime, Identity, Kind, Names, Owner, Stat};

/// Whether this process has the rights of the system's administrator, or of its user namespace's.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// How a file inside a directory is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Open {
    /// A directory, for listing and as a base for names.
    Dir,
    /// Anything, for reading, without waiting on pipes and devices.
    Read,
    /// Anything, only to say which inode is meant; needs no permission on it.
    Place,
    /// A new regular file with these permission bits, for writing.
    Create(u32),
}

impl Open {
    fn flags(self) -> OFlag {
        let common = OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
        common
            | match self {
                Self::Dir => OFlag::O_RDONLY | OFlag::O_DIRECTORY,
                Self::Read => OFlag::O_RDONLY | OFlag::O_NONBLOCK,
                Self::Place => OFlag::O_PATH,
                Self::Create(_) => OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL,
            }
    }

    fn mode(self) -> Mode {
        match self {
            Self::Create(bits) => Mode::from_bits_truncate(bits),
            Self::Dir | Self::Read | Self::Place => Mode::empty(),
        }
    }
}

/// Opens one component in a directory.
pub(crate) fn open_at(dir: impl AsFd, name: &OsStr, how: Open) -> io::Result<OwnedFd> {
    let opened = retry(|| nix::fcntl::openat(dir.as_fd(), name, how.flags(), how.mode()));
    Ok(match how {
        Open::Dir => opened.map_err(as_no_directory)?,
        Open::Read | Open::Place | Open::Create(_) => opened?,
    })
}

/// Opens a path of this machine, whose last component is not followed.
pub(crate) fn open_path(path: &Path, how: Open) -> io::Result<OwnedFd> {
    open_at(nix::fcntl::AT_FDCWD, path.as_os_str(), how)
}

/// Opens a directory below another, where no component may be a symbolic link.
pub(crate) fn open_dir_beneath(dir: impl AsFd, path: &OsStr) -> io::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(Open::Dir.flags()).resolve(resolve);
    Ok(retry(|| nix::fcntl::openat2(dir.as_fd(), path, how)).map_err(as_no_directory)?)
}

/// Whether a directory inside another is on another mount.
pub(crate) fn is_mounted_on(dir: impl AsFd, name: &OsStr) -> io::Result<bool> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let resolve = ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags).resolve(resolve);
    match retry(|| nix::fcntl::openat2(dir.as_fd(), name, how)) {
        Ok(_) => Ok(false),
        Err(Errno::EXDEV) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A link is no directory, whichever way the kernel says so.
fn as_no_directory(error: Errno) -> Errno {
    if error == Errno::ELOOP { Errno::ENOTDIR } else { error }
}

fn retry<T>(call: impl Fn() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Lists a directory.
pub(crate) fn read_dir(dir: impl AsFd) -> io::Result<Names> {
    let stream = nix::dir::Dir::openat(dir, ".", Open::Dir.flags(), Mode::empty())?;
    let mut names = Names::default();
    for entry in stream {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Tells what one component in a directory is.
pub(crate) fn stat_at(dir: impl AsFd, name: &OsStr) -> io::Result<Stat> {
    stat(&nix::sys::stat::fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)
}

/// Tells what an open file is.
pub(crate) fn stat_fd(fd: impl AsFd) -> io::Result<Stat> {
    stat(&nix::sys::stat::fstat(fd)?)
}

fn stat(raw: &FileStat) -> io::Result<Stat> {
    Ok(Stat {
        kind: kind_of_mode(raw.st_mode)?,
        mode: raw.st_mode & 0o7777,
        owner: Owner { uid: raw.st_uid, gid: raw.st_gid },
        size: u64::try_from(raw.st_size).map_err(io::Error::other)?,
        nlink: raw.st_nlink,
        identity: Identity { dev: raw.st_dev, ino: raw.st_ino },
        device: device(raw.st_rdev)?,
        atime: time(raw.st_atime, raw.st_atime_nsec)?,
        mtime: time(raw.st_mtime, raw.st_mtime_nsec)?,
        ctime: time(raw.st_ctime, raw.st_ctime_nsec)?,
    })
}

fn kind_of_mode(mode: u32) -> io::Result<Kind> {
    match SFlag::from_bits_truncate(mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Ok(Kind::File),
        SFlag::S_IFDIR => Ok(Kind::Dir),
        SFlag::S_IFLNK => Ok(Kind::Symlink),
        SFlag::S_IFCHR => Ok(Kind::CharDevice),
        SFlag::S_IFBLK => Ok(Kind::BlockDevice),
        SFlag::S_IFIFO => Ok(Kind::Fifo),
        SFlag::S_IFSOCK => Ok(Kind::Socket),
        other => Err(io::Error::other(format!("unknown inode type {:o}", other.bits()))),
    }
}

fn device(raw: u64) -> io::Result<Device> {
    let number = |part: u64| u32::try_from(part).map_err(io::Error::other);
    Ok(Device {
        major: number(nix::sys::stat::major(raw))?,
        minor: number(nix::sys::stat::minor(raw))?,
    })
}

fn time(seconds: i64, nanoseconds: i64) -> io::Result<FileTime> {
    let nanoseconds = u32::try_from(nanoseconds).map_err(io::Error::other)?;
    Ok(FileTime { seconds, nanoseconds })
}

/// Reads the target of a symbolic link.
pub(crate) fn read_link_at(dir: impl AsFd, name: &OsStr) -> io::Result<Vec<u8>> {
    Ok(nix::fcntl::readlinkat(dir, name)?.as_bytes().to_vec())
}

/// Makes a directory.
pub(crate) fn create_dir_at(dir: impl AsFd, name: &OsStr, mode: u32) -> io::Result<()> {
    Ok(nix::sys::stat::mkdirat(dir, name, Mode::from_bits_truncate(mode))?)
}

/// Makes a symbolic link.
pub(crate) fn symlink_at(target: &OsStr, dir: impl AsFd, name: &OsStr) -> io::Result<()> {
    Ok(nix::unistd::symlinkat(target, dir, name)?)
}

/// Gives an inode a second name.
pub(crate) fn link_at(
    from: impl AsFd,
    source: &OsStr,
    dir: impl AsFd,
    name: &OsStr,
) -> io::Result<()> {
    Ok(nix::unistd::linkat(from, source, dir, name, AtFlags::empty())?)
}

/// Makes a device node or a named pipe.
pub(crate) fn make_node_at(
    dir: impl AsFd,
    name: &OsStr,
    kind: Kind,
    mode: u32,
    device: Device,
) -> io::Result<()> {
    let flag = match kind {
        Kind::CharDevice => SFlag::S_IFCHR,
        Kind::BlockDevice => SFlag::S_IFBLK,
        Kind::Fifo => SFlag::S_IFIFO,
        Kind::File | Kind::Dir | Kind::Symlink | Kind::Socket => {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
    };
    let number = nix::sys::stat::makedev(device.major.into(), device.minor.into());
    Ok(nix::sys::stat::mknodat(dir, name, flag, Mode::from_bits_truncate(mode), number)?)
}

/// Removes a name that is not a directory.
pub(crate) fn remove_file_at(dir: impl AsFd, name: &OsStr) -> io::Result<()> {
    Ok(nix::unistd::unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?)
}

/// Removes an empty directory.
pub(crate) fn remove_dir_at(dir: impl AsFd, name: &OsStr) -> io::Result<()> {
    Ok(nix::unistd::unlinkat(dir, name, UnlinkatFlags::RemoveDir)?)
}

/// Changes the owner of an open file.
pub(crate) fn chown_fd(fd: impl AsFd, owner: Owner) -> io::Result<()> {
    std::os::unix::fs::fchown(fd, Some(owner.uid), Some(owner.gid))
}

/// Changes the owner of a name, not of what a link leads to.
pub(crate) fn chown_at(dir: impl AsFd, name: &OsStr, owner: Owner) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    let flag = AtFlags::AT_SYMLINK_NOFOLLOW;
    Ok(nix::unistd::fchownat(dir, name, Some(uid), Some(gid), flag)?)
}

/// Changes the permission bits of an open file.
pub(crate) fn chmod_fd(fd: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(nix::sys::stat::fchmod(fd, Mode::from_bits_truncate(mode))?)
}

/// Changes the permission bits of a device or pipe, which must not be opened.
pub(crate) fn chmod_at(dir: impl AsFd, name: &OsStr, mode: u32) -> io::Result<()> {
    chmod_place(&open_at(dir, name, Open::Place)?, mode)
}

/// Changes the permission bits of what was opened with [`Open::Place`]; a link is refused.
pub(crate) fn chmod_place(place: &OwnedFd, mode: u32) -> io::Result<()> {
    // The kernel has no chmod for such handles but through their name in /proc.
    let own = format!("/proc/self/fd/{}", place.as_raw_fd());
    std::fs::set_permissions(own, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

/// The path that an open file has at the moment. For messages: it may change at any time.
pub(crate) fn path_of(fd: impl AsFd) -> io::Result<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

/// When the inode of a name was made, where the filesystem and the C library tell.
pub(crate) fn born_at(dir: impl AsFd, name: &OsStr) -> io::Result<Option<FileTime>> {
    born(open_at(dir, name, Open::Place)?)
}

/// When an open inode was made, where the filesystem and the C library tell.
pub(crate) fn born(fd: impl AsFd) -> io::Result<Option<FileTime>> {
    let file = File::from(fd.as_fd().try_clone_to_owned()?);
    let born = file.metadata()?.created().ok();
    let since = born.and_then(|born| born.duration_since(std::time::UNIX_EPOCH).ok());
    Ok(since.and_then(|since| {
        let seconds = i64::try_from(since.as_secs()).ok()?;
        Some(FileTime { seconds, nanoseconds: since.subsec_nanos() })
    }))
}

/// Sets the times of an open file.
pub(crate) fn set_times_fd(fd: impl AsFd, atime: FileTime, mtime: FileTime) -> io::Result<()> {
    Ok(nix::sys::stat::futimens(fd, &spec(atime), &spec(mtime))?)
}

/// Sets the times of a name, not of what a link leads to.
pub(crate) fn set_times_at(
    dir: impl AsFd,
    name: &OsStr,
    atime: FileTime,
    mtime: FileTime,
) -> io::Result<()> {
    let flag = UtimensatFlags::NoFollowSymlink;
    Ok(nix::sys::stat::utimensat(dir, name, &spec(atime), &spec(mtime), flag)?)
}

fn spec(time: FileTime) -> TimeSpec {
    TimeSpec::new(time.seconds, i64::from(time.nanoseconds))
}

/// An inode whose extended attributes are read and written: an open file, or a
/// name in an open directory that cannot be opened itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum XattrTarget<'a> {
    /// An open file or directory.
    Open(&'a File),
    /// One component in an open directory; links are not followed.
    Name(&'a File, &'a OsStr),
    /// What was opened with [`Open::Place`], be it a symbolic link.
    Place(&'a File),
}

impl XattrTarget<'_> {
    pub(crate) fn list(self) -> io::Result<Vec<Box<[u8]>>> {
        let names = match self {
            Self::Open(file) => file.list_xattr()?,
            Self::Name(..) => xattr::list(self.path())?,
            Self::Place(_) => xattr::list_deref(self.path())?,
        };
        Ok(names.map(|name| name.as_bytes().into()).collect())
    }

    pub(crate) fn get(self, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let name = OsStr::from_bytes(name);
        match self {
            Self::Open(file) => file.get_xattr(name),
            Self::Name(..) => xattr::get(self.path(), name),
            Self::Place(_) => xattr::get_deref(self.path(), name),
        }
    }

    pub(crate) fn set(self, name: &[u8], value: &[u8]) -> io::Result<()> {
        let name = OsStr::from_bytes(name);
        match self {
            Self::Open(file) => file.set_xattr(name, value),
            Self::Name(..) => xattr::set(self.path(), name, value),
            Self::Place(_) => xattr::set_deref(self.path(), name, value),
        }
    }

    pub(crate) fn remove(self, name: &[u8]) -> io::Result<()> {
        let name = OsStr::from_bytes(name);
        match self {
            Self::Open(file) => file.remove_xattr(name),
            Self::Name(..) => xattr::remove(self.path(), name),
            Self::Place(_) => xattr::remove_deref(self.path(), name),
        }
    }

    /// There is no `getxattrat` before Linux 6.13; the directory's handle has a
    /// name in /proc that leads to it whatever happens to its path. Such a name is followed
    /// to the handle's inode and no further, so a symbolic link can be meant by it too.
    fn path(self) -> std::path::PathBuf {
        match self {
            Self::Open(file) | Self::Place(file) => {
                format!("/proc/self/fd/{}", file.as_raw_fd()).into()
            }
            Self::Name(dir, name) => {
                Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name)
            }
        }
    }
}
