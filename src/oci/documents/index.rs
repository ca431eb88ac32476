// SPDX-License-Identifier: Apache-2.0
//! Image indexes (image-spec `image-index.md`): blobs, and the layout's `index.json`.

use std::collections::BTreeMap;
use std::mem;

use serde::{Deserialize, Serialize};

use super::Document;
use super::entry::{Entry, UnreadEntry};
use crate::error::{Context, Error, Result};
use crate::oci::Descriptor;
use crate::oci::json::{
    MAX_DOCUMENT_SIZE, Members, Trailing, from_slice, nullable, refuse_case_variants,
};
use crate::oci::media_type::{self, Kind};

/// A list of manifests, or of further indexes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Index {
    /// 2, but any number is read; 0 where there is none.
    pub schema_version: i64,
    /// The media type of the index itself, or nothing.
    pub media_type: String,
    /// The type of the artifact, where it is one.
    pub artifact_type: String,
    /// The entries.
    pub manifests: Vec<Descriptor>,
    /// Entries that cannot be used: their digests are of algorithms that are not registered, or
    /// they break the rules. They stay as they are.
    pub unread: Vec<UnreadEntry>,
    /// The manifest that this one is about.
    pub subject: Option<Descriptor>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Members that this crate does not know.
    pub other: Members,
}

/// The members of an index as they are stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(rename = "schemaVersion", default, deserialize_with = "nullable")]
    schema_version: i64,
    #[serde(rename = "mediaType", default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "String::is_empty")]
    media_type: String,
    #[serde(rename = "artifactType", default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "String::is_empty")]
    artifact_type: String,
    #[serde(default, deserialize_with = "nullable")]
    manifests: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    other: Members,
}

impl From<Stored> for Index {
    fn from(stored: Stored) -> Self {
        let Stored {
            schema_version,
            media_type,
            artifact_type,
            manifests,
            subject,
            annotations,
            other,
        } = stored;
        let mut index = Self {
            schema_version,
            media_type,
            artifact_type,
            manifests: Vec::new(),
            unread: Vec::new(),
            subject,
            annotations,
            other,
        };
        index.set_entries(manifests);
        index
    }
}

impl From<Index> for Stored {
    fn from(index: Index) -> Self {
        let manifests = merge(index.manifests, index.unread);
        let Index {
            schema_version, media_type, artifact_type, subject, annotations, other, ..
        } = index;
        Self {
            schema_version,
            media_type,
            artifact_type,
            manifests: manifests.collect(),
            subject,
            annotations,
            other,
        }
    }
}

/// All entries in their order.
fn merge(read: Vec<Descriptor>, unread: Vec<UnreadEntry>) -> impl Iterator<Item = Entry> {
    let mut unread = unread.into_iter().peekable();
    let mut read = read.into_iter().enumerate().peekable();
    std::iter::from_fn(move || {
        let at = read.peek().map(|(at, _)| *at);
        if let Some(entry) = unread.next_if(|entry| at.is_none_or(|at| entry.after <= at)) {
            return Some(Entry::Unread(entry));
        }
        read.next().map(|(_, descriptor)| Entry::Read(Box::new(descriptor)))
    })
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: media_type::IMAGE_INDEX.into(),
            artifact_type: String::new(),
            manifests: Vec::new(),
            unread: Vec::new(),
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

    /// The values of an annotation, of all entries and in their order.
    pub fn annotated(self, name: &str) -> impl Iterator<Item = String> {
        let entries = merge(self.manifests, self.unread);
        entries.filter_map(move |entry| entry.annotation(name).map(str::to_owned))
    }

    /// All entries, in their order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + use<> {
        merge(self.manifests.clone(), self.unread.clone())
    }

    /// Lets these be the entries.
    pub fn set_entries(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.manifests.clear();
        self.unread.clear();
        for entry in entries {
            match entry {
                Entry::Read(descriptor) => self.manifests.push(*descriptor),
                Entry::Unread(entry) => {
                    self.unread.push(UnreadEntry { after: self.manifests.len(), ..entry });
                }
            }
        }
    }

    /// Takes some of the entries out. The order of the others stays.
    pub fn extract(&mut self, is_meant: impl FnMut(&Entry) -> bool) -> Vec<Entry> {
        let (manifests, unread) = (mem::take(&mut self.manifests), mem::take(&mut self.unread));
        let (taken, kept): (Vec<_>, Vec<_>) = merge(manifests, unread).partition(is_meant);
        self.set_entries(kept);
        taken
    }

    /// Keeps only some of the entries. The order stays.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&Entry) -> bool) {
        self.extract(|entry| !is_kept(entry));
    }

    /// Every descriptor in the index that could be read, `subject` last.
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
