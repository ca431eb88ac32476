// SPDX-License-Identifier: Apache-2.0
//! Base64 (RFC 4648, section 4) for the `data` member of a descriptor.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serializer};

#[expect(clippy::ref_option, reason = "serde calls it with this type")]
pub(super) fn serialize<S: Serializer>(
    data: &Option<Vec<u8>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encode(data.as_deref().unwrap_or_default()))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<u8>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| decode(&text).ok_or_else(|| serde::de::Error::custom("data is not base64")))
        .transpose()
}

fn encode(data: &[u8]) -> String {
    BASE64_STANDARD.encode(data)
}

/// Takes line ends inside of the text as other readers do.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    BASE64_STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_vectors_of_the_rfc() {
        for (data, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
            ("{}", "e30="),
        ] {
            assert_eq!(encode(data.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), data.as_bytes());
        }
        assert_eq!(decode("Zm\r\n9v").unwrap(), b"foo");
        for text in ["Z", "Zg=", "Zg", "====", "Z===", "Zm9v=", "Zm=v", "Zg==Zg==", "Zm9-"] {
            assert!(decode(text).is_none(), "{text}");
        }
    }
}
