// SPDX-License-Identifier: Apache-2.0
//! `--max-unpacked-size`, `--max-entries`, `--max-path-depth` and
//! `--no-space-check`: what an image may take when it is unpacked.

use clap::Args;
use umoci::bundle::SpaceCheck;
use umoci::error::{Bound, Error, Result};
use umoci::layer::Limits;
use umoci::quote::quote;

use crate::failure::Failure;

/// The flag for commands that decompress layers.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SizeLimitArg {
    /// refuse more bytes of decompressed layers (K, M, G, T; none; default: 64G or more, see the manual)
    #[arg(long, value_name = "SIZE")]
    max_unpacked_size: Option<String>,
}

/// Flags for commands that read what is in layers.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LimitArgs {
    #[command(flatten)]
    size: SizeLimitArg,

    /// refuse more files, directories, links and whiteouts (default: 20000000)
    #[arg(long, value_name = "NUMBER")]
    max_entries: Option<String>,

    /// refuse paths of more components (default: 1024)
    #[arg(long, value_name = "NUMBER")]
    max_path_depth: Option<String>,
}

/// The flag for commands that write a root filesystem.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SpaceArg {
    /// do not look beforehand whether there is as much space as the image says it needs
    #[arg(long)]
    no_space_check: bool,
}

impl SizeLimitArg {
    /// What was asked for, and the defaults of the library for the rest.
    pub(crate) fn limits(&self) -> Result<Limits> {
        let limits = Limits::default();
        let size = number("--max-unpacked-size", self.max_unpacked_size.as_deref())?;
        Ok(Limits { unpacked_size: size.or(limits.unpacked_size), ..limits })
    }
}

impl LimitArgs {
    /// What was asked for, and the defaults of the library for the rest.
    pub(crate) fn limits(&self) -> Result<Limits> {
        let Limits { unpacked_size, entries, path_depth } = self.size.limits()?;
        let depth = number("--max-path-depth", self.max_path_depth.as_deref())?;
        let depth = depth.map(|depth| usize::try_from(depth).unwrap_or(usize::MAX));
        Ok(Limits {
            unpacked_size,
            entries: number("--max-entries", self.max_entries.as_deref())?.unwrap_or(entries),
            path_depth: depth.unwrap_or(path_depth),
        })
    }
}

impl SpaceArg {
    /// Whether the free space is looked at.
    pub(crate) fn check(&self) -> SpaceCheck {
        if self.no_space_check { SpaceCheck::Skip } else { SpaceCheck::Check }
    }
}

/// Says which flag changes the limit that was met.
pub(crate) fn suggest_flag(failure: Failure) -> Failure {
    let hint = match failure.bound() {
        Some(Bound::UnpackedSize) => "--max-unpacked-size raises the limit.",
        Some(Bound::Entries) => "--max-entries raises the limit.",
        Some(Bound::PathDepth) => "--max-path-depth raises the limit.",
        Some(Bound::FreeSpace) => "--no-space-check unpacks it all the same.",
        _ => return failure,
    };
    failure.hint(hint)
}

/// Reads a number with a unit; `none` is more than anything has.
fn number(flag: &str, text: Option<&str>) -> Result<Option<u64>> {
    let Some(text) = text else { return Ok(None) };
    if text == "none" {
        return Ok(Some(u64::MAX));
    }
    let split = text.find(|next: char| !next.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let power = match unit {
        "" => Some(0),
        "K" | "k" => Some(10),
        "M" | "m" => Some(20),
        "G" | "g" => Some(30),
        "T" | "t" => Some(40),
        _ => None,
    };
    let number = power.and_then(|power| digits.parse::<u64>().ok()?.checked_mul(1 << power));
    let invalid = || Error::invalid(format!("invalid {flag}: {} is not a number", quote(text)));
    number.ok_or_else(invalid).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        for (text, expected) in [
            ("0", 0),
            ("1000", 1000),
            ("3K", 3072),
            ("2m", 2 << 20),
            ("5G", 5 << 30),
            ("1T", 1 << 40),
            ("none", u64::MAX),
        ] {
            assert_eq!(number("--x", Some(text)).unwrap(), Some(expected), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "+1",
            "1.5G",
            "1 G",
            "1GiB",
            "0x10",
            "18446744073709551616",
            "99999999T",
        ] {
            let error = number("--x", Some(text)).unwrap_err().to_string();
            assert_eq!(error, format!("invalid --x: {} is not a number", quote(text)));
        }
    }

    #[test]
    fn what_is_not_given_is_as_in_the_library() {
        assert_eq!(LimitArgs::default().limits().unwrap(), Limits::default());
        let args = LimitArgs { max_entries: Some("7".into()), ..LimitArgs::default() };
        assert_eq!(args.limits().unwrap(), Limits { entries: 7, ..Limits::default() });
    }
}
