// SPDX-License-Identifier: Apache-2.0
//! Base64 (RFC 4648 section 4, padded) of attribute values in an mtree manifest.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the text of `bytes` to `out`.
pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0, |group, byte| group << 8 | usize::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        let digits = [18, 12, 6, 0].map(|shift| ALPHABET[group >> shift & 63]);
        out.extend_from_slice(&digits[..=chunk.len()]);
        out.resize(out.len() + 3 - chunk.len(), b'=');
    }
}

/// Reads a whole text; `None` when it is not what [`encode`] writes.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut chunks = text.chunks(4).peekable();
    while let Some(chunk) = chunks.next() {
        let padding = chunk.iter().rev().take_while(|digit| **digit == b'=').count();
        if chunk.len() != 4 || padding > 2 || (padding > 0 && chunks.peek().is_some()) {
            return None;
        }
        let digits = chunk.iter().take(4 - padding);
        let group = digits
            .map(|digit| value(*digit))
            .try_fold(0, |group: u32, value| Some(group << 6 | value?))?;
        let group = (group << (6 * padding)).to_be_bytes();
        let (kept, dropped) = group[1..].split_at(3 - padding);
        if dropped.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(bytes, &mut out);
        out
    }

    #[test]
    fn writes_the_vectors_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encoded(bytes.as_bytes()), text.as_bytes());
        }
        assert_eq!(encoded(&[0, 0xff, 0x10]), b"AP8Q");
    }

    #[test]
    fn refuses_what_is_not_base64() {
        for text in ["=", "====", "Zg=", "Zg", "Z===", "Zg==Zg==", "Zh==", "Zm9=", "Zm 9", "Z-_v"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encoded(&bytes)), Some(bytes));
        }
    }
}
