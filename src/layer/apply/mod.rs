// SPDX-License-Identifier: Apache-2.0
//! Applies the members of a layer to a root filesystem (image-spec `layer.md`,
//! "Applying Changesets"), one short method per decision.
//!
//! Paths are touched by this stage alone. The bytes of regular files go to the
//! workers of [`bodies`](super::bodies) by open handle.

mod links;
mod listed;
mod parents;
mod removal;
mod whiteouts;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use self::links::Deferred;
use self::parents::{Parent, Parents};
use self::whiteouts::Gone;
use super::bodies::{BATCH, Bodies, Body, BodyId, NewFile, Piece};
use super::buffer::{BUFFER, BufferReader};
use super::entry::{Entry, EntryKind, Members, shown};
use super::format::{Disk, DiskFormat};
use super::ledger::Ledger;
use super::limits::Limits;
use super::unpack::BUFFERS_OF_LAYER;
use super::whiteout::{Whiteout, classify};
use crate::error::{Context, Error, Result};
use crate::idmap::IdMaps;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::rootfs::{
    Change, Device, FsOps, Kind, Metadata, Name, RootPath, Xattr, capability_to_host,
    resolve_within,
};

/// Up to this size a file is handed over in one piece, in bytes.
const WHOLE: u64 = 512 << 10;

// What is ready for a worker and has not gone holds buffers, and nobody gives these back before
// the next file is complete, which needs some as well.
const _: () = assert!(BATCH as u64 + WHOLE / BUFFER as u64 + 1 < BUFFERS_OF_LAYER as u64);

/// What a directory of a layer does to a symbolic link of that name below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DirLinks {
    /// It takes the link's place.
    #[default]
    Replace,
    /// It means the directory that the link leads to, if there is one (`--keep-dirlinks`).
    Keep,
}

/// How layers are applied.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// From the ids in the layer to those on disk.
    pub maps: IdMaps,
    /// What happens to links to directories.
    pub dir_links: DirLinks,
    /// The form that the tree has on disk.
    pub format: DiskFormat,
    /// What the layers may take.
    pub limits: Limits,
    /// Where layers and members are counted.
    pub progress: Arc<Progress>,
    /// What stops it where no stream is read that would end: within holes.
    pub interrupt: Interrupt,
}

pub(crate) type LayerMembers<'a> = Members<BufferReader<'a>>;

/// Applies one layer. All of it is on disk when the bodies are finished, too.
pub(crate) fn apply_members(
    disk: &Disk<'_>,
    members: &mut LayerMembers<'_>,
    ledger: &mut Ledger,
    bodies: &mut Bodies<'_>,
    options: &ApplyOptions,
) -> Result<()> {
    ledger.next_layer();
    let mut applier = Applier {
        disk,
        fs: disk.fs(),
        options,
        ledger,
        first_body: bodies.next_id(),
        bodies,
        parents: Parents::new(disk, options)?,
        deferred: Vec::new(),
        gone: BTreeMap::new(),
        cleared: HashSet::new(),
        opaque_links: Vec::new(),
    };
    while let Some(mut entry) = members.next_member()? {
        let path = std::mem::take(&mut entry.path);
        applier
            .entry(&path, entry, members)
            .with_context(|| format!("unpack entry: {}", shown(&path)))?;
        options.progress.add_entries(1);
    }
    applier.finish()
}

struct Applier<'a, 'scope> {
    disk: &'a Disk<'a>,
    /// The tree of `disk`.
    fs: &'a dyn FsOps,
    options: &'a ApplyOptions,
    ledger: &'a mut Ledger,
    bodies: &'a mut Bodies<'scope>,
    /// The first body of this layer.
    first_body: BodyId,
    parents: Parents<'a>,
    /// Hard links whose target has not been met yet.
    deferred: Vec<Deferred>,
    /// What whiteouts have named, for formats that say it in the tree; free of symbolic links.
    gone: BTreeMap<RootPath, Gone>,
    /// Below which nothing of the layers below is left; free of symbolic links.
    cleared: HashSet<RootPath>,
    /// Opaque markers in what were links then, by the path as members write it.
    opaque_links: Vec<RootPath>,
}

/// Where an entry goes: a name in an open directory.
struct Place<'n> {
    parent: Rc<Parent>,
    name: Name<'n>,
    /// The whole path, free of symbolic links.
    path: RootPath,
}

impl<'n> Place<'n> {
    fn new(parent: Rc<Parent>, name: Name<'n>) -> Self {
        let path = parent.path.join(name);
        Self { parent, name, path }
    }
}

impl Applier<'_, '_> {
    /// Applies a member whose path is `path`.
    fn entry(&mut self, path: &[u8], entry: Entry, members: &mut LayerMembers<'_>) -> Result<()> {
        let limits = &self.options.limits;
        limits.check_entries(self.ledger.count_entry())?;
        let path = RootPath::clean(path)?;
        limits.check_depth(path.components().count())?;
        let Some((parent, name)) = path.split() else { return self.root_entry(entry) };
        match classify(name)? {
            Whiteout::Removed(hidden) => self.whiteout(&parent, hidden),
            Whiteout::Opaque => self.opaque(&parent),
            Whiteout::Plain => self.member(&parent, name, entry, members),
        }
    }

    fn root_entry(&mut self, entry: Entry) -> Result<()> {
        if entry.kind != EntryKind::Dir {
            let message = "malicious tar entry -- refusing to change type of root directory";
            return Err(Error::invalid(message));
        }
        let metadata = self.metadata(entry)?;
        self.ledger.insert(&RootPath::root(), None, !metadata.xattrs.is_empty());
        self.parents.set_existing(RootPath::root(), metadata)?;
        Ok(())
    }

    fn member(
        &mut self,
        parent: &RootPath,
        name: Name<'_>,
        mut entry: Entry,
        members: &mut LayerMembers<'_>,
    ) -> Result<()> {
        let parent = self.parents.open(parent, self.ledger, self.bodies)?;
        let place = Place::new(parent, name);
        let kind = std::mem::replace(&mut entry.kind, EntryKind::Fifo);
        match kind {
            EntryKind::File { size } => self.file(place, entry, size, members),
            EntryKind::Dir => self.directory(&place, entry),
            EntryKind::Symlink { target } => self.symlink(&place, entry, &target),
            EntryKind::Hardlink { target } => self.hard_link(place, &target),
            EntryKind::CharDevice(device) => self.node(&place, entry, Kind::CharDevice, device),
            EntryKind::BlockDevice(device) => self.node(&place, entry, Kind::BlockDevice, device),
            EntryKind::Fifo => self.node(&place, entry, Kind::Fifo, Device::default()),
        }
    }

    fn file(
        &mut self,
        place: Place<'_>,
        entry: Entry,
        size: u64,
        members: &mut LayerMembers<'_>,
    ) -> Result<()> {
        let fs = self.fs;
        let holes = self.ledger.add_holes(size.saturating_sub(members.stored()));
        self.options.limits.check_holes(holes)?;
        let metadata = self.metadata(entry)?;
        let mode = private_until_owned(metadata.mode);
        let file = self.create(&place, |dir, name| fs.create_file(dir, name, mode))?;
        let body = self.bodies.next_id();
        self.ledger.insert(&place.path, Some(body), !metadata.xattrs.is_empty());
        let (file, clear_xattrs) = (Arc::new(file), place.parent.inherits_xattrs);
        self.hand_over(NewFile { file, path: place.path, metadata, clear_xattrs, size }, members)
    }

    /// Gives the file and its bytes to a worker without copying them.
    fn hand_over(&mut self, new: NewFile, members: &mut LayerMembers<'_>) -> Result<()> {
        let size = new.size;
        if size <= WHOLE {
            let (mut first, mut others) = (None, Vec::new());
            self.each_piece(members, size, |_, piece| {
                match first {
                    None => first = Some(piece),
                    Some(_) => others.push(piece),
                }
                Ok(())
            })?;
            return self.bodies.write(new, Body::Whole(first, others));
        }
        let stream = self.bodies.stream(new)?;
        self.each_piece(members, size, |bodies, piece| stream.write(bodies, piece))
    }

    /// Gives the pieces of the current member's body, holes included.
    fn each_piece(
        &mut self,
        members: &mut LayerMembers<'_>,
        size: u64,
        mut take: impl FnMut(&Bodies<'_>, Piece) -> Result<()>,
    ) -> Result<()> {
        let mut position = 0;
        while let Some(segment) = members.body()? {
            let (offset, len) = (segment.offset, segment.bytes.len());
            if offset > position {
                take(self.bodies, Piece::Hole(offset - position))?;
            }
            let shared = members.input().share(len);
            let shared = shared.ok_or_else(|| Error::invalid("lost the place in the stream"))?;
            take(self.bodies, Piece::Data(shared))?;
            members.consume(len);
            position = offset + len as u64;
        }
        if size > position {
            take(self.bodies, Piece::Hole(size - position))?;
        }
        Ok(())
    }

    fn directory(&mut self, place: &Place<'_>, entry: Entry) -> Result<()> {
        let metadata = self.metadata(entry)?;
        let has_xattrs = !metadata.xattrs.is_empty();
        let path = match self.fs.create_dir(&place.parent.dir, place.name) {
            Ok(()) => self.new_directory(place, metadata)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match self.existing_directory(place)? {
                    Some(existing) => {
                        self.parents.set_existing(existing.clone(), metadata)?;
                        existing
                    }
                    None => {
                        self.remove_existing(place)?;
                        self.fs.create_dir(&place.parent.dir, place.name)?;
                        let path = self.new_directory(place, metadata)?;
                        // What it replaces hid all of a lower directory.
                        self.parents.mark_opaque(&path);
                        path
                    }
                }
            }
            Err(error) => return Err(error.into()),
        };
        self.ledger.insert(&path, None, has_xattrs);
        Ok(())
    }

    fn new_directory(&mut self, place: &Place<'_>, metadata: Metadata) -> Result<RootPath> {
        self.parents.set_new(place.path.clone(), metadata, place.parent.inherits_xattrs)?;
        Ok(place.path.clone())
    }

    /// The directory that is there already, if one is (or a link to one that is kept).
    fn existing_directory(&mut self, place: &Place<'_>) -> Result<Option<RootPath>> {
        let dir = &place.parent.dir;
        match self.fs.stat(dir, place.name)?.kind {
            Kind::Dir => Ok(Some(listed::path_in(self.fs, &place.parent.path, dir, place.name)?)),
            Kind::Symlink if self.options.dir_links == DirLinks::Keep => {
                // A loop is no directory: it is replaced like any other link.
                let steps = &mut self.ledger.steps;
                let target = match resolve_within(self.fs, &place.path, steps) {
                    Err(error) if steps.are_spent() => return Err(error.into()),
                    result => result.ok(),
                };
                Ok(target.filter(|target| self.fs.open_dir(target).is_ok()))
            }
            _ => Ok(None),
        }
    }

    fn symlink(&mut self, place: &Place<'_>, entry: Entry, target: &[u8]) -> Result<()> {
        let fs = self.fs;
        self.create(place, |dir, name| fs.create_symlink(target, dir, name))?;
        self.finish_node(place, entry, Kind::Symlink)
    }

    fn node(&mut self, place: &Place<'_>, entry: Entry, kind: Kind, device: Device) -> Result<()> {
        let fs = self.fs;
        self.create(place, |dir, name| fs.create_node(dir, name, kind, device))?;
        self.finish_node(place, entry, kind)
    }

    fn finish_node(&mut self, place: &Place<'_>, entry: Entry, kind: Kind) -> Result<()> {
        let metadata = self.metadata(entry)?;
        let clear_xattrs = place.parent.inherits_xattrs;
        let change = Change { metadata: &metadata, kind, clear_xattrs };
        self.fs
            .set_node_metadata(&place.parent.dir, place.name, &change)
            .context("apply metadata")?;
        self.ledger.insert(&place.path, None, !metadata.xattrs.is_empty());
        Ok(())
    }

    /// Makes a new inode. What has the name already goes first: nothing is ever
    /// written into an existing inode, which may have other names.
    fn create<T>(
        &mut self,
        place: &Place<'_>,
        make: impl Fn(&crate::rootfs::Dir, Name<'_>) -> io::Result<T>,
    ) -> Result<T> {
        match make(&place.parent.dir, place.name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.remove_existing(place)?;
                Ok(make(&place.parent.dir, place.name)?)
            }
            result => Ok(result?),
        }
    }

    fn metadata(&self, entry: Entry) -> Result<Metadata> {
        Ok(Metadata {
            owner: self.options.maps.to_host(entry.owner)?,
            mode: entry.mode,
            atime: entry.atime.unwrap_or(entry.mtime),
            mtime: entry.mtime,
            xattrs: on_host(entry.xattrs, &self.options.maps),
        })
    }

    fn finish(mut self) -> Result<()> {
        self.finish_links()?;
        self.finish_whiteouts()?;
        self.parents.finish()
    }
}

/// The permission bits for a file that belongs to whoever makes it until it is
/// given its owner: those it is to have, but to the group nothing that not
/// everybody gets, since it may be another group's in the end. Most files need
/// no other bits afterwards.
fn private_until_owned(mode: u32) -> u32 {
    mode & (0o707 | (mode & 0o7) << 3)
}

/// Makes capabilities those of the container's root.
fn on_host(mut xattrs: Vec<Xattr>, maps: &IdMaps) -> Vec<Xattr> {
    for xattr in &mut xattrs {
        capability_to_host(xattr, &maps.uid);
    }
    xattrs
}
