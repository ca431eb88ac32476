// SPDX-License-Identifier: Apache-2.0
//! [`capture`]: one walk that writes an mtree manifest and the stat index beside it.

use std::io::{BufWriter, IntoInnerError, Write};
use std::sync::Arc;

use super::contents::{FileHasher, Summed};
use super::entry::SnapshotEntry;
use super::known::{Known, XattrHint};
use super::mtree::{MtreeHeader, MtreeWriter};
use super::stat_index::StatIndexWriter;
use super::walk::{Child, Listing, Place, Visitor, at, walk_knowing};
use crate::error::{Context, Result};
use crate::progress::{Progress, Stage};
use crate::rootfs::{FileTime, FsOps, Kind, Stat, Xattr};

/// What [`capture`] is told besides what to walk.
#[derive(Debug, Clone, Default)]
pub struct CaptureOptions {
    /// The head of the manifest.
    pub header: MtreeHeader,
    /// The time by the clock of the tree's filesystem, just before the walk:
    /// the mtime of a file that was written there last. Inodes that are not
    /// older are not vouched for by the index, so a caller that has just written
    /// the tree does well to wait for the next tick of that clock first.
    /// Where ctimes are what anybody has set, it is a time before all of them.
    pub taken: FileTime,
    /// Where names and the bytes that are read are counted.
    pub progress: Arc<Progress>,
}

/// What [`capture`] has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// The SHA-256 of the manifest.
    pub manifest: [u8; 32],
    /// How many names are in it, the root among them.
    pub entries: u64,
    /// When the last of them was changed in any way.
    pub newest: FileTime,
}

/// Walks a tree once, at most one `stat` per name, and writes its manifest and its stat index.
///
/// Contents that change during the walk are recorded as they were read; the
/// index does not vouch for them. The writers need no buffers of their own.
pub fn capture(
    fs: &dyn FsOps,
    known: &mut dyn Known,
    manifest: impl Write,
    index: impl Write,
    options: &CaptureOptions,
) -> Result<Captured> {
    options.progress.begin(Stage::Recording);
    let manifest = BufWriter::with_capacity(BUFFER, Summed::new(manifest));
    let mut capture = Capture {
        fs,
        manifest: MtreeWriter::new(manifest, &options.header)?,
        index: IndexOutput::Waiting(BufWriter::with_capacity(BUFFER, index), options.taken),
        hasher: FileHasher::new(options.progress.clone()),
        progress: &options.progress,
        entries: 0,
        newest: FileTime { seconds: i64::MIN, nanoseconds: 0 },
    };
    walk_knowing(fs, known, &mut capture)?;
    let Capture { manifest, index, entries, newest, .. } = capture;
    let manifest = manifest.finish()?.into_inner().map_err(IntoInnerError::into_error);
    let (_, manifest) = manifest.context("write mtree")?.finish();
    if let IndexOutput::Open(index) = index {
        index.finish(&manifest)?;
    }
    Ok(Captured { manifest, entries, newest })
}

const BUFFER: usize = 64 << 10;

struct Capture<'a, M: Write, I: Write> {
    fs: &'a dyn FsOps,
    manifest: MtreeWriter<BufWriter<Summed<M>>>,
    index: IndexOutput<BufWriter<I>>,
    hasher: FileHasher,
    progress: &'a Progress,
    entries: u64,
    newest: FileTime,
}

/// The index starts with the state of the root, which is known once the walk is there.
enum IndexOutput<W> {
    Waiting(W, FileTime),
    Open(StatIndexWriter<W>),
    Failed,
}

impl<M: Write, I: Write> Visitor for Capture<'_, M, I> {
    fn enter(&mut self, listing: &Listing) -> Result<()> {
        let place = &listing.place;
        if listing.is_first {
            self.directory(place)?;
        }
        if let IndexOutput::Open(index) = &mut self.index {
            index.names(listing)?;
        }
        self.progress.add_entries(listing.children.len() as u64);
        let leaves = listing.children.iter().filter(|child| child.stat.kind != Kind::Dir);
        for child in leaves {
            let entry = self.leaf(place, child)?;
            self.count(&child.stat);
            self.manifest.leaf(&entry)?;
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        self.manifest.leave()
    }
}

impl<M: Write, I: Write> Capture<'_, M, I> {
    fn count(&mut self, stat: &Stat) {
        self.entries += 1;
        self.newest = self.newest.max(stat.ctime);
    }

    fn directory(&mut self, place: &Place) -> Result<()> {
        let mut entry = SnapshotEntry::of(place.path.clone(), &place.stat);
        entry.xattrs = self.dir_xattrs(place)?;
        if place.path.is_root() {
            self.open_index(&place.stat, &entry.xattrs)?;
        }
        self.count(&place.stat);
        self.manifest.enter(&entry)
    }

    fn dir_xattrs(&mut self, Place { path, dir, known, .. }: &Place) -> Result<Box<[Xattr]>> {
        // The root's are in the index too, which has no other way to vouch for it.
        if !path.is_root() && known.xattrs == XattrHint::None {
            return Ok(Box::default());
        }
        Ok(self.fs.dir_xattrs(dir).with_context(|| at("read attributes of", path))?.into())
    }

    fn open_index(&mut self, root: &Stat, xattrs: &[Xattr]) -> Result<()> {
        self.index = match std::mem::replace(&mut self.index, IndexOutput::Failed) {
            IndexOutput::Waiting(out, taken) => {
                IndexOutput::Open(StatIndexWriter::new(out, taken, root, xattrs)?)
            }
            other => other,
        };
        Ok(())
    }

    fn leaf(&mut self, place: &Place, child: &Child) -> Result<SnapshotEntry> {
        let Place { dir, .. } = place;
        let (name, stat, known) = (child.name()?, &child.stat, &child.known);
        let mut entry = SnapshotEntry::of(place.path.join(name), stat);
        let path = &entry.path;
        match stat.kind {
            Kind::Symlink => {
                let target = self.fs.read_link(dir, name);
                entry.target = Some(target.with_context(|| at("read link", path))?.into());
            }
            Kind::File => {
                entry.digest = Some(match known.digest {
                    Some(digest) => digest,
                    None => self.hasher.hash(self.fs, dir, name, path)?,
                });
                if known.xattrs == XattrHint::Ask {
                    let xattrs = self.fs.xattrs(dir, name);
                    entry.xattrs = xattrs.with_context(|| at("read attributes of", path))?.into();
                }
            }
            _ => {}
        }
        Ok(entry)
    }
}
