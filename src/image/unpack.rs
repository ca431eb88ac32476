// SPDX-License-Identifier: Apache-2.0
//! From the layers of an image in a layout to a root filesystem.

use std::sync::Arc;

use super::Image;
use crate::error::{Context, Error, Result};
use crate::layer::compress::{Compression, Decoder};
use crate::layer::{ApplyOptions, FileDigests, LayerFailure, LayerSource, Unpacked, unpack_layers};
use crate::layout::{BlobReader, Layout};
use crate::oci::{Descriptor, Digest, media_type};
use crate::progress::{Counted, Progress, Stage};
use crate::rootfs::FsOps;

/// Unpacks all layers of `image` over what is in `fs`. All digests and sizes
/// have been verified when it succeeds.
///
/// # Errors
/// When a layer is missing, damaged, not understood or hostile, or the disk
/// fails. What has been written by then is the caller's to remove.
pub fn unpack_rootfs(
    layout: &Layout,
    image: &Image,
    fs: &dyn FsOps,
    file_digests: FileDigests,
    options: &ApplyOptions,
) -> Result<Unpacked> {
    // What cannot be unpacked is better found before anything is written.
    for descriptor in &image.manifest.layers {
        compression(descriptor).with_context(|| format!("layer {}", descriptor.digest))?;
    }
    let progress = &options.progress;
    let stored = image.stored_size();
    progress.begin(Stage::Unpacking);
    progress.expect_layers(image.layers().len() as u64, stored);
    let limits = options.limits.for_stored(stored);
    let options = &ApplyOptions { limits, ..options.clone() };
    let sources =
        image.layers().map(|(descriptor, diff_id)| source(layout, descriptor, diff_id, progress));
    unpack_layers(fs, sources, file_digests, options).map_err(|LayerFailure { layer, error }| {
        match layer.and_then(|at| image.manifest.layers.get(at)) {
            Some(descriptor) => reason(layout, descriptor, error),
            None => error,
        }
    })
}

fn source<'a>(
    layout: &'a Layout,
    descriptor: &Descriptor,
    diff_id: &Digest,
    progress: &Arc<Progress>,
) -> Result<LayerSource<'a>> {
    let name = descriptor.digest.to_string();
    let compression = compression(descriptor)?;
    let blob = Counted::new(layout.blob(descriptor)?, progress.clone());
    let stream = Box::new(Decoder::new(blob, compression)?);
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

/// How a layer's blob is compressed.
///
/// # Errors
/// When the media type is not that of a tar layer, or names an unknown compression.
fn compression(descriptor: &Descriptor) -> Result<Compression> {
    let (base, _) = media_type::split_suffix(&descriptor.media_type);
    if !matches!(base, media_type::IMAGE_LAYER | media_type::NONDISTRIBUTABLE_LAYER) {
        return Err(Error::unsupported(format!(
            "layer data is an unsupported mediatype: {:?}",
            descriptor.media_type
        )));
    }
    Compression::from_media_type(&descriptor.media_type).map_err(|error| {
        let media_type = &descriptor.media_type;
        error.context(format!(
            "could not decompress layer: unsupported layer media type {media_type:?}"
        ))
    })
}

/// A damaged blob shows in many ways, often long before its end. When it is
/// the blob that is wrong, that is what the user has to hear.
fn reason(layout: &Layout, descriptor: &Descriptor, error: Error) -> Error {
    let verified = layout.blob(descriptor).and_then(BlobReader::verify);
    let error = verified.err().unwrap_or(error);
    error.context(format!("unpack layer {}", descriptor.digest))
}
