// SPDX-License-Identifier: Apache-2.0
//! Which entry of the index of an image for several platforms is meant.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::oci::{Digest, Platform};

/// Which entry of an index is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryChoice {
    /// The one for this very platform.
    Platform(Platform),
    /// The one of this digest.
    Digest(Digest),
    /// The one that cannot be used and has this in the place of its digest.
    Unread(String),
}

impl FromStr for EntryChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.contains(':') {
            let digest = text.parse::<Digest>();
            return Ok(digest.map_or_else(|_| Self::Unread(text.to_owned()), Self::Digest));
        }
        Ok(Self::Platform(text.parse()?))
    }
}

impl fmt::Display for EntryChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform(platform) => platform.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
            Self::Unread(digest) => f.write_str(digest),
        }
    }
}
