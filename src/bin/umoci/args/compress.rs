// SPDX-License-Identifier: Apache-2.0
//! `--compress`: how a new layer is compressed.

use clap::Args;
use umoci::error::{Context, Result};
use umoci::image::CompressionChoice;

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
        self.compress.parse().context("invalid --compress")
    }
}

#[cfg(test)]
mod tests {
    use umoci::layer::compress::Compression;

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
