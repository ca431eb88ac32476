// SPDX-License-Identifier: Apache-2.0
//! Image indexes (image-spec `image-index.md`): blobs, and the layout's `index.json`.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::mem;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::Document;
use super::entry::{Entry, UnreadEntry};
use crate::error::{Context, Error, Result};
use crate::oci::Descriptor;
use crate::oci::json::{
    MAX_DOCUMENT_SIZE, Members, Trailing, from_slice, nullable, refuse_case_variants,
};
use crate::oci::media_type::{self, Kind};

/// A list of manifests, or of further indexes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Stored<Entry>")]
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

/// The members of an index as they are stored, with entries that may be unread ([`Entry`]) or
/// none that is ([`Descriptor`]).
#[derive(Deserialize)]
#[serde(bound = "E: Deserialize<'de>")]
struct Stored<E> {
    #[serde(rename = "schemaVersion", default, deserialize_with = "nullable")]
    schema_version: i64,
    #[serde(rename = "mediaType", default, deserialize_with = "nullable")]
    media_type: String,
    #[serde(rename = "artifactType", default, deserialize_with = "nullable")]
    artifact_type: String,
    #[serde(default, deserialize_with = "nullable")]
    manifests: Vec<E>,
    #[serde(default)]
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "nullable")]
    annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    other: Members,
}

impl<E> Stored<E> {
    /// The index without its entries, and these.
    fn into_parts(self) -> (Index, Vec<E>) {
        let index = Index {
            schema_version: self.schema_version,
            media_type: self.media_type,
            artifact_type: self.artifact_type,
            manifests: Vec::new(),
            unread: Vec::new(),
            subject: self.subject,
            annotations: self.annotations,
            other: self.other,
        };
        (index, self.manifests)
    }
}

impl From<Stored<Entry>> for Index {
    fn from(stored: Stored<Entry>) -> Self {
        let (mut index, entries) = stored.into_parts();
        index.set_entries(entries);
        index
    }
}

impl From<Stored<Descriptor>> for Index {
    fn from(stored: Stored<Descriptor>) -> Self {
        let (index, manifests) = stored.into_parts();
        Self { manifests, ..index }
    }
}

impl Serialize for Index {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("schemaVersion", &self.schema_version)?;
        for (name, value) in
            [("mediaType", &self.media_type), ("artifactType", &self.artifact_type)]
        {
            if !value.is_empty() {
                members.serialize_entry(name, value)?;
            }
        }
        members.serialize_entry("manifests", &Entries(self))?;
        if let Some(subject) = &self.subject {
            members.serialize_entry("subject", subject)?;
        }
        if !self.annotations.is_empty() {
            members.serialize_entry("annotations", &self.annotations)?;
        }
        for (name, value) in &self.other {
            members.serialize_entry(name, value)?;
        }
        members.end()
    }
}

/// The entries of an index as they are stored.
struct Entries<'a>(&'a Index);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(merge(&self.0.manifests, &self.0.unread))
    }
}

/// An entry, or a reference to one.
#[derive(Serialize)]
#[serde(untagged)]
enum Merged<R, U> {
    Read(R),
    Unread(U),
}

impl From<Merged<Descriptor, UnreadEntry>> for Entry {
    fn from(entry: Merged<Descriptor, UnreadEntry>) -> Self {
        match entry {
            Merged::Read(descriptor) => Self::Read(Box::new(descriptor)),
            Merged::Unread(entry) => Self::Unread(entry),
        }
    }
}

/// All entries in their order.
fn merge<R, U: Borrow<UnreadEntry>>(
    read: impl IntoIterator<Item = R>,
    unread: impl IntoIterator<Item = U>,
) -> impl Iterator<Item = Merged<R, U>> {
    let mut unread = unread.into_iter().peekable();
    let mut read = read.into_iter().enumerate().peekable();
    std::iter::from_fn(move || {
        let at = read.peek().map(|(at, _)| *at);
        let is_next = |entry: &U| at.is_none_or(|at| entry.borrow().after <= at);
        if let Some(entry) = unread.next_if(is_next) {
            return Some(Merged::Unread(entry));
        }
        read.next().map(|(_, descriptor)| Merged::Read(descriptor))
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
        let index = Self::read(bytes, Trailing::Refuse).context("parse index.json")?;
        index.refuse_case_variants().context("parse index.json")?;
        Ok(index)
    }

    /// Hardly any index has entries that cannot be used, and setting each aside until it is known
    /// takes as long as reading it.
    fn read(bytes: &[u8], trailing: Trailing) -> Result<Self> {
        match from_slice::<Stored<Descriptor>>(bytes, trailing) {
            Ok(stored) => Ok(stored.into()),
            Err(_) => from_slice(bytes, trailing),
        }
    }

    /// The values of an annotation, of all entries and in their order.
    pub fn annotated<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        merge(&self.manifests, &self.unread).filter_map(move |entry| match entry {
            Merged::Read(descriptor) => descriptor.annotations.get(name).map(String::as_str),
            Merged::Unread(entry) => entry.annotation(name),
        })
    }

    /// All entries, in their order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + use<> {
        merge(self.manifests.clone(), self.unread.clone()).map(Entry::from)
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
        let entries = merge(manifests, unread).map(Entry::from);
        let (taken, kept): (Vec<_>, Vec<_>) = entries.partition(is_meant);
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
        let index = Self::read(bytes, Trailing::Ignore).context("parse index")?;
        index.refuse_confusion().context("parse index")?;
        index.refuse_case_variants().context("parse index")?;
        Ok(index)
    }
}
