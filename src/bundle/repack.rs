// SPDX-License-Identifier: Apache-2.0
//! [`repack`]: from a changed bundle to an image with one more layer.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use super::aside::AsideFile;
use super::emulation::Terms;
use super::metadata::{BundleMetadata, MtreeRecord, Privileges};
use super::owners;
use super::publish::publish;
use super::record::{self, Stale};
use super::renew::{Renewal, named};
use super::staging::{BundleDir, Use};
use super::{mtree_name, stat_index_name};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{AnnotationEdit, CompressionChoice, Image, ImageEditor, LayerOptions};
use crate::interrupt::Interrupt;
use crate::layer::compress::EncoderOptions;
use crate::layer::{
    LayerOptions as TarOptions, LayerWriter, OwnerCheck, Owners, TreePacker, expected_size,
};
use crate::layout::{EntryName, Layout, LayoutWriter};
use crate::oci::{Algorithm, Descriptor, DescriptorPath, Digest, Hashing, History};
use crate::progress::Progress;
use crate::rootfs::{FsOps, Keeping, Native, Rootless, Strictness, View};
use crate::snapshot::{
    Change, DiffEntry, DiffOptions, DiskOwners, Masks, MtreeHeader, Snapshot, StatIndex, Trust,
    diff, read_mtree,
};
use crate::sys;

/// The most bytes that a manifest may have: more than the one of as many files as it may name.
const MAX_MTREE: u64 = 4 << 30;
/// How many bytes a stat index may have more than its manifest.
const MAX_INDEX_HEAD: u64 = 256 << 10;

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
    /// Changes of annotations, made after the layer was added.
    pub annotations: Vec<AnnotationEdit>,
    /// Paths whose changes are left out.
    pub mask_paths: Vec<String>,
    /// Whether changes below volumes are left out.
    pub volumes: Volumes,
    /// The latest time of a member, in seconds since the epoch (`SOURCE_DATE_EPOCH`).
    pub latest: Option<i64>,
    /// What proves that a file is unchanged.
    pub trust: Trust,
    /// Whether something else than what is on disk may become part of the layer.
    pub strictness: Strictness,
    /// What becomes of the bundle.
    pub refresh: Refresh,
    /// The head of the new manifest of a bundle that is renewed.
    pub header: MtreeHeader,
    /// Where is counted how far it is.
    pub progress: Arc<Progress>,
    /// When to stop, as long as the name does not lead to the new image.
    pub interrupt: Interrupt,
}

/// A bundle that was unpacked from an image.
#[derive(Debug)]
pub struct Bundle {
    pub(super) dir: BundleDir,
    pub(super) metadata: BundleMetadata,
    pub(super) aside: Arc<AsideFile>,
}

impl Bundle {
    /// Opens the bundle in the directory `path`. Permission bits of its tree that somebody who
    /// was killed had made to step aside are put back.
    ///
    /// Root can do so while others do; somebody in whose way permission bits may be is alone.
    ///
    /// # Errors
    /// When it is no bundle, or was made by a version with another format, and
    /// [`ErrorKind::Busy`] when others use it.
    pub fn open(path: &Path) -> Result<Self> {
        let with = if sys::is_root() { Use::Shared } else { Use::Alone };
        let dir = BundleDir::open(path, with)?;
        let metadata = BundleMetadata::read(&dir.dir)?;
        let aside = AsideFile::restored(&dir)?;
        Ok(Self { dir, metadata, aside })
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

    /// Checks that the owners on disk mean what they meant where the bundle was unpacked.
    ///
    /// # Errors
    /// [`ErrorKind::ForeignOwner`] when that was in another user namespace, or, for somebody else
    /// than root, when the tree has been given to others.
    pub fn check_ids(&self) -> Result<()> {
        match self.metadata.privileges {
            Privileges::Full => owners::check(&self.dir, &self.metadata),
            // Nobody looks at them.
            Privileges::Rootless => Ok(()),
        }
    }

    /// The tree as it is meant, and what of its record is void, which is told.
    fn meant(&self, options: &RepackOptions) -> Result<(Rootless<Native>, Stale)> {
        let fs = self.rootfs(View::Image, options)?;
        let stale = record::load(&self.dir, &fs)?;
        stale.tell(options.strictness)?;
        Ok((fs, stale))
    }

    /// The tree as it is on disk, which is what was recorded, or as it is meant.
    fn rootfs(&self, view: View, options: &RepackOptions) -> Result<Rootless<Native>> {
        self.terms(options).open_bundle(&self.dir, view)
    }

    fn terms(&self, options: &RepackOptions) -> Terms {
        let (strictness, interrupt) = (options.strictness, options.interrupt.clone());
        let reminder = self.aside.clone();
        let privileges = self.metadata.privileges;
        Terms { privileges, strictness, interrupt, reminder: Some(reminder) }
    }

    /// What was recorded when the bundle was made.
    fn record(&self) -> Result<Record> {
        let digest = &self.metadata.from.target().digest;
        let path = self.dir.path.join(mtree_name(digest));
        let mut mtree = sys::open_regular(&self.dir.dir, Path::new(&mtree_name(digest)))
            .at("open mtree", &path)?;
        if mtree.metadata().at("open mtree", &path)?.len() > MAX_MTREE {
            let message = format!("mtree {path:?} is larger than {MAX_MTREE} bytes");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let sum = hash(&mut mtree).at("read mtree", &path)?;
        if self.metadata.mtree.as_ref().is_some_and(|expected| *expected != sum) {
            let message = format!("mtree {path:?} is not the one that belongs to the bundle");
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        let index = self.stat_index(digest, &sum);
        Ok(Record { mtree, index })
    }

    /// A missing or unfit index only costs time.
    fn stat_index(&self, manifest: &Digest, mtree: &MtreeRecord) -> Option<StatIndex> {
        let name = stat_index_name(manifest);
        let file = sys::open_regular(&self.dir.dir, Path::new(&name)).ok()?;
        let size = file.metadata().ok()?.len();
        // It says less of each name than the manifest does.
        if size > mtree.size.saturating_add(MAX_INDEX_HEAD) {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).ok()?);
        file.take(size).read_to_end(&mut bytes).ok()?;
        StatIndex::parse(bytes, &mtree.digest.to_sha256()?)
    }
}

/// The state of the tree when the bundle was made.
pub(super) struct Record {
    mtree: File,
    pub(super) index: Option<StatIndex>,
}

impl Record {
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        let mut mtree = &self.mtree;
        mtree.rewind().context("read mtree")?;
        read_mtree(BufReader::with_capacity(256 << 10, mtree)).context("parse mtree")
    }
}

/// Hashes a file and goes back to its start.
fn hash(file: &mut File) -> Result<MtreeRecord> {
    let mut reader = Hashing::new(Algorithm::Sha256, &mut *file);
    std::io::copy(&mut reader, &mut std::io::sink())?;
    let (_, digest, size) = reader.finish();
    file.rewind()?;
    Ok(MtreeRecord { digest, size })
}

/// Makes a new image of `image`, which the bundle was unpacked from, and what
/// has changed in the bundle, and names it `name`. Gives the path to it.
///
/// The base is the recorded image, not what the name may lead to by now.
/// Without changes the image gets a history entry, but no layer.
///
/// If the recorded image was one of several, and the name leads to several now, the new image
/// takes the place of the recorded one, or else of that for the same platform, or is added to the
/// index if there is none; what has become of the others meanwhile stays.
///
/// # Errors
/// When something that has changed cannot be in a layer (a socket, a name with
/// the prefix of whiteouts, an owner outside the id maps), and as [`Bundle::check_ids`].
/// [`ErrorKind::Ambiguous`] when the place of one of several images cannot be told. No name is
/// changed then.
pub fn repack(
    bundle: &Bundle,
    writer: &LayoutWriter,
    image: Image,
    name: &EntryName,
    options: &RepackOptions,
) -> Result<DescriptorPath> {
    bundle.check_ids()?;
    let renewal = match options.refresh {
        Refresh::Keep => None,
        Refresh::Renew => Some(Renewal::begin(&bundle.dir)?),
    };
    let mut fs = bundle.rootfs(View::Disk, options)?;
    let record = bundle.record()?;
    let changes = changes(&fs, bundle, &record, &image, options)?;
    let mut editor = ImageEditor::new(writer, image);
    let is_meant_needed = renewal.is_some() || !changes.is_empty();
    let meant = is_meant_needed.then(|| bundle.meant(options)).transpose()?;
    match &meant {
        Some((fs, _)) if !changes.is_empty() => {
            add_layer(&mut editor, &changes, bundle, fs, options).context("add diff layer")?;
        }
        _ => editor.record(options.history.clone()),
    }
    // What comes has another tree in hand.
    drop(changes);
    options.annotations.iter().try_for_each(|edit| editor.annotate(edit))?;
    let path = publish(editor, writer, name)?;
    if let Some((renewal, (_, stale))) = renewal.zip(meant) {
        // The image is made. To fail now would look as if it were not.
        fs.ignore_interrupts();
        let from = named(&path, name)?;
        let finished = renewal.finish(bundle, &fs, &record, from, &stale, options);
        finished.context("the image is made; refresh bundle")?;
    }
    Ok(path)
}

fn changes(
    fs: &dyn FsOps,
    bundle: &Bundle,
    record: &Record,
    image: &Image,
    options: &RepackOptions,
) -> Result<Vec<DiffEntry>> {
    let owners = match bundle.metadata.privileges {
        Privileges::Full => DiskOwners::Compared,
        // All belongs to whoever works on it.
        Privileges::Rootless => DiskOwners::Ignored,
    };
    let (trust, progress) = (options.trust, options.progress.clone());
    let diff_options = DiffOptions { trust, owners, progress };
    log::info!("computing filesystem diff ...");
    let mut changes = diff(fs, || record.snapshot(), record.index.as_ref(), &diff_options)
        .context("check mtree")?;
    log::info!("... done");
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
    fs: &Rootless<Native>,
    options: &RepackOptions,
) -> Result<Descriptor> {
    let layer = LayerOptions {
        compression: options.compression,
        encoder: options.encoder.clone(),
        history: options.history.clone(),
        expected_size: Some(expected_size(changes.iter().map(|entry| entry.size))),
        progress: options.progress.clone(),
        ..LayerOptions::default()
    };
    let owners = match bundle.metadata.privileges {
        Privileges::Full => Owners::Mapped(bundle.metadata.maps.clone()),
        Privileges::Rootless => Owners::OfImage,
    };
    let added = changes.iter().filter(|entry| entry.change != Change::Deleted);
    OwnerCheck::new(fs, &owners).each(added.map(|entry| &entry.path))?;
    let tar_options = TarOptions { latest: options.latest, progress: options.progress.clone() };
    let descriptor = editor.add_layer(&layer, |output| {
        options.progress.expect_entries(changes.len() as u64);
        let tar = LayerWriter::new(output, tar_options);
        let mut packer = TreePacker::new(fs, &owners, tar);
        for DiffEntry { path, change, .. } in changes {
            match change {
                Change::Added | Change::Modified => packer.add(path)?,
                Change::Deleted => packer.whiteout(path)?,
            }
        }
        packer.finish().map(drop)
    })?;
    fs.tell_substitutes(Keeping::Record);
    Ok(descriptor)
}
