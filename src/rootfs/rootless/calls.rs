// SPDX-License-Identifier: Apache-2.0
//! The calls of [`FsOps`] as [`Rootless`] makes them.

use std::fs::File;
use std::io;

use super::super::capability;
use super::super::metadata::{Device, Kind, Metadata, Stat, Xattr};
use super::super::names::Names;
use super::super::ops::{Change, Dir, FsOps, Inode};
use super::super::path::{Name, RootPath};
use super::super::sys;
use super::access::{FILE_BITS, Object};
use super::census::Substitute;
use super::record::{Emulated, Node};
use super::target::Target;
use super::{Ownership, Rootless, reason, stranger};

impl<F: FsOps> FsOps for Rootless<F> {
    fn open_dir(&self, path: &RootPath) -> io::Result<Dir> {
        let opened = self.open_dir_on_disk(path);
        opened.map_err(|error| stranger::told(error, || stranger::last_dir(&self.root, path)))
    }

    fn open_child(&self, dir: &Dir, name: Name<'_>) -> io::Result<Dir> {
        let opened = self.with_named(dir, name, || self.inner.open_child(dir, name));
        opened.map_err(|error| stranger::told(error, || self.inner.stat(dir, name)))
    }

    fn is_mount_point(&self, dir: &Dir, name: Name<'_>) -> io::Result<bool> {
        self.with_dir(dir, || self.inner.is_mount_point(dir, name))
    }

    fn read_dir(&self, dir: &Dir) -> io::Result<Names> {
        self.with_dir(dir, || self.inner.read_dir(dir))
    }

    fn stat(&self, dir: &Dir, name: Name<'_>) -> io::Result<Stat> {
        self.view(Target::Name(dir, name), self.with_dir(dir, || self.inner.stat(dir, name))?)
    }

    fn stat_dir(&self, dir: &Dir) -> io::Result<Stat> {
        let stat = self.with_dir(dir, || self.inner.stat_dir(dir))?;
        self.view(Target::Open(dir.as_file()), stat)
    }

    fn read_link(&self, dir: &Dir, name: Name<'_>) -> io::Result<Vec<u8>> {
        self.with_dir(dir, || self.inner.read_link(dir, name))
    }

    fn open_file(&self, dir: &Dir, name: Name<'_>) -> io::Result<File> {
        let opened = self.with_named(dir, name, || self.inner.open_file(dir, name));
        opened.map_err(|error| stranger::told(error, || self.inner.stat(dir, name)))
    }

    fn create_file(&self, dir: &Dir, name: Name<'_>, mode: u32) -> io::Result<File> {
        // What its owner is never to be given cannot step aside either.
        let mode = if self.lacks(|has| has.modes) { mode | FILE_BITS } else { mode };
        self.exactly(dir, name, || self.inner.create_file(dir, name, mode))
    }

    fn create_dir(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.exactly(dir, name, || self.inner.create_dir(dir, name))
    }

    fn create_symlink(&self, target: &[u8], dir: &Dir, name: Name<'_>) -> io::Result<()> {
        if self.lacks(|has| has.symlinks) {
            let message = "the filesystem has no symbolic links";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        self.exactly(dir, name, || self.inner.create_symlink(target, dir, name))
    }

    fn create_link(
        &self,
        from: &Dir,
        source: Name<'_>,
        dir: &Dir,
        name: Name<'_>,
    ) -> io::Result<()> {
        let is_dir = || self.inner.stat(from, source).is_ok_and(|stat| stat.kind == Kind::Dir);
        match self.link(from, source, dir, name) {
            Err(error) if self.options.refusals.has_substitute(&error) && !is_dir() => {
                let error = reason(error);
                let what = || format!("a copy takes the place of the hard link: {error}");
                self.substitute_name(Substitute::Copy, dir, name, what)?;
                Err(io::Error::from(io::ErrorKind::Unsupported))
            }
            made => made,
        }
    }

    fn create_node(&self, dir: &Dir, name: Name<'_>, kind: Kind, device: Device) -> io::Result<()> {
        let node = Node { kind, device };
        let is_never = self.options.ownership == Ownership::Record || self.lacks(|has| has.devices);
        if is_never && kind != Kind::Fifo {
            return self.create_placeholder(dir, name, node);
        }
        match self.exactly(dir, name, || self.inner.create_node(dir, name, kind, device)) {
            Err(error) if self.options.refusals.has_substitute(&error) => {
                self.create_placeholder(dir, name, node)
            }
            made => made,
        }
    }

    fn create_whiteout(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.with_dir(dir, || self.inner.create_whiteout(dir, name))
    }

    fn remove_file(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.forgetting(dir, name, || self.with_dir(dir, || self.inner.remove_file(dir, name)))
    }

    fn remove_dir(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.forgetting(dir, name, || self.with_dir(dir, || self.inner.remove_dir(dir, name)))
    }

    fn set_file_metadata(&self, file: &File, change: &Change<'_>) -> io::Result<Stat> {
        let mut names = change.metadata.xattrs.iter().map(|xattr| &*xattr.name);
        if self.lacks(|has| has.capabilities) && names.any(|name| name == capability::NAME) {
            file.sync_data()?;
        }
        let target = Target::Open(file);
        let plainly = |change: &Change<'_>| self.inner.set_file_metadata(file, change).map(Some);
        let stat = match self.settle(target, change, plainly)? {
            Some(stat) => stat,
            None => target.stat()?,
        };
        // Its last name may have been removed before it was noted: nobody else forgets it then.
        if stat.nlink == 0 {
            self.ledger.forget(stat.identity);
        }
        self.view(target, stat)
    }

    fn set_dir_metadata(&self, dir: &Dir, change: &Change<'_>) -> io::Result<()> {
        let plainly = |change: &Change<'_>| self.inner.set_dir_metadata(dir, change).map(|()| None);
        self.settle(Target::Open(dir.as_file()), change, plainly).map(drop)
    }

    fn set_node_metadata(&self, dir: &Dir, name: Name<'_>, change: &Change<'_>) -> io::Result<()> {
        let plainly = |change: &Change<'_>| {
            self.with_dir(dir, || self.inner.set_node_metadata(dir, name, change)).map(|()| None)
        };
        self.settle(Target::Name(dir, name), change, plainly).map(drop)
    }

    fn set_dir_times(&self, dir: &Dir, metadata: &Metadata) -> io::Result<()> {
        self.with_dir(dir, || self.inner.set_dir_times(dir, metadata))
    }

    fn set_xattr(&self, file: &File, xattr: &Xattr) -> io::Result<()> {
        self.inner.set_xattr(file, xattr)
    }

    fn xattrs(&self, dir: &Dir, name: Name<'_>) -> io::Result<Vec<Xattr>> {
        let target = Target::Name(dir, name);
        self.view_xattrs(target, self.with_named(dir, name, || self.inner.xattrs(dir, name))?)
    }

    fn dir_xattrs(&self, dir: &Dir) -> io::Result<Vec<Xattr>> {
        let target = Target::Open(dir.as_file());
        self.view_xattrs(target, self.with_dir(dir, || self.inner.dir_xattrs(dir))?)
    }

    fn has_exactly(&self, dir: &Dir, name: Name<'_>) -> io::Result<bool> {
        self.is_listed(dir, name)
    }

    fn namesake(&self, dir: &Dir, name: Name<'_>) -> io::Result<Option<Box<[u8]>>> {
        self.find_namesake(dir, name)
    }

    fn inode(&self, dir: &Dir, name: Name<'_>) -> io::Result<Inode> {
        let inode = match self.with_dir(dir, || self.inner.inode(dir, name)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.closed_inode(dir, name)?
            }
            inode => inode?,
        };
        self.meant(Target::Name(dir, name), inode)
    }

    fn dir_inode(&self, dir: &Dir) -> io::Result<Inode> {
        // Its attributes may be out of reach until its permission bits step aside.
        let stat = self.with_dir(dir, || self.inner.stat_dir(dir))?;
        let mut inode = self.with_dir(dir, || self.inner.dir_inode(dir))?;
        inode.stat.mode = stat.mode;
        self.meant(Target::Open(dir.as_file()), inode)
    }
}

impl<F: FsOps> Rootless<F> {
    /// Removes a name, and forgets what was noted of it, and of what has no other name.
    fn forgetting(
        &self,
        dir: &Dir,
        name: Name<'_>,
        remove: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        if self.ledger.is_empty() {
            return remove();
        }
        let stat = self.stat_on_disk(dir, Some(name))?;
        remove()?;
        let has_others = stat.kind != Kind::Dir && stat.nlink > 1;
        let was_noted = !has_others && self.ledger.forget(stat.identity);
        let was_copy =
            self.ledger.has_copies() && self.ledger.forget_copy(sys::stat_fd(dir)?.identity, name);
        if was_noted || was_copy {
            log::debug!("{}: removed again", self.shown(Target::Name(dir, name)));
        }
        Ok(())
    }

    fn link(&self, from: &Dir, source: Name<'_>, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        let objects = [Object::Dir(from), Object::Dir(dir)];
        let made = self.exact(dir, name, || {
            self.reach(&objects, || self.inner.create_link(from, source, dir, name))
        });
        if made.is_ok() && self.lacks(|has| has.links) {
            // It would be taken for a file of its own, of which nothing is recorded.
            self.with_dir(dir, || self.inner.remove_file(dir, name))?;
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        made
    }

    /// An inode whose own permission bits are in the way. What they are is asked before
    /// they step aside.
    fn closed_inode(&self, dir: &Dir, name: Name<'_>) -> io::Result<Inode> {
        let stat = self.with_dir(dir, || self.inner.stat(dir, name))?;
        let mut inode = self.with_named(dir, name, || self.inner.inode(dir, name))?;
        if inode.stat.identity != stat.identity {
            return Err(io::Error::other("the name means something else meanwhile"));
        }
        inode.stat.mode = stat.mode;
        Ok(inode)
    }

    /// An empty file in the place of a device, with a note of what it stands for.
    fn create_placeholder(&self, dir: &Dir, name: Name<'_>, node: Node) -> io::Result<()> {
        let file = self.exactly(dir, name, || self.inner.create_file(dir, name, 0o600))?;
        let what = || node.told_of_placeholder();
        self.substitute(node.placeholder(), Target::Name(dir, name), what)?;
        let identity = sys::stat_fd(&file)?.identity;
        self.remember(identity, Emulated { node: Some(node), ..Emulated::default() });
        Ok(())
    }
}
