// SPDX-License-Identifier: Apache-2.0
//! Quoting of untrusted text for people: one form that is safe on a terminal
//! and that shows what is there, in the escapes of the Go language.

use std::borrow::Cow;
use std::fmt::Write;

/// Puts `text` in double quotes. Quotes, backslashes, control characters, bytes
/// that are not UTF-8 and characters that cannot be seen become escapes.
pub fn quote(text: impl AsRef<[u8]>) -> String {
    let mut quoted = String::from('"');
    for chunk in text.as_ref().utf8_chunks() {
        for character in chunk.valid().chars() {
            push(&mut quoted, character);
        }
        for byte in chunk.invalid() {
            push_escape(&mut quoted, format_args!("\\x{byte:02x}"));
        }
    }
    quoted.push('"');
    quoted
}

/// Gives `text` as it is if quoting would change nothing inside of it, else quoted.
pub fn quote_if_needed(text: impl AsRef<[u8]>) -> String {
    let text = text.as_ref();
    let quoted = quote(text);
    match quoted.get(1..=text.len()) {
        Some(bare) if quoted.len() == text.len() + 2 => bare.to_owned(),
        _ => quoted,
    }
}

/// The beginning of a text that may be too long to be shown whole.
pub(crate) fn excerpt(text: &str) -> Cow<'_, str> {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}...", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

fn push(quoted: &mut String, character: char) {
    let letter = match character {
        '"' | '\\' => character,
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        _ => return push_without_letter(quoted, character),
    };
    quoted.extend(['\\', letter]);
}

fn push_without_letter(quoted: &mut String, character: char) {
    match u32::from(character) {
        _ if is_printable(character) => quoted.push(character),
        number @ (..0x20 | 0x7f) => push_escape(quoted, format_args!("\\x{number:02x}")),
        number @ ..0x1_0000 => push_escape(quoted, format_args!("\\u{number:04x}")),
        number => push_escape(quoted, format_args!("\\U{number:08x}")),
    }
}

fn push_escape(quoted: &mut String, escape: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = quoted.write_fmt(escape);
}

/// Whether a character is a letter, mark, number, punctuation, symbol or blank.
fn is_printable(character: char) -> bool {
    // The standard library has this table only behind its debug form, which also escapes
    // quotes, and marks at the start of a text; beyond ASCII it is asked, which takes a while.
    matches!(character, ' '..='~') || {
        let text = String::from_iter(['a', character]);
        text.escape_debug().eq(text.chars())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_cannot_be_seen() {
        for (text, quoted) in [
            ("", r#""""#),
            ("a b'é", "\"a b'é\""),
            ("\"\\", r#""\"\\""#),
            ("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            ("\0\x1b\x7f", r#""\x00\x1b\x7f""#),
            (
                "\u{80}\u{a0}\u{ad}\u{2028}\u{202e}\u{feff}",
                r#""\u0080\u00a0\u00ad\u2028\u202e\ufeff""#,
            ),
            ("\u{e000}\u{e0001}", r#""\ue000\U000e0001""#),
            ("\u{fffd}😀\u{301}", "\"\u{fffd}😀\u{301}\""),
        ] {
            assert_eq!(quote(text), quoted);
        }
        assert_eq!(quote(b"a\xffb\xe2\x82"), r#""a\xffb\xe2\x82""#);
    }

    #[test]
    fn leaves_bare_what_is_harmless() {
        for text in ["", "a b", "é,'", "😀"] {
            assert_eq!(quote_if_needed(text), text);
        }
        assert_eq!(quote_if_needed("a\tb"), "\"a\\tb\"");
        assert_eq!(quote_if_needed("\""), "\"\\\"\"");
    }
}
