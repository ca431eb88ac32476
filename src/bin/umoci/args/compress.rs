// SPDX-License-Identifier: Apache-2.0
//! `--compress`: how a new layer is compressed.

use clap::Args;
use umoci::error::{Error, Result};
use umoci::image::CompressionChoice;
use umoci::layer::compress::Compression;

/// The flag of commands that add a layer.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompressArgs {
    /// compression of the new layer: auto (as the image's other layers), gzip, zstd or none
    #[arg(long, value_name = "ALGORITHM", default_value = "auto")]
    compress: String,
}

impl CompressArgs {
    /// The compression that was asked for.
    pub(crate) fn choice(&self) -> Result<CompressionChoice> {
        use CompressionChoice::{Auto, Fixed};
        match self.compress.as_str() {
            "auto" => Ok(Auto),
            "gzip" => Ok(Fixed(Compression::Gzip)),
            "zstd" => Ok(Fixed(Compression::Zstd)),
            "none" | "" => Ok(Fixed(Compression::None)),
            other => {
                let message =
                    format!("invalid --compress: unknown layer compression type {other:?}");
                Err(Error::invalid(message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        use CompressionChoice::{Auto, Fixed};
        let choice = |name: &str| CompressArgs { compress: name.into() }.choice();
        assert_eq!(choice("auto").unwrap(), Auto);
        assert_eq!(choice("zstd").unwrap(), Fixed(Compression::Zstd));
        assert_eq!(choice("").unwrap(), Fixed(Compression::None));
        let message = "invalid --compress: unknown layer compression type \"GZIP\"";
        assert_eq!(choice("GZIP").unwrap_err().to_string(), message);
    }
}
