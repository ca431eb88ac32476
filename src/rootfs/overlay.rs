// SPDX-License-Identifier: Apache-2.0
//! [`Overlay`]: a directory that overlayfs stacks upon others (the kernel's
//! `filesystems/overlayfs.rst`). What overlayfs says of its own there, with
//! device nodes and extended attributes, is kept apart from what the files of
//! the tree carry: neither shows as the other, and none removes the other.

use std::borrow::Cow;
use std::fs::File;
use std::io;

use super::metadata::{Device, FileTime, Kind, Metadata, Stat, Xattr};
use super::names::Names;
use super::ops::{Change, Dir, FsOps, Inode};
use super::path::{Name, RootPath};
use crate::idmap::Owner;

/// What stands behind the namespace where a tree has an attribute of overlayfs itself.
const ESCAPE: &[u8] = b"overlay.";

/// Which extended attributes are overlayfs's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OverlayNamespace {
    /// `trusted.overlay.*`, which takes `CAP_SYS_ADMIN` to read and write.
    #[default]
    Trusted,
    /// `user.overlay.*`, for mounts with the option `userxattr`.
    User,
}

impl OverlayNamespace {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.",
            Self::User => b"user.overlay.",
        }
    }

    fn xattr(self, name: &str, value: &str) -> Xattr {
        let name = [self.prefix(), name.as_bytes()].concat();
        Xattr { name: name.into(), value: value.as_bytes().into() }
    }

    /// The name on disk of an attribute of the tree.
    fn escape(self, name: &[u8]) -> Cow<'_, [u8]> {
        match name.strip_prefix(self.prefix()) {
            Some(rest) => [self.prefix(), ESCAPE, rest].concat().into(),
            None => name.into(),
        }
    }

    /// The attribute of the tree that has this name on disk; `None` for overlayfs's own.
    fn unescape(self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        let Some(rest) = name.strip_prefix(self.prefix()) else { return Some(name.into()) };
        let rest = rest.strip_prefix(ESCAPE)?;
        Some([self.prefix(), rest].concat().into())
    }
}

/// What a name means in a directory that overlayfs stacks upon others.
#[derive(Debug)]
pub enum Stacked {
    /// That what is below it in the stack is gone: it is a character device 0:0, or an empty
    /// file with the attribute for it.
    Whiteout,
    /// A file or directory that is not complete by itself, since it borrows from below by
    /// this attribute of overlayfs.
    Borrowing(&'static str),
    /// An object of the tree.
    Object {
        /// The object, without what is overlayfs's.
        inode: Inode,
        /// Whether it is a directory that nothing below it in the stack shows through.
        opaque: bool,
    },
}

/// A filesystem whose root is a directory for overlayfs to stack upon others.
///
/// As [`FsOps`] it shows and sets the extended attributes that the mount would
/// show: those of overlayfs are hidden and stay, others of such a name are escaped.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    inner: &'a dyn FsOps,
    namespace: OverlayNamespace,
}

impl<'a> Overlay<'a> {
    /// Takes what `inner` holds as a directory for overlayfs.
    pub fn new(inner: &'a dyn FsOps, namespace: OverlayNamespace) -> Self {
        Self { inner, namespace }
    }

    /// The filesystem as it is.
    pub fn inner(&self) -> &'a dyn FsOps {
        self.inner
    }

    /// Takes hold of what a name means in the stack.
    pub fn stacked(&self, dir: &Dir, name: Name<'_>) -> io::Result<Stacked> {
        let inode = self.inner.inode(dir, name)?;
        let Inode { stat, xattrs, .. } = &inode;
        let has = |own: &str| self.own(xattrs, own).is_some();
        let is_whiteout = match stat.kind {
            Kind::CharDevice => stat.device == Device::default(),
            Kind::File => stat.size == 0 && has("whiteout"),
            _ => false,
        };
        if is_whiteout {
            return Ok(Stacked::Whiteout);
        }
        let borrows = matches!(stat.kind, Kind::File | Kind::Dir);
        if let Some(by) = ["redirect", "metacopy"].into_iter().find(|own| borrows && has(own)) {
            return Ok(Stacked::Borrowing(by));
        }
        let opaque = stat.kind == Kind::Dir && self.own(xattrs, "opaque") == Some(b"y");
        Ok(Stacked::Object { inode: self.shown(inode), opaque })
    }

    /// Whether nothing below it in the stack shows through a directory.
    pub fn is_opaque(&self, dir: &Dir) -> io::Result<bool> {
        Ok(self.own(&self.inner.dir_xattrs(dir)?, "opaque") == Some(b"y"))
    }

    /// Lets nothing below it in the stack show through a directory.
    ///
    /// # Errors
    /// Where the attribute cannot be set; the directory would show too much.
    pub fn set_opaque(&self, dir: &Dir) -> io::Result<()> {
        self.inner.set_xattr(dir.as_file(), &self.namespace.xattr("opaque", "y"))
    }

    /// Says that what is below a name in the stack is gone: by a device node, or by an
    /// empty file where nobody may make that node (in overlayfs itself, when it is nested).
    pub fn hide(&self, dir: &Dir, name: Name<'_>, owner: Owner) -> io::Result<()> {
        let (atime, mtime) = (FileTime::EPOCH, FileTime::EPOCH);
        let metadata = Metadata { owner, mode: 0o666, atime, mtime, xattrs: Vec::new() };
        let change = |kind| Change { metadata: &metadata, kind, clear_xattrs: false };
        match self.inner.create_whiteout(dir, name) {
            Ok(()) => self.inner.set_node_metadata(dir, name, &change(Kind::CharDevice)),
            Err(error) if is_refusal(&error) => {
                let file = self.inner.create_file(dir, name, 0o600)?;
                self.mark_whiteout(dir, &file).inspect_err(|_| {
                    // Better nothing than a file that no layer has; what failed is told.
                    let _ = self.inner.remove_file(dir, name);
                })?;
                self.inner.set_file_metadata(&file, &change(Kind::File)).map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// Such files are looked for only in directories that say that they have some.
    fn mark_whiteout(&self, dir: &Dir, file: &File) -> io::Result<()> {
        self.inner.set_xattr(file, &self.namespace.xattr("whiteout", "y"))?;
        if self.own(&self.inner.dir_xattrs(dir)?, "opaque").is_some() {
            return Ok(());
        }
        self.inner.set_xattr(dir.as_file(), &self.namespace.xattr("opaque", "x"))
    }

    /// The value of an attribute of overlayfs itself.
    fn own<'x>(&self, xattrs: &'x [Xattr], name: &str) -> Option<&'x [u8]> {
        let own = |xattr: &&Xattr| {
            xattr.name.strip_prefix(self.namespace.prefix()) == Some(name.as_bytes())
        };
        xattrs.iter().find(own).map(|xattr| &*xattr.value)
    }

    /// The attributes of the tree among those on disk.
    fn visible(&self, xattrs: Vec<Xattr>) -> Vec<Xattr> {
        let visible = |xattr: Xattr| {
            let name = self.namespace.unescape(&xattr.name)?.into();
            Some(Xattr { name, value: xattr.value })
        };
        let mut xattrs: Vec<_> = xattrs.into_iter().filter_map(visible).collect();
        xattrs.sort_unstable();
        xattrs
    }

    fn shown(&self, inode: Inode) -> Inode {
        Inode { xattrs: self.visible(inode.xattrs), ..inode }
    }

    /// What is to be set on disk: attributes of the tree, and of overlayfs those that are kept.
    fn on_disk<'m>(&self, metadata: &'m Metadata, kept: Vec<Xattr>) -> Cow<'m, Metadata> {
        let prefix = self.namespace.prefix();
        if kept.is_empty() && !metadata.xattrs.iter().any(|xattr| xattr.name.starts_with(prefix)) {
            return Cow::Borrowed(metadata);
        }
        let escaped = metadata.xattrs.iter().map(|xattr| Xattr {
            name: self.namespace.escape(&xattr.name).into(),
            value: xattr.value.clone(),
        });
        let mut xattrs: Vec<_> = kept.into_iter().chain(escaped).collect();
        xattrs.sort_unstable();
        Cow::Owned(Metadata { xattrs, ..metadata.clone() })
    }
}

/// The filesystem is in order, but such a node is not to be had there.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
}

impl FsOps for Overlay<'_> {
    fn open_dir(&self, path: &RootPath) -> io::Result<Dir> {
        self.inner.open_dir(path)
    }

    fn open_child(&self, dir: &Dir, name: Name<'_>) -> io::Result<Dir> {
        self.inner.open_child(dir, name)
    }

    fn is_mount_point(&self, dir: &Dir, name: Name<'_>) -> io::Result<bool> {
        self.inner.is_mount_point(dir, name)
    }

    fn read_dir(&self, dir: &Dir) -> io::Result<Names> {
        self.inner.read_dir(dir)
    }

    fn stat(&self, dir: &Dir, name: Name<'_>) -> io::Result<Stat> {
        self.inner.stat(dir, name)
    }

    fn stat_dir(&self, dir: &Dir) -> io::Result<Stat> {
        self.inner.stat_dir(dir)
    }

    fn read_link(&self, dir: &Dir, name: Name<'_>) -> io::Result<Vec<u8>> {
        self.inner.read_link(dir, name)
    }

    fn open_file(&self, dir: &Dir, name: Name<'_>) -> io::Result<File> {
        self.inner.open_file(dir, name)
    }

    fn create_file(&self, dir: &Dir, name: Name<'_>, mode: u32) -> io::Result<File> {
        self.inner.create_file(dir, name, mode)
    }

    fn create_dir(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.inner.create_dir(dir, name)
    }

    fn create_symlink(&self, target: &[u8], dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.inner.create_symlink(target, dir, name)
    }

    fn create_link(
        &self,
        from: &Dir,
        source: Name<'_>,
        dir: &Dir,
        name: Name<'_>,
    ) -> io::Result<()> {
        self.inner.create_link(from, source, dir, name)
    }

    fn create_node(&self, dir: &Dir, name: Name<'_>, kind: Kind, device: Device) -> io::Result<()> {
        if kind == Kind::CharDevice && device == Device::default() {
            let message = "a character device 0:0 would be a whiteout of overlayfs";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.inner.create_node(dir, name, kind, device)
    }

    fn remove_file(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.inner.remove_file(dir, name)
    }

    fn remove_dir(&self, dir: &Dir, name: Name<'_>) -> io::Result<()> {
        self.inner.remove_dir(dir, name)
    }

    fn set_file_metadata(&self, file: &File, change: &Change<'_>) -> io::Result<Stat> {
        let metadata = &*self.on_disk(change.metadata, Vec::new());
        self.inner.set_file_metadata(file, &Change { metadata, ..*change })
    }

    fn set_dir_metadata(&self, dir: &Dir, change: &Change<'_>) -> io::Result<()> {
        let mut kept = Vec::new();
        if change.clear_xattrs {
            kept = self.inner.dir_xattrs(dir)?;
            kept.retain(|xattr| self.namespace.unescape(&xattr.name).is_none());
        }
        let metadata = &*self.on_disk(change.metadata, kept);
        self.inner.set_dir_metadata(dir, &Change { metadata, ..*change })
    }

    fn set_node_metadata(&self, dir: &Dir, name: Name<'_>, change: &Change<'_>) -> io::Result<()> {
        let metadata = &*self.on_disk(change.metadata, Vec::new());
        self.inner.set_node_metadata(dir, name, &Change { metadata, ..*change })
    }

    fn set_dir_times(&self, dir: &Dir, metadata: &Metadata) -> io::Result<()> {
        self.inner.set_dir_times(dir, metadata)
    }

    fn set_xattr(&self, file: &File, xattr: &Xattr) -> io::Result<()> {
        let name = self.namespace.escape(&xattr.name).into();
        self.inner.set_xattr(file, &Xattr { name, value: xattr.value.clone() })
    }

    fn xattrs(&self, dir: &Dir, name: Name<'_>) -> io::Result<Vec<Xattr>> {
        self.inner.xattrs(dir, name).map(|xattrs| self.visible(xattrs))
    }

    fn dir_xattrs(&self, dir: &Dir) -> io::Result<Vec<Xattr>> {
        self.inner.dir_xattrs(dir).map(|xattrs| self.visible(xattrs))
    }

    fn has_exactly(&self, dir: &Dir, name: Name<'_>) -> io::Result<bool> {
        self.inner.has_exactly(dir, name)
    }

    fn namesake(&self, dir: &Dir, name: Name<'_>) -> io::Result<Option<Box<[u8]>>> {
        self.inner.namesake(dir, name)
    }

    fn inode(&self, dir: &Dir, name: Name<'_>) -> io::Result<Inode> {
        self.inner.inode(dir, name).map(|inode| self.shown(inode))
    }

    fn dir_inode(&self, dir: &Dir) -> io::Result<Inode> {
        self.inner.dir_inode(dir).map(|inode| self.shown(inode))
    }
}
