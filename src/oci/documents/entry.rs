// SPDX-License-Identifier: Apache-2.0
//! Entries of indexes that cannot be read, because their digest is of an algorithm that is
//! not registered. They must not make the others useless, and must not be lost.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::oci::Descriptor;
use crate::oci::digest::{Algorithm, is_digest};

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
        annotation(&self.value, name)
    }

    /// Its digest.
    pub fn digest(&self) -> &str {
        self.value["digest"].as_str().unwrap_or_default()
    }

    /// Says why the entry cannot be used.
    pub fn refuse(&self) -> Error {
        Error::unsupported(format!(
            "the digest {} is of an algorithm that is not known",
            self.digest().escape_debug()
        ))
    }
}

pub(super) fn annotation<'a>(entry: &'a Value, name: &str) -> Option<&'a str> {
    entry["annotations"][name].as_str()
}

/// An entry as it is stored.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Entry {
    Read(Box<Descriptor>),
    Unread(Value),
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
            return Ok(Self::Unread(value));
        }
        Err(D::Error::custom(error))
    }
}
