// SPDX-License-Identifier: Apache-2.0
//! Configurations and layers: what is said of them changes, the blobs stay, but for layers that
//! are compressed in a way that the format lacks.

use std::io::{self, BufReader, Read};

use super::{Converter, absent};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::Image;
use crate::image::stored::StoredLayer;
use crate::image::unpack::{READ_SIZE, blame, open_layer};
use crate::interrupt::Interruptible;
use crate::layer::Limits;
use crate::layer::compress::Compression;
use crate::oci::media_type::{Family, Kind, split_compression, with_compression};
use crate::oci::{Descriptor, DescriptorPath, Digest};
use crate::progress::Counted;

/// How annotations begin that describe a blob compressed with zstd in chunks.
const ZSTD_CHUNKED: &str = "io.github.containers.zstd-chunked.";

/// The layers of one image, some of which are compressed anew.
pub(super) struct Recompression {
    /// One for each layer.
    diff_ids: Vec<Digest>,
    limits: Limits,
    /// The bytes of those so far, without compression.
    unpacked: u64,
}

impl Converter<'_> {
    /// Whether a layer is compressed in a way that the format lacks.
    pub(super) fn lacks_compression(&self, layer: &Descriptor) -> bool {
        self.is_docker()
            && Kind::of(&layer.media_type) == Kind::Layer
            && !matches!(split_compression(&layer.media_type).1, "" | "gzip")
    }

    /// Starts to compress layers of an image.
    pub(super) fn recompression(&self, manifest: &Descriptor) -> Result<Recompression> {
        let path = DescriptorPath::new(vec![manifest.clone()])?;
        let image = Image::load(self.layout(), path)?;
        Ok(Recompression {
            diff_ids: image.layers().map(|(_, diff_id)| diff_id.clone()).collect(),
            limits: self.options.limits.for_stored(image.stored_size()),
            unpacked: 0,
        })
    }

    /// Converts the layer at a place of an image, whose blob becomes another one.
    pub(super) fn layer(
        &mut self,
        old: &Descriptor,
        at: usize,
        image: &mut Recompression,
    ) -> Result<Descriptor> {
        let diff_id = image.diff_ids[at].clone();
        let doing = || format!("compress layer {} anew", old.digest);
        let stored = self.compressed(old, &diff_id, image).with_context(doing)?;
        compare(&stored.diff_id, &diff_id).with_context(doing)?;
        let mut new = old.clone();
        let (base, _) = split_compression(&old.media_type);
        new.media_type = with_compression(base, Compression::Gzip.suffix());
        new.redirect(stored.digest, stored.size);
        // The addresses are those of the other blob.
        new.urls.clear();
        new.annotations.retain(|name, _| !name.starts_with(ZSTD_CHUNKED));
        self.part(&new)
    }

    /// What became of a layer.
    fn compressed(
        &mut self,
        old: &Descriptor,
        diff_id: &Digest,
        image: &mut Recompression,
    ) -> Result<StoredLayer> {
        let key = (old.digest.clone(), old.media_type.clone(), diff_id.algorithm());
        if let Some(known) = self.layers.get(&key) {
            image.add(known.plain_size)?;
            return Ok(known.clone());
        }
        if self.is_absent(old)? {
            return Err(absent(old));
        }
        let stored = self.compress_anew(old, diff_id, image);
        let stored = stored.map_err(|error| blame(self.layout(), old, error))?;
        self.layers.insert(key, stored.clone());
        Ok(stored)
    }

    /// Stores a layer with gzip. The uncompressed bytes stay.
    fn compress_anew(
        &self,
        old: &Descriptor,
        diff_id: &Digest,
        image: &mut Recompression,
    ) -> Result<StoredLayer> {
        let plain = Counted::new(open_layer(self.layout(), old)?, self.options.progress.clone());
        let plain = Interruptible::new(plain, self.layout().interrupt().clone());
        let mut plain = BufReader::with_capacity(READ_SIZE, Limited { inner: plain, image });
        let blob = self.writer.blob_with(old.digest.algorithm())?;
        let options = &self.options.encoder;
        StoredLayer::write(blob, diff_id.algorithm(), Compression::Gzip, options, |output| {
            io::copy(&mut plain, output)?;
            Ok(())
        })
    }

    /// Converts the descriptor of a configuration or layer, whose blob stays.
    pub(super) fn part(&mut self, old: &Descriptor) -> Result<Descriptor> {
        let mut new = old.clone();
        new.media_type = match (self.media_type(&old.media_type, old), self.family) {
            // Parts of artifacts are at home here.
            (Err(_), Family::Oci) => old.media_type.clone(),
            (media_type, _) => media_type?,
        };
        // A layer with addresses may be had elsewhere.
        if old.urls.is_empty() && self.is_absent(old)? {
            return Err(absent(old));
        }
        self.drop_extras(old, &mut new.annotations)?;
        self.drop_text(old, &mut new.artifact_type)?;
        self.take_out_data(&mut new)?;
        Ok(new)
    }

    /// Makes sure of what is embedded in a descriptor. Docker's format has no place for it there,
    /// and there it becomes a blob of its own.
    pub(super) fn take_out_data(&self, descriptor: &mut Descriptor) -> Result<()> {
        if descriptor.data.is_none() {
            return Ok(());
        }
        let mut data = self.layout().blob(descriptor)?;
        if self.is_docker() {
            let mut blob = self.writer.blob_with(descriptor.digest.algorithm())?;
            io::copy(&mut data, &mut blob)?;
            blob.commit()?;
            descriptor.data = None;
        }
        Ok(())
    }
}

impl Recompression {
    /// Counts bytes without compression.
    fn add(&mut self, bytes: u64) -> Result<()> {
        self.unpacked = self.unpacked.saturating_add(bytes);
        self.limits.check_size(self.unpacked)
    }
}

/// A layer without compression, as long as there is not too much of it.
struct Limited<'a, R> {
    inner: R,
    image: &'a mut Recompression,
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.image.add(count as u64)?;
        Ok(count)
    }
}

fn compare(got: &Digest, expected: &Digest) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    let message = format!("diffid mismatch: got {got} expected {expected}");
    Err(Error::new(ErrorKind::Mismatch, message))
}
