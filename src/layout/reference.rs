// SPDX-License-Identifier: Apache-2.0
//! [`RefName`]: the name of an image in a layout, as the image-spec's
//! annotation `org.opencontainers.image.ref.name` holds it.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::quote::quote;

/// The annotation of a descriptor in `index.json` that names an image.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A name that keeps to the image-spec's grammar (`annotations.md`): components
/// joined by `/`, each made of letters and digits with single separators
/// `-._:@+` or `--` between them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(Box<str>);

impl RefName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RefName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        if name.split('/').all(|component| is_component(component.as_bytes())) {
            Ok(Self(name.into()))
        } else {
            Err(Error::invalid(format!("tag contains invalid characters: {}", quote(name))))
        }
    }
}

/// Whether runs of letters and digits are joined by exactly one separator.
fn is_component(mut rest: &[u8]) -> bool {
    loop {
        let run = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let (word, tail) = rest.split_at(run);
        rest = match tail {
            _ if word.is_empty() => return false,
            [] => return true,
            [b'-', b'-', more @ ..] | [b'-' | b'.' | b'_' | b':' | b'@' | b'+', more @ ..] => more,
            _ => return false,
        };
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for RefName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn keeps_to_the_grammar() {
        for name in [
            "latest",
            "a:b",
            "v1.0",
            "a--b",
            "a/b/c",
            "A_1-2+3@4:5",
            "registry.example.com:5000/x/y@sha256:00",
            "0",
        ] {
            assert_eq!(name.parse::<RefName>().unwrap().to_string(), name);
        }
        for name in [
            "", "a..b", "a-", "-a", ".foo", "a/", "/a", "a//b", "a b", "é", "a\n", "a---b", "a-_b",
            "a--", "a\0", "a-.b", "a\\b", "--",
        ] {
            let error = name.parse::<RefName>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}");
            assert!(error.to_string().contains("tag contains invalid characters: "));
        }
    }

    #[test]
    fn never_prints_control_characters_of_a_bad_name() {
        let text = "\u{1b}[31m".parse::<RefName>().unwrap_err().to_string();
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
