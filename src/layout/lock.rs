// SPDX-License-Identifier: Apache-2.0
//! Waiting for a lock, with a limit and with word of who holds it.
//!
//! A layout has three locks, all `flock` on what every layout has, so that no
//! new file appears and readers need nothing:
//!
//! * the directory `blobs`: held while waiting for the next, in the same way as
//!   that, so that garbage collection gets its turn among many writers; let go
//!   now and then, so that these do not wait for a single long one as well;
//! * the layout's directory: shared by writers from before their first blob
//!   until their index is durable, exclusive for garbage collection;
//! * the file `oci-layout`: exclusive for the moment in which `index.json` is
//!   read again, changed and replaced.
//!
//! They are always taken in this order. Readers take none.
//!
//! Where whoever started this process holds the second one for it (`flock DIRECTORY COMMAND`), all
//! that he starts hold the first one in its place: it is only among each other that they need it.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::sys;

/// How long a lock is waited for unless told otherwise.
pub(crate) const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How often in all who stands first in line lets others pass.
const TURNS: u32 = 10;

/// What is open for the lock of those who use the blobs; it ends with it.
#[derive(Debug)]
pub(super) struct BlobLock {
    /// The layout's directory.
    pub(super) dir: File,
    /// The directory `blobs`, where the other is locked for this process already.
    pub(super) _instead: Option<File>,
}

impl BlobLock {
    /// Open for the lock on the layout's directory itself.
    pub(super) fn of(dir: File) -> Self {
        Self { dir, _instead: None }
    }
}

/// Who else may hold a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Others that share it.
    Shared,
    /// Nobody.
    Exclusive,
}

impl Mode {
    fn attempt(self, file: &File) -> Result<(), TryLockError> {
        match self {
            Self::Shared => file.try_lock_shared(),
            Self::Exclusive => file.try_lock(),
        }
    }
}

/// The pauses of somebody who waits, up to a limit.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    waited: Duration,
    pause: Duration,
    interrupt: Interrupt,
}

impl Patience {
    pub(crate) fn new(limit: Duration, interrupt: Interrupt) -> Self {
        Self { limit, waited: Duration::ZERO, pause: FIRST_PAUSE, interrupt }
    }

    /// Sleeps for a moment.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] when the limit is reached; `what` says who is waited for. Also when
    /// somebody has asked to stop.
    pub(crate) fn pause(&mut self, what: impl Fn() -> String) -> Result<()> {
        self.interrupt.check()?;
        if self.waited >= self.limit {
            let seconds = self.limit.as_secs_f32();
            return Err(Error::new(
                ErrorKind::Busy,
                format!("gave up after {seconds} s of waiting for {}", what()),
            ));
        }
        if self.waited.is_zero() {
            log::info!("waiting for {}", what());
        }
        let pause = self.pause.min(self.limit.saturating_sub(self.waited));
        sleep(pause);
        self.waited += pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    /// Sleeps until others who wait have had a chance.
    pub(super) fn rest(&mut self, what: impl Fn() -> String) -> Result<()> {
        self.pause = LONGEST_PAUSE;
        self.pause(&what)?;
        self.pause(&what)
    }
}

/// Takes a lock on an open file; it ends when the file is closed.
///
/// Where files cannot be locked at all (some network filesystems) writers go
/// without, with a warning; only deletion insists.
pub(super) fn acquire(
    file: &File,
    mode: Mode,
    path: &Path,
    patience: &mut Patience,
) -> Result<Held> {
    loop {
        if let Some(held) = attempt(file, mode, path)? {
            return Ok(held);
        }
        patience.pause(|| holder(file, path))?;
    }
}

/// As [`acquire`], but no longer than a turn; `None` when others hold it still.
pub(super) fn acquire_in_turn(
    file: &File,
    mode: Mode,
    path: &Path,
    patience: &mut Patience,
) -> Result<Option<Held>> {
    let end = patience.waited + patience.limit / TURNS;
    loop {
        let held = attempt(file, mode, path)?;
        if held.is_some() || patience.waited > end {
            return Ok(held);
        }
        patience.pause(|| holder(file, path))?;
    }
}

/// Tries once; `None` when others hold it.
pub(crate) fn attempt(file: &File, mode: Mode, path: &Path) -> Result<Option<Held>> {
    loop {
        match mode.attempt(file) {
            Ok(()) => return Ok(Some(Held::Yes)),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) if sys::cannot_lock(&error) => {
                log::debug!("{path:?} cannot be locked: {error}");
                return Ok(Some(Held::Impossible));
            }
            Err(TryLockError::Error(error)) => return Err(error).at("lock", path),
        }
    }
}

/// Whether a lock could be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// It is held.
    Yes,
    /// This filesystem has no locks.
    Impossible,
}

/// Says who holds a lock on this file, and which.
pub(super) fn holder(file: &File, path: &Path) -> String {
    format!("{}, which uses the image layout (lock on {path:?})", process(file))
}

/// Names the process that holds a lock on this file, as far as the system tells.
pub(crate) fn process(file: &File) -> String {
    let table = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let identity = file.metadata().map(|of| (sys::device_parts(of.dev()), of.ino()));
    let found = identity.ok().and_then(|((major, minor), inode)| {
        find_holder(&table, &format!("{major:02x}:{minor:02x}:{inode}"))
    });
    found.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// Finds in the text of `/proc/locks` who locks the inode `place`.
fn find_holder(table: &str, place: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, pid, inode) = (words.next()?, words.nth(2)?, words.next()?);
        (kind == "FLOCK" && inode == place).then(|| pid.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> File {
        File::open(path).unwrap()
    }

    #[test]
    fn waits_no_longer_than_the_limit_and_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (open(dir.path()), open(dir.path()));
        let mut patience = Patience::new(Duration::from_millis(10), Interrupt::default());
        acquire(&first, Mode::Exclusive, dir.path(), &mut patience).unwrap();
        let error = acquire(&second, Mode::Shared, dir.path(), &mut patience).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().starts_with("gave up after 0.01 s of waiting for "), "{error}");
        drop(first);
        // A child that another test is about to start may still hold it.
        let mut patience = Patience::new(Duration::from_secs(10), Interrupt::default());
        assert_eq!(acquire(&second, Mode::Shared, dir.path(), &mut patience).unwrap(), Held::Yes);
    }

    #[test]
    fn shared_locks_share() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (open(dir.path()), open(dir.path()));
        let mut patience = Patience::new(Duration::ZERO, Interrupt::default());
        acquire(&first, Mode::Shared, dir.path(), &mut patience).unwrap();
        acquire(&second, Mode::Shared, dir.path(), &mut patience).unwrap();
    }

    #[test]
    fn reads_the_table_of_locks() {
        let table = "1: POSIX  ADVISORY  WRITE 11 08:02:77 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 22 08:02:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 33 08:02:77 0 EOF\n\
                     broken";
        assert_eq!(find_holder(table, "08:02:77"), Some(22));
        assert_eq!(find_holder(table, "08:02:78"), None);
    }
}
