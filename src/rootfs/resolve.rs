// SPDX-License-Identifier: Apache-2.0
//! Symbolic links inside a root filesystem, followed as a process would that
//! had been `chroot`ed into it.
//!
//! The answer is a path without links. Opening that path refuses links again,
//! so a name that is swapped in between gives an error and never a way out.

use std::collections::VecDeque;
use std::io;

use super::metadata::Kind;
use super::ops::FsOps;
use super::path::{Name, RootPath};

/// How many links one path may lead through. The kernel stops at 40; images made elsewhere may have more.
const MAX_LINKS: usize = 255;

/// How many components one path and the links on its way may have together. Each costs a call
/// or two of the system, and a few links can ask for very many.
const MAX_STEPS: usize = 8192;

/// How many components may be looked at for all of the paths of a task together. What one path
/// may ask for (8192) is little, but not when everyone of a million does.
#[derive(Debug)]
pub struct Steps(u64);

impl Default for Steps {
    /// A million, which take seconds.
    fn default() -> Self {
        Self(1_000_000)
    }
}

impl Steps {
    /// Allows `more` of them.
    pub fn add(&mut self, more: u64) {
        self.0 = self.0.saturating_add(more);
    }

    /// Whether there are none left, so that no further path is resolved.
    pub fn are_spent(&self) -> bool {
        self.0 == 0
    }

    fn take(&mut self) -> io::Result<()> {
        self.0 = self.0.saturating_sub(1);
        if self.are_spent() {
            return Err(io::Error::other("symbolic links lead through too many components"));
        }
        Ok(())
    }
}

/// Follows all links of `path`, also one in its last component. What does not
/// exist is kept as it is written.
///
/// # Errors
/// When more than 255 links are met, or links of very many components ("too many levels of
/// symbolic links").
pub fn resolve(fs: &dyn FsOps, path: &RootPath) -> io::Result<RootPath> {
    resolve_within(fs, path, &mut Steps::default())
}

/// As [`resolve`], in no more than `budget` together with other paths.
///
/// # Errors
/// As [`resolve`], and when the budget is spent.
pub fn resolve_within(fs: &dyn FsOps, path: &RootPath, budget: &mut Steps) -> io::Result<RootPath> {
    let mut todo: VecDeque<Box<[u8]>> =
        path.components().map(|name| name.as_bytes().into()).collect();
    let mut done = RootPath::root();
    let (mut links, mut steps) = (0, 0);
    while let Some(component) = todo.pop_front() {
        steps += 1;
        budget.take()?;
        match &*component {
            b"" | b"." => {}
            b".." => done = done.parent().unwrap_or_default(),
            name => {
                let name = Name::new(name).map_err(io::Error::from)?;
                let Some(target) = link_target(fs, &done, name)? else {
                    done = done.join(name);
                    continue;
                };
                links += 1;
                if links > MAX_LINKS || steps > MAX_STEPS {
                    return Err(io::Error::other("too many levels of symbolic links"));
                }
                if target.starts_with(b"/") {
                    done = RootPath::root();
                }
                let parts = target.split(|byte| *byte == b'/').rev();
                parts.for_each(|part| todo.push_front(part.into()));
            }
        }
    }
    Ok(done)
}

/// As [`resolve_within`], for the links on the way to the last component, which stays as it is.
///
/// # Errors
/// As [`resolve_within`].
pub fn resolve_parent(fs: &dyn FsOps, path: &RootPath, budget: &mut Steps) -> io::Result<RootPath> {
    match path.split() {
        Some((parent, name)) => Ok(resolve_within(fs, &parent, budget)?.join(name)),
        None => Ok(RootPath::root()),
    }
}

fn link_target(fs: &dyn FsOps, dir: &RootPath, name: Name<'_>) -> io::Result<Option<Vec<u8>>> {
    let missing = |kind| matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let dir = match fs.open_dir(dir) {
        Err(error) if missing(error.kind()) => return Ok(None),
        result => result?,
    };
    match fs.stat(&dir, name) {
        Ok(stat) if stat.kind == Kind::Symlink => fs.read_link(&dir, name).map(Some),
        Ok(_) => Ok(None),
        Err(error) if missing(error.kind()) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::Native;
    use std::os::unix::fs::symlink;

    #[test]
    fn stays_inside_as_chroot_does() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("usr/bin")).unwrap();
        symlink("usr/bin", at("bin")).unwrap();
        symlink("/usr", at("absolute")).unwrap();
        symlink("../../../../../usr", at("climbing")).unwrap();
        symlink("zz/yy", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("bin/../../x", at("up")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        let fs = Native::open(root.path()).unwrap();
        let resolved = |path: &str| resolve(&fs, &RootPath::clean(path).unwrap());
        for (path, expected) in [
            ("bin/sh", "usr/bin/sh"),
            ("absolute/bin", "usr/bin"),
            ("climbing/x/y", "usr/x/y"),
            ("dangling", "zz/yy"),
            ("missing/a", "missing/a"),
            ("file/a", "file/a"),
            ("up", "x"),
            ("", "."),
        ] {
            assert_eq!(resolved(path).unwrap().to_string(), expected, "{path}");
        }
        assert!(resolved("loop").is_err());
        let kept = resolve_parent(
            &fs,
            &RootPath::clean("absolute/bin/../../bin").unwrap(),
            &mut Steps::default(),
        );
        assert_eq!(kept.unwrap().to_string(), "bin");
        let mut budget = Steps(4);
        let mut spend = || resolve_within(&fs, &RootPath::clean("bin").unwrap(), &mut budget);
        assert_eq!(spend().unwrap().to_string(), "usr/bin");
        assert!(spend().is_err());
        assert!(budget.are_spent());
    }
}
