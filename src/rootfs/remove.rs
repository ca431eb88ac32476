// SPDX-License-Identifier: Apache-2.0
//! Recursive removal by directory handles. It never follows a link, never
//! enters what is mounted there, and needs few handles however deep
//! the tree is.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::metadata::Kind;
use super::names::Names;
use super::ops::{Dir, FsOps};
use super::path::{Name, RootPath};

/// How long to wait, in milliseconds, before each attempt to remove what is left of a directory
/// that has been emptied.
const PAUSES: [u64; 10] = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500];
/// How many directories on the way down are kept open.
const KEPT_OPEN: usize = 64;

/// Removes `path` and everything below it; the root itself is emptied but stays.
///
/// # Errors
/// When something is mounted below `path`. What came before it in the order of names is gone then.
pub fn remove_all(fs: &dyn FsOps, path: &RootPath) -> io::Result<()> {
    remove_unless(fs, path, &|_| false, || Ok(())).map(drop)
}

/// Whether something was left by [`remove_unless`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// The path is gone.
    All,
    /// Something that is kept is still there.
    Part,
}

/// Removes `path` and what is below it, but nothing that `keep` names: a kept
/// directory is entered and stays, whatever is not kept in it goes.
///
/// Filesystems in user space and of other machines keep a file that is removed while it is open
/// in its directory, under a name of their own, until they hear that it is closed, which may be a
/// while after that. So where a directory is not empty `close` is called, which closes what the
/// caller has open, and the rest is removed as soon as can be.
pub fn remove_unless(
    fs: &dyn FsOps,
    path: &RootPath,
    keep: &dyn Fn(&RootPath) -> bool,
    close: impl FnOnce() -> io::Result<()>,
) -> io::Result<Removed> {
    let mut removed = remove_once(fs, path, keep);
    if !is_left(&removed) {
        return removed;
    }
    close()?;
    for pause in PAUSES {
        std::thread::sleep(Duration::from_millis(pause));
        removed = remove_once(fs, path, keep);
        if !is_left(&removed) {
            break;
        }
    }
    removed
}

/// Whether there was something in a directory after it had been emptied.
fn is_left(removed: &io::Result<Removed>) -> bool {
    matches!(removed, Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty)
}

fn remove_once(
    fs: &dyn FsOps,
    path: &RootPath,
    keep: &dyn Fn(&RootPath) -> bool,
) -> io::Result<Removed> {
    let Some((parent, name)) = path.split() else {
        let mut removal = Removal { fs, keep, open: VecDeque::new() };
        removal.empty(RootPath::root())?;
        return Ok(Removed::Part);
    };
    let dir = fs.open_dir(&parent)?;
    let kind = fs.stat(&dir, name)?.kind;
    let kept = keep(path);
    if kind != Kind::Dir {
        if !kept {
            fs.remove_file(&dir, name)?;
        }
        return Ok(if kept { Removed::Part } else { Removed::All });
    }
    let mut removal = Removal { fs, keep, open: VecDeque::new() };
    removal.refuse_mount(&dir, name)?;
    removal.empty(path.clone())?;
    if kept {
        return Ok(Removed::Part);
    }
    fs.remove_dir(&dir, name)?;
    Ok(Removed::All)
}

struct Removal<'a> {
    fs: &'a dyn FsOps,
    keep: &'a dyn Fn(&RootPath) -> bool,
    /// The innermost directories of the descent; outer ones are reopened by path.
    open: VecDeque<Dir>,
}

/// A directory of the descent with the names that are still to be done.
struct Level {
    path: RootPath,
    todo: Names,
}

impl Removal<'_> {
    /// Removes what is in the directory at `path`, but not itself.
    fn empty(&mut self, path: RootPath) -> io::Result<()> {
        let mut levels = vec![self.enter(path)?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.todo.pop() else {
                let done = levels.pop().map(|level| level.path);
                self.leave(done, levels.last())?;
                continue;
            };
            let name = Name::new(&name).map_err(io::Error::from)?;
            let path = level.path.join(name);
            self.reopen(&level.path)?;
            if let Some(down) = self.remove_name(&path, name)? {
                levels.push(self.enter(down)?);
            }
        }
        Ok(())
    }

    /// Removes one name of the innermost directory, or says that it must be entered.
    fn remove_name(&self, path: &RootPath, name: Name<'_>) -> io::Result<Option<RootPath>> {
        let Some(dir) = self.open.back() else { return Ok(None) };
        match self.fs.stat(dir, name) {
            Ok(stat) if stat.kind == Kind::Dir => {
                self.refuse_mount(dir, name)?;
                Ok(Some(path.clone()))
            }
            Ok(_) if (self.keep)(path) => Ok(None),
            Ok(_) => gone(self.fs.remove_file(dir, name)).map(|()| None),
            Err(error) => gone(Err(error)).map(|()| None),
        }
    }

    fn enter(&mut self, path: RootPath) -> io::Result<Level> {
        let dir = match (self.open.back(), path.name()) {
            (Some(parent), Some(name)) => self.fs.open_child(parent, name)?,
            _ => self.fs.open_dir(&path)?,
        };
        let todo = self.fs.read_dir(&dir)?;
        self.open.push_back(dir);
        if self.open.len() > KEPT_OPEN {
            self.open.pop_front();
        }
        Ok(Level { path, todo })
    }

    /// Removes a directory that has been emptied from its parent, unless it is kept.
    fn leave(&mut self, done: Option<RootPath>, parent: Option<&Level>) -> io::Result<()> {
        self.open.pop_back();
        let (Some(done), Some(parent)) = (done, parent) else { return Ok(()) };
        self.reopen(&parent.path)?;
        match (self.open.back(), done.name()) {
            (Some(dir), Some(name)) if !(self.keep)(&done) => self.fs.remove_dir(dir, name),
            _ => Ok(()),
        }
    }

    fn reopen(&mut self, path: &RootPath) -> io::Result<()> {
        if self.open.is_empty() {
            self.open.push_back(self.fs.open_dir(path)?);
        }
        Ok(())
    }

    fn refuse_mount(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        if !self.fs.is_mount_point(dir, name)? {
            return Ok(());
        }
        let message = format!("{name:?} is a mount point; it is not entered for removal");
        Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
    }
}

/// What is gone by itself meanwhile needs no removal.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::Native;

    fn path(path: &str) -> RootPath {
        RootPath::clean(path).unwrap()
    }

    #[test]
    fn removes_links_and_not_what_they_lead_to() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("canary"), "x").unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("a/b/out")).unwrap();
        let fs = Native::open(root.path()).unwrap();
        remove_all(&fs, &path("a")).unwrap();
        assert!(!root.path().join("a").exists());
        assert!(outside.path().join("canary").exists());
    }

    #[test]
    fn does_not_enter_what_is_mounted() {
        let [root, host] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        std::fs::write(host.path().join("precious"), "x").unwrap();
        let place = root.path().join("d/mounted");
        std::fs::create_dir_all(&place).unwrap();
        let mount = |program: &str, words: &[&std::path::Path]| {
            std::process::Command::new(program).args(words).status().is_ok_and(|end| end.success())
        };
        // Of the same filesystem, so that only the mount tells it apart.
        if !mount("mount", &[std::path::Path::new("--bind"), host.path(), &place]) {
            println!("skipped: does_not_enter_what_is_mounted needs root");
            return;
        }
        let removed = remove_all(&Native::open(root.path()).unwrap(), &path("d"));
        assert!(mount("umount", &[&place]));
        assert_eq!(removed.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert!(host.path().join("precious").exists());
    }

    #[test]
    fn keeps_what_it_is_told_to() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        for file in ["a/x", "a/b/x", "a/b/y", "a/b/c/x"] {
            std::fs::write(root.path().join(file), "").unwrap();
        }
        let kept = [path("a"), path("a/b"), path("a/b/y")];
        let fs = Native::open(root.path()).unwrap();
        let removed =
            remove_unless(&fs, &path("a"), &|path| kept.contains(path), || Ok(())).unwrap();
        assert_eq!(removed, Removed::Part);
        assert!(root.path().join("a/b/y").exists());
        for gone in ["a/x", "a/b/x", "a/b/c"] {
            assert!(!root.path().join(gone).exists(), "{gone}");
        }
    }

    #[test]
    fn needs_few_handles_for_a_deep_tree() {
        let root = tempfile::tempdir().unwrap();
        let fs = Native::open(root.path()).unwrap();
        let mut dir = fs.open_dir(&RootPath::root()).unwrap();
        for _ in 0..3000 {
            let name = Name::new(b"d").unwrap();
            fs.create_dir(&dir, name).unwrap();
            dir = fs.open_child(&dir, name).unwrap();
        }
        remove_all(&fs, &path("d")).unwrap();
        assert!(fs.read_dir(&fs.open_dir(&RootPath::root()).unwrap()).unwrap().is_empty());
    }
}
