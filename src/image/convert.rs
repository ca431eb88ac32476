// SPDX-License-Identifier: Apache-2.0
//! [`convert`]: the same image in the words of another format.
//!
//! What changes are media types, and what depends on them: manifests and
//! indexes. Configurations stay as they are, and with them the image ids.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Write, copy};
use std::sync::Arc;

use super::editor::{UNCOMPRESSED_SIZE, WRITE_SIZE};
use super::{open_layer, put};
use crate::error::{Context, Error, Result};
use crate::layer::compress::{Compression, Encoder, EncoderOptions};
use crate::layout::{LayoutWriter, MAX_DEPTH, Platforms, is_about_image, too_deep};
use crate::oci::media_type::{Family, Kind, split_compression, with_compression};
use crate::oci::{Descriptor, Digest, Entry, Index, Manifest, Platform};
use crate::progress::{Counted, Progress, Stage};

/// How annotations begin that describe a blob compressed with zstd in chunks.
const ZSTD_CHUNKED: &str = "io.github.containers.zstd-chunked.";

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
/// in a way that the format lacks are compressed with gzip.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::error::ErrorKind::Unsupported) for what the format cannot express: in Docker's, indexes in
/// indexes, layers and configurations of other types, and with [`Loss::Refuse`] annotations,
/// subjects, types of artifacts, and entries that are no images.
pub fn convert(
    writer: &LayoutWriter,
    descriptor: &Descriptor,
    family: Family,
    options: &ConvertOptions,
) -> Result<Converted> {
    options.progress.begin(Stage::Packing);
    let mut converter =
        Converter { writer, family, options, done: HashMap::new(), lost: Vec::new() };
    let mut new = converter.document(descriptor, 0)?;
    new.annotations.clone_from(&descriptor.annotations);
    Ok(Converted { descriptor: new, lost: converter.lost })
}

struct Converter<'a> {
    writer: &'a LayoutWriter,
    family: Family,
    options: &'a ConvertOptions,
    /// What has become of blobs of a media type. Nothing is done twice.
    done: HashMap<(Digest, String), Descriptor>,
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
        Ok(new)
    }

    fn index(&mut self, old: &Descriptor, depth: usize) -> Result<Descriptor> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        if self.is_docker() && depth > 0 {
            return Err(self.cannot("an index in an index", old));
        }
        let before: Index = self.writer.layout().document(old)?;
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
        let mut new = self.document(old, depth + 1)?;
        self.drop_extras(old, &mut new.annotations)?;
        self.drop_text(old, &mut new.artifact_type)?;
        if self.is_docker() && !new.platform.as_ref().is_some_and(Platform::is_stated) {
            new.platform = Platforms::new(self.writer.layout()).of(old)?;
        }
        Ok(Some(new))
    }

    /// Whether an entry is an image, or an index of some, and nothing about one.
    fn is_image(&self, entry: &Descriptor) -> Result<bool> {
        if is_about_image(entry) || Kind::of(&entry.media_type) != Kind::Manifest {
            return Ok(Kind::of(&entry.media_type) == Kind::Index);
        }
        if self.done.contains_key(&(entry.digest.clone(), entry.media_type.clone())) {
            return Ok(true);
        }
        let manifest: Manifest = self.writer.layout().document(entry)?;
        Ok(Kind::of(&manifest.config.media_type) == Kind::Config)
    }

    fn manifest(&mut self, old: &Descriptor) -> Result<Descriptor> {
        let before: Manifest = self.writer.layout().document(old)?;
        let mut manifest = before.clone();
        manifest.config = self.part(&before.config)?;
        for layer in &mut manifest.layers {
            *layer = self.layer(layer)?;
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

    fn layer(&mut self, old: &Descriptor) -> Result<Descriptor> {
        let (base, method) = split_compression(&old.media_type);
        if !self.is_docker() || matches!(method, "" | "gzip") {
            return self.part(old);
        }
        let base = base.to_owned();
        let key = (old.digest.clone(), old.media_type.clone());
        let stored = match self.done.get(&key) {
            Some(done) => done.clone(),
            None => self
                .compress_anew(old)
                .with_context(|| format!("compress layer {} anew", old.digest))?,
        };
        self.done.insert(key, stored.clone());
        let mut new = old.clone();
        new.media_type = with_compression(&base, Compression::Gzip.suffix());
        new.redirect(stored.digest, stored.size);
        // The addresses are those of the other blob.
        new.urls.clear();
        new.annotations.retain(|name, _| !name.starts_with(ZSTD_CHUNKED));
        self.part(&new)
    }

    /// Stores a layer with gzip. The uncompressed bytes, and with them its diff id, stay.
    fn compress_anew(&self, old: &Descriptor) -> Result<Descriptor> {
        let mut plain =
            Counted::new(open_layer(self.writer.layout(), old)?, self.options.progress.clone());
        let blob =
            BufWriter::with_capacity(WRITE_SIZE, self.writer.blob_with(old.digest.algorithm())?);
        let mut encoder = Encoder::new(blob, Compression::Gzip, &self.options.encoder)?;
        copy(&mut plain, &mut encoder)?;
        let blob = encoder.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        let (digest, size) = blob.commit()?;
        Ok(Descriptor::new("", digest, size))
    }

    /// Converts the descriptor of a configuration or layer, whose blob stays.
    fn part(&mut self, old: &Descriptor) -> Result<Descriptor> {
        let mut new = old.clone();
        new.media_type = match (self.media_type(&old.media_type, old), self.family) {
            // Parts of artifacts are at home here.
            (Err(_), Family::Oci) => old.media_type.clone(),
            (media_type, _) => media_type?,
        };
        self.drop_extras(old, &mut new.annotations)?;
        self.drop_text(old, &mut new.artifact_type)?;
        if let Some(data) = new.data.take_if(|_| self.family == Family::Docker) {
            let mut blob = self.writer.blob_with(new.digest.algorithm())?;
            blob.write_all(&data)?;
            blob.commit()?;
        }
        Ok(new)
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

    fn cannot(&self, what: &str, of: &Descriptor) -> Error {
        let Self { family, .. } = self;
        Error::unsupported(format!(
            "{family}'s image format has no place for {what}, as {} has it",
            of.digest
        ))
    }

    /// Leaves something out, if that may be.
    fn lose(&mut self, of: &Descriptor, what: &str) -> Result<()> {
        if self.options.loss == Loss::Refuse {
            return Err(self.cannot(what, of));
        }
        self.lost.push(format!("{what} of {}", of.digest));
        Ok(())
    }

    fn drop_extras(
        &mut self,
        of: &Descriptor,
        annotations: &mut BTreeMap<String, String>,
    ) -> Result<()> {
        if self.is_docker() {
            annotations.remove(UNCOMPRESSED_SIZE);
            for name in std::mem::take(annotations).into_keys() {
                self.lose(of, &format!("the annotation {name:?}"))?;
            }
        }
        Ok(())
    }

    fn drop_value<T>(&mut self, of: &Descriptor, what: &str, value: &mut Option<T>) -> Result<()> {
        if self.is_docker() && value.take().is_some() {
            self.lose(of, what)?;
        }
        Ok(())
    }

    fn drop_text(&mut self, of: &Descriptor, text: &mut String) -> Result<()> {
        if self.is_docker() && !std::mem::take(text).is_empty() {
            self.lose(of, "a type of artifact")?;
        }
        Ok(())
    }
}
