// SPDX-License-Identifier: Apache-2.0
//! Image manifests (image-spec `manifest.md`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Document;
use crate::error::{Context, Error, Result};
use crate::oci::Descriptor;
use crate::oci::json::{
    MAX_DOCUMENT_SIZE, Members, Trailing, from_slice, nullable, refuse_case_variants,
};
use crate::oci::media_type::{self, Kind};

/// One image: its configuration and its layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 2, but any number is read; 0 where there is none.
    #[serde(rename = "schemaVersion", default, deserialize_with = "nullable")]
    pub schema_version: i64,
    /// The media type of the manifest itself, or nothing.
    #[serde(rename = "mediaType", default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The type of the artifact, where it is one.
    #[serde(rename = "artifactType", default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "nullable")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Manifest {
    const KNOWN: &[&str] = &[
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "subject",
        "annotations",
    ];
    /// Members of an index, by which a blob could be taken for one.
    const FORBIDDEN: &[&str] = &["manifests"];

    /// Makes a manifest without layers.
    pub fn new(config: Descriptor) -> Self {
        Self {
            schema_version: 2,
            media_type: media_type::IMAGE_MANIFEST.into(),
            artifact_type: String::new(),
            config,
            layers: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
            other: Members::new(),
        }
    }

    /// Every descriptor in the manifest: configuration, layers, `subject`.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers).chain(&self.subject)
    }

    fn refuse_case_variants(&self) -> Result<()> {
        refuse_case_variants(&self.other, Self::KNOWN)?;
        refuse_case_variants(&self.other, Self::FORBIDDEN)?;
        self.descriptors().try_for_each(Descriptor::refuse_case_variants)
    }

    fn refuse_confusion(&self) -> Result<()> {
        let media_type = self.media_type.as_str();
        if !media_type.is_empty() && Kind::of(media_type) != Self::KIND {
            return Err(Error::invalid(format!(
                "malicious manifest detected: manifest contained incorrect mediaType: {}",
                media_type.escape_debug()
            )));
        }
        if let Some(name) = Self::FORBIDDEN.iter().find(|name| self.other.contains_key(**name)) {
            return Err(Error::invalid(format!(
                "malicious manifest detected: manifest contained forbidden '{name}' field"
            )));
        }
        Ok(())
    }
}

impl Document for Manifest {
    const KIND: Kind = Kind::Manifest;
    const MEDIA_TYPE: &'static str = media_type::IMAGE_MANIFEST;
    const MAX_SIZE: u64 = MAX_DOCUMENT_SIZE;

    fn parse(bytes: &[u8]) -> Result<Self> {
        let manifest: Self = from_slice(bytes, Trailing::Ignore).context("parse manifest")?;
        manifest.refuse_confusion().context("parse manifest")?;
        manifest.refuse_case_variants().context("parse manifest")?;
        Ok(manifest)
    }
}
