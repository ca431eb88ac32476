// SPDX-License-Identifier: Apache-2.0
//! The door to the crate `nix` for files of this program's own (layouts,
//! bundles): opened, made, renamed and synced relative to an open directory.
//! What is inside a root filesystem has its own, in `rootfs`.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{UnlinkatFlags, unlinkat};

const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC);

fn open(dir: &File, path: &Path, flags: OFlag, mode: Mode) -> io::Result<File> {
    loop {
        match openat(dir, path, flags | OFlag::O_CLOEXEC, mode) {
            // Network filesystems let a signal end the call.
            Err(Errno::EINTR) => {}
            opened => return Ok(File::from(opened?)),
        }
    }
}

/// Whether this process has the rights of the system's administrator.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Gives an open file these permission bits, if it has others: some filesystems let nobody.
pub(crate) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    if file.metadata()?.permissions().mode() & 0o7777 == mode {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// How many bytes this process can still write to the filesystem of an open file; `None` where
/// the filesystem does not count them.
pub(crate) fn free_space(file: &File) -> io::Result<Option<u64>> {
    let usage = fstatvfs(file)?;
    // Some blocks are kept back for the administrator.
    let free = if is_root() { usage.blocks_free() } else { usage.blocks_available() };
    Ok((usage.blocks() > 0).then(|| free.saturating_mul(usage.fragment_size())))
}

/// Opens a directory as a place to start from; it need not be readable.
pub(crate) fn open_place(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(File::from(openat(AT_FDCWD, path, flags, Mode::empty())?))
}

/// Opens a directory for all purposes, or what a link to one leads to; does not block on a pipe.
pub(crate) fn open_any_dir(path: &Path) -> io::Result<File> {
    let flags = READ | OFlag::O_DIRECTORY;
    Ok(File::from(openat(AT_FDCWD, path, flags, Mode::empty())?))
}

/// Opens a real directory; a symbolic link is `ELOOP` or `ENOTDIR`.
pub(crate) fn open_dir(dir: &File, name: &Path) -> io::Result<File> {
    open(dir, name, READ | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())
}

/// Opens a regular file for reading, without ever blocking on what is not one.
pub(crate) fn open_regular(dir: &File, name: &Path) -> io::Result<File> {
    let flags = READ | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    regular(open(dir, name, flags, Mode::empty()))
}

fn regular(opened: io::Result<File>) -> io::Result<File> {
    let irregular = || io::Error::new(io::ErrorKind::InvalidData, "not a regular file");
    match opened {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Ok(_) => Err(irregular()),
        Err(error) if is(&error, Errno::ELOOP) || is(&error, Errno::ENXIO) => Err(irregular()),
        Err(error) => Err(error),
    }
}

/// Opens a pipe to write to; `None` while nobody reads it.
pub(crate) fn open_read_pipe(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    match openat(AT_FDCWD, path, flags, Mode::empty()) {
        Err(Errno::ENXIO) => Ok(None),
        opened => Ok(Some(File::from(opened?))),
    }
}

/// Makes a new regular file to write, mode 0644 less umask.
pub(crate) fn create_file(dir: &File, name: &Path) -> io::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
    open(dir, name, flags, Mode::from_bits_truncate(0o644))
}

/// Opens a regular file to add to its end, making it where it is missing.
pub(crate) fn append_file(dir: &File, name: &Path) -> io::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_APPEND;
    let own = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    regular(open(dir, name, own, Mode::from_bits_truncate(0o644)))
}

/// Makes a new directory of this mode less umask.
pub(crate) fn make_dir(dir: &File, name: &Path, mode: u32) -> io::Result<()> {
    Ok(mkdirat(dir, name, Mode::from_bits_truncate(mode))?)
}

/// What a name is or leads to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat(FileStat);

impl Stat {
    pub(crate) fn is_file(&self) -> bool {
        self.kind() == SFlag::S_IFREG
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind() == SFlag::S_IFDIR
    }

    fn kind(&self) -> SFlag {
        SFlag::from_bits_truncate(self.0.st_mode) & SFlag::S_IFMT
    }

    /// The permission bits.
    pub(crate) fn mode(&self) -> u32 {
        self.0.st_mode & 0o7777
    }

    /// How many bytes a file has.
    pub(crate) fn size(&self) -> u64 {
        u64::try_from(self.0.st_size).unwrap_or_default()
    }

    /// Device and number of the inode.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.0.st_dev, self.0.st_ino)
    }

    /// User and group.
    pub(crate) fn owner(&self) -> (u32, u32) {
        (self.0.st_uid, self.0.st_gid)
    }

    /// When its contents were changed last.
    pub(crate) fn modified(&self) -> SystemTime {
        let seconds = Duration::from_secs(self.0.st_mtime.unsigned_abs());
        let nanoseconds = u32::try_from(self.0.st_mtime_nsec).unwrap_or_default();
        let epoch = SystemTime::UNIX_EPOCH;
        let whole = if self.0.st_mtime < 0 { epoch - seconds } else { epoch + seconds };
        whole + Duration::new(0, nanoseconds)
    }
}

/// Tells what a name is, without following it, in one system call.
pub(crate) fn lstat(dir: &File, name: &Path) -> io::Result<Stat> {
    stat_with(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// Tells what a name leads to, following symbolic links.
pub(crate) fn stat(dir: &File, name: &Path) -> io::Result<Stat> {
    stat_with(dir, name, AtFlags::empty())
}

fn stat_with(dir: &File, name: &Path, flags: AtFlags) -> io::Result<Stat> {
    loop {
        match fstatat(dir, name, flags) {
            // As of `open`.
            Err(Errno::EINTR) => {}
            found => return Ok(Stat(found?)),
        }
    }
}

/// Lists the names in an open directory, sorted bytewise.
pub(crate) fn list(dir: &File) -> io::Result<Vec<OsString>> {
    let own = open(dir, Path::new("."), READ | OFlag::O_DIRECTORY, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::from_fd(OwnedFd::from(own))? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Renames, replacing what is not a directory.
pub(crate) fn rename(from: &File, name: &Path, to: &File, new_name: &Path) -> io::Result<()> {
    Ok(renameat(from, name, to, new_name)?)
}

/// Renames to a name that must be free.
///
/// Where the filesystem or the C library lacks that call, the name is looked
/// up first, which leaves a moment in which somebody else can take it.
pub(crate) fn rename_new(from: &File, name: &Path, to: &File, new_name: &Path) -> io::Result<()> {
    #[cfg(target_env = "gnu")]
    {
        use nix::fcntl::{RenameFlags, renameat2};
        match renameat2(from, name, to, new_name, RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::EINVAL | Errno::ENOSYS) => {}
            done => return Ok(done?),
        }
    }
    match lstat(to, new_name) {
        Ok(_) => Err(Errno::EEXIST.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => rename(from, name, to, new_name),
        Err(error) => Err(error),
    }
}

/// Removes a name that is not a directory.
pub(crate) fn unlink(dir: &File, name: &Path) -> io::Result<()> {
    Ok(unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?)
}

/// Removes an empty directory.
pub(crate) fn remove_dir(dir: &File, name: &Path) -> io::Result<()> {
    Ok(unlinkat(dir, name, UnlinkatFlags::RemoveDir)?)
}

/// Makes the names in an open directory survive a power cut.
pub(crate) fn sync_dir(dir: &File) -> io::Result<()> {
    match dir.sync_all() {
        // Some network and user-space filesystems have nothing to sync in a directory.
        Err(error) if is(&error, Errno::EINVAL) => Ok(()),
        done => done,
    }
}

/// Locks what this process makes, for others to see that it lives; does nothing
/// where files of this sort cannot be locked.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] when somebody else was faster.
pub(crate) fn hold(file: &File) -> io::Result<()> {
    loop {
        match file.try_lock() {
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) if cannot_lock(&error) => return Ok(()),
            held => return Ok(held?),
        }
    }
}

/// Whether a lock failed because files of this sort cannot be locked here.
pub(crate) fn cannot_lock(error: &io::Error) -> bool {
    use Errno::{EBADF, EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP};
    [EBADF, EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP].into_iter().any(|errno| is(error, errno))
}

/// Whether whoever started this process holds an exclusive lock on the file, and has handed it
/// down, as `flock DIRECTORY COMMAND` does: an open file that is not this process's own has it.
pub(crate) fn is_locked_for_us(file: &File) -> bool {
    let Ok(meant) = file.metadata() else { return false };
    let is_it = |number: &OsStr| {
        let found = std::fs::metadata(Path::new("/proc/self/fd").join(number));
        found.is_ok_and(|found| (found.dev(), found.ino()) == (meant.dev(), meant.ino()))
    };
    let infos = std::fs::read_dir("/proc/self/fdinfo").into_iter().flatten().filter_map(Result::ok);
    infos.filter(|info| is_it(&info.file_name())).any(|info| {
        std::fs::read_to_string(info.path()).is_ok_and(|text| says_handed_down_and_locked(&text))
    })
}

/// Reads what `/proc/self/fdinfo` tells of an open file. All of this process's own are closed
/// when it starts another program.
fn says_handed_down_and_locked(info: &str) -> bool {
    let (mut is_handed_down, mut is_locked) = (false, false);
    for line in info.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("flags:"), Some(flags)) => {
                let flags = i32::from_str_radix(flags, 8);
                is_handed_down = flags.is_ok_and(|flags| flags & OFlag::O_CLOEXEC.bits() == 0);
            }
            (Some("lock:"), Some(_)) => {
                is_locked |= words.next() == Some("FLOCK") && words.nth(1) == Some("WRITE");
            }
            _ => {}
        }
    }
    is_handed_down && is_locked
}

/// Splits a device number as `/proc/locks` shows it.
pub(crate) fn device_parts(device: u64) -> (u64, u64) {
    (nix::sys::stat::major(device), nix::sys::stat::minor(device))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// The flags of the mount that holds `path` and that a user namespace cannot
/// take off, as mount options.
///
/// Without `ro`, since whoever asks mounts read-only anyway, and `relatime`,
/// which the kernel keeps by itself.
pub(crate) fn locked_mount_options(path: &Path) -> io::Result<Vec<&'static str>> {
    let flags = nix::sys::statvfs::statvfs(path)?.flags();
    let locked = [
        (FsFlags::ST_NODEV, "nodev"),
        (FsFlags::ST_NOEXEC, "noexec"),
        (FsFlags::ST_NOSUID, "nosuid"),
        (FsFlags::ST_NOATIME, "noatime"),
        (FsFlags::ST_NODIRATIME, "nodiratime"),
    ];
    Ok(locked.into_iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_handed_down_with_a_file_that_stays_open() {
        let info = |flags: &str, lock: &str| {
            format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t29\nino:\t7\n{lock}")
        };
        let locks = [
            ("lock:\t1: FLOCK  ADVISORY  WRITE 42 fe:00:7 0 EOF\n", true),
            ("lock:\t1: FLOCK  ADVISORY  READ 42 fe:00:7 0 EOF\n", false),
            ("lock:\t1: POSIX  ADVISORY  WRITE 42 fe:00:7 0 EOF\n", false),
            ("", false),
        ];
        for (lock, is_exclusive) in locks {
            assert_eq!(says_handed_down_and_locked(&info("0100000", lock)), is_exclusive, "{lock}");
            assert!(!says_handed_down_and_locked(&info("02100000", lock)), "{lock}");
        }
    }

    #[test]
    fn a_name_is_what_the_standard_library_says_it_is() {
        let place = tempfile::tempdir().unwrap();
        let dir = File::open(place.path()).unwrap();
        let (file, link) = (place.path().join("file"), place.path().join("link"));
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        for (seconds, nanoseconds) in [(0, 0), (1_600_000_000, 999_999_999), (-2, 1)] {
            let time = filetime::FileTime::from_unix_time(seconds, nanoseconds);
            filetime::set_file_mtime(&file, time).unwrap();
            let (found, expected) =
                (stat(&dir, Path::new("link")).unwrap(), file.metadata().unwrap());
            assert!(found.is_file() && !found.is_dir() && found.size() == 4);
            assert_eq!(found.modified(), expected.modified().unwrap());
            assert_eq!(found.identity(), (expected.dev(), expected.ino()));
            assert_eq!(found.owner(), (expected.uid(), expected.gid()));
            assert_eq!(found.mode(), expected.mode() & 0o7777);
        }
        let found = lstat(&dir, Path::new("link")).unwrap();
        assert!(!found.is_file() && !found.is_dir());
        assert!(lstat(&dir, Path::new(".")).unwrap().is_dir());
    }

    #[test]
    fn a_lock_of_this_process_is_not_handed_down() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::open(dir.path()).unwrap();
        let own = open();
        own.lock().unwrap();
        assert!(!is_locked_for_us(&open()));
    }
}
