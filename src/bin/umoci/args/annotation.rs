// SPDX-License-Identifier: Apache-2.0
//! `--annotation` and `--remove-annotation`: annotations in all their places.

use std::ffi::OsString;

use clap::Args;
use umoci::error::{Context, Error, Result};
use umoci::image::{Annotated, AnnotationEdit, ImageEditor};
use umoci::quote::{quote, quote_if_needed};

use super::text;

/// Flags of commands that change an image.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AnnotationArgs {
    /// set an annotation ([OF:]NAME=VALUE); OF is manifest (if left out), index, descriptor or layer[N]; may be repeated
    #[arg(id = "annotation", long = "annotation", value_name = "[OF:]NAME=VALUE")]
    set: Vec<String>,

    /// remove an annotation ([OF:]NAME), if it is there, before any is set; may be repeated
    #[arg(id = "remove-annotation", long = "remove-annotation", value_name = "[OF:]NAME")]
    remove: Vec<String>,
}

impl AnnotationArgs {
    /// Checks the values and gives the changes in their order: removals come first.
    pub(crate) fn edits(&self) -> Result<Vec<AnnotationEdit>> {
        edits(&self.set, &self.remove, Annotated::Manifest)
    }
}

/// Makes the changes.
pub(crate) fn annotate(editor: &mut ImageEditor<'_>, edits: &[AnnotationEdit]) -> Result<()> {
    edits.iter().try_for_each(|edit| editor.annotate(edit))
}

/// Flags of commands that change an index.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct IndexAnnotationArgs {
    /// set an annotation ([OF:]NAME=VALUE); OF is index, or descriptor for what --entry names (meant if left out beside --entry); may be repeated
    #[arg(id = "annotation", long = "annotation", value_name = "[OF:]NAME=VALUE")]
    set: Vec<String>,

    /// remove an annotation ([OF:]NAME), if it is there, before any is set; may be repeated
    #[arg(id = "remove-annotation", long = "remove-annotation", visible_alias = "remove")]
    #[arg(value_name = "[OF:]NAME")]
    remove: Vec<String>,
}

impl IndexAnnotationArgs {
    /// As [`AnnotationArgs::edits`]. `words` are set too, and what does not say so is about `usual`.
    pub(crate) fn edits(
        &self,
        words: &[OsString],
        usual: Annotated,
    ) -> Result<Vec<AnnotationEdit>> {
        let read = |word: &OsString| text(word).map(str::to_owned);
        let words = words.iter().map(read).collect::<Result<Vec<_>>>()?;
        index_edits(&[&self.set[..], &words].concat(), &self.remove, usual)
    }
}

/// The changes of an index, and of the entry of it that is meant, if one is.
pub(crate) fn index_edits(
    set: &[String],
    removed: &[String],
    usual: Annotated,
) -> Result<Vec<AnnotationEdit>> {
    let edits = edits(set, removed, usual)?;
    match edits.iter().find(|edit| !matches!(edit.of, Annotated::Index) && edit.of != usual) {
        None => Ok(edits),
        Some(AnnotationEdit { of: Annotated::Descriptor, name, .. }) => {
            Err(Error::invalid(format!("descriptor:{name}: --entry says whose descriptor")))
        }
        Some(AnnotationEdit { name, .. }) => Err(Error::invalid(format!(
            "annotation {} is not of an index or its entries",
            quote(name)
        ))),
    }
}

fn edits(set: &[String], removed: &[String], usual: Annotated) -> Result<Vec<AnnotationEdit>> {
    let removed = removed.iter().map(|text| removal(text, usual).context("--remove-annotation"));
    let set = set.iter().map(|text| setting(text, usual).context("--annotation"));
    removed.chain(set).collect()
}

fn setting(text: &str, usual: Annotated) -> Result<AnnotationEdit> {
    let (of, pair) = place(text, usual)?;
    let Some((name, value)) = pair.split_once('=') else {
        return Err(Error::invalid(format!("must contain '=': {}", quote_if_needed(text))));
    };
    Ok(AnnotationEdit { of, name: named(name, text)?, value: Some(value.to_owned()) })
}

fn removal(text: &str, usual: Annotated) -> Result<AnnotationEdit> {
    let (of, name) = place(text, usual)?;
    Ok(AnnotationEdit { of, name: named(name, text)?, value: None })
}

fn named(name: &str, text: &str) -> Result<String> {
    if name.is_empty() {
        return Err(Error::invalid(format!("must have non-empty name: {}", quote(text))));
    }
    Ok(name.to_owned())
}

/// Splits off what the annotation is about. A colon in a name means nothing: only these words do.
fn place(text: &str, usual: Annotated) -> Result<(Annotated, &str)> {
    let Some((of, rest)) = text.split_once(':') else { return Ok((usual, text)) };
    let of = match of {
        "manifest" => Annotated::Manifest,
        "index" => Annotated::Index,
        "descriptor" => Annotated::Descriptor,
        "layer" => {
            let message =
                format!("which layer is meant? layer[N], from 0 or from -1: {}", quote(text));
            return Err(Error::invalid(message));
        }
        _ => match of.strip_prefix("layer[").and_then(|number| number.strip_suffix(']')) {
            Some(number) => Annotated::Layer(number.parse().map_err(|_| {
                Error::invalid(format!("{of} is not the number of a layer: {}", quote(text)))
            })?),
            None => {
                warn_of_slip(of, text, usual);
                return Ok((usual, text));
            }
        },
    };
    Ok((of, rest))
}

/// Tells what a word that nearly is one of those that say a place is taken for.
fn warn_of_slip(of: &str, text: &str, usual: Annotated) {
    let is_name = of.contains(['.', '/', '=', ':']) || of == "urn";
    if !is_name {
        let usual = match usual {
            Annotated::Index => "index",
            Annotated::Descriptor => "descriptor",
            Annotated::Manifest | Annotated::Layer(_) => "manifest",
        };
        log::warn!(
            "{} is taken for an annotation of the {usual}: {} is no place",
            quote(text),
            quote(of)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, of, name, value) in [
            ("a=b", Annotated::Manifest, "a", "b"),
            ("manifest:a=b=c", Annotated::Manifest, "a", "b=c"),
            ("index:a=", Annotated::Index, "a", ""),
            ("descriptor:a=x:y", Annotated::Descriptor, "a", "x:y"),
            ("layer[0]:a=b", Annotated::Layer(0), "a", "b"),
            ("layer[-1]:a=b", Annotated::Layer(-1), "a", "b"),
            ("urn:x=http://y", Annotated::Manifest, "urn:x", "http://y"),
            ("manifest:index:a=b", Annotated::Manifest, "index:a", "b"),
        ] {
            let edit = setting(text, Annotated::Manifest).unwrap();
            assert_eq!((edit.of, &*edit.name, edit.value.as_deref()), (of, name, Some(value)));
        }
        let edit = removal("layer[3]:a=b", Annotated::Manifest).unwrap();
        assert_eq!((edit.of, &*edit.name, edit.value), (Annotated::Layer(3), "a=b", None));
    }

    #[test]
    fn bad_values() {
        let args = |set: &str, remove: &str| {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
            AnnotationArgs { set: words(set), remove: words(remove) }.edits()
        };
        for (set, remove, message) in [
            ("a", "", "--annotation: must contain '=': a"),
            ("index:=a", "", "--annotation: must have non-empty name: \"index:=a\""),
            (
                "layer:a=b",
                "",
                "--annotation: which layer is meant? layer[N], from 0 or from -1: \"layer:a=b\"",
            ),
            ("", "index:", "--remove-annotation: must have non-empty name: \"index:\""),
            (
                "layer[x]:a=b",
                "",
                "--annotation: layer[x] is not the number of a layer: \"layer[x]:a=b\"",
            ),
        ] {
            assert_eq!(args(set, remove).unwrap_err().to_string(), message);
        }
        assert_eq!(args("a=1 b=2", "a").unwrap().len(), 3);
    }
}
