// SPDX-License-Identifier: Apache-2.0
//! Names of images: accepted are those of the image-spec's grammar and no others.

use umoci::layout::RefName;

use crate::driver::Target;

pub(crate) const TARGET: Target = Target {
    name: "references",
    run,
    words: &[
        b"--",
        b"---",
        b"/",
        b"//",
        b"@sha256:",
        b":",
        b"+",
        b"_",
        b"\xc3\xa4",
        b"..",
        b"latest",
    ],
    mend: super::as_it_is,
};

fn run(input: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(input) else { return "no text".to_owned() };
    let parsed = text.parse::<RefName>();
    assert_eq!(parsed.is_ok(), is_reference(text), "{text:?}");
    match parsed {
        Ok(name) => {
            assert_eq!((name.as_str(), &*name.to_string()), (text, text));
            format!("{} parts", "/".repeat(text.split('/').count().min(9)))
        }
        Err(_) => "refused".to_owned(),
    }
}

/// The grammar of `annotations.md`, read backwards from its productions: what stands between
/// two letters or digits is nothing, a `/`, or a separator.
fn is_reference(text: &str) -> bool {
    let is_alphanumeric = |character: char| character.is_ascii_alphanumeric();
    let ends = text.starts_with(is_alphanumeric) && text.ends_with(is_alphanumeric);
    let mut between = text.split(is_alphanumeric);
    ends && between
        .all(|between| matches!(between, "" | "/" | "-" | "." | "_" | ":" | "@" | "+" | "--"))
}
