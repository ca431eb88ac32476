// SPDX-License-Identifier: Apache-2.0
//! [`diff`]: what has changed in a tree since its snapshot was taken.
//!
//! # What counts as a change
//! Type, permission bits, owner, mtime in whole seconds; of files their size and
//! contents; of links their target; of files and directories their extended
//! attributes, but for the host's own labels. The size and link count of a
//! directory depend on the filesystem and do not count, nor do atime and ctime.
//! Of removed directories only the topmost is told, and nothing is told of what
//! was below a directory that is now something else: replacing it removes that.
//! Hard links are the business of [`super::hardlink`].
//!
//! A stat index changes how much is read and nothing else: what it vouches for
//! is what comparing would find unchanged.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use super::contents::FileHasher;
use super::entries::Snapshot;
use super::entry::{SnapshotEntry, name_of};
use super::hardlink::{self, LinkedName, State};
use super::stat_index::{Cursor, StatIndex};
use super::walk::{Child, Listing, Place, Visitor, at, walk};
use crate::error::{Context, Result};
use crate::progress::{Progress, Stage};
use crate::rootfs::{FsOps, Identity, Kind, RootPath, Stat, Xattr, is_host_label};

/// How a path differs from the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It was not there.
    Added,
    /// It is there as before, but not the same.
    Modified,
    /// It is gone.
    Deleted,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiffEntry {
    /// Where.
    pub path: RootPath,
    /// How.
    pub change: Change,
    /// How many bytes it adds to a layer, as far as `stat` told: those of a file, with the first
    /// of its names.
    pub size: u64,
}

impl DiffEntry {
    /// A difference without bytes of its own.
    fn without_bytes(path: RootPath, change: Change) -> Self {
        Self { path, change, size: 0 }
    }
}

/// What is taken as proof that a file's contents are unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trust {
    /// The stat index, where it vouches for the file.
    #[default]
    StatIndex,
    /// Only reading it.
    Contents,
}

/// Whether a tree has changed when it belongs to somebody else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DiskOwners {
    /// It has.
    #[default]
    Compared,
    /// It has not: who owns a file is said elsewhere.
    Ignored,
}

/// How [`diff`] works.
#[derive(Debug, Clone, Default)]
pub struct DiffOptions {
    /// What proves that contents are unchanged.
    pub trust: Trust,
    /// Whether owners on disk count.
    pub owners: DiskOwners,
    /// Where names and the bytes that are read are counted.
    pub progress: Arc<Progress>,
}

/// Compares a tree with its snapshot. The differences are sorted by path, bytewise, the root as `.`.
///
/// `snapshot` is called at most once, and only when the index does not vouch
/// for the whole tree. Of an unchanged tree with a good index nothing is read
/// but one `stat` per name.
pub fn diff<S: Borrow<Snapshot>>(
    fs: &dyn FsOps,
    snapshot: impl FnOnce() -> Result<S>,
    index: Option<&StatIndex>,
    options: &DiffOptions,
) -> Result<Vec<DiffEntry>> {
    let index = index.filter(|_| options.trust == Trust::StatIndex);
    let progress = &options.progress;
    progress.begin(Stage::Comparing);
    let findings = Findings::new(fs, options);
    let snapshot = Lazy { load: Some(snapshot), value: None };
    let mut comparison = Comparison { index, snapshot, reached: Reached::default(), findings };
    walk(fs, &mut comparison)?;
    let Findings { mut diffs, linked, .. } = comparison.findings;
    if let Some(snapshot) = &comparison.snapshot.value {
        let relinked = hardlink::relinked(linked, snapshot.borrow());
        let modified = |path| DiffEntry::without_bytes(path, Change::Modified);
        diffs.extend(relinked.into_iter().map(modified));
    }
    diffs.sort_unstable_by(|one, other| member_path(one).cmp(member_path(other)));
    Ok(diffs)
}

/// The path as a layer writes it, where the root is `.`, for the order of the members.
fn member_path(entry: &DiffEntry) -> &[u8] {
    if entry.path.is_root() { b"." } else { entry.path.as_bytes() }
}

/// A snapshot that is read when it is first asked for.
struct Lazy<L, S> {
    load: Option<L>,
    value: Option<S>,
}

impl<L: FnOnce() -> Result<S>, S: Borrow<Snapshot>> Lazy<L, S> {
    /// `None` only after a failure to read it, which ended the walk.
    fn get(&mut self) -> Result<Option<&Snapshot>> {
        if let Some(load) = self.load.take() {
            self.value = Some(load()?);
        }
        Ok(self.value.as_ref().map(Borrow::borrow))
    }
}

struct Comparison<'a, L, S> {
    index: Option<&'a StatIndex>,
    snapshot: Lazy<L, S>,
    reached: Reached<'a>,
    findings: Findings<'a>,
}

/// How far a directory that comes in parts has been compared.
#[derive(Default)]
struct Reached<'a> {
    cursor: Option<Cursor<'a>>,
    /// The last name so far.
    name: Option<Box<[u8]>>,
}

impl Reached<'_> {
    /// What was recorded of the names of the next part, and of names that are gone from there.
    fn part<'s>(
        &self,
        listing: &Listing,
        snapshot: &'s Snapshot,
    ) -> impl Iterator<Item = SnapshotEntry> + use<'s> {
        let last = match listing.children.last() {
            _ if listing.is_last => None,
            Some(child) => Some(&*child.name),
            // All of them have gone since they were listed; the next part will tell.
            None => Some(&[][..]),
        };
        snapshot.children_between(&listing.place.path, self.name.as_deref(), last)
    }
}

impl<L: FnOnce() -> Result<S>, S: Borrow<Snapshot>> Visitor for Comparison<'_, L, S> {
    fn enter(&mut self, listing: &Listing) -> Result<()> {
        let place = &listing.place;
        if listing.is_first {
            self.begin(place)?;
        }
        self.findings.progress.add_entries(listing.children.len() as u64);
        let vouched = self.vouched(listing);
        if vouched.all {
            listing.children.iter().for_each(|child| self.findings.vouched(place, child));
        } else if let Some(snapshot) = self.snapshot.get()? {
            let recorded = self.reached.part(listing, snapshot);
            self.findings.compare(listing, recorded, &vouched.each)?;
        }
        if let Some(child) = listing.children.last() {
            self.reached.name = Some(child.name.clone());
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        Ok(())
    }
}

/// For which names of a directory, or of a part of it, the index vouches.
struct Vouched {
    each: Vec<bool>,
    /// For each, and no name of the index is gone.
    all: bool,
}

impl<L: FnOnce() -> Result<S>, S: Borrow<Snapshot>> Comparison<'_, L, S> {
    fn begin(&mut self, place: &Place) -> Result<()> {
        if place.path.is_root() {
            self.enter_root(place)?;
        }
        let cursor = self.index.and_then(|index| index.cursor(&place.path));
        self.reached = Reached { cursor, name: None };
        Ok(())
    }

    fn enter_root(&mut self, place: &Place) -> Result<()> {
        self.index = self.index.filter(|index| index.is_of(&place.stat));
        let xattrs = self.findings.fs.dir_xattrs(&place.dir);
        let xattrs = xattrs.context("read attributes of the root of the tree")?;
        if self.index.is_some_and(|index| index.vouches_for_root(&place.stat, &xattrs)) {
            return Ok(());
        }
        let Some(snapshot) = self.snapshot.get()? else { return Ok(()) };
        let entry = snapshot.get(&place.path);
        let same = entry.as_ref().is_some_and(|entry| {
            self.findings.is_same_stat(entry, &place.stat) && same_xattrs(&entry.xattrs, &xattrs)
        });
        let change = if entry.is_some() { Change::Modified } else { Change::Added };
        if !same {
            let root = DiffEntry::without_bytes(place.path.clone(), change);
            self.findings.diffs.push(root);
        }
        Ok(())
    }

    fn vouched(&mut self, listing: &Listing) -> Vouched {
        let (Some(index), Some(cursor)) = (self.index, &mut self.reached.cursor) else {
            return Vouched { each: vec![false; listing.children.len()], all: false };
        };
        let mut all = true;
        let mut each = Vec::with_capacity(listing.children.len());
        for child in &listing.children {
            let sought = cursor.seek(&child.name);
            let vouched =
                sought.record.is_some_and(|record| index.vouches_for(&record, &child.stat));
            all &= vouched && !sought.passed;
            each.push(vouched);
        }
        Vouched { each, all: all && (!listing.is_last || cursor.is_at_end()) }
    }
}

/// What has been found so far, and the means to find more.
struct Findings<'a> {
    fs: &'a dyn FsOps,
    owners: DiskOwners,
    progress: &'a Arc<Progress>,
    /// Made for the first file that has to be read.
    hasher: Option<FileHasher>,
    diffs: Vec<DiffEntry>,
    /// Names that share or have shared an inode.
    linked: Vec<LinkedName>,
    /// Inodes with several names whose bytes have been counted.
    counted: HashSet<Identity>,
}

impl<'a> Findings<'a> {
    fn new(fs: &'a dyn FsOps, options: &'a DiffOptions) -> Self {
        let (owners, progress) = (options.owners, &options.progress);
        let (diffs, linked, counted) = (Vec::new(), Vec::new(), HashSet::new());
        Self { fs, owners, progress, hasher: None, diffs, linked, counted }
    }

    /// Goes over the names of a directory on disk and in the snapshot together.
    fn compare(
        &mut self,
        Listing { place, children, .. }: &Listing,
        recorded: impl Iterator<Item = SnapshotEntry>,
        vouched: &[bool],
    ) -> Result<()> {
        let mut recorded = recorded.peekable();
        for (child, vouched) in children.iter().zip(vouched) {
            while let Some(gone) = recorded.next_if(|entry| *name_of(&entry.path) < *child.name) {
                self.gone(gone);
            }
            let entry = recorded.next_if(|entry| *name_of(&entry.path) == *child.name);
            match entry {
                Some(_) if *vouched => self.vouched(place, child),
                Some(entry) => self.both(place, child, &entry)?,
                None => self.added(place, child)?,
            }
        }
        for gone in recorded {
            self.gone(gone);
        }
        Ok(())
    }

    fn added(&mut self, place: &Place, child: &Child) -> Result<()> {
        let path = place.path.join(child.name()?);
        self.link(&path, &child.stat, 1, State::Changed);
        self.tell(path, Change::Added, &child.stat);
        Ok(())
    }

    fn gone(&mut self, entry: SnapshotEntry) {
        self.diffs.push(DiffEntry::without_bytes(entry.path, Change::Deleted));
    }

    /// Tells of what is there now.
    fn tell(&mut self, path: RootPath, change: Change, stat: &Stat) {
        let is_first = stat.nlink < 2 || self.counted.insert(stat.identity);
        let size = if stat.kind == Kind::File && is_first { stat.size } else { 0 };
        self.diffs.push(DiffEntry { path, change, size });
    }

    fn both(&mut self, place: &Place, child: &Child, entry: &SnapshotEntry) -> Result<()> {
        let state = if self.is_same(place, child, entry)? { State::Same } else { State::Changed };
        self.link(&entry.path, &child.stat, entry.nlink, state);
        if state == State::Changed {
            self.tell(entry.path.clone(), Change::Modified, &child.stat);
        }
        Ok(())
    }

    /// Notes a name that has not been touched: only its other names matter.
    fn vouched(&mut self, place: &Place, child: &Child) {
        if let (true, Ok(name)) = (child.stat.nlink > 1, child.name()) {
            self.link(&place.path.join(name), &child.stat, child.stat.nlink, State::Same);
        }
    }

    fn link(&mut self, path: &RootPath, stat: &Stat, nlink_then: u64, state: State) {
        if stat.kind != Kind::Dir && stat.nlink.max(nlink_then) > 1 {
            let (path, identity, nlink) = (path.clone(), stat.identity, stat.nlink);
            self.linked.push(LinkedName { path, identity, nlink, state });
        }
    }

    /// Whether everything is equal that `stat` tells and that counts.
    fn is_same_stat(&self, entry: &SnapshotEntry, stat: &Stat) -> bool {
        entry.kind == stat.kind
            && entry.mode == stat.mode
            && (self.owners == DiskOwners::Ignored || entry.owner == stat.owner)
            && entry.mtime == stat.mtime.seconds
            && (entry.kind != Kind::File || entry.size == stat.size)
    }

    /// Compares a name on disk with its entry, the cheap things first.
    fn is_same(&mut self, place: &Place, child: &Child, entry: &SnapshotEntry) -> Result<bool> {
        if !self.is_same_stat(entry, &child.stat) {
            return Ok(false);
        }
        let (dir, name, path) = (&place.dir, child.name()?, &entry.path);
        match entry.kind {
            Kind::Symlink => {
                let target = self.fs.read_link(dir, name).with_context(|| at("read link", path))?;
                Ok(entry.target.as_deref() == Some(&*target))
            }
            Kind::File | Kind::Dir => {
                let xattrs = self.fs.xattrs(dir, name);
                let xattrs = xattrs.with_context(|| at("read attributes of", path))?;
                let same = same_xattrs(&entry.xattrs, &xattrs);
                if !same || entry.kind == Kind::Dir {
                    return Ok(same);
                }
                let hasher =
                    self.hasher.get_or_insert_with(|| FileHasher::new(self.progress.clone()));
                Ok(entry.digest == Some(hasher.hash(self.fs, dir, name, path)?))
            }
            _ => Ok(true),
        }
    }
}

/// Whether all attributes are equal but for the host's labels, which change
/// without anybody's doing and are in no layer.
fn same_xattrs(recorded: &[Xattr], found: &[Xattr]) -> bool {
    let image = |xattr: &&Xattr| !is_host_label(&xattr.name);
    let order = recorded.iter().filter(image).cmp(found.iter().filter(image));
    order == Ordering::Equal
}
