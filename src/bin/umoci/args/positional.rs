// SPDX-License-Identifier: Apache-2.0
//! How many words a command takes besides its flags.
//!
//! clap would check this first; scripts know it as the last check before a
//! command starts, so commands take any number and ask here.

use std::ffi::{OsStr, OsString};

use umoci::error::{Error, Result};

/// Refuses any word.
pub(crate) fn none(words: &[OsString]) -> Result<()> {
    if words.is_empty() { Ok(()) } else { Err(wrong_number("none", words)) }
}

/// The one word that is called `name` in messages; `noun` is what it must not be an empty one of.
pub(crate) fn one<'a>(words: &'a [OsString], name: &str, noun: &str) -> Result<&'a OsStr> {
    match words {
        [word] if word.is_empty() => Err(Error::invalid(format!("{noun} cannot be empty"))),
        [word] => Ok(word),
        _ => Err(wrong_number(&format!("<{name}>"), words)),
    }
}

/// As many words as `N`, none of them empty.
pub(crate) fn several<const N: usize>(words: &[OsString]) -> Result<[&OsStr; N]> {
    let words: Vec<&OsStr> = words.iter().map(OsString::as_os_str).collect();
    let given: Result<[&OsStr; N], _> = words.try_into();
    let given = given.map_err(|words| wrong_number(&N.to_string(), &words))?;
    match given.iter().position(|word| word.is_empty()) {
        None => Ok(given),
        Some(at) => {
            let message = format!("invalid positional argument {at}: arguments cannot be empty");
            Err(Error::invalid(message))
        }
    }
}

/// A word that is text.
pub(crate) fn text(word: &OsStr) -> Result<&str> {
    word.to_str().ok_or_else(|| Error::invalid(format!("{word:?} is not UTF-8")))
}

fn wrong_number<S: AsRef<OsStr> + std::fmt::Debug>(expected: &str, words: &[S]) -> Error {
    let got = if words.is_empty() { String::new() } else { format!(", got {words:?}") };
    Error::invalid(format!("invalid number of positional arguments: expected {expected}{got}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_words_are_counted_first() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(several::<2>(&words(&["a", "b"])).unwrap(), ["a", "b"]);
        for (given, message) in [
            (&[][..], "invalid number of positional arguments: expected 2"),
            (&["", "b", "c"], "invalid number of positional arguments: expected 2, got"),
            (&["a", ""], "invalid positional argument 1: arguments cannot be empty"),
            (&["", ""], "invalid positional argument 0: arguments cannot be empty"),
        ] {
            let error = several::<2>(&words(given)).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn counts() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(none(&[]).is_ok());
        let error = none(&words(&["a", "--b"])).unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid number of positional arguments: expected none, got [\"a\", \"--b\"]"
        );
        assert_eq!(one(&words(&["a"]), "bundle", "bundle path").unwrap(), "a");
        let error = one(&words(&[""]), "bundle", "bundle path").unwrap_err().to_string();
        assert_eq!(error, "bundle path cannot be empty");
        let error = one(&[], "bundle", "bundle path").unwrap_err().to_string();
        assert_eq!(error, "invalid number of positional arguments: expected <bundle>");
    }
}
