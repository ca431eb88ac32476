// SPDX-License-Identifier: Apache-2.0
//! What a change of an image has stored: a layer, and a document in the place of another.

use std::io::{BufWriter, Write};

use super::annotate::AnnotationEdit;
use super::editor::UNCOMPRESSED_SIZE;
use super::new_layer::LayerOptions;
use crate::error::{Context, Result};
use crate::layer::compress::{Compression, Encoder, EncoderOptions};
use crate::layout::BlobWriter;
use crate::oci::media_type::Family;
use crate::oci::{Algorithm, Descriptor, Digest, Hashing};

/// How much is collected before it is written to a blob.
const WRITE_SIZE: usize = 256 << 10;

/// A descriptor whose blob was replaced.
pub(super) struct Moved {
    pub(super) old: Descriptor,
    pub(super) new: Descriptor,
    /// Changes of the annotations of every entry that leads there.
    pub(super) edits: Vec<AnnotationEdit>,
}

impl Moved {
    /// Leads from the one to the blob of the other, and keeps all else that is said of it.
    pub(super) fn new(descriptor: &Descriptor, stored: &Descriptor) -> Self {
        let mut new = descriptor.clone();
        new.redirect(stored.digest.clone(), stored.size);
        Self { old: descriptor.clone(), new, edits: Vec::new() }
    }

    /// Whether the entry of an index is the one that was replaced.
    pub(super) fn is_from(&self, entry: &Descriptor) -> bool {
        entry.digest == self.old.digest && entry.platform == self.old.platform
    }
}

/// A layer whose blob is in the layout.
#[derive(Debug, Clone)]
pub(super) struct StoredLayer {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) diff_id: Digest,
    /// The bytes without compression.
    pub(super) plain_size: u64,
}

impl StoredLayer {
    /// Compresses what is written, and stores it.
    pub(super) fn write(
        blob: BlobWriter,
        plain: Algorithm,
        compression: Compression,
        options: &EncoderOptions,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<Self> {
        let blob = BufWriter::with_capacity(WRITE_SIZE, blob);
        let encoder = Encoder::new(blob, compression, options)?;
        let mut plain = Hashing::new(plain, encoder);
        write(&mut plain)?;
        let (encoder, diff_id, plain_size) = plain.finish();
        let blob = encoder.finish().context("compress layer")?;
        let blob = blob.into_inner().map_err(std::io::IntoInnerError::into_error);
        let (digest, size) = blob.context("write layer blob")?.commit()?;
        Ok(Self { digest, size, diff_id, plain_size })
    }

    /// What a manifest says of it.
    pub(super) fn descriptor(&self, media_type: String, options: &LayerOptions) -> Descriptor {
        let mut descriptor = Descriptor::new(media_type, self.digest.clone(), self.size);
        descriptor.annotations.clone_from(&options.annotations);
        if self.size != self.plain_size
            && Family::of(&descriptor.media_type) != Some(Family::Docker)
        {
            let size = self.plain_size.to_string();
            descriptor.annotations.insert(UNCOMPRESSED_SIZE.to_owned(), size);
        }
        descriptor
    }
}
