// SPDX-License-Identifier: Apache-2.0
//! How a layer is added to an image ([`LayerOptions`]).

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layer::compress::{Compression, EncoderOptions};
use crate::oci::History;
use crate::progress::Progress;

/// Which compression a new layer gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CompressionChoice {
    /// That of the topmost compressed layer of the image, else gzip.
    #[default]
    Auto,
    /// This one.
    Fixed(Compression),
}

impl CompressionChoice {
    /// The choices by the names that people give them.
    pub const NAMED: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("gzip", Self::Fixed(Compression::Gzip)),
        ("zstd", Self::Fixed(Compression::Zstd)),
        ("none", Self::Fixed(Compression::None)),
    ];
}

impl FromStr for CompressionChoice {
    type Err = Error;

    /// Reads one of [`CompressionChoice::NAMED`]; nothing at all means `none` too.
    fn from_str(name: &str) -> Result<Self> {
        if name.is_empty() {
            return Ok(Self::Fixed(Compression::None));
        }
        let named = Self::NAMED.iter().find(|(known, _)| *known == name);
        named
            .map(|(_, choice)| *choice)
            .ok_or_else(|| Error::invalid(format!("unknown layer compression type {name:?}")))
    }
}

/// How a layer is added.
#[derive(Debug, Clone, Default)]
pub struct LayerOptions {
    /// The media type, without the part for the compression. Without one the layer gets that of
    /// tar archives, in the words of the family that the manifest belongs to.
    pub media_type: Option<String>,
    /// The compression.
    pub compression: CompressionChoice,
    /// How to compress.
    pub encoder: EncoderOptions,
    /// The layer's entry in the history. Many tools are confused if there is none.
    pub history: Option<History>,
    /// Annotations of the layer's descriptor.
    pub annotations: BTreeMap<String, String>,
    /// How many bytes there will be before compression, as far as that is known. It is shown, and
    /// nothing depends on it.
    pub expected_size: Option<u64>,
    /// Where bytes are counted, before compression.
    pub progress: Arc<Progress>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_choices() {
        for (name, choice) in [
            ("auto", CompressionChoice::Auto),
            ("gzip", CompressionChoice::Fixed(Compression::Gzip)),
            ("zstd", CompressionChoice::Fixed(Compression::Zstd)),
            ("none", CompressionChoice::Fixed(Compression::None)),
            ("", CompressionChoice::Fixed(Compression::None)),
        ] {
            assert_eq!(name.parse::<CompressionChoice>().unwrap(), choice);
        }
        let error = "x".parse::<CompressionChoice>().unwrap_err().to_string();
        assert_eq!(error, "unknown layer compression type \"x\"");
    }
}
