// SPDX-License-Identifier: Apache-2.0
//! [`Rootless`]: a root filesystem for an ordinary user, for root in a user
//! namespace, and on filesystems that cannot do everything.
//!
//! What the system refuses gets a substitute: permission bits that are in the
//! way step aside for a call, owners go into an attribute or are remembered,
//! empty files stand for devices. Reading gives back what was meant.

mod access;
mod interrupt;
mod owner;
mod record;
mod settle;

use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::access::{Afterwards, open_own_dir};
pub use self::interrupt::Interrupt;
pub use self::owner::OWNER_ATTRIBUTE;
pub use self::record::{Census, Emulated, Node};

use self::access::{Access, Object};
use self::record::{Ledger, Substitute};
use self::settle::Target;
use super::metadata::{Device, FileTime, Identity, Kind, Metadata, Stat, Xattr};
use super::native::Native;
use super::ops::{Change, Contents, Dir, DirEntry, FsOps, Inode};
use super::path::{Name, RootPath};
use super::sys::{self, XattrTarget};
use super::xattr;

/// How files get their owners.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ownership {
    /// They are given to them.
    #[default]
    Set,
    /// Everything belongs to the caller. The real owner, if it is not root, is
    /// kept in an attribute or remembered; owners are as in the image.
    Record,
}

/// What happens when the system refuses something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Refusals {
    /// It is an error, but for extended attributes that the filesystem does not have.
    #[default]
    Fail,
    /// A substitute takes its place.
    Substitute,
    /// It is an error, whatever it is; and so is a substitute without a refusal.
    Strict,
}

/// What reading a tree gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum View {
    /// What is on the disk.
    #[default]
    Disk,
    /// What is meant: real owners and devices.
    Image,
}

/// How [`Rootless`] works.
#[derive(Debug, Clone, Default)]
pub struct RootlessOptions {
    /// How files get their owners.
    pub ownership: Ownership,
    /// What happens when the system refuses something.
    pub refusals: Refusals,
    /// What reading gives.
    pub view: View,
    /// What becomes of permission bits that were in the way.
    pub afterwards: Afterwards,
    /// When to stop.
    pub interrupt: Interrupt,
}

/// Makes do where the system refuses, and remembers it.
#[derive(Debug)]
pub struct Rootless<F> {
    inner: F,
    access: Access,
    options: RootlessOptions,
    ledger: Mutex<Ledger>,
}

impl Rootless<Native> {
    /// Takes an open directory as the root of a filesystem of plain system calls.
    pub fn native(root: File, options: RootlessOptions) -> io::Result<Self> {
        let own = root.try_clone()?;
        Ok(Self::new(Native::from_dir(root)?, own, options))
    }
}

impl<F: FsOps> Rootless<F> {
    /// Decorates `inner`, whose root is the open directory `root`.
    pub fn new(inner: F, root: File, options: RootlessOptions) -> Self {
        let access = Access::new(root, options.afterwards);
        Self { inner, access, options, ledger: Mutex::default() }
    }

    /// How often something had to be substituted.
    pub fn census(&self) -> Census {
        self.ledger().census()
    }

    /// What is remembered of an inode.
    pub fn emulated(&self, identity: Identity) -> Option<Emulated> {
        self.ledger().get(identity).cloned()
    }

    /// Remembers an inode from an earlier run.
    pub fn remember(&self, identity: Identity, emulated: Emulated) {
        self.ledger().set(identity, emulated);
    }

    /// Whether the owner of an inode went into an attribute.
    pub fn has_owner_attribute(&self, identity: Identity) -> bool {
        self.ledger().is_attributed(identity)
    }

    /// When a name's inode was made, if that can be told.
    pub fn born(&self, dir: &Dir, name: Name<'_>) -> io::Result<Option<FileTime>> {
        self.in_dir(dir, || sys::born_at(dir, name.as_os_str()))
    }

    /// Makes a call for which the root itself has to be writable, as moving it elsewhere.
    pub fn with_root<T>(&self, call: impl FnOnce() -> T) -> io::Result<T> {
        self.access.with_root(call)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_dir<T>(&self, dir: &Dir, call: impl Fn() -> io::Result<T>) -> io::Result<T> {
        self.options.interrupt.check()?;
        self.access.reach(&[Object::Dir(dir)], call)
    }

    /// A call that also needs to get at what the name is.
    fn at<T>(&self, dir: &Dir, name: Name<'_>, call: impl Fn() -> io::Result<T>) -> io::Result<T> {
        self.options.interrupt.check()?;
        self.access.reach(&[Object::Dir(dir), Object::Named(dir, name)], call)
    }

    /// Notes a substitute, or refuses it.
    fn substitute(&self, substitute: Substitute, what: impl Fn() -> String) -> io::Result<()> {
        if self.options.refusals == Refusals::Strict {
            return Err(io::Error::other(format!("{} (strict)", what())));
        }
        let count = self.ledger().count(substitute);
        // Nobody has asked for it when owners are to be set.
        if count == 1 && self.options.ownership == Ownership::Set {
            log::warn!("{}; what follows of that kind is counted", what());
        } else {
            log::debug!("{}", what());
        }
        Ok(())
    }

    /// What a name is meant to be.
    fn meant_stat(
        &self,
        stat: Stat,
        attribute: impl Fn() -> io::Result<Option<Vec<u8>>>,
    ) -> io::Result<Stat> {
        let mut meant = stat;
        let emulated = self.emulated(stat.identity).unwrap_or_default();
        if let Some(node) = emulated.node.filter(|_| stat.kind == Kind::File && stat.size == 0) {
            meant.kind = node.kind;
            meant.device = node.device;
            // A build that changes the bits of the placeholder means those of the device.
            meant.mode = if stat.mode == 0 { node.mode } else { stat.mode };
        }
        let is_void = emulated.held_by.is_some_and(|held_by| held_by != stat.owner);
        let recorded = emulated.owner.filter(|_| !is_void);
        if self.options.ownership == Ownership::Set {
            meant.owner = recorded.unwrap_or(stat.owner);
            return Ok(meant);
        }
        let attribute = match stat.kind {
            Kind::File | Kind::Dir => attribute()?,
            _ => None,
        };
        meant.owner = match attribute {
            Some(value) => owner::decode(&value)?,
            None => recorded.unwrap_or_default(),
        };
        Ok(meant)
    }

    /// The attributes that are meant, given those on disk.
    fn meant_xattrs(
        &self,
        stat: impl FnOnce() -> io::Result<Stat>,
        mut xattrs: Vec<Xattr>,
    ) -> io::Result<Vec<Xattr>> {
        if self.options.ownership == Ownership::Record {
            xattrs.retain(|xattr| *xattr.name != *OWNER_ATTRIBUTE);
        } else if xattrs.iter().any(|xattr| *xattr.name == *OWNER_ATTRIBUTE) {
            log::warn!(
                "suspicious filesystem: saw special rootless xattr {}",
                OWNER_ATTRIBUTE.escape_ascii()
            );
        }
        if self.ledger().is_empty() {
            return Ok(xattrs);
        }
        for kept in self.emulated(stat()?.identity).unwrap_or_default().xattrs {
            if !xattrs.iter().any(|xattr| xattr.name == kept.name) {
                xattrs.push(kept);
            }
        }
        xattrs.sort_unstable();
        Ok(xattrs)
    }

    fn owner_attribute(&self, dir: &Dir, name: Name<'_>) -> io::Result<Option<Vec<u8>>> {
        let target = XattrTarget::Name(dir.as_file(), name.as_os_str());
        self.at(dir, name, || xattr::read(target, OWNER_ATTRIBUTE))
    }

    /// An inode whose own permission bits are in the way. What they are is asked before
    /// they step aside.
    fn closed_inode(&self, dir: &Dir, name: Name<'_>) -> io::Result<Inode> {
        let stat = self.in_dir(dir, || self.inner.stat(dir, name))?;
        let mut inode = self.at(dir, name, || self.inner.inode(dir, name))?;
        if inode.stat.identity != stat.identity {
            return Err(io::Error::other("the name means something else meanwhile"));
        }
        inode.stat.mode = stat.mode;
        Ok(inode)
    }

    /// An empty file in the place of a device, with a note of what it stands for.
    fn create_placeholder(&self, dir: &Dir, name: Name<'_>, node: Node) -> io::Result<()> {
        let what = || {
            let Device { major, minor } = node.device;
            format!("{name:?}: an empty file stands for the device {major}:{minor}")
        };
        let file = self.in_dir(dir, || self.inner.create_file(dir, name, 0o600))?;
        self.substitute(Substitute::Placeholder, what)?;
        let identity = sys::stat_fd(&file)?.identity;
        self.remember(identity, Emulated { node: Some(node), ..Emulated::default() });
        Ok(())
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
}

impl<F: FsOps> FsOps for Rootless<F> {
    fn open_dir(&self, path: &RootPath) -> io::Result<Dir> {
        self.options.interrupt.check()?;
        self.access.open_dir(&self.inner, path)
    }

    fn open_child(&self, dir: &Dir, name: Name<'_>) -> io::Result<Dir> {
        self.at(dir, name, || self.inner.open_child(dir, name))
    }

    fn is_mount_point(&self, dir: &Dir, name: Name<'_>) -> io::Result<bool> {
        self.in_dir(dir, || self.inner.is_mount_point(dir, name))
    }

    fn read_dir(&self, dir: &Dir) -> io::Result<Vec<DirEntry>> {
        self.in_dir(dir, || self.inner.read_dir(dir))
    }

    fn stat(&self, dir: &Dir, name: Name<'_>) -> io::Result<Stat> {
        let stat = self.in_dir(dir, || self.inner.stat(dir, name))?;
        match self.options.view {
            View::Disk => Ok(stat),
            View::Image => self.meant_stat(stat, || self.owner_attribute(dir, name)),
        }
    }

    fn stat_dir(&self, dir: &Dir) -> io::Result<Stat> {
        let stat = self.in_dir(dir, || self.inner.stat_dir(dir))?;
        let target = XattrTarget::Open(dir.as_file());
        match self.options.view {
            View::Disk => Ok(stat),
            View::Image => {
                self.meant_stat(stat, || self.in_dir(dir, || xattr::read(target, OWNER_ATTRIBUTE)))
            }
        }
    }

    fn read_link(&self, dir: &Dir, name: Name<'_>) -> io::Result<Vec<u8>> {
        self.in_dir(dir, || self.inner.read_link(dir, name))
    }

    fn open_file(&self, dir: &Dir, name: Name<'_>) -> io::Result<File> {
        self.at(dir, name, || self.inner.open_file(dir, name))
    }

    fn create_file(&self, dir: &Dir, name: Name<'_>, mode: u32) -> io::Result<File> {
        self.in_dir(dir, || self.inner.create_file(dir, name, mode))
    }

    fn create_dir(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.in_dir(dir, || self.inner.create_dir(dir, name))
    }

    fn create_symlink(&self, target: &[u8], dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.in_dir(dir, || self.inner.create_symlink(target, dir, name))
    }

    fn create_link(
        &self,
        from: &Dir,
        source: Name<'_>,
        dir: &Dir,
        name: Name<'_>,
    ) -> io::Result<()> {
        self.options.interrupt.check()?;
        let objects = [Object::Dir(from), Object::Dir(dir)];
        let made = self.access.reach(&objects, || self.inner.create_link(from, source, dir, name));
        let is_dir = || self.inner.stat(from, source).is_ok_and(|stat| stat.kind == Kind::Dir);
        match made {
            Err(error) if xattr::is_no_link(&error) && !is_dir() => {
                if self.options.refusals == Refusals::Fail {
                    return Err(error);
                }
                let what = || format!("{name:?}: a copy takes the place of the hard link: {error}");
                self.substitute(Substitute::Copy, what)?;
                Err(io::Error::from(io::ErrorKind::Unsupported))
            }
            made => made,
        }
    }

    fn create_node(&self, dir: &Dir, name: Name<'_>, kind: Kind, device: Device) -> io::Result<()> {
        let node = Node { kind, device, mode: 0 };
        if self.options.ownership == Ownership::Record && kind != Kind::Fifo {
            return self.create_placeholder(dir, name, node);
        }
        match self.in_dir(dir, || self.inner.create_node(dir, name, kind, device)) {
            Err(error) if is_refusal(&error) && self.options.refusals != Refusals::Fail => {
                self.create_placeholder(dir, name, node)
            }
            made => made,
        }
    }

    fn create_whiteout(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.in_dir(dir, || self.inner.create_whiteout(dir, name))
    }

    fn remove_file(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.in_dir(dir, || self.inner.remove_file(dir, name))
    }

    fn remove_dir(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.in_dir(dir, || self.inner.remove_dir(dir, name))
    }

    fn set_file_metadata(&self, file: &File, change: &Change<'_>) -> io::Result<()> {
        self.settle(&Target::Open(file), change, || self.inner.set_file_metadata(file, change))
    }

    fn set_dir_metadata(&self, dir: &Dir, change: &Change<'_>) -> io::Result<()> {
        let target = Target::Open(dir.as_file());
        self.settle(&target, change, || self.inner.set_dir_metadata(dir, change))
    }

    fn set_node_metadata(&self, dir: &Dir, name: Name<'_>, change: &Change<'_>) -> io::Result<()> {
        let target = Target::Name(dir, name);
        self.settle(&target, change, || {
            self.in_dir(dir, || self.inner.set_node_metadata(dir, name, change))
        })
    }

    fn set_dir_times(&self, dir: &Dir, metadata: &Metadata) -> io::Result<()> {
        self.in_dir(dir, || self.inner.set_dir_times(dir, metadata))
    }

    fn set_xattr(&self, file: &File, xattr: &Xattr) -> io::Result<()> {
        self.inner.set_xattr(file, xattr)
    }

    fn xattrs(&self, dir: &Dir, name: Name<'_>) -> io::Result<Vec<Xattr>> {
        let xattrs = self.at(dir, name, || self.inner.xattrs(dir, name))?;
        match self.options.view {
            View::Disk => Ok(xattrs),
            View::Image => {
                self.meant_xattrs(|| self.in_dir(dir, || self.inner.stat(dir, name)), xattrs)
            }
        }
    }

    fn dir_xattrs(&self, dir: &Dir) -> io::Result<Vec<Xattr>> {
        let xattrs = self.in_dir(dir, || self.inner.dir_xattrs(dir))?;
        match self.options.view {
            View::Disk => Ok(xattrs),
            View::Image => self.meant_xattrs(|| self.inner.stat_dir(dir), xattrs),
        }
    }

    fn inode(&self, dir: &Dir, name: Name<'_>) -> io::Result<Inode> {
        let Inode { stat, xattrs, contents } =
            match self.in_dir(dir, || self.inner.inode(dir, name)) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.closed_inode(dir, name)?
                }
                inode => inode?,
            };
        let owner = xattrs.iter().find(|xattr| *xattr.name == *OWNER_ATTRIBUTE);
        let meant = self.meant_stat(stat, || Ok(owner.map(|owner| owner.value.to_vec())))?;
        // The file that stands for a device has nothing to say.
        let contents = if meant.kind == stat.kind { contents } else { Contents::Nothing };
        Ok(Inode { stat: meant, xattrs: self.meant_xattrs(|| Ok(stat), xattrs)?, contents })
    }
}

#[cfg(test)]
mod tests;
