// SPDX-License-Identifier: Apache-2.0
//! Directories and files that their owner may not enter, list or read: they
//! are made accessible for one call and get their permission bits back after
//! it, whether it succeeds or not. Always by handle, never through a link.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use super::super::metadata::{FileTime, Kind, Stat};
use super::super::ops::{Dir, FsOps};
use super::super::path::{Name, RootPath};
use super::super::sys::{self, Open};
use super::aside::{Aside, Reminder};
use crate::error::Error;

/// What an owner needs to work in a directory.
const DIR_BITS: u32 = 0o700;
/// What an owner needs to read a file and its attributes, and to set them.
pub(super) const FILE_BITS: u32 = 0o600;

/// What becomes of permission bits that were in the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Afterwards {
    /// They are put back after the call.
    #[default]
    PutBack,
    /// They stay off: all of it is about to be removed.
    Leave,
}

/// An object that may be in the way of a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Object<'a> {
    Dir(&'a Dir),
    Open(&'a File),
    Named(&'a Dir, Name<'a>),
}

/// Makes objects accessible, one call at a time.
#[derive(Debug)]
pub(super) struct Access {
    root: File,
    afterwards: Afterwards,
    reminder: Option<Arc<dyn Reminder>>,
    /// Held alone while permission bits are other than they should be, so that
    /// no other thread takes them for the real ones.
    changing: RwLock<()>,
}

impl Access {
    pub(super) fn new(
        root: File,
        afterwards: Afterwards,
        reminder: Option<Arc<dyn Reminder>>,
    ) -> Self {
        Self { root, afterwards, reminder, changing: RwLock::new(()) }
    }

    fn opened(&self) -> Opened<'_> {
        Opened::new(self.afterwards, self.reminder.as_deref())
    }

    /// Makes a call, again and again with one more object made accessible as
    /// long as it is refused. The outermost object is the first.
    pub(super) fn reach<T>(
        &self,
        objects: &[Object<'_>],
        call: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut done = self.try_shared(&call);
        if !is_refused(&done) {
            return done;
        }
        let _alone = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        let mut opened = self.opened();
        for object in objects {
            match opened.add(*object) {
                Ok(true) => done = call(),
                Ok(false) => {}
                // Somebody else's: the refusal stands.
                Err(error) if error.raw_os_error().is_some() => break,
                Err(error) => done = Err(error),
            }
            if !is_refused(&done) {
                break;
            }
        }
        opened.put_back().and(done)
    }

    /// As [`Access::reach`], for a path: every directory on it may be in the way.
    pub(super) fn open_dir(&self, fs: &dyn FsOps, path: &RootPath) -> io::Result<Dir> {
        let refused = self.try_shared(&|| fs.open_dir(path));
        if !is_refused(&refused) {
            return refused;
        }
        let _alone = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        let mut opened = self.opened();
        let done = match opened.walk(&self.root, path) {
            Ok(()) => fs.open_dir(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refused,
            Err(error) => Err(error),
        };
        opened.put_back().and(done)
    }

    /// Makes a call for which the root itself has to be accessible.
    pub(super) fn with_root<T>(&self, call: impl FnOnce() -> T) -> io::Result<T> {
        let _alone = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        let mut opened = self.opened();
        opened.open(Handle::Open(self.root.try_clone()?))?;
        let done = call();
        opened.put_back().map(|()| done)
    }

    fn try_shared<T>(&self, call: &impl Fn() -> io::Result<T>) -> io::Result<T> {
        let _shared = self.changing.read().unwrap_or_else(PoisonError::into_inner);
        call()
    }
}

/// Opens a directory for listing that its owner may have no permission for.
///
/// # Errors
/// Also when the reminder fails.
pub fn open_own_dir(
    parent: &File,
    name: &Path,
    reminder: Option<&dyn Reminder>,
) -> io::Result<File> {
    let open = || sys::open_at(parent, name.as_os_str(), Open::Dir).map(File::from);
    let done = open();
    if !is_refused(&done) {
        return done;
    }
    let mut opened = Opened::new(Afterwards::PutBack, reminder);
    opened.open(Handle::Place(sys::open_at(parent, name.as_os_str(), Open::Place)?))?;
    let done = open();
    opened.put_back().and(done)
}

fn is_refused<T>(done: &io::Result<T>) -> bool {
    matches!(done, Err(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

/// An inode, in a way that permission bits can be set by.
#[derive(Debug)]
pub(super) enum Handle {
    Open(File),
    Place(OwnedFd),
}

impl Handle {
    pub(super) fn stat(&self) -> io::Result<Stat> {
        match self {
            Self::Open(file) => sys::stat_fd(file),
            Self::Place(place) => sys::stat_fd(place),
        }
    }

    /// When the inode was made, where that can be told.
    pub(super) fn born(&self) -> io::Result<Option<FileTime>> {
        match self {
            Self::Open(file) => sys::born(file),
            Self::Place(place) => sys::born(place),
        }
    }

    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        match self {
            Self::Open(file) => sys::chmod_fd(file, mode),
            Self::Place(place) => sys::chmod_place(place, mode),
        }
    }
}

/// What has been made accessible, with the permission bits it had.
struct Opened<'a> {
    afterwards: Afterwards,
    reminder: Option<&'a dyn Reminder>,
    /// Whether it has to forget again.
    is_noted: bool,
    changed: Vec<(Handle, u32)>,
}

impl<'a> Opened<'a> {
    fn new(afterwards: Afterwards, reminder: Option<&'a dyn Reminder>) -> Self {
        Self { afterwards, reminder, is_noted: false, changed: Vec::new() }
    }

    /// Makes an object accessible, or says that its permission bits are not what is in the way.
    fn add(&mut self, object: Object<'_>) -> io::Result<bool> {
        self.open(match object {
            Object::Dir(dir) => Handle::Open(dir.as_file().try_clone()?),
            Object::Open(file) => Handle::Open(file.try_clone()?),
            Object::Named(dir, name) => {
                Handle::Place(sys::open_at(dir, name.as_os_str(), Open::Place)?)
            }
        })
    }

    fn open(&mut self, handle: Handle) -> io::Result<bool> {
        let stat = handle.stat()?;
        let bits = match stat.kind {
            Kind::Dir => DIR_BITS,
            Kind::File => FILE_BITS,
            _ => return Ok(false),
        };
        if stat.mode & bits == bits {
            return Ok(false);
        }
        let meanwhile = stat.mode | bits;
        if self.afterwards == Afterwards::PutBack {
            self.note(&handle, &stat, meanwhile)?;
        }
        handle.set_mode(meanwhile)?;
        if self.afterwards == Afterwards::PutBack {
            self.changed.push((handle, stat.mode));
        }
        Ok(true)
    }

    fn note(&mut self, handle: &Handle, stat: &Stat, meanwhile: u32) -> io::Result<()> {
        let Some(reminder) = self.reminder else { return Ok(()) };
        let (identity, born) = (stat.identity, handle.born()?);
        self.is_noted = true;
        reminder.add(&Aside { identity, born, mode: stat.mode, meanwhile })
    }

    /// Makes all directories on the way accessible, and the last one.
    fn walk(&mut self, root: &File, path: &RootPath) -> io::Result<()> {
        self.open(Handle::Open(root.try_clone()?))?;
        let mut dir = OwnedFd::from(root.try_clone()?);
        for name in path.components() {
            dir = sys::open_at(&dir, name.as_os_str(), Open::Place)?;
            if sys::stat_fd(&dir)?.kind != Kind::Dir {
                return Err(io::Error::from(io::ErrorKind::NotADirectory));
            }
            self.open(Handle::Place(dir.try_clone()?))?;
        }
        Ok(())
    }

    /// Puts the permission bits back, the innermost first.
    fn put_back(mut self) -> io::Result<()> {
        self.restore()
    }

    fn restore(&mut self) -> io::Result<()> {
        let mut done = Ok(());
        while let Some((handle, mode)) = self.changed.pop() {
            done = done.and(handle.set_mode(mode).map_err(no_refusal));
        }
        match self.reminder {
            Some(reminder) if std::mem::take(&mut self.is_noted) => match &done {
                Ok(()) => reminder.clear(),
                Err(_) => done.and(reminder.keep()),
            },
            _ => done,
        }
    }
}

/// An error that nobody takes for one that a substitute can be found for.
fn no_refusal(error: io::Error) -> io::Error {
    Error::from(error).context("put permission bits back").into()
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        // Only after a panic or an early error is there anything left to do, and nobody to tell.
        let _ = self.restore();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::super::{Rootless, RootlessOptions};
    use super::*;

    /// Remembers in memory, which a test does not lose.
    #[derive(Debug, Default)]
    struct Memory(Mutex<Vec<Aside>>);

    impl Reminder for Memory {
        fn add(&self, aside: &Aside) -> io::Result<()> {
            self.0.lock().unwrap().push(*aside);
            Ok(())
        }

        fn clear(&self) -> io::Result<()> {
            self.0.lock().unwrap().clear();
            Ok(())
        }

        fn keep(&self) -> io::Result<()> {
            Ok(())
        }
    }

    const PATHS: [&str; 6] = ["", "a", "a/b", "a/b/f", "a/g", "c"];

    /// A tree with these permission bits.
    fn tree(modes: &[u32]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for dir in ["a/b", "c"] {
            std::fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        for file in ["a/b/f", "a/g"] {
            std::fs::write(root.path().join(file), "").unwrap();
        }
        for (path, mode) in PATHS.iter().zip(modes).rev() {
            set_mode(&root.path().join(path), *mode);
        }
        root
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    /// Everything in a tree with its permission bits. Only root can look at all of them.
    fn modes(root: &Path) -> BTreeMap<&'static str, u32> {
        let mode = |path: &str| root.join(path).symlink_metadata().unwrap().permissions().mode();
        PATHS.iter().map(|path| (*path, mode(path) & 0o7777)).collect()
    }

    fn place(root: &Path, path: &str) -> Handle {
        Handle::Place(
            sys::open_at(File::open("/").unwrap(), root.join(path).as_os_str(), Open::Place)
                .unwrap(),
        )
    }

    /// What is left of permission bits when a process is killed that has made `open` of these
    /// step aside and put `back` of them back, and what is noted then.
    fn killed(root: &Path, paths: &[&str], back: usize) -> Vec<Aside> {
        let memory = Memory::default();
        let mut opened = Opened::new(Afterwards::PutBack, Some(&memory));
        for path in paths {
            opened.open(place(root, path)).unwrap();
        }
        for _ in 0..back {
            if let Some((handle, mode)) = opened.changed.pop() {
                handle.set_mode(mode).unwrap();
            }
        }
        std::mem::forget(opened);
        memory.0.into_inner().unwrap()
    }

    fn put_back(root: &Path, asides: &[Aside]) {
        let options = RootlessOptions::default();
        let fs = Rootless::native(File::open(root).unwrap(), options).unwrap();
        fs.put_back(asides).unwrap();
    }

    fn is_root() -> bool {
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whoever_is_killed_leaves_notes_to_put_all_back(
            bits in prop::collection::vec(0..0o10000_u32, PATHS.len()),
            paths in prop::collection::vec(prop::sample::select(&PATHS[..]), 0..8),
            back in 0..8_usize,
        ) {
            if is_root() {
                let root = tree(&bits);
                let before = modes(root.path());
                let asides = killed(root.path(), &paths, back);
                put_back(root.path(), &asides);
                prop_assert_eq!(modes(root.path()), before);
            }
        }
    }

    #[test]
    fn what_has_changed_since_a_note_stays() {
        if !is_root() {
            return;
        }
        let root = tree(&[0o755, 0, 0o755, 0, 0, 0]);
        let paths = ["a", "a/b/f", "a/g", "c"];
        let mut asides = killed(root.path(), &paths, 0);
        assert_eq!(asides.len(), paths.len());
        // Somebody else has given it other bits, or made another one in its place.
        set_mode(&root.path().join("a"), 0o711);
        set_mode(&root.path().join("c"), 0o777);
        std::fs::remove_file(root.path().join("a/g")).unwrap();
        std::fs::write(root.path().join("a/g"), "").unwrap();
        set_mode(&root.path().join("a/g"), 0o600);
        // The filesystem may have used the number again.
        asides[2].identity =
            sys::stat_fd(File::open(root.path().join("a/g")).unwrap()).unwrap().identity;
        put_back(root.path(), &asides);
        let modes = modes(root.path());
        let changed = ["a", "a/b/f", "a/g", "c"].map(|path| modes[path]);
        assert_eq!(changed, [0o711, 0, 0o600, 0o777]);
    }

    #[test]
    fn nothing_steps_aside_without_a_note() {
        #[derive(Debug)]
        struct Forgetful;
        impl Reminder for Forgetful {
            fn add(&self, _: &Aside) -> io::Result<()> {
                Err(io::Error::other("no"))
            }
            fn clear(&self) -> io::Result<()> {
                Ok(())
            }
            fn keep(&self) -> io::Result<()> {
                Ok(())
            }
        }
        let root = tree(&[0o755, 0, 0o755, 0o644, 0o644, 0o755]);
        let mut opened = Opened::new(Afterwards::PutBack, Some(&Forgetful));
        assert!(opened.open(place(root.path(), "a")).is_err());
        drop(opened);
        assert_eq!(
            root.path().join("a").symlink_metadata().unwrap().permissions().mode() & 0o7777,
            0
        );
    }
}
