// SPDX-License-Identifier: Apache-2.0
//! Images in a layout: what one consists of ([`Image`]), how it is changed
//! ([`ImageEditor`]), what is told about it ([`Stat`]), and how several become one for several
//! platforms ([`IndexEditor`]).

mod annotate;
mod archive;
mod attestations;
mod choice;
mod convert;
mod editor;
mod index;
mod insert;
mod list;
mod new_layer;
mod owners;
mod parallel;
pub(crate) mod source_lock;
mod stat;
mod stored;
mod unpack;
pub mod validate;

pub use annotate::{Annotated, AnnotationEdit};
pub use archive::{Contents, add_archive, compression_of};
pub use choice::EntryChoice;
pub use convert::{ConvertOptions, Converted, Loss, convert};
pub use editor::{ImageEditor, UNCOMPRESSED_SIZE};
pub use index::IndexEditor;
pub use insert::{InsertOptions, Insertion, Lower, Target, insert};
pub use list::{IndexEntry, Summary, entries, entries_to_json, summaries, summaries_to_json};
pub use new_layer::{CompressionChoice, LayerOptions};
pub use owners::refuse_unmapped;
pub use stat::{HistoryStat, Stat};
pub use unpack::{AfterLayer, RootfsOptions, UnpackedLayer, diff_id, open_layer, unpack_rootfs};

use crate::error::{Context, Error, ErrorKind, Result, counted};
use crate::layout::{Layout, LayoutWriter};
use crate::oci::media_type::Kind;
use crate::oci::{
    Algorithm, Descriptor, DescriptorPath, Digest, Document, ImageConfig, Manifest, RootFs,
};
use crate::quote::quote;

/// An image: where it is found, its manifest and its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    path: DescriptorPath,
    manifest: Manifest,
    config: ImageConfig,
}

impl Image {
    /// Reads the manifest at the end of `path` and its configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when either is of a type that is not an image's, [`ErrorKind::Invalid`] when there are layers without a diff id.
    pub fn load(layout: &Layout, path: DescriptorPath) -> Result<Self> {
        require_manifest(path.target())?;
        let manifest: Manifest = layout.document(path.target())?;
        let media_type = &manifest.config.media_type;
        if Kind::of(media_type) != Kind::Config {
            return Err(Error::unsupported(format!(
                "config blob is not correct mediatype {}: {}",
                ImageConfig::MEDIA_TYPE,
                quote(media_type)
            )));
        }
        let config: ImageConfig = layout.document(&manifest.config)?;
        check_rootfs(&manifest, &config.rootfs)?;
        Ok(Self { path, manifest, config })
    }

    /// An image without layers that is in no layout: something for an [`ImageEditor`] to start
    /// from, so that only what it becomes is stored. Digests are of `algorithm`.
    ///
    /// # Errors
    /// When the configuration says that there are layers, and when nobody would read it again.
    pub fn blank(algorithm: Algorithm, config: ImageConfig) -> Result<Self> {
        if !config.rootfs.diff_ids.is_empty() {
            return Err(Error::invalid("config: an image without layers has no rootfs.diff_ids"));
        }
        let manifest = Manifest::new(describe(algorithm, &config)?);
        let path = DescriptorPath::new(vec![describe(algorithm, &manifest)?])?;
        Ok(Self { path, manifest, config })
    }

    /// The descriptors that lead to the image.
    pub fn path(&self) -> &DescriptorPath {
        &self.path
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The configuration.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// The layers, lowest first, each with the digest of its uncompressed bytes.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = (&Descriptor, &Digest)> {
        self.manifest.layers.iter().zip(&self.config.rootfs.diff_ids)
    }

    /// How many bytes the layers have as they are stored.
    pub fn stored_size(&self) -> u64 {
        self.layers().map(|(descriptor, _)| descriptor.size).fold(0, u64::saturating_add)
    }

    /// How many bytes the layers have when they are unpacked, as far as the image says it
    /// ([`UNCOMPRESSED_SIZE`]). Nothing holds it to the truth; a layer about which it says
    /// nothing counts as it is stored.
    pub fn expected_size(&self) -> u64 {
        let said = |descriptor: &Descriptor| {
            descriptor.annotations.get(UNCOMPRESSED_SIZE)?.parse::<u64>().ok()
        };
        let sizes =
            self.layers().map(|(descriptor, _)| said(descriptor).unwrap_or(descriptor.size));
        sizes.fold(0, u64::saturating_add)
    }
}

/// Refuses a configuration that does not say what the layers are. Digests beyond the
/// number of layers do not matter.
fn check_rootfs(manifest: &Manifest, rootfs: &RootFs) -> Result<()> {
    if rootfs.kind != RootFs::LAYERS {
        return Err(Error::unsupported(format!(
            "config: unsupported rootfs.type: {}",
            rootfs.kind.escape_debug()
        )));
    }
    let (layers, diff_ids) = (manifest.layers.len(), rootfs.diff_ids.len());
    if layers > diff_ids {
        return Err(Error::invalid(format!(
            "config: rootfs.diff_ids has {} for {}",
            counted(diff_ids, "entry", "entries"),
            counted(layers, "layer", "layers")
        )));
    }
    Ok(())
}

/// Stores an image without layers, and gives the descriptor of its manifest.
pub fn create(writer: &LayoutWriter, config: &ImageConfig) -> Result<Descriptor> {
    create_with(writer, Algorithm::default(), config)
}

/// As [`create`], with blobs that are named by the digests of an algorithm. All that is added
/// to the image later is named likewise.
pub fn create_with(
    writer: &LayoutWriter,
    algorithm: Algorithm,
    config: &ImageConfig,
) -> Result<Descriptor> {
    let config = put(writer, algorithm, config).context("put config blob")?;
    put(writer, algorithm, &Manifest::new(config)).context("put manifest blob")
}

fn require_manifest(descriptor: &Descriptor) -> Result<()> {
    if Kind::of(&descriptor.media_type) == Kind::Manifest {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "descriptor does not point to ispec.MediaTypeImageManifest: not implemented: {}",
        descriptor.media_type.escape_debug()
    )))
}

/// Stores a document, unless nobody would read it again.
fn put<D: Document>(
    writer: &LayoutWriter,
    algorithm: Algorithm,
    document: &D,
) -> Result<Descriptor> {
    writer.put_with(algorithm, &encode(document)?, D::MEDIA_TYPE)
}

/// What [`put`] gives, without storing anything.
fn describe<D: Document>(algorithm: Algorithm, document: &D) -> Result<Descriptor> {
    let bytes = encode(document)?;
    Ok(Descriptor::new(D::MEDIA_TYPE, Digest::of(algorithm, &bytes), bytes.len() as u64))
}

fn encode<D: Document>(document: &D) -> Result<Vec<u8>> {
    let bytes = document.to_bytes()?;
    if bytes.len() as u64 > D::MAX_SIZE {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("document would have {} bytes, more than {}", bytes.len(), D::MAX_SIZE),
        ));
    }
    Ok(bytes)
}
