// SPDX-License-Identifier: Apache-2.0
//! What there is to know about an image without reading its layers.
//!
//! [`Stat`] is the data and its JSON form; the form for people is in `text`.

mod text;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::{Context, Error, Result, counted};
use crate::layout::Layout;
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Digest, Document, History, ImageConfig, Index, Manifest, json};

/// An image's manifest, configuration and history.
#[derive(Debug, Clone)]
pub struct Stat {
    manifest_descriptor: Descriptor,
    manifest_blob: Vec<u8>,
    manifest: Manifest,
    config: Option<StoredConfig>,
}

/// A configuration of a type that this crate can read.
#[derive(Debug, Clone)]
struct StoredConfig {
    blob: Vec<u8>,
    image: Option<ImageStat>,
}

/// What only the configuration of an image has, as opposed to that of an artifact.
#[derive(Debug, Clone)]
struct ImageStat {
    config: ImageConfig,
    history: Vec<HistoryStat>,
}

/// An entry of the history with the layer that it made.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryStat {
    /// The layer's descriptor; none for an entry without a layer.
    pub layer: Option<Descriptor>,
    /// The digest of the uncompressed layer.
    #[serde(serialize_with = "digest_or_nothing")]
    pub diff_id: Option<Digest>,
    /// The entry as the configuration has it, save for members that this crate does not
    /// know: they could pass for the layer.
    #[serde(flatten)]
    pub entry: History,
}

impl Stat {
    /// Reads what a manifest's descriptor leads to.
    pub fn load(layout: &Layout, manifest: &Descriptor) -> Result<Self> {
        super::require_manifest(manifest)?;
        let manifest_blob = layout.read(manifest)?;
        let parsed = Manifest::parse(&manifest_blob)?;
        let config = has_parser(&parsed.config.media_type)
            .then(|| layout.read_limited(&parsed.config, ImageConfig::MAX_SIZE))
            .transpose()
            .context("stat")?;
        Self::new(manifest.clone(), manifest_blob, parsed, config)
    }

    /// Puts together what was read. There are no bytes of a configuration of unknown type.
    fn new(
        manifest_descriptor: Descriptor,
        manifest_blob: Vec<u8>,
        manifest: Manifest,
        config_blob: Option<Vec<u8>>,
    ) -> Result<Self> {
        let config = config_blob.map(|blob| StoredConfig::new(&manifest, blob)).transpose()?;
        Ok(Self { manifest_descriptor, manifest_blob, manifest, config })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The configuration, if it is that of an image.
    pub fn config(&self) -> Option<&ImageConfig> {
        Some(&self.config.as_ref()?.image.as_ref()?.config)
    }

    /// The history, if the configuration is that of an image.
    pub fn history(&self) -> Option<&[HistoryStat]> {
        Some(&self.config.as_ref()?.image.as_ref()?.history)
    }

    /// The form for programs: one line of JSON with the documents as they are stored,
    /// without white space.
    ///
    /// Fails if a stored document has anything behind its one JSON value.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let document = JsonStat {
            manifest: JsonDocument::new(&self.manifest_descriptor, &self.manifest_blob)?,
            config: match &self.config {
                Some(config) => Some(JsonDocument::new(&self.manifest.config, &config.blob)?),
                None => None,
            },
            history: self.history(),
        };
        json::to_bytes(&document)
    }
}

impl StoredConfig {
    fn new(manifest: &Manifest, blob: Vec<u8>) -> Result<Self> {
        let descriptor = &manifest.config;
        match Kind::of(&descriptor.media_type) {
            Kind::Config => {
                let image = Some(ImageStat::new(manifest, ImageConfig::parse(&blob)?)?);
                return Ok(Self { blob, image });
            }
            Kind::Index => drop(Index::parse(&blob)?),
            Kind::Manifest => drop(Manifest::parse(&blob)?),
            Kind::Descriptor => {
                drop(json::from_slice::<Descriptor>(&blob, json::Trailing::Ignore)?);
            }
            _ if blob != b"{}" => {
                return Err(Error::invalid("invalid descriptor: empty json blob is invalid"));
            }
            _ => {}
        }
        Ok(Self { blob, image: None })
    }
}

impl ImageStat {
    /// Deals the layers out to the entries of the history that made one.
    fn new(manifest: &Manifest, config: ImageConfig) -> Result<Self> {
        let mut layers = manifest.layers.iter().zip(&config.rootfs.diff_ids);
        let mut history = Vec::with_capacity(config.history.len());
        for entry in &config.history {
            let layer = (!entry.empty_layer)
                .then(|| layers.next().ok_or_else(|| too_few_layers(manifest, &config)))
                .transpose()?;
            history.push(HistoryStat {
                layer: layer.map(|(layer, _)| layer.clone()),
                diff_id: layer.map(|(_, diff_id)| diff_id.clone()),
                entry: History { other: json::Members::new(), ..entry.clone() },
            });
        }
        Ok(Self { config, history })
    }
}

fn too_few_layers(manifest: &Manifest, config: &ImageConfig) -> Error {
    let entries = config.history.iter().filter(|entry| !entry.empty_layer).count();
    Error::invalid(format!(
        "history has {} with a layer, but there are {} and {}",
        counted(entries, "entry", "entries"),
        counted(manifest.layers.len(), "layer", "layers"),
        counted(config.rootfs.diff_ids.len(), "diff id", "diff ids")
    ))
}

/// Whether blobs of this type are read, and not only passed on.
fn has_parser(media_type: &str) -> bool {
    !matches!(Kind::of(media_type), Kind::Layer | Kind::Other)
}

#[expect(clippy::ref_option, reason = "serde calls it with this type")]
fn digest_or_nothing<S: Serializer>(
    digest: &Option<Digest>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match digest {
        Some(digest) => serializer.collect_str(digest),
        None => serializer.serialize_str(""),
    }
}

#[derive(Serialize)]
struct JsonStat<'a> {
    manifest: JsonDocument<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<JsonDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<&'a [HistoryStat]>,
}

#[derive(Serialize)]
struct JsonDocument<'a> {
    descriptor: &'a Descriptor,
    blob: Box<RawValue>,
}

impl<'a> JsonDocument<'a> {
    fn new(descriptor: &'a Descriptor, blob: &[u8]) -> Result<Self> {
        let blob = json::compact(blob)
            .and_then(|text| {
                RawValue::from_string(text).map_err(|error| Error::invalid(error.to_string()))
            })
            .with_context(|| format!("encoding stat: blob {}", descriptor.digest))?;
        Ok(Self { descriptor, blob })
    }
}

#[cfg(test)]
mod tests;
