// SPDX-License-Identifier: Apache-2.0
//! The directories that a layer changes. Each is resolved and opened once for
//! all the members in it, and gets its own metadata back once, at the end of
//! the layer: what is made or removed in a directory disturbs its times, and a
//! directory that nobody may write to has to be filled first.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;

use super::removal::make_room;
use super::{ApplyOptions, listed};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::layer::bodies::Bodies;
use crate::layer::entry::shown;
use crate::layer::format::Disk;
use crate::layer::ledger::Ledger;
use crate::rootfs::{
    Change, Dir, FileTime, FsOps, Kind, Metadata, Name, Overlay, Owner, RootPath, resolve_within,
};

/// How many directories stay open; members mostly come grouped by directory.
const KEPT_OPEN: usize = 16;

/// The most bytes of names and attributes of a layer's directories, and of its
/// links that come before their target. A million directories have as many.
const MAX_REMEMBERED: usize = 64 << 20;

/// A directory that members go into.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) dir: Dir,
    /// Its path, free of symbolic links.
    pub(super) path: RootPath,
    /// Whether new inodes in it get extended attributes by themselves (a default ACL).
    pub(super) inherits_xattrs: bool,
}

/// What a directory gets at the end of the layer.
#[derive(Debug)]
struct Pending {
    metadata: Metadata,
    change: PendingChange,
    inherits_xattrs: bool,
    /// Whether it hides all of a lower directory, for formats that say it in the tree.
    opaque: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum PendingChange {
    /// The times it had before the layer.
    Times,
    /// All of what its entry says; it is new.
    New,
    /// All of what its entry says; it was there before.
    Existing,
}

#[derive(Debug)]
pub(super) struct Parents<'a> {
    disk: &'a Disk<'a>,
    /// The tree of `disk`.
    fs: &'a dyn FsOps,
    /// For directories that no member describes.
    root_owner: Owner,
    /// By the path as members write it, the latest first.
    open: VecDeque<(RootPath, Rc<Parent>)>,
    /// Boxed, since half of each node is empty when paths come in order.
    pending: BTreeMap<RootPath, Box<Pending>>,
    remembered: usize,
}

impl<'a> Parents<'a> {
    pub(super) fn new(disk: &'a Disk<'a>, options: &ApplyOptions) -> Result<Self> {
        let root_owner =
            options.maps.to_host(Owner::default()).context("ensure rootuid has mapping")?;
        let (fs, open, pending) = (disk.fs(), VecDeque::new(), BTreeMap::new());
        Ok(Self { disk, fs, root_owner, open, pending, remembered: 0 })
    }

    /// The owner of what no member describes.
    pub(super) fn root_owner(&self) -> Owner {
        self.root_owner
    }

    /// Opens the directory that members are put into, making it where it is missing.
    pub(super) fn open(
        &mut self,
        path: &RootPath,
        ledger: &mut Ledger,
        bodies: &mut Bodies<'_>,
    ) -> Result<Rc<Parent>> {
        if let Some(parent) = self.opened(path) {
            return Ok(parent);
        }
        let (canonical, dir) = match self.fs.open_dir(path) {
            Ok(dir) => (path.clone(), dir),
            Err(error) if leads_elsewhere(&error) => {
                let canonical = resolve_within(self.fs, path, &mut ledger.steps)?;
                let dir = self.make(&canonical, ledger, bodies)?;
                (canonical, dir)
            }
            Err(error) => return Err(error.into()),
        };
        self.keep(path, canonical, dir, ledger)
    }

    /// Opens a directory that must be there already; `None` if it isn't.
    pub(super) fn open_existing(
        &mut self,
        path: &RootPath,
        ledger: &mut Ledger,
    ) -> Result<Option<Rc<Parent>>> {
        if let Some(parent) = self.opened(path) {
            return Ok(Some(parent));
        }
        let dir = match self.fs.open_dir(path) {
            Ok(dir) => return self.keep(path, path.clone(), dir, ledger).map(Some),
            Err(error) if leads_elsewhere(&error) => {
                let canonical = resolve_within(self.fs, path, &mut ledger.steps)?;
                self.fs.open_dir(&canonical).map(|dir| (canonical, dir))
            }
            Err(error) => Err(error),
        };
        match dir {
            Ok((canonical, dir)) => self.keep(path, canonical, dir, ledger).map(Some),
            Err(error) if leads_elsewhere(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn opened(&mut self, path: &RootPath) -> Option<Rc<Parent>> {
        let at = self.open.iter().position(|(known, _)| known == path)?;
        if at > 0 {
            let found = self.open.remove(at)?;
            self.open.push_front(found);
        }
        self.open.front().map(|(_, parent)| parent.clone())
    }

    /// Keeps a directory open and notes what it was like before the layer touched it.
    fn keep(
        &mut self,
        path: &RootPath,
        canonical: RootPath,
        dir: Dir,
        ledger: &Ledger,
    ) -> Result<Rc<Parent>> {
        let is_listed =
            |path: &RootPath| self.pending.contains_key(path) || ledger.get(path).is_some();
        let canonical = listed::path(self.fs, canonical, is_listed)?;
        let inherits_xattrs = match self.pending.get(&canonical) {
            Some(pending) => pending.inherits_xattrs,
            None => {
                self.note_times_above(&canonical)?;
                self.note_times(&canonical, &dir)?
            }
        };
        let parent = Rc::new(Parent { dir, path: canonical, inherits_xattrs });
        self.open.push_front((path.clone(), parent.clone()));
        self.open.truncate(KEPT_OPEN);
        Ok(parent)
    }

    /// Whiteouts may take siblings on the way down, too.
    fn note_times_above(&mut self, path: &RootPath) -> Result<()> {
        let mut above = path.parent();
        while let Some(path) = above.filter(|path| !self.pending.contains_key(path)) {
            let dir = self.fs.open_dir(&path)?;
            self.note_times(&path, &dir)?;
            above = path.parent();
        }
        Ok(())
    }

    fn note_times(&mut self, path: &RootPath, dir: &Dir) -> Result<bool> {
        let stat = self.fs.stat_dir(dir)?;
        let inherits_xattrs = self.hands_down_xattrs(dir)?;
        let metadata = Metadata { atime: stat.atime, mtime: stat.mtime, ..Metadata::default() };
        let change = PendingChange::Times;
        let pending = Pending { metadata, change, inherits_xattrs, opaque: false };
        self.pend(path.clone(), pending)?;
        Ok(inherits_xattrs)
    }

    fn hands_down_xattrs(&self, dir: &Dir) -> Result<bool> {
        let xattrs = self.fs.dir_xattrs(dir)?;
        Ok(xattrs.iter().any(|xattr| *xattr.name == *b"system.posix_acl_default"))
    }

    /// Makes a directory and those above it. Nothing describes them, so they
    /// are root's, 0755 whatever the umask is, and as old as can be.
    fn make(
        &mut self,
        path: &RootPath,
        ledger: &mut Ledger,
        bodies: &mut Bodies<'_>,
    ) -> Result<Dir> {
        let mut dir = self.fs.open_dir(&RootPath::root())?;
        let mut done = RootPath::root();
        for name in path.components() {
            let next = match self.fs.open_child(&dir, name) {
                Err(error) if leads_elsewhere(&error) => {
                    self.make_one(&done, &dir, name, ledger, bodies)?;
                    self.fs.open_child(&dir, name)?
                }
                result => result?,
            };
            done = listed::path_in(self.fs, &done, &dir, name)?;
            dir = next;
        }
        Ok(dir)
    }

    fn make_one(
        &mut self,
        above: &RootPath,
        dir: &Dir,
        name: Name<'_>,
        ledger: &mut Ledger,
        bodies: &mut Bodies<'_>,
    ) -> Result<()> {
        if !self.pending.contains_key(above) {
            self.note_times(above, dir)?;
        }
        let replaces = match self.fs.create_dir(dir, name) {
            // A file in the place of a directory makes room for it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                make_room(self.fs, dir, name, bodies)?;
                self.fs.create_dir(dir, name)?;
                true
            }
            result => result.map(|()| false)?,
        };
        let inherits = self.pending.get(above).is_some_and(|above| above.inherits_xattrs);
        let metadata = Metadata {
            owner: self.root_owner,
            mode: 0o755,
            atime: FileTime::EPOCH,
            mtime: FileTime::EPOCH,
            xattrs: Vec::new(),
        };
        let path = above.join(name);
        ledger.insert(&path, None, false);
        self.set_new(path.clone(), metadata, inherits)?;
        if replaces {
            self.mark_opaque(&path);
        }
        Ok(())
    }

    /// A directory that was just made gets this metadata.
    pub(super) fn set_new(
        &mut self,
        path: RootPath,
        metadata: Metadata,
        inherits: bool,
    ) -> Result<()> {
        let change = if inherits { PendingChange::Existing } else { PendingChange::New };
        let pending = Pending { metadata, change, inherits_xattrs: inherits, opaque: false };
        self.pend(path, pending)
    }

    /// A directory that was there before gets this metadata.
    pub(super) fn set_existing(&mut self, path: RootPath, metadata: Metadata) -> Result<()> {
        let (inherits_xattrs, opaque) = match self.pending.get(&path) {
            Some(pending) => (pending.inherits_xattrs, pending.opaque),
            None => {
                let dir = self.fs.open_dir(&path);
                let inherits = dir.and_then(|dir| Ok(self.hands_down_xattrs(&dir)?));
                (inherits.unwrap_or(true), false)
            }
        };
        let change = PendingChange::Existing;
        let pending = Pending { metadata, change, inherits_xattrs, opaque };
        self.pend(path, pending)
    }

    fn pend(&mut self, path: RootPath, pending: Pending) -> Result<()> {
        let xattrs = pending.metadata.xattrs.iter();
        let bytes = xattrs.map(|xattr| xattr.name.len() + xattr.value.len()).sum::<usize>();
        self.remember(path.as_bytes().len() + bytes)?;
        self.pending.insert(path, Box::new(pending));
        Ok(())
    }

    /// Counts what has to be kept in memory until the end of the layer, in bytes.
    ///
    /// # Errors
    /// When it is more than any layer needs.
    pub(super) fn remember(&mut self, bytes: usize) -> Result<()> {
        self.remembered = self.remembered.saturating_add(bytes);
        if self.remembered <= MAX_REMEMBERED {
            return Ok(());
        }
        let message = format!(
            "names and attributes of the layer's directories and links have more than {MAX_REMEMBERED} bytes"
        );
        Err(Error::new(ErrorKind::Limit, message))
    }

    /// Nothing that lower layers have shows through a directory that was opened or made.
    pub(super) fn mark_opaque(&mut self, path: &RootPath) {
        if let Some(pending) = self.pending.get_mut(path) {
            pending.opaque = true;
        }
    }

    /// Whether a directory is opaque or below one that is.
    pub(super) fn is_below_opaque(
        &self,
        overlay: &Overlay<'_>,
        path: &RootPath,
    ) -> io::Result<bool> {
        let mut next = Some(path.clone());
        while let Some(path) = next {
            if self.pending.get(&path).is_some_and(|pending| pending.opaque) {
                return Ok(true);
            }
            match self.fs.open_dir(&path).and_then(|dir| overlay.is_opaque(&dir)) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) if leads_elsewhere(&error) => {}
                Err(error) => return Err(error),
            }
            next = path.parent();
        }
        Ok(false)
    }

    /// A directory or link was removed: nothing that led through it is true any more.
    pub(super) fn forget(&mut self, path: &RootPath) {
        self.forget_unless(path, |_| false);
    }

    /// As [`Parents::forget`], for what a whiteout took: the current layer's directories stay.
    pub(super) fn forget_hidden(&mut self, path: &RootPath, ledger: &Ledger) {
        self.forget_unless(path, |pending| ledger.is_current(pending));
    }

    fn forget_unless(&mut self, path: &RootPath, keep: impl Fn(&RootPath) -> bool) {
        self.open.clear();
        // What is below a path does not follow it at once: `a-b` comes between `a` and `a/b`.
        let below = self.pending.range(path.first_below()..);
        let below = below.map(|(pending, _)| pending).take_while(|pending| pending.is_within(path));
        let itself = self.pending.get_key_value(path).map(|(pending, _)| pending);
        let gone = itself.into_iter().chain(below).filter(|pending| !keep(pending));
        for gone in gone.cloned().collect::<Vec<_>>() {
            self.pending.remove(&gone);
        }
    }

    /// Gives all directories their metadata, the deepest first.
    pub(super) fn finish(mut self) -> Result<()> {
        self.open.clear();
        for (path, pending) in self.pending.iter().rev() {
            self.settle(path, pending)
                .with_context(|| format!("apply metadata: {}", shown(path.as_bytes())))?;
        }
        Ok(())
    }

    fn settle(&self, path: &RootPath, pending: &Pending) -> io::Result<()> {
        let dir = self.fs.open_dir(path)?;
        if let (true, Some(overlay)) = (pending.opaque, self.disk.overlay()) {
            overlay.set_opaque(&dir)?;
        }
        let clear_xattrs = match pending.change {
            PendingChange::Times => return self.fs.set_dir_times(&dir, &pending.metadata),
            PendingChange::New => false,
            PendingChange::Existing => true,
        };
        let change = Change { metadata: &pending.metadata, kind: Kind::Dir, clear_xattrs };
        self.fs.set_dir_metadata(&dir, &change)
    }
}

/// A component is missing, a link, or no directory.
fn leads_elsewhere(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
