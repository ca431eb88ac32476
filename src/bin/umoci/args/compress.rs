// SPDX-License-Identifier: Apache-2.0
//! `--compress`: how a new layer is compressed.

use clap::Args;
use umoci::error::{Error, Result};
use umoci::layer::compress::Compression;

/// The flag of commands that add a layer.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompressArgs {
    /// compression of the new layer: auto (as the image's other layers), gzip, zstd or none
    #[arg(long, value_name = "ALGORITHM", default_value = "auto")]
    compress: String,
}

impl CompressArgs {
    /// The compression; `None` to choose what the image uses already.
    pub(crate) fn compression(&self) -> Result<Option<Compression>> {
        match self.compress.as_str() {
            "auto" => Ok(None),
            "gzip" => Ok(Some(Compression::Gzip)),
            "zstd" => Ok(Some(Compression::Zstd)),
            "none" | "" => Ok(Some(Compression::None)),
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
        let compression = |name: &str| CompressArgs { compress: name.into() }.compression();
        assert_eq!(compression("auto").unwrap(), None);
        assert_eq!(compression("zstd").unwrap(), Some(Compression::Zstd));
        assert_eq!(compression("").unwrap(), Some(Compression::None));
        let message = "invalid --compress: unknown layer compression type \"GZIP\"";
        assert_eq!(compression("GZIP").unwrap_err().to_string(), message);
    }
}
