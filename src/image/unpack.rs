// SPDX-License-Identifier: Apache-2.0
//! From the layers of an image in a layout to a root filesystem.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use super::Image;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::interrupt::Interruptible;
use crate::layer::compress::{Compression, Decoder};
use crate::layer::{
    ApplyOptions, FileDigests, LayerFailure, LayerSource, Unpacked, unpack_layers_telling,
};
use crate::layout::{BlobReader, Layout};
use crate::oci::media_type::Kind;
use crate::oci::{Algorithm, Descriptor, Digest, Hasher};
use crate::progress::{Counted, Progress, Stage};
use crate::quote::quote;
use crate::rootfs::FsOps;

/// How much is read at once.
pub(super) const READ_SIZE: usize = 256 << 10;

/// What of an image is unpacked to a root filesystem, and how.
#[derive(Clone, Default)]
pub struct RootfsOptions<'a> {
    /// How layers are applied.
    pub apply: ApplyOptions,
    /// Whether the contents of files are hashed.
    pub file_digests: FileDigests,
    /// The blob of the layer to start with: those below it are in the tree already.
    pub start_from: Option<Digest>,
    /// Is called after each layer, when it is in the tree and verified and nothing of the next
    /// one is. An error ends the unpack.
    pub after_layer: Option<AfterLayer<'a>>,
}

/// Whoever is told of each layer.
pub type AfterLayer<'a> = &'a dyn Fn(&UnpackedLayer<'_>) -> Result<()>;

/// A layer that has just been unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnpackedLayer<'a> {
    /// Its place in the image, the lowest being 0.
    pub place: usize,
    /// Its descriptor in the manifest.
    pub descriptor: &'a Descriptor,
    /// The digest of its uncompressed bytes.
    pub diff_id: &'a Digest,
}

impl fmt::Debug for RootfsOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootfsOptions")
            .field("apply", &self.apply)
            .field("file_digests", &self.file_digests)
            .field("start_from", &self.start_from)
            .finish_non_exhaustive()
    }
}

/// Unpacks the layers of `image` over what is in `fs`. All digests and sizes
/// have been verified when it succeeds.
///
/// # Errors
/// When a layer is missing, damaged, not understood or hostile, or the disk
/// fails. What has been written by then is the caller's to remove. Also
/// [`ErrorKind::NotFound`] when the image lacks the layer to start with.
pub fn unpack_rootfs(
    layout: &Layout,
    image: &Image,
    fs: &dyn FsOps,
    options: &RootfsOptions<'_>,
) -> Result<Unpacked> {
    // What cannot be unpacked is better found before anything is written.
    for descriptor in &image.manifest.layers {
        compression(descriptor).with_context(|| format!("layer {}", descriptor.digest))?;
    }
    let start = first(image, options.start_from.as_ref())?;
    let layers: Vec<_> = image.layers().skip(start).collect();
    let progress = &options.apply.progress;
    let sizes = layers.iter().map(|(descriptor, _)| descriptor.size);
    let stored = sizes.fold(0, u64::saturating_add);
    progress.begin(Stage::Unpacking);
    progress.expect_layers(layers.len() as u64, stored);
    let limits = options.apply.limits.for_stored(stored);
    let interrupt = layout.interrupt().clone();
    let apply = ApplyOptions { limits, interrupt, ..options.apply.clone() };
    let sources =
        layers.iter().map(|(descriptor, diff_id)| source(layout, descriptor, diff_id, progress));
    let tell = options.after_layer.map(|after| {
        let layers = &layers;
        move |at: usize| {
            let Some((descriptor, diff_id)) = layers.get(at) else { return Ok(()) };
            after(&UnpackedLayer { place: start + at, descriptor, diff_id })
        }
    });
    let tell = tell.as_ref().map(|tell| tell as &dyn Fn(usize) -> Result<()>);
    unpack_layers_telling(fs, sources, options.file_digests, tell, &apply).map_err(
        |LayerFailure { layer, error }| match layer.and_then(|at| layers.get(at)) {
            Some((descriptor, _)) => blame_unpacked(layout, descriptor, error),
            None => error,
        },
    )
}

/// The place of the layer to start with.
fn first(image: &Image, start_from: Option<&Digest>) -> Result<usize> {
    let Some(digest) = start_from else { return Ok(0) };
    let place = image.manifest.layers.iter().position(|layer| layer.digest == *digest);
    place.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("the image has no layer {digest} to start from"))
    })
}

fn source<'a>(
    layout: &'a Layout,
    descriptor: &Descriptor,
    diff_id: &Digest,
    progress: &Arc<Progress>,
) -> Result<LayerSource<'a>> {
    log::info!("unpack layer: {}", descriptor.digest);
    let name = descriptor.digest.to_string();
    let stream = open_counted(layout, descriptor, progress)?;
    let stream = Box::new(Interruptible::new(stream, layout.interrupt().clone()));
    Ok(LayerSource { name, stream, diff_id: Some(diff_id.clone()) })
}

/// Opens a layer as the plain tar stream that [`Members`](crate::layer::Members) reads. The
/// blob behind it has been verified when the stream was read to its end, not before.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when it is no tar layer, or
/// compressed in a way that is not known; also when the layout lacks the blob.
pub fn open_layer(layout: &Layout, descriptor: &Descriptor) -> Result<Decoder<BlobReader>> {
    Decoder::new(layout.blob(descriptor)?, compression(descriptor)?)
}

/// As [`open_layer`], counting the bytes of the blob.
pub(super) fn open_counted(
    layout: &Layout,
    descriptor: &Descriptor,
    progress: &Arc<Progress>,
) -> Result<Decoder<Counted<BlobReader>>> {
    let compression = compression(descriptor)?;
    Decoder::new(Counted::new(layout.blob(descriptor)?, progress.clone()), compression)
}

/// Finds out the diff id of a tar layer by reading it, and verifies its blob on the way. The
/// diff id of a layer in another format is the digest of its blob.
///
/// # Errors
/// As [`open_layer`]; also when the blob is damaged.
pub fn diff_id(layout: &Layout, descriptor: &Descriptor) -> Result<Digest> {
    let mut stream = open_layer(layout, descriptor)?;
    let mut hasher = Hasher::new(Algorithm::default());
    let mut buffer = vec![0; READ_SIZE];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(blame_unpacked(layout, descriptor, error.into())),
        }
    }
}

/// How a layer's blob is compressed.
///
/// # Errors
/// When the media type is not that of a tar layer, or names an unknown compression.
fn compression(descriptor: &Descriptor) -> Result<Compression> {
    if Kind::of(&descriptor.media_type) != Kind::Layer {
        return Err(Error::unsupported(format!(
            "layer data is an unsupported mediatype: {}",
            quote(&descriptor.media_type)
        )));
    }
    Compression::from_media_type(&descriptor.media_type).context("could not decompress layer")
}

fn blame_unpacked(layout: &Layout, descriptor: &Descriptor, error: Error) -> Error {
    match error.kind() {
        ErrorKind::Interrupted => error,
        _ => {
            blame(layout, descriptor, error).context(format!("unpack layer {}", descriptor.digest))
        }
    }
}

/// Why a layer could not be read. A damaged blob shows in many ways, often long before its end.
/// When it is the blob that is wrong, that is what the user has to hear.
pub(super) fn blame(layout: &Layout, descriptor: &Descriptor, error: Error) -> Error {
    if error.kind() == ErrorKind::Interrupted {
        return error;
    }
    let verified = layout.blob(descriptor).and_then(BlobReader::verify);
    verified.err().unwrap_or(error)
}
