// SPDX-License-Identifier: Apache-2.0
//! [`convert`]: the same image in the words of another format.
//!
//! What changes are media types, and what depends on them: manifests and
//! indexes. Configurations stay as they are, and with them the image ids.

mod loss;
mod parts;

use std::collections::HashMap;
use std::sync::Arc;

use super::put;
use super::stored::StoredLayer;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Limits;
use crate::layer::compress::EncoderOptions;
use crate::layout::{Layout, LayoutWriter, MAX_DEPTH, Platforms, is_about_image, too_deep};
use crate::oci::media_type::{Family, Kind};
use crate::oci::{Algorithm, Descriptor, Digest, Document, Entry, Index, Manifest, Platform};
use crate::progress::{Progress, Stage};

/// What becomes of annotations and the like that a format has no place for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Loss {
    /// They are an error.
    #[default]
    Refuse,
    /// They are left out.
    Accept,
}

/// How an image is converted.
#[derive(Debug, Clone, Default)]
pub struct ConvertOptions {
    /// What may be lost.
    pub loss: Loss,
    /// How layers are compressed that have to be compressed anew.
    pub encoder: EncoderOptions,
    /// What such layers of one image may have together without compression.
    pub limits: Limits,
    /// Where bytes of such layers are counted, before compression.
    pub progress: Arc<Progress>,
}

/// The result of a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// What the image, or index of images, is now. Annotations are those it had: they belong
    /// to the layout.
    pub descriptor: Descriptor,
    /// What was left out, each as one line.
    pub lost: Vec<String>,
}

/// Stores what a descriptor leads to, an image or an index of images, in the format of a family.
///
/// What is in that format already stays as it is, down to the digest. Layers that are compressed
/// in a way that the format lacks are compressed with gzip, and must have their diff ids.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for what the format cannot express: in Docker's, indexes in
/// indexes, layers and configurations of other types, images without a platform in an index, and
/// with [`Loss::Refuse`] annotations, subjects, types of artifacts, and entries that are no
/// images. [`ErrorKind::NotFound`] when the layout lacks a blob of an image, or an image that is
/// not in the format already; layers may be absent if they have addresses.
pub fn convert(
    writer: &LayoutWriter,
    descriptor: &Descriptor,
    family: Family,
    options: &ConvertOptions,
) -> Result<Converted> {
    options.progress.begin(Stage::Packing);
    let mut converter = Converter {
        writer,
        family,
        options,
        done: HashMap::new(),
        layers: HashMap::new(),
        lost: Vec::new(),
    };
    let mut new = converter.document(descriptor, 0)?;
    new.annotations.clone_from(&descriptor.annotations);
    Ok(Converted { descriptor: new, lost: converter.lost })
}

struct Converter<'a> {
    writer: &'a LayoutWriter,
    family: Family,
    options: &'a ConvertOptions,
    /// What has become of documents of a media type. Nothing is done twice.
    done: HashMap<(Digest, String), Descriptor>,
    /// What has become of layers of a media type, and their diff ids by an algorithm.
    layers: HashMap<(Digest, String, Algorithm), StoredLayer>,
    lost: Vec<String>,
}

impl Converter<'_> {
    /// Converts an index or a manifest.
    fn document(&mut self, old: &Descriptor, depth: usize) -> Result<Descriptor> {
        let key = (old.digest.clone(), old.media_type.clone());
        let stored = match (self.done.get(&key), Kind::of(&old.media_type)) {
            (Some(done), _) => done.clone(),
            (None, Kind::Index) => self.index(old, depth)?,
            (None, Kind::Manifest) => self.manifest(old)?,
            (None, _) => return Err(self.cannot("an entry that is no image", old)),
        };
        self.done.insert(key, stored.clone());
        let mut new = Descriptor { media_type: stored.media_type, ..old.clone() };
        if new.digest != stored.digest {
            new.redirect(stored.digest, stored.size);
        }
        self.take_out_data(&mut new)?;
        Ok(new)
    }

    /// Reads a document that must be here.
    fn read<D: Document>(&self, descriptor: &Descriptor) -> Result<D> {
        self.layout().interrupt().check()?;
        if self.is_absent(descriptor)? {
            return Err(absent(descriptor));
        }
        self.layout().document(descriptor)
    }

    fn is_absent(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(descriptor.data.is_none() && !self.layout().contains(descriptor)?)
    }

    fn layout(&self) -> &Layout {
        self.writer.layout()
    }

    fn index(&mut self, old: &Descriptor, depth: usize) -> Result<Descriptor> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let before: Index = self.read(old)?;
        let mut index = before.clone();
        let mut entries = Vec::new();
        for entry in before.entries() {
            entries.extend(match entry {
                Entry::Read(entry) => {
                    self.entry(&entry, depth)?.map(|new| Entry::Read(Box::new(new)))
                }
                Entry::Unread(entry) if self.is_docker() => {
                    self.lose(old, &format!("the entry {:?}", entry.digest()))?;
                    None
                }
                unread @ Entry::Unread(_) => Some(unread),
            });
        }
        index.set_entries(entries);
        if index.manifests.is_empty() && !before.manifests.is_empty() {
            return Err(self.cannot("an index without images", old));
        }
        self.drop_extras(old, &mut index.annotations)?;
        self.drop_value(old, "a subject", &mut index.subject)?;
        self.drop_text(old, &mut index.artifact_type)?;
        let media_type = self.media_type(&old.media_type, old)?;
        index.media_type.clone_from(&media_type);
        self.store(old, media_type, before == index, |writer| {
            put(writer, old.digest.algorithm(), &index)
        })
    }

    /// Converts an entry of an index; none is left of what may be lost.
    fn entry(&mut self, old: &Descriptor, depth: usize) -> Result<Option<Descriptor>> {
        if !self.is_docker() && !matches!(Kind::of(&old.media_type), Kind::Index | Kind::Manifest) {
            return Ok(Some(old.clone()));
        }
        if self.is_docker() && !self.is_image(old)? {
            self.lose(old, "an entry that is no image")?;
            return Ok(None);
        }
        if self.is_docker() && Kind::of(&old.media_type) == Kind::Index {
            return Err(self.cannot("an index in an index", old));
        }
        // One platform of several is often all that was copied.
        let stays = Family::of(&old.media_type) == Some(self.family) && self.is_absent(old)?;
        let mut new = if stays { old.clone() } else { self.document(old, depth + 1)? };
        self.drop_extras(old, &mut new.annotations)?;
        self.drop_text(old, &mut new.artifact_type)?;
        if self.is_docker() && !new.platform.as_ref().is_some_and(Platform::is_stated) {
            new.platform = Platforms::new(self.layout()).of(old)?;
            if new.platform.is_none() {
                return Err(self.cannot("an image without a platform", old));
            }
        }
        Ok(Some(new))
    }

    /// Whether an entry is an image, or an index of some, and nothing about one.
    fn is_image(&self, entry: &Descriptor) -> Result<bool> {
        if is_about_image(entry) || Kind::of(&entry.media_type) != Kind::Manifest {
            return Ok(Kind::of(&entry.media_type) == Kind::Index);
        }
        // What is not here is not known to be anything else.
        if self.is_absent(entry)?
            || self.done.contains_key(&(entry.digest.clone(), entry.media_type.clone()))
        {
            return Ok(true);
        }
        let manifest: Manifest = self.layout().document(entry)?;
        Ok(Kind::of(&manifest.config.media_type) == Kind::Config)
    }

    fn manifest(&mut self, old: &Descriptor) -> Result<Descriptor> {
        let before: Manifest = self.read(old)?;
        let mut manifest = before.clone();
        manifest.config = self.part(&before.config)?;
        let lacks = before.layers.iter().any(|layer| self.lacks_compression(layer));
        let mut anew = lacks.then(|| self.recompression(old)).transpose()?;
        for (at, layer) in manifest.layers.iter_mut().enumerate() {
            *layer = match &mut anew {
                Some(image) if self.lacks_compression(layer) => self.layer(layer, at, image)?,
                _ => self.part(layer)?,
            };
        }
        self.drop_extras(old, &mut manifest.annotations)?;
        self.drop_value(old, "a subject", &mut manifest.subject)?;
        self.drop_text(old, &mut manifest.artifact_type)?;
        let media_type = self.media_type(&old.media_type, old)?;
        manifest.media_type.clone_from(&media_type);
        self.store(old, media_type, before == manifest, |writer| {
            put(writer, old.digest.algorithm(), &manifest)
        })
    }

    /// Gives the descriptor of what a document became: the old one if nothing changed, lest
    /// its bytes do.
    fn store(
        &self,
        old: &Descriptor,
        media_type: String,
        is_same: bool,
        put: impl FnOnce(&LayoutWriter) -> Result<Descriptor>,
    ) -> Result<Descriptor> {
        if is_same && media_type == old.media_type {
            return Ok(Descriptor::new(media_type, old.digest.clone(), old.size));
        }
        Ok(Descriptor { media_type, ..put(self.writer)? })
    }

    fn is_docker(&self) -> bool {
        self.family == Family::Docker
    }

    fn media_type(&self, media_type: &str, of: &Descriptor) -> Result<String> {
        let translated = self.family.translate(media_type);
        translated.ok_or_else(|| self.cannot(&format!("the type {media_type:?}"), of))
    }
}

fn absent(descriptor: &Descriptor) -> Error {
    let Descriptor { digest, size, .. } = descriptor;
    let error =
        Error::new(ErrorKind::NotFound, format!("the layout has no blob {digest} of {size} bytes"));
    match &descriptor.platform {
        Some(platform) if platform.is_stated() => error.context(format!("image for {platform}")),
        _ => error,
    }
}
