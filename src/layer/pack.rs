// SPDX-License-Identifier: Apache-2.0
//! From a tree on disk to the members of a layer: [`TreePacker`], and
//! [`pack_tree`] for a directory that is a layer as a whole.

use std::io::{Read, Write};
use std::path::Path;

use super::dirs::OpenDirs;
use super::entry::{Entry, EntryKind};
use super::format::{Disk, DiskFormat};
use super::owners::Owners;
use super::write::{LayerOptions, LayerWriter};
use crate::error::{Context, Error, Result};
use crate::rootfs::{
    Contents, Dir, FsOps, Inode, Kind, Name, Names, RootPath, Stacked, capability_to_container,
    is_probe,
};

/// How a layer spells its root directory. Readers take both for the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RootName {
    /// `.`
    #[default]
    Dot,
    /// `/`
    Slash,
}

/// Whether a layer has a member for its root directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RootMember {
    /// It has one, which sets the owner, mode and times of the root.
    #[default]
    Written,
    /// It has none: the root stays as the layers below have it.
    Omitted,
}

/// How a directory becomes a layer.
#[derive(Debug, Clone, Default)]
pub struct PackOptions {
    /// The form that the tree has on disk.
    pub format: DiskFormat,
    /// What becomes of the root directory itself.
    pub root: RootMember,
    /// Who owns the members.
    pub owners: Owners,
    /// How the layer is written.
    pub layer: LayerOptions,
}

/// Writes all that `fs` holds to `output` as one layer, and gives `output` back.
///
/// With [`DiskFormat::Overlay`] this is what [`unpack_layer`](super::unpack_layer) undoes. A
/// directory does not tell whether its layer had a member for the root; [`PackOptions::root`] does.
///
/// # Errors
/// As [`TreePacker::add`].
pub fn pack_tree<W: Write>(fs: &dyn FsOps, output: W, options: &PackOptions) -> Result<W> {
    let layer = LayerWriter::new(output, options.layer.clone());
    let mut packer = TreePacker::new(fs, &options.owners, layer).with_format(options.format);
    let root = RootPath::root();
    match options.root {
        RootMember::Written => packer.add(&root)?,
        RootMember::Omitted => packer.opaque_like(&fs.open_dir(&root)?, &root)?,
    }
    let members = packer.children(&root, &root)?;
    packer.add_all(members)?;
    packer.finish()
}

/// Writes objects of a tree as members of a layer.
#[derive(Debug)]
pub struct TreePacker<'a, W> {
    disk: Disk<'a>,
    owners: &'a Owners,
    root_name: RootName,
    place: &'a Path,
    layer: LayerWriter<W>,
    open: OpenDirs,
}

impl<'a, W: Write> TreePacker<'a, W> {
    /// Packs what `fs` holds into `layer`.
    pub fn new(fs: &'a dyn FsOps, owners: &'a Owners, layer: LayerWriter<W>) -> Self {
        let (disk, root_name, place) = (Disk::Plain(fs), RootName::default(), Path::new(""));
        Self { disk, owners, root_name, place, layer, open: OpenDirs::default() }
    }

    /// Reads the tree as one of this format.
    #[must_use]
    pub fn with_format(mut self, format: DiskFormat) -> Self {
        self.disk = self.disk.with_format(format);
        self
    }

    /// Spells the root of the layer this way.
    #[must_use]
    pub fn with_root_name(mut self, root_name: RootName) -> Self {
        self.root_name = root_name;
        self
    }

    /// Calls the root of the tree this in errors.
    #[must_use]
    pub fn with_place(mut self, place: &'a Path) -> Self {
        self.place = place;
        self
    }

    /// Writes the object at `path`, with its contents but without what is below it. What the
    /// format of the tree says there of lower layers becomes whiteouts.
    ///
    /// # Errors
    /// When no layer can hold the object (a socket, an owner outside the maps, a name that is a
    /// whiteout's), when it is incomplete without the layers below it (overlayfs was told to
    /// redirect directories or to copy metadata only), and when it cannot be read.
    pub fn add(&mut self, path: &RootPath) -> Result<()> {
        self.add_as(path, path)
    }

    /// Writes the object at `path` under another name.
    pub fn add_as(&mut self, path: &RootPath, name: &RootPath) -> Result<()> {
        self.pack(path, name).map(drop)
    }

    /// Writes the object at `path` and all that is below it under another name: each
    /// directory before what is in it, that in order of bytes.
    ///
    /// # Errors
    /// As [`TreePacker::add`]; also when something that is no directory is to be the root.
    pub fn add_tree(&mut self, path: &RootPath, name: &RootPath) -> Result<()> {
        self.add_all(vec![(path.clone(), name.clone())])
    }

    /// Writes what is on the stack and all that is below it.
    fn add_all(&mut self, mut pending: Vec<(RootPath, RootPath)>) -> Result<()> {
        while let Some((path, name)) = pending.pop() {
            if self.pack(&path, &name)? == Kind::Dir {
                pending.extend(self.children(&path, &name)?);
            }
        }
        Ok(())
    }

    /// The paths and names of what is in a directory, last first.
    fn children(&mut self, path: &RootPath, name: &RootPath) -> Result<Vec<(RootPath, RootPath)>> {
        let names = self.list(path);
        let names = names.with_context(|| format!("list {:?}", path.below(self.place)))?;
        names
            .iter()
            .rev()
            .map(|child| Name::new(child).map(|child| (path.join(child), name.join(child))))
            .collect()
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

    fn pack(&mut self, path: &RootPath, name: &RootPath) -> Result<Kind> {
        let packed = match path.split() {
            Some((parent, base)) => self.named(&parent, base, name),
            None => self.root(name),
        };
        packed.with_context(|| format!("could not add file {:?}", path.below(self.place)))
    }

    fn list(&mut self, path: &RootPath) -> Result<Names> {
        let dir = self.open.get(self.disk.fs(), path)?;
        Ok(self.disk.fs().read_dir(&dir)?)
    }

    fn root(&mut self, name: &RootPath) -> Result<Kind> {
        let fs = self.disk.fs();
        let dir = fs.open_dir(&RootPath::root())?;
        let Inode { stat, xattrs, .. } = fs.dir_inode(&dir)?;
        let mut entry = Entry::from_stat(name, &stat, Vec::new(), xattrs)?;
        self.prepare(&mut entry, name)?;
        self.layer.add(&entry, None)?;
        self.opaque_like(&dir, name)?;
        Ok(stat.kind)
    }

    fn named(&mut self, parent: &RootPath, base: Name<'_>, name: &RootPath) -> Result<Kind> {
        if is_probe(base.as_bytes()) {
            let path = parent.join(base);
            log::warn!("{:?} looks like what a killed command has left", path.below(self.place));
        }
        let dir = self.open.get(self.disk.fs(), parent)?;
        let stacked = match self.disk.overlay() {
            Some(overlay) => overlay.stacked(&dir, base)?,
            None => Stacked::Object { inode: self.disk.fs().inode(&dir, base)?, opaque: false },
        };
        match stacked {
            Stacked::Whiteout => self.layer.whiteout(name).map(|()| Kind::CharDevice),
            Stacked::Borrowing(attribute) => Err(Error::unsupported(format!(
                "it is incomplete without the layers below it (overlay attribute {attribute:?}): \
                 mount with redirect_dir=off and metacopy=off"
            ))),
            Stacked::Object { inode, opaque } => self.object(name, inode, opaque),
        }
    }

    fn object(&mut self, name: &RootPath, inode: Inode, opaque: bool) -> Result<Kind> {
        let Inode { stat, xattrs, contents, .. } = inode;
        let (target, mut body) = match contents {
            Contents::File(file) => (Vec::new(), Some(file)),
            Contents::Symlink(target) => (target, None),
            Contents::Nothing => (Vec::new(), None),
        };
        let mut entry = Entry::from_stat(name, &stat, target, xattrs)?;
        self.prepare(&mut entry, name)?;
        self.layer.link(&mut entry, &stat);
        self.layer.add(&entry, body.as_mut().map(|file| file as &mut dyn Read))?;
        if opaque {
            self.layer.opaque(name)?;
        }
        Ok(stat.kind)
    }

    /// Writes that nothing lower shows through a directory, if the format of the tree says so.
    fn opaque_like(&mut self, dir: &Dir, name: &RootPath) -> Result<()> {
        match self.disk.overlay() {
            Some(overlay) if overlay.is_opaque(dir)? => self.layer.opaque(name),
            _ => Ok(()),
        }
    }

    /// Turns what is the host's into what is the image's.
    fn prepare(&self, entry: &mut Entry, name: &RootPath) -> Result<()> {
        if name.is_root() {
            if entry.kind != EntryKind::Dir {
                return Err(Error::invalid("only a directory can be the root of an image"));
            }
            entry.path = match self.root_name {
                RootName::Dot => b".".to_vec(),
                RootName::Slash => b"/".to_vec(),
            };
        }
        entry.owner = self.owners.in_image(entry.owner)?;
        let owners = self.owners;
        entry
            .xattrs
            .iter_mut()
            .try_for_each(|xattr| capability_to_container(xattr, |id| owners.is_root(id)))
    }
}
