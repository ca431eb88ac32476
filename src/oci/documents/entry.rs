// SPDX-License-Identifier: Apache-2.0
//! Entries of indexes. Some cannot be read, because their digest is of an algorithm that is
//! not registered. They must not make the others useless, and must not be lost.

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
}

impl UnreadEntry {
    /// One of its annotations.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.value["annotations"][name].as_str()
    }

    /// Its digest.
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

    /// Says why the entry cannot be used.
    pub fn refuse(&self) -> Error {
        Error::unsupported(format!(
            "the digest {} is of an algorithm that is not known",
            self.digest().escape_debug()
        ))
    }
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
        let error = match serde_json::from_str(text.get()) {
            Ok(descriptor) => return Ok(Self::Read(Box::new(descriptor))),
            Err(error) => error,
        };
        let value: Value = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        let is_unknown = |digest: &str| {
            let algorithm = digest.split(':').next().unwrap_or_default();
            is_digest(digest) && algorithm.parse::<Algorithm>().is_err()
        };
        if value["digest"].as_str().is_some_and(is_unknown) {
            return Ok(Self::Unread(UnreadEntry { after: 0, value }));
        }
        Err(D::Error::custom(error))
    }
}
