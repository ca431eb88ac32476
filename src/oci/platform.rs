// SPDX-License-Identifier: Apache-2.0
//! The platform that an image is for (image-spec `image-index.md`), and which
//! platforms can run what is for another one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ImageConfig;
use super::json::{Members, nullable};
use crate::error::{Error, Result};
use crate::quote::quote;

/// What an entry says that holds no image, but something about one.
const UNKNOWN: &str = "unknown";

/// A platform. Empty means that the document does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The CPU architecture, such as `amd64`.
    #[serde(default, deserialize_with = "nullable")]
    pub architecture: String,
    /// The operating system, such as `linux`.
    #[serde(default, deserialize_with = "nullable")]
    pub os: String,
    /// The version of the operating system.
    #[serde(rename = "os.version", default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Required features of the operating system.
    #[serde(rename = "os.features", default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the CPU, such as `v8`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Platform {
    /// Makes a platform of its three parts; the variant may be empty.
    pub fn new(
        os: impl Into<String>,
        architecture: impl Into<String>,
        variant: impl Into<String>,
    ) -> Self {
        Self {
            os: os.into(),
            architecture: architecture.into(),
            variant: variant.into(),
            ..Self::default()
        }
    }

    /// The platform that an image's configuration names.
    pub fn of(config: &ImageConfig) -> Self {
        Self {
            architecture: config.architecture.clone(),
            os: config.os.clone(),
            os_version: config.os_version.clone(),
            os_features: config.os_features.clone(),
            variant: config.variant.clone(),
            other: Members::new(),
        }
    }

    /// Whether it says what it is for: an operating system and an architecture.
    pub fn is_stated(&self) -> bool {
        !self.os.is_empty() && !self.architecture.is_empty()
    }

    /// Whether it is `unknown/unknown`, as entries have it that are no images.
    pub fn is_unknown(&self) -> bool {
        self.os == UNKNOWN && self.architecture == UNKNOWN
    }

    /// How well an image for `offered` suits this platform: 0 is best, `None` not at all.
    ///
    /// A processor runs what is for older variants of it. Spellings do not matter: no variant
    /// means `v7` on `arm`, `v8` on `arm64` and `v1` on `amd64`.
    pub fn rank(&self, offered: &Self) -> Option<usize> {
        let (wanted, offered) = (Canonical::of(self), Canonical::of(offered));
        if (&wanted.os, &wanted.architecture) != (&offered.os, &offered.architecture) {
            return None;
        }
        wanted.variants().iter().position(|variant| *variant == offered.variant)
    }

    /// Whether both are the same platform, however they are spelled.
    pub fn is_same(&self, other: &Self) -> bool {
        Canonical::of(self) == Canonical::of(other)
    }

    /// Whether both are the same platform, of the same version of the operating system.
    pub fn is_twin(&self, other: &Self) -> bool {
        self.is_same(other) && self.os_version == other.os_version
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// Reads `os/arch` or `os/arch/variant`. Other common names of an architecture
    /// (`x86_64`, `aarch64`, `armhf`) become those that images have.
    fn from_str(text: &str) -> Result<Self> {
        let is_part = |part: &&str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            !part.is_empty() && part.bytes().all(allowed)
        };
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            [os, architecture, ref rest @ ..] if rest.len() < 2 && parts.iter().all(is_part) => {
                let (architecture, implied) =
                    architecture_named(&architecture.to_ascii_lowercase());
                let variant = rest.first().map(|variant| variant.to_ascii_lowercase());
                Ok(Self::new(os_named(os), architecture, variant.unwrap_or_else(|| implied.into())))
            }
            _ => {
                Err(Error::invalid(format!("{} is not of the form os/arch[/variant]", quote(text))))
            }
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |text: &str| match text {
            "" => UNKNOWN.to_owned(),
            text => text.escape_debug().take(64).collect(),
        };
        write!(f, "{}/{}", part(&self.os), part(&self.architecture))?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", part(&self.variant)) }
    }
}

fn os_named(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        name => name.to_owned(),
    }
}

/// The name of an architecture in images, and the variant that the given name implies.
fn architecture_named(name: &str) -> (String, &'static str) {
    let (name, variant) = match name {
        "i386" => ("386", ""),
        "x86_64" | "x86-64" => ("amd64", ""),
        "aarch64" => ("arm64", ""),
        "armhf" => ("arm", "v7"),
        "armel" => ("arm", "v6"),
        name => (name, ""),
    };
    (name.to_owned(), variant)
}

/// A platform in the one spelling that can be compared.
#[derive(Debug, PartialEq, Eq)]
struct Canonical {
    os: String,
    architecture: String,
    variant: String,
}

impl Canonical {
    fn of(platform: &Platform) -> Self {
        let lower = platform.architecture.to_ascii_lowercase();
        let (architecture, implied) = architecture_named(&lower);
        let variant = match platform.variant.to_ascii_lowercase() {
            none if none.is_empty() => implied.to_owned(),
            variant => variant,
        };
        let with_v = |text: String| {
            if text.starts_with(|first: char| first.is_ascii_digit()) {
                format!("v{text}")
            } else {
                text
            }
        };
        let variant = match architecture.as_str() {
            "amd64" if matches!(variant.as_str(), "1" | "v1") => String::new(),
            "arm" if variant.is_empty() => "v7".to_owned(),
            "amd64" | "arm" => with_v(variant),
            "arm64" => {
                let variant = with_v(variant);
                let variant = variant.strip_suffix(".0").unwrap_or(&variant);
                if variant == "v8" { String::new() } else { variant.to_owned() }
            }
            _ => variant,
        };
        Self { os: os_named(&platform.os), architecture, variant }
    }

    /// The variants that a processor of this one runs, the best one first.
    fn variants(&self) -> Vec<String> {
        let number = self.variant.strip_prefix('v').unwrap_or_default();
        let older = match self.architecture.as_str() {
            "amd64" => number.parse::<u8>().ok().filter(|number| *number < 10).map(|number| {
                let older = (2..=number).rev().map(|number| format!("v{number}"));
                older.chain([String::new()]).collect()
            }),
            "arm" => number
                .parse::<u8>()
                .ok()
                .filter(|number| (5..10).contains(number))
                .map(|number| (5..=number).rev().map(|number| format!("v{number}")).collect()),
            "arm64" => arm64_variants(if number.is_empty() { "8" } else { number }),
            _ => None,
        };
        older.unwrap_or_else(|| vec![self.variant.clone()])
    }
}

/// ARMv9.n has all of ARMv8.(n+5), and each minor version all of those before it.
fn arm64_variants(number: &str) -> Option<Vec<String>> {
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    let minor = minor.parse::<u8>().ok().filter(|minor| *minor < 20)?;
    let name = |major: u8, minor: u8| match (major, minor) {
        (8, 0) => String::new(),
        (major, 0) => format!("v{major}"),
        (major, minor) => format!("v{major}.{minor}"),
    };
    let down_from = |major: u8, minor: u8| (0..=minor).rev().map(move |minor| name(major, minor));
    match major {
        "8" => Some(down_from(8, minor).collect()),
        "9" => Some(down_from(9, minor).chain(down_from(8, minor + 5)).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn reads_and_writes_the_usual_form() {
        for (text, written) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64/v8"),
            ("Linux/ARM/V7", "linux/arm/v7"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("macos/arm64", "darwin/arm64"),
            ("linux/i386", "linux/386"),
        ] {
            assert_eq!(platform(text).to_string(), written);
        }
        for text in
            ["", "linux", "arm64", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b", "a//b"]
        {
            let message = text.parse::<Platform>().unwrap_err().to_string();
            assert_eq!(message, format!("{} is not of the form os/arch[/variant]", quote(text)));
        }
        assert_eq!(Platform::default().to_string(), "unknown/unknown");
        assert_eq!(Platform::new("a\n", "b", "").to_string(), "a\\n/b");
    }

    #[test]
    fn older_variants_serve() {
        for (wanted, offered) in [
            ("linux/amd64/v1", &["linux/amd64"][..]),
            ("linux/amd64/v3", &["linux/amd64/v3", "linux/amd64/v2", "linux/amd64/v1"]),
            ("linux/arm", &["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
            ("linux/arm/v8", &["linux/arm/v8", "linux/arm", "linux/arm/6", "linux/arm/v5"]),
            ("linux/arm/v6", &["linux/arm/v6", "linux/arm/v5"]),
            ("linux/arm64", &["linux/arm64/v8"]),
            ("linux/arm64/v8", &["linux/arm64"]),
            ("linux/arm64/8", &["linux/arm64/v8.0"]),
            ("linux/arm64/v8.2", &["linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64"]),
            (
                "linux/arm64/v9",
                &["linux/arm64/v9.0", "linux/arm64/v8.5", "linux/arm64/v8.4", "linux/arm64/v8.3"],
            ),
            ("linux/riscv64", &["linux/riscv64"]),
            ("linux/ppc64le/power9", &["linux/ppc64le/power9"]),
            ("linux/arm/vx", &["linux/arm/vx"]),
        ] {
            let ranks: Vec<_> =
                offered.iter().map(|offered| platform(wanted).rank(&platform(offered))).collect();
            let expected: Vec<_> = (0..offered.len()).map(Some).collect();
            assert_eq!(ranks, expected, "{wanted} {offered:?}");
        }
    }

    #[test]
    fn nothing_else_serves() {
        for (wanted, offered) in [
            ("linux/amd64", "linux/amd64/v2"),
            ("linux/amd64", "linux/386"),
            ("linux/amd64", "windows/amd64"),
            ("linux/arm64", "linux/arm/v7"),
            ("linux/arm64", "linux/arm64/v8.1"),
            ("linux/arm64/v8.9", "linux/arm64/v9"),
            ("linux/arm/v6", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm"),
            ("linux/ppc64le", "linux/ppc64le/power9"),
        ] {
            assert_eq!(platform(wanted).rank(&platform(offered)), None, "{wanted} {offered}");
        }
        assert_eq!(platform("linux/amd64").rank(&Platform::default()), None);
    }

    #[test]
    fn what_is_the_same_is_not_what_serves() {
        assert!(platform("linux/arm").is_same(&platform("linux/arm/v7")));
        assert!(platform("linux/arm64").is_same(&platform("linux/aarch64/v8")));
        assert!(!platform("linux/arm/v7").is_same(&platform("linux/arm/v6")));
    }

    #[test]
    fn some_entries_are_no_images() {
        assert!(platform("unknown/unknown").is_unknown());
        assert!(!platform("linux/unknown").is_unknown() && !Platform::default().is_unknown());
        assert!(!Platform::default().is_stated() && platform("linux/amd64").is_stated());
    }
}
