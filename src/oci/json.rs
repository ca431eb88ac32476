// SPDX-License-Identifier: Apache-2.0
//! How JSON is read and written: compact, one newline at the end, and with the
//! escapes that other tools of the field use, since digests depend on them.
//!
//! Also the small pieces that the documents' fields share. Numbers that this
//! crate does not interpret keep their text, save that an exponent gets a sign.

use std::io;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::ser::Formatter;

use crate::error::{Error, Result};
use crate::quote::quote;

/// Members of a document that this crate does not know, in their order.
pub type Members = serde_json::Map<String, serde_json::Value>;

/// The most bytes that a manifest or a nested index may have: what the
/// distribution specification asks registries to take.
pub const MAX_DOCUMENT_SIZE: u64 = 4 << 20;
/// The most bytes that an image configuration may have.
pub const MAX_CONFIG_SIZE: u64 = 64 << 20;
/// The most bytes that a layout's `index.json` may have.
pub const MAX_INDEX_SIZE: u64 = 64 << 20;

/// What to do with bytes behind the one JSON value; white space is always fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailing {
    /// They are an error.
    Refuse,
    /// They are not looked at.
    Ignore,
}

/// Writes `value` as compact JSON and one newline.
///
/// `<`, `>`, `&`, U+2028 and U+2029 are written as `\u` escapes, everything
/// else beyond ASCII literally.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, HtmlSafe))
        .map_err(|error| Error::invalid(format!("encode JSON: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads one value. Values nested more than 128 deep are refused.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8], trailing: Trailing) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    T::deserialize(&mut deserializer)
        .and_then(|value| match trailing {
            Trailing::Refuse => deserializer.end().map(|()| value),
            Trailing::Ignore => Ok(value),
        })
        .map_err(|error| Error::invalid(error.to_string()))
}

/// Takes the white space out of JSON text and writes the characters that
/// [`to_bytes`] escapes as escapes. Numbers, escapes, repeated and unknown
/// members stay as they are in the text.
pub fn compact(bytes: &[u8]) -> Result<String> {
    let text = str::from_utf8(bytes).map_err(|_| Error::invalid("JSON is not valid UTF-8"))?;
    from_slice::<IgnoredAny>(bytes, Trailing::Refuse)?;
    let mut compacted = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for character in text.chars() {
        match character {
            ' ' | '\t' | '\n' | '\r' if !in_string => continue,
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = character == '\\' && !escaped;
        match html_escape(character) {
            Some(escape) => compacted.push_str(escape),
            None => compacted.push(character),
        }
    }
    Ok(compacted)
}

/// Reads a member that may be `null`, which means the same as its absence.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Whether a flag has the value that is not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(crate) fn is_false(flag: &bool) -> bool {
    !flag
}

/// Refuses members whose names differ from one of `known` in letter case only.
///
/// Some readers match names without regard to case, so that such a document
/// would be one image for them and another for everybody else.
pub(crate) fn refuse_case_variants(other: &Members, known: &[&str]) -> Result<()> {
    for name in other.keys() {
        let folded: String = name.chars().map(fold).collect();
        let twin = known
            .iter()
            .find(|known| **known != name && known.chars().map(fold).eq(folded.chars()));
        if let Some(twin) = twin {
            return Err(Error::invalid(format!(
                "ambiguous member name {}: some readers take it for {}",
                quote(name),
                quote(twin)
            )));
        }
    }
    Ok(())
}

/// Folds case as far as it can lead to an ASCII letter: two letters beyond ASCII do.
fn fold(character: char) -> char {
    match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

fn html_escape(character: char) -> Option<&'static str> {
    match character {
        '<' => Some("\\u003c"),
        '>' => Some("\\u003e"),
        '&' => Some("\\u0026"),
        '\u{2028}' => Some("\\u2028"),
        '\u{2029}' => Some("\\u2029"),
        _ => None,
    }
}

/// Whether a character that begins with this byte can have an escape.
fn may_be_special(byte: u8) -> bool {
    matches!(byte, b'<' | b'>' | b'&' | 0xe2)
}

/// The compact form, safe inside of HTML and JavaScript.
pub(crate) struct HtmlSafe;

impl Formatter for HtmlSafe {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Hardly any has one, and all bytes together are looked through faster than characters.
        if !fragment.bytes().fold(false, |any, byte| any | may_be_special(byte)) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, escape)) =
            rest.char_indices().find_map(|(at, character)| Some((at, html_escape(character)?)))
        {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            writer.write_all(escape.as_bytes())?;
            let mut characters = special.chars();
            characters.next();
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn written(value: &str) -> String {
        String::from_utf8(to_bytes(value).unwrap()).unwrap()
    }

    #[test]
    fn escapes_what_digests_depend_on() {
        assert_eq!(
            written("<a>&\u{2028}\u{2029}/é"),
            "\"\\u003ca\\u003e\\u0026\\u2028\\u2029/é\"\n"
        );
        // It begins with the same byte as two that are escaped.
        assert_eq!(written("–"), "\"–\"\n");
        assert_eq!(written("\u{8}\u{c}\n\r\t\"\\"), "\"\\b\\f\\n\\r\\t\\\"\\\\\"\n");
        assert_eq!(written("\0\u{1b}\u{1f}\u{7f}"), "\"\\u0000\\u001b\\u001f\u{7f}\"\n");
    }

    #[test]
    fn keeps_the_text_of_numbers() {
        let text = "[1.0,1e+3,1e-3,-0,18446744073709551616,0.10]\n";
        let value: Value = from_slice(text.as_bytes(), Trailing::Refuse).unwrap();
        assert_eq!(to_bytes(&value).unwrap(), text.as_bytes());
        let value: Value = from_slice(b"1E3", Trailing::Refuse).unwrap();
        assert_eq!(to_bytes(&value).unwrap(), b"1e+3\n");
    }

    #[test]
    fn has_a_policy_for_what_follows() {
        assert!(from_slice::<Value>(b"{} \n", Trailing::Refuse).is_ok());
        assert!(from_slice::<Value>(b"{} x", Trailing::Refuse).is_err());
        assert!(from_slice::<Value>(b"{} x", Trailing::Ignore).is_ok());
        assert!(from_slice::<Value>(b"", Trailing::Ignore).is_err());
        assert!(from_slice::<Value>(b"\xef\xbb\xbf{}", Trailing::Ignore).is_err());
        assert!(from_slice::<Value>("[".repeat(200_000).as_bytes(), Trailing::Ignore).is_err());
    }

    #[test]
    fn compacts_text_without_reading_it_anew() {
        let text =
            b" {\t\"a b\" : [ 1.0 , 1E+03 ],\n\"a b\":\"\\\"< \\u0041\\\\\" , \"x\": null}\r\n ";
        let compacted = r#"{"a b":[1.0,1E+03],"a b":"\"\u003c \u0041\\","x":null}"#;
        assert_eq!(compact(text).unwrap(), compacted);
        assert!(compact(b"{} junk").is_err());
        assert!(compact(b"{\"a\" \"b\"}").is_err());
        assert!(compact(b"\"\xff\"").is_err());
    }

    #[test]
    fn finds_names_that_others_fold() {
        let known = ["layers", "mediaType", "k"];
        for name in ["LAYERS", "layerS", "mediatype", "layer\u{17f}", "\u{212a}"] {
            let members = Members::from_iter([(name.to_owned(), Value::Null)]);
            assert!(refuse_case_variants(&members, &known).is_err(), "{name}");
        }
        let members = Members::from_iter([("layer".to_owned(), Value::Null)]);
        assert!(refuse_case_variants(&members, &known).is_ok());
    }
}
