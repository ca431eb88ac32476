// SPDX-License-Identifier: Apache-2.0
//! Names as printable words, the way `vis(3)` does it for mtree manifests:
//! octal escapes for all but printable ASCII, and for glob characters.

use crate::error::{Error, Result};

/// Appends `bytes` to `out` as one word without blanks, newlines or globs.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match *byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'*' | b'?' | b'[' | b'#' => escape(*byte, out),
            0x21..=0x7e => out.push(*byte),
            other => escape(other, out),
        }
    }
}

/// Appends `bytes` to `out` with only control characters escaped, for text
/// that people read and no program parses.
pub(super) fn encode_controls(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        if byte.is_ascii_control() { escape(*byte, out) } else { out.push(*byte) }
    }
}

/// Appends one byte as `\ooo`.
pub(super) fn escape(byte: u8, out: &mut Vec<u8>) {
    let digit = |shift: u8| b'0' + (byte >> shift & 7);
    out.extend_from_slice(&[b'\\', digit(6), digit(3), digit(0)]);
}

/// Reads a word. Besides what [`encode`] writes it knows the escapes of the
/// BSD tools: `\n` and its like, `\s`, `\^c`, `\M-c` and `\M^c`.
pub(crate) fn decode(word: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte == b'\\' {
            let (byte, tail) = unescape(rest).ok_or_else(|| {
                Error::invalid(format!("{:?} holds an unknown escape", word.escape_ascii()))
            })?;
            bytes.push(byte);
            rest = tail;
        } else {
            bytes.push(*byte);
        }
    }
    Ok(bytes)
}

/// The byte that an escape stands for, given what follows its backslash, and what is left.
fn unescape(escape: &[u8]) -> Option<(u8, &[u8])> {
    let (first, rest) = escape.split_first()?;
    let plain = match first {
        b'0'..=b'7' => return octal(escape),
        b'^' => return control(rest),
        b'M' => return meta(rest),
        b'\\' => b'\\',
        b'n' => b'\n',
        b'r' => b'\r',
        b'b' => 8,
        b'a' => 7,
        b'v' => 11,
        b't' => b'\t',
        b'f' => 12,
        b's' => b' ',
        b'E' => 27,
        _ => return None,
    };
    Some((plain, rest))
}

fn octal(digits: &[u8]) -> Option<(u8, &[u8])> {
    let count = digits.iter().take(3).take_while(|digit| matches!(digit, b'0'..=b'7')).count();
    let (digits, rest) = digits.split_at(count);
    let value = digits.iter().fold(0_u32, |value, digit| value << 3 | u32::from(digit - b'0'));
    Some((u8::try_from(value).ok()?, rest))
}

fn control(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (letter, rest) = rest.split_first()?;
    Some((if *letter == b'?' { 0x7f } else { letter & 0x1f }, rest))
}

fn meta(rest: &[u8]) -> Option<(u8, &[u8])> {
    match rest.split_first()? {
        (b'-', rest) => rest.split_first().map(|(letter, rest)| (letter | 0x80, rest)),
        (b'^', rest) => control(rest).map(|(byte, rest)| (byte | 0x80, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        encode(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_words() {
        for (name, word) in [
            (&b"x y*#\\z"[..], r"x\040y\052\043\\z"),
            (b"gl*?[#]b", r"gl\052\077\133\043]b"),
            (b"t\tab\n", r"t\011ab\012"),
            (b"\x7fdel~", r"\177del~"),
            (b"\xff\xfe", r"\377\376"),
            ("Raíz".as_bytes(), r"Ra\303\255z"),
            (b"eq=\"q'`!$~=]", "eq=\"q'`!$~=]"),
        ] {
            assert_eq!(encoded(name), word);
        }
    }

    #[test]
    fn reads_what_the_bsd_tools_write() {
        for (word, name) in [
            (r"a\sb\tc\n", &b"a b\tc\n"[..]),
            (r"\M-a\M^?\^A\^?", b"\xe1\xff\x01\x7f"),
            (r"\7x\18", b"\x07x\x018"),
        ] {
            assert_eq!(decode(word.as_bytes()).unwrap(), name, "{word}");
        }
    }

    #[test]
    fn refuses_unknown_escapes() {
        for word in ["\\", "a\\", r"\q", r"\M", r"\M-", r"\^", r"\777"] {
            assert!(decode(word.as_bytes()).is_err(), "{word}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(name: Vec<u8>) {
            let word = encoded(&name);
            prop_assert!(word.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(decode(word.as_bytes()).unwrap(), name);
        }

        #[test]
        fn never_panics(word: Vec<u8>) {
            let _ = decode(&word);
        }
    }
}
