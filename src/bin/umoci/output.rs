// SPDX-License-Identifier: Apache-2.0
//! Standard output and standard error: results go to the one, all else to the
//! other. What a terminal could misread is escaped before it gets there; into
//! a pipe or file results go as they are.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use umoci::error::{Context, Result};

use crate::failure::Outcome;

/// Writes a result whose lines come from an image.
pub(crate) fn result(text: &str) -> Outcome {
    let text = if io::stdout().is_terminal() { escape(text, unicode) } else { text.into() };
    Ok(write(io::stdout(), &text)?)
}

/// Writes a result that is JSON.
pub(crate) fn json_result(json_text: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(json_text);
    let text = if io::stdout().is_terminal() { escape(&text, json) } else { text.clone() };
    Ok(write(io::stdout(), &text)?)
}

fn write(mut stdout: impl Write, text: &str) -> Result<()> {
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.context("write standard output")
}

/// Writes one line to standard error. Where even that fails nobody is left to be told.
pub(crate) fn complain(line: &str) {
    let line = format!("{}\n", one_line(line));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// The text without anything that moves a terminal's cursor, breaks the line or hides text.
pub(crate) fn one_line(text: &str) -> String {
    escape(text, unicode).replace('\n', "\\n").replace('\t', "\\t")
}

fn unicode(character: char) -> String {
    character.escape_default().to_string()
}

fn json(character: char) -> String {
    let mut units = [0; 2];
    character.encode_utf16(&mut units).iter().fold(String::new(), |mut text, unit| {
        let _ = write!(text, "\\u{unit:04x}");
        text
    })
}

/// Replaces control characters other than line feed and tabulator.
fn escape(text: &str, replacement: fn(char) -> String) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_dangerous(character) {
            escaped.push_str(&replacement(character));
        } else {
            escaped.push(character);
        }
    }
    escaped.into()
}

/// Whether a terminal takes the character as a command, or shows others in another order for it.
fn is_dangerous(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => true,
        _ => character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(
            escape("a\u{1b}[2Jb\u{9b}\u{7f}\tä\n", unicode),
            "a\\u{1b}[2Jb\\u{9b}\\u{7f}\tä\n"
        );
        assert_eq!(escape("\u{202e}x", unicode), "\\u{202e}x");
        assert_eq!(one_line("a\nb\tc\r"), "a\\nb\\tc\\r");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let text = "{\"a\":\"x\u{7f}\u{9b}\"}\n";
        let escaped = escape(text, json);
        assert_eq!(escaped, "{\"a\":\"x\\u007f\\u009b\"}\n");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&escaped), value(text));
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert_eq!(
            write(full, "x").unwrap_err().to_string(),
            "write standard output: no space left on device"
        );
    }
}
