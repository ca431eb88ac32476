// SPDX-License-Identifier: Apache-2.0
//! Entries of indexes. Some cannot be read: their digest is of an algorithm that is not
//! registered, or they break the rules. They must not make the others useless, and must not be lost.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::oci::digest::{Algorithm, is_digest};
use crate::oci::{Descriptor, Platform};

/// An entry of an index that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadEntry {
    /// How many entries that can be used stand before it.
    pub(super) after: usize,
    pub(super) value: Value,
    /// Why it cannot be used.
    pub(super) reason: String,
}

impl UnreadEntry {
    /// One of its annotations.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.value["annotations"][name].as_str()
    }

    /// Its digest, as it is written; nothing if there is none.
    pub fn digest(&self) -> &str {
        self.value["digest"].as_str().unwrap_or_default()
    }

    /// Its media type.
    pub fn media_type(&self) -> &str {
        self.value["mediaType"].as_str().unwrap_or_default()
    }

    /// The platform that it states.
    pub fn platform(&self) -> Option<Platform> {
        Platform::deserialize(self.value.get("platform")?).ok()
    }

    /// Why the entry cannot be used.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The error that its use is.
    pub fn refuse(&self) -> Error {
        Error::unsupported(self.reason.clone())
    }

    fn new(text: &str) -> serde_json::Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        let digest = value["digest"].as_str().unwrap_or_default();
        let reason = if is_of_unknown_algorithm(digest) {
            format!("the digest {} is of an algorithm that is not known", digest.escape_debug())
        } else {
            // Without the line and column in the text of the entry alone.
            let error = Descriptor::deserialize(&value).err();
            error.map_or_else(|| "a member is there twice".to_owned(), |error| error.to_string())
        };
        Ok(Self { after: 0, value, reason })
    }
}

/// Whether a text has the form of a digest, of an algorithm that is not registered.
fn is_of_unknown_algorithm(digest: &str) -> bool {
    let algorithm = digest.split(':').next().unwrap_or_default();
    is_digest(digest) && algorithm.parse::<Algorithm>().is_err()
}

impl Serialize for UnreadEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

/// An entry of an index, which can be used or cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Entry {
    /// One that can be used.
    Read(Box<Descriptor>),
    /// One that cannot.
    Unread(UnreadEntry),
}

impl Entry {
    /// The descriptor, if the entry can be used.
    pub fn descriptor(&self) -> Option<&Descriptor> {
        match self {
            Self::Read(descriptor) => Some(descriptor),
            Self::Unread(_) => None,
        }
    }

    /// The descriptor, if the entry can be used.
    pub fn into_descriptor(self) -> Option<Descriptor> {
        match self {
            Self::Read(descriptor) => Some(*descriptor),
            Self::Unread(_) => None,
        }
    }

    /// Its media type.
    pub fn media_type(&self) -> &str {
        match self {
            Self::Read(descriptor) => &descriptor.media_type,
            Self::Unread(entry) => entry.media_type(),
        }
    }

    /// Its digest, as it is written.
    pub fn digest(&self) -> String {
        match self {
            Self::Read(descriptor) => descriptor.digest.to_string(),
            Self::Unread(entry) => entry.digest().to_owned(),
        }
    }

    /// One of its annotations.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        match self {
            Self::Read(descriptor) => descriptor.annotations.get(name).map(String::as_str),
            Self::Unread(entry) => entry.annotation(name),
        }
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str(text.get()) {
            Ok(descriptor) => Ok(Self::Read(Box::new(descriptor))),
            Err(_) => UnreadEntry::new(text.get()).map(Self::Unread).map_err(D::Error::custom),
        }
    }
}
