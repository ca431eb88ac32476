// SPDX-License-Identifier: Apache-2.0
//! [`repack`]: from a changed bundle to an image with one more layer.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use super::emulation::Terms;
use super::metadata::{self, BundleMetadata, MtreeRecord};
use super::record;
use super::staging::{BundleDir, ROOTFS};
use super::unpack::tick;
use super::{mtree_name, stat_index_name};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{CompressionChoice, Image, ImageEditor, LayerOptions};
use crate::layer::compress::EncoderOptions;
use crate::layer::{LayerOptions as TarOptions, LayerWriter, Owners, TreePacker};
use crate::layout::{Layout, LayoutWriter, RefName};
use crate::oci::{Algorithm, Descriptor, DescriptorPath, Digest, Hashing, History};
use crate::rootfs::{FsOps, Interrupt, Native, Rootless, View, open_own_dir};
use crate::snapshot::{
    CaptureOptions, Change, DiffEntry, DiffOptions, Known, Masks, MtreeHeader, NothingKnown,
    Snapshot, StatIndex, Trust, Unchanged, capture, diff, read_mtree,
};
use crate::sys;

/// The most bytes of a stat index that are read; a larger one would not fit its purpose.
const MAX_INDEX: u64 = 4 << 30;

/// Whether changes below the image's volumes count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Volumes {
    /// They do not: a volume is no part of the image.
    #[default]
    Mask,
    /// They do.
    Pack,
}

/// What becomes of the bundle when it has been repacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Refresh {
    /// It stays one of the image that it was unpacked from.
    #[default]
    Keep,
    /// It becomes one of the new image.
    Renew,
}

/// How a bundle is repacked.
#[derive(Debug, Clone, Default)]
pub struct RepackOptions {
    /// The compression of the new layer.
    pub compression: CompressionChoice,
    /// How to compress.
    pub encoder: EncoderOptions,
    /// The history entry of the change.
    pub history: Option<History>,
    /// Paths whose changes are left out.
    pub mask_paths: Vec<String>,
    /// Whether changes below volumes are left out.
    pub volumes: Volumes,
    /// The latest time of a member, in seconds since the epoch (`SOURCE_DATE_EPOCH`).
    pub latest: Option<i64>,
    /// What proves that a file is unchanged.
    pub trust: Trust,
    /// What becomes of the bundle.
    pub refresh: Refresh,
    /// The head of the new manifest of a bundle that is renewed.
    pub header: MtreeHeader,
    /// When to stop.
    pub interrupt: Interrupt,
}

/// A bundle that was unpacked from an image.
#[derive(Debug)]
pub struct Bundle {
    dir: BundleDir,
    metadata: BundleMetadata,
}

impl Bundle {
    /// Opens the bundle in the directory `path`.
    ///
    /// # Errors
    /// When it is no bundle, or was made by a version with another format.
    pub fn open(path: &Path) -> Result<Self> {
        let dir = BundleDir::open(path)?;
        let metadata = BundleMetadata::read(&dir.dir)?;
        Ok(Self { dir, metadata })
    }

    /// What is known of its origin.
    pub fn metadata(&self) -> &BundleMetadata {
        &self.metadata
    }

    /// The image that it was unpacked from, whatever its tag leads to now.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the layout does not hold it.
    pub fn image(&self, layout: &Layout) -> Result<Image> {
        Image::load(layout, self.metadata.from.clone())
    }

    /// The tree as it is on disk, which is what was recorded, or as it is meant.
    fn rootfs(&self, view: View, options: &RepackOptions) -> Result<Rootless<Native>> {
        let root = open_own_dir(&self.dir.dir, Path::new(ROOTFS))
            .at("open", self.dir.path.join(ROOTFS))?;
        self.terms(options).open(root, view)
    }

    fn terms(&self, options: &RepackOptions) -> Terms {
        let interrupt = options.interrupt.clone();
        Terms { privileges: self.metadata.privileges, interrupt, ..Terms::default() }
    }

    /// What was recorded when the bundle was made.
    fn record(&self) -> Result<Record> {
        let digest = &self.metadata.from.target().digest;
        let path = self.dir.path.join(mtree_name(digest));
        let open = || sys::open_regular(&self.dir.dir, Path::new(&mtree_name(digest)));
        let sum = hash(open().at("open mtree", &path)?).at("read mtree", &path)?;
        if self.metadata.mtree.as_ref().is_some_and(|expected| *expected != sum) {
            let message = format!("mtree {path:?} is not the one that belongs to the bundle");
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        let index = self.stat_index(digest, &sum.digest);
        Ok(Record { mtree: open().at("open mtree", &path)?, index })
    }

    /// A missing or unfit index only costs time.
    fn stat_index(&self, manifest: &Digest, mtree: &Digest) -> Option<StatIndex> {
        let name = stat_index_name(manifest);
        let file = sys::open_regular(&self.dir.dir, Path::new(&name)).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_INDEX).read_to_end(&mut bytes).ok()?;
        StatIndex::parse(bytes, &mtree.to_sha256()?)
    }
}

/// The state of the tree when the bundle was made.
struct Record {
    mtree: File,
    index: Option<StatIndex>,
}

impl Record {
    fn snapshot(&self) -> Result<Snapshot> {
        read_mtree(BufReader::with_capacity(256 << 10, &self.mtree)).context("parse mtree")
    }
}

fn hash(file: File) -> Result<MtreeRecord> {
    let mut reader = Hashing::new(Algorithm::Sha256, file);
    std::io::copy(&mut reader, &mut std::io::sink())?;
    let (_, digest, size) = reader.finish();
    Ok(MtreeRecord { digest, size })
}

/// Makes a new image of `image`, which the bundle was unpacked from, and what
/// has changed in the bundle, and names it `name`. Gives the path to it.
///
/// The base is the recorded image, not what the name may lead to by now.
/// Without changes the image gets a history entry, but no layer.
///
/// # Errors
/// When something that has changed cannot be in a layer (a socket, a name with
/// the prefix of whiteouts, an owner outside the id maps). No name is changed then.
pub fn repack(
    bundle: &Bundle,
    writer: &LayoutWriter,
    image: Image,
    name: &RefName,
    options: &RepackOptions,
) -> Result<DescriptorPath> {
    let fs = bundle.rootfs(View::Disk, options)?;
    let record = bundle.record()?;
    let changes = changes(&fs, &record, &image, options)?;
    let mut editor = ImageEditor::new(writer, image);
    if changes.is_empty() {
        editor.record(options.history.clone());
    } else {
        add_layer(&mut editor, &changes, bundle, options).context("add diff layer")?;
    }
    let path = editor.commit().context("commit mutated image")?;
    writer.tag(name, path.root().clone()).context("add new tag")?;
    if options.refresh == Refresh::Renew {
        renew(bundle, &fs, &record, named(&path, name)?, options).context("refresh bundle")?;
    }
    Ok(path)
}

fn changes(
    fs: &dyn FsOps,
    record: &Record,
    image: &Image,
    options: &RepackOptions,
) -> Result<Vec<DiffEntry>> {
    let diff_options = DiffOptions { trust: options.trust };
    let mut changes = diff(fs, || record.snapshot(), record.index.as_ref(), &diff_options)
        .context("check mtree")?;
    let volumes = match options.volumes {
        Volumes::Mask => Some(&image.config().config.volumes),
        Volumes::Pack => None,
    };
    let paths = options.mask_paths.iter().chain(volumes.into_iter().flatten());
    Masks::new(paths)?.apply(&mut changes);
    Ok(changes)
}

fn add_layer(
    editor: &mut ImageEditor<'_>,
    changes: &[DiffEntry],
    bundle: &Bundle,
    options: &RepackOptions,
) -> Result<Descriptor> {
    let layer = LayerOptions {
        compression: options.compression,
        encoder: options.encoder.clone(),
        history: options.history.clone(),
        ..LayerOptions::default()
    };
    let owners = Owners::Mapped(bundle.terms(options).maps(&bundle.metadata.maps));
    let fs = bundle.rootfs(View::Image, options)?;
    record::load(&bundle.dir, &fs)?;
    editor.add_layer(&layer, |output| {
        let tar = LayerWriter::new(output, TarOptions { latest: options.latest });
        let mut packer = TreePacker::new(&fs, &owners, tar);
        for DiffEntry { path, change } in changes {
            match change {
                Change::Added | Change::Modified => packer.add(path)?,
                Change::Deleted => packer.whiteout(path)?,
            }
        }
        packer.finish().map(drop)
    })
}

/// The path as a later lookup of `name` would give it.
fn named(path: &DescriptorPath, name: &RefName) -> Result<DescriptorPath> {
    let mut walk = path.walk().to_vec();
    if let Some(root) = walk.first_mut() {
        root.annotations.insert(crate::layout::REF_NAME.to_owned(), name.to_string());
    }
    DescriptorPath::new(walk)
}

/// Takes the tree down anew and makes it the state of the new image. The new
/// files come before `umoci.json` says that they count, the old ones go after.
fn renew(
    bundle: &Bundle,
    fs: &dyn FsOps,
    record: &Record,
    from: DescriptorPath,
    options: &RepackOptions,
) -> Result<()> {
    let old = bundle.metadata.from.target().digest.clone();
    let new = from.target().digest.clone();
    let dir = &bundle.dir;
    dir.clear_interrupted()?;
    let mtree = dir.temporary()?;
    let index = dir.temporary()?;
    let taken = tick(index.file(), fs)?;
    let capture_options = CaptureOptions { header: options.header.clone(), taken };
    let snapshot = record.index.as_ref().map(|_| record.snapshot()).transpose()?;
    let mut nothing = NothingKnown;
    let mut unchanged = match (&snapshot, &record.index) {
        (Some(snapshot), Some(index)) if options.trust == Trust::StatIndex => {
            Some(Unchanged::new(snapshot, index))
        }
        _ => None,
    };
    let known: &mut dyn Known = match &mut unchanged {
        Some(unchanged) => unchanged,
        None => &mut nothing,
    };
    let captured = capture(fs, known, mtree.file(), index.file(), &capture_options)?;
    let size = mtree.file().metadata()?.len();
    let mut metadata = bundle.metadata.clone();
    if old == new {
        // The files keep their names, and until all are new none vouches for another.
        metadata.mtree = None;
        write_metadata(dir, &metadata)?;
    }
    mtree.commit(Path::new(&mtree_name(&new)))?;
    index.commit(Path::new(&stat_index_name(&new)))?;
    metadata.from = from;
    metadata.mtree = Some(MtreeRecord { digest: Digest::from_sha256(&captured.manifest), size });
    write_metadata(dir, &metadata)?;
    if old != new {
        dir.remove(Path::new(&mtree_name(&old)))?;
        dir.remove(Path::new(&stat_index_name(&old)))?;
    }
    Ok(())
}

fn write_metadata(dir: &BundleDir, metadata: &BundleMetadata) -> Result<()> {
    let file = dir.temporary()?;
    file.file().write_all(&metadata.to_bytes()?)?;
    file.commit(Path::new(metadata::FILE_NAME))
}
