// SPDX-License-Identifier: Apache-2.0
//! Image indexes (image-spec `image-index.md`): blobs, and the layout's `index.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Document;
use crate::error::{Context, Error, Result};
use crate::oci::Descriptor;
use crate::oci::json::{
    MAX_DOCUMENT_SIZE, Members, Trailing, from_slice, nullable, refuse_case_variants,
};
use crate::oci::media_type::{self, Kind};

/// A list of manifests, or of further indexes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// 2, but any number is read; 0 where there is none.
    #[serde(rename = "schemaVersion", default, deserialize_with = "nullable")]
    pub schema_version: i64,
    /// The media type of the index itself, or nothing.
    #[serde(rename = "mediaType", default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The type of the artifact, where it is one.
    #[serde(rename = "artifactType", default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// The entries.
    #[serde(default, deserialize_with = "nullable")]
    pub manifests: Vec<Descriptor>,
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

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: media_type::IMAGE_INDEX.into(),
            artifact_type: String::new(),
            manifests: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
            other: Members::new(),
        }
    }
}

impl Index {
    const KNOWN: &[&str] =
        &["schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"];
    /// Members of a manifest, by which a blob could be taken for one.
    const FORBIDDEN: &[&str] = &["config", "layers"];

    /// Reads a layout's `index.json`: one value, whose `mediaType` and foreign members
    /// do not matter, since the file's name says what it is.
    pub fn parse_top_level(bytes: &[u8]) -> Result<Self> {
        let index: Self = from_slice(bytes, Trailing::Refuse).context("parse index.json")?;
        index.refuse_case_variants().context("parse index.json")?;
        Ok(index)
    }

    /// Every descriptor in the index, `subject` last.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().chain(&self.subject)
    }

    /// Every descriptor in the index, to be changed.
    pub fn descriptors_mut(&mut self) -> impl Iterator<Item = &mut Descriptor> {
        self.manifests.iter_mut().chain(&mut self.subject)
    }

    fn refuse_case_variants(&self) -> Result<()> {
        refuse_case_variants(&self.other, Self::KNOWN)?;
        self.descriptors().try_for_each(Descriptor::refuse_case_variants)
    }

    fn refuse_confusion(&self) -> Result<()> {
        let media_type = self.media_type.as_str();
        if !media_type.is_empty() && Kind::of(media_type) != Self::KIND {
            return Err(Error::invalid(format!(
                "malicious image detected: index contained incorrect mediaType: {}",
                media_type.escape_debug()
            )));
        }
        if let Some(name) = Self::FORBIDDEN.iter().find(|name| self.other.contains_key(**name)) {
            return Err(Error::invalid(format!(
                "malicious image detected: index contained forbidden '{name}' field"
            )));
        }
        refuse_case_variants(&self.other, Self::FORBIDDEN)
    }
}

impl Document for Index {
    const KIND: Kind = Kind::Index;
    const MEDIA_TYPE: &'static str = media_type::IMAGE_INDEX;
    const MAX_SIZE: u64 = MAX_DOCUMENT_SIZE;

    fn parse(bytes: &[u8]) -> Result<Self> {
        let index: Self = from_slice(bytes, Trailing::Ignore).context("parse index")?;
        index.refuse_confusion().context("parse index")?;
        index.refuse_case_variants().context("parse index")?;
        Ok(index)
    }
}
