// SPDX-License-Identifier: Apache-2.0
//! From a tree on disk to the members of a layer: [`TreePacker`].

use std::collections::VecDeque;
use std::io::{Read, Write};

use super::entry::{Entry, EntryKind};
use super::write::LayerWriter;
use crate::error::{Context, Result};
use crate::idmap::IdMaps;
use crate::rootfs::{Dir, FsOps, Kind, Name, RootPath, Stat, is_host_label};

/// How many directories stay open; paths mostly come grouped by directory.
const KEPT_OPEN: usize = 8;

/// Writes objects of a tree as members of a layer.
#[derive(Debug)]
pub struct TreePacker<'a, W> {
    fs: &'a dyn FsOps,
    maps: &'a IdMaps,
    layer: LayerWriter<W>,
    /// The latest first.
    open: VecDeque<(RootPath, Dir)>,
}

impl<'a, W: Write> TreePacker<'a, W> {
    /// Packs what `fs` holds into `layer`; `maps` leads from owners on disk to those in the layer.
    pub fn new(fs: &'a dyn FsOps, maps: &'a IdMaps, layer: LayerWriter<W>) -> Self {
        Self { fs, maps, layer, open: VecDeque::new() }
    }

    /// Writes the object at `path`, with its contents but without what is below it.
    pub fn add(&mut self, path: &RootPath) -> Result<()> {
        self.add_as(path, path)
    }

    /// Writes the object at `path` under another name.
    pub fn add_as(&mut self, path: &RootPath, name: &RootPath) -> Result<()> {
        let packed = match path.split() {
            Some((parent, base)) => self.named(&parent, base, name),
            None => self.root(name),
        };
        packed.with_context(|| format!("could not add file {path:?}"))
    }

    /// Writes that `path` is gone.
    pub fn whiteout(&mut self, path: &RootPath) -> Result<()> {
        self.layer.whiteout(path)
    }

    /// Writes that all lower children of the directory `path` are gone.
    pub fn opaque(&mut self, path: &RootPath) -> Result<()> {
        self.layer.opaque(path)
    }

    /// Ends the layer and gives back the output.
    pub fn finish(self) -> Result<W> {
        self.layer.finish()
    }

    fn root(&mut self, name: &RootPath) -> Result<()> {
        let dir = self.fs.open_dir(&RootPath::root())?;
        let stat = self.fs.stat_dir(&dir)?;
        let mut entry = Entry::from_stat(name, &stat, Vec::new(), self.fs.dir_xattrs(&dir)?)?;
        self.prepare(&mut entry)?;
        self.layer.add(&entry, None)
    }

    fn named(&mut self, parent: &RootPath, base: Name<'_>, name: &RootPath) -> Result<()> {
        self.ensure_open(parent)?;
        let Some((_, dir)) = self.open.front() else { return Ok(()) };
        let stat = self.fs.stat(dir, base)?;
        let mut entry = self.entry(dir, base, name, &stat)?;
        self.prepare(&mut entry)?;
        self.layer.link(&mut entry, &stat);
        if !matches!(entry.kind, EntryKind::File { .. }) {
            return self.layer.add(&entry, None);
        }
        let mut body = self.fs.open_file(dir, base)?;
        self.layer.add(&entry, Some(&mut body as &mut dyn Read))
    }

    fn entry(&self, dir: &Dir, base: Name<'_>, name: &RootPath, stat: &Stat) -> Result<Entry> {
        let target = match stat.kind {
            Kind::Symlink => self.fs.read_link(dir, base)?,
            _ => Vec::new(),
        };
        let xattrs = match stat.kind {
            Kind::Socket => Vec::new(),
            _ => self.fs.xattrs(dir, base).context("read extended attributes")?,
        };
        Entry::from_stat(name, stat, target, xattrs)
    }

    /// Turns what is the host's into what is the image's.
    fn prepare(&self, entry: &mut Entry) -> Result<()> {
        entry.owner = self.maps.to_container(entry.owner).context("map header")?;
        entry.xattrs.retain(|xattr| !is_host_label(&xattr.name));
        Ok(())
    }

    fn ensure_open(&mut self, path: &RootPath) -> Result<()> {
        if let Some(at) = self.open.iter().position(|(open, _)| open == path) {
            self.open.swap(0, at);
            return Ok(());
        }
        let dir = self.fs.open_dir(path)?;
        self.open.push_front((path.clone(), dir));
        self.open.truncate(KEPT_OPEN);
        Ok(())
    }
}
