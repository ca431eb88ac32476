// SPDX-License-Identifier: Apache-2.0
//! Standard output and standard error: results go to the one, all else to the
//! other. What a terminal could misread is escaped before it gets there; into
//! a pipe or file results go as they are.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

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

/// What a message is. On a terminal the label has a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    None,
    Error,
    Note,
    Hint,
    Log(log::Level),
}

impl Label {
    fn text(self) -> Cow<'static, str> {
        match self {
            Self::None => "".into(),
            Self::Error | Self::Note => "umoci: ".into(),
            Self::Hint => "umoci: hint: ".into(),
            Self::Log(level) => format!("umoci: {}: ", level.as_str().to_ascii_lowercase()).into(),
        }
    }

    /// The parameters of the terminal's sequence for it (ECMA-48, SGR).
    fn colour(self) -> Option<&'static str> {
        match self {
            Self::Error | Self::Log(log::Level::Error) => Some("1;31"),
            Self::Log(log::Level::Warn) => Some("33"),
            Self::Hint => Some("36"),
            Self::None | Self::Note | Self::Log(_) => None,
        }
    }
}

/// A message as one line of text.
pub(crate) fn message(label: Label, text: &str) -> String {
    labelled(label, text, is_live() && !is_set("NO_COLOR"))
}

fn labelled(label: Label, text: &str, in_colour: bool) -> String {
    let (name, text) = (label.text(), one_line(text));
    match label.colour() {
        Some(colour) if in_colour => format!("\x1b[{colour}m{name}\x1b[m{text}\n"),
        _ => format!("{name}{text}\n"),
    }
}

/// Writes one message to standard error. Where even that fails nobody is left to be told.
pub(crate) fn complain(label: Label, text: &str) {
    let _ = Messages.write_all(message(label, text).as_bytes());
}

/// Tells how a command ended that has no result, unless `--quiet` was given.
pub(crate) fn tell(text: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        complain(Label::Note, text);
    }
}

/// Whether `--quiet` was given.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on only results, warnings and errors are shown.
pub(crate) fn silence() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether only these are shown.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Whether standard error is a terminal that understands more than text.
pub(crate) fn is_live() -> bool {
    let is_capable = |name: OsString| !name.is_empty() && name != "dumb";
    io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(is_capable)
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Whether a passing line stands on the terminal. Held while something is written there.
static PASSING: Mutex<bool> = Mutex::new(false);

/// Begins the line anew and empties it.
const ERASE: &str = "\r\x1b[K";

/// Shows a line that the next output takes the place of. What does not fit into the
/// terminal's width is cut off there, by turning off its wrapping meanwhile.
pub(crate) fn draw(line: &str) {
    let mut passing = PASSING.lock().unwrap_or_else(PoisonError::into_inner);
    let text = format!("{ERASE}\x1b[?7l{}\x1b[?7h", one_line(line));
    *passing = io::stderr().write_all(text.as_bytes()).is_ok();
}

/// Takes away the line that [`draw`] has left.
pub(crate) fn erase() {
    let _ = Messages.write_all(b"");
}

/// Standard error, for whole lines: they take the place of a passing line.
#[derive(Debug)]
pub(crate) struct Messages;

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut passing = PASSING.lock().unwrap_or_else(PoisonError::into_inner);
        let erase = if std::mem::take(&mut *passing) { ERASE } else { "" };
        io::stderr().write_all(&[erase.as_bytes(), bytes].concat())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A number of things, whose plural has an s.
pub(crate) fn counted<N: TryInto<u64>>(number: N, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
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
    fn labels_have_colours_where_it_is_a_terminal() {
        assert_eq!(labelled(Label::Error, "a\nb", false), "umoci: a\\nb\n");
        assert_eq!(labelled(Label::Error, "a", true), "\x1b[1;31mumoci: \x1b[ma\n");
        let warning = Label::Log(log::Level::Warn);
        assert_eq!(labelled(warning, "a", true), "\x1b[33mumoci: warn: \x1b[ma\n");
        assert_eq!(labelled(Label::None, "a", true), "a\n");
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
