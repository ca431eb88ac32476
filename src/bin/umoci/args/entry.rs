// SPDX-License-Identifier: Apache-2.0
//! `--image` as a place in a layout: a path, and what is called in some way there.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::{Args, ValueHint};
use umoci::error::{Context, Error, ErrorKind, Result};
use umoci::layout::{
    Destination, EntryName, FULL_NAME, Layout, REF_NAME, RefName, Selector, full_name,
};
use umoci::oci::{Algorithm, Descriptor, Digest};
use umoci::quote::quote;

use super::{hints, layout, missing};
use crate::failure::{Failure, Outcome};
use crate::output::{self, Label};

/// The tag that is given or taken away where none is named.
const DEFAULT_TAG: &str = "latest";

/// The flag of commands that work on what a tag names, whatever it is.
#[derive(Debug, Clone, Args)]
pub(crate) struct EntryArg {
    /// image in a layout, as 'path[:tag][@digest]'; without both it is "latest", or the only one
    #[arg(long, value_name = "PATH[:TAG][@DIGEST]", value_hint = ValueHint::DirPath)]
    image: Option<OsString>,
}

impl EntryArg {
    /// Whether the flag is there.
    pub(crate) fn is_given(&self) -> bool {
        self.image.is_some()
    }

    /// What was asked for.
    pub(crate) fn target(&self) -> Outcome<EntryTarget> {
        EntryTarget::read(self.image.as_deref())
    }
}

/// The flag of commands that make, replace or remove a tag.
#[derive(Debug, Clone, Args)]
pub(crate) struct DestinationArg {
    /// tag that is made, replaced or removed in a layout, as 'path[:tag]'; "latest" without ":tag"
    #[arg(long, value_name = "PATH[:TAG]", value_hint = ValueHint::DirPath)]
    image: Option<OsString>,
}

impl DestinationArg {
    /// What was asked for.
    pub(crate) fn target(&self) -> Outcome<EntryTarget> {
        EntryTarget::read(self.image.as_deref())
    }
}

/// Splits `path@algorithm` and the `hex` behind a colon into path and digest, if that is what they are.
///
/// A directory can be called `path@sha256`. Where there is none, a digest must have been meant, or
/// what an entry has in the place of one.
fn split_digest<'a>(path: &'a OsStr, rest: Option<&OsStr>) -> Option<(&'a OsStr, Selector)> {
    let at = path.as_bytes().iter().rposition(|byte| *byte == b'@')?;
    let (before, algorithm) = path.as_bytes().split_at(at);
    let before = OsStr::from_bytes(before);
    let algorithm = std::str::from_utf8(&algorithm[1..]).ok()?;
    let text = format!("{algorithm}:{}", rest?.to_str()?);
    if let Ok(digest) = text.parse::<Digest>() {
        return Some((before, Selector::Digest(digest)));
    }
    let is_known = algorithm.parse::<Algorithm>().is_ok();
    let is_meant = (is_known || Path::new(before).exists()) && !Path::new(path).exists();
    is_meant.then_some((before, Selector::Unread(text)))
}

/// The place of an entry: a layout and what is called in some way there, which need not exist.
#[derive(Debug, Clone)]
pub(crate) struct EntryTarget {
    pub(crate) path: PathBuf,
    pub(crate) selector: Selector,
}

impl EntryTarget {
    /// Takes the value of `--image` apart at its first colon.
    fn read(image: Option<&OsStr>) -> Outcome<Self> {
        let Some(image) = image else { return Err(missing("--image").into()) };
        let mut parts = image.as_bytes().splitn(2, |byte| *byte == b':');
        let path = OsStr::from_bytes(parts.next().unwrap_or_default());
        let rest = parts.next().map(OsStr::from_bytes);
        let (path, selector) = match (split_digest(path, rest), rest) {
            (Some((path, digest)), _) => (path, Ok(digest)),
            (None, None) => (path, Ok(Selector::Default)),
            (None, Some(tag)) => (path, reference(tag).map(Selector::Reference)),
        };
        if path.is_empty() {
            return Err(Error::invalid("invalid --image: path is empty").into());
        }
        let path = PathBuf::from(path);
        let selector = selector.context("invalid --image");
        let selector = selector.map_err(|error| hints::on_transport(error.into(), &path))?;
        Ok(Self { path, selector })
    }

    /// The tag that is to be given or taken away: exactly that.
    pub(crate) fn tag(&self) -> Outcome<RefName> {
        let (text, digest) = match &self.selector {
            digest @ (Selector::Digest(_) | Selector::Unread(_)) => (digest.to_string(), true),
            Selector::Name(tag) | Selector::Reference(tag) => (tag.to_string(), is_pinned(tag)),
            Selector::Default => (DEFAULT_TAG.to_owned(), false),
        };
        if digest {
            let message = format!("invalid --image: {text} is not a tag");
            return Err(Failure::from(Error::invalid(message)).hint("This command needs path:tag."));
        }
        Ok(text.parse::<RefName>()?)
    }

    /// The name that is to be given: that of an entry which is called so, or else exactly that.
    pub(crate) fn name(&self, layout: &Layout) -> Outcome<EntryName> {
        match self.find_name(layout)? {
            Some(name) => Ok(name),
            None => Ok((&self.tag()?).into()),
        }
    }

    /// The name of what is called so here, if there is any.
    pub(crate) fn find_name(&self, layout: &Layout) -> Outcome<Option<EntryName>> {
        match &self.selector {
            Selector::Digest(_) | Selector::Unread(_) => Ok(None),
            Selector::Name(tag) | Selector::Reference(tag) => find_name(layout, tag),
            Selector::Default => find_name(layout, &DEFAULT_TAG.parse()?),
        }
    }

    /// The place of an entry that was found here. A digest is nothing that could lead to another.
    pub(crate) fn place_of(&self, layout: &Layout, entry: &Descriptor) -> Outcome<Destination> {
        let name = EntryName::of(entry);
        match &self.selector {
            Selector::Digest(_) | Selector::Unread(_) => return Err(nameless(&self.selector)),
            Selector::Name(_) | Selector::Reference(_) if name.is_nameless() => {
                return Err(nameless(&entry.digest));
            }
            Selector::Default if !name.is_exactly(DEFAULT_TAG) => {
                let names = layout.names_of(entry)?;
                if names.len() > 1 {
                    return Err(several_names(&names));
                }
            }
            Selector::Name(_) | Selector::Reference(_) | Selector::Default => {}
        }
        Ok(Destination::Entry(Box::new(entry.clone())))
    }

    /// Opens the layout.
    pub(crate) fn layout(&self) -> Outcome<Layout> {
        layout::open(&self.path)
    }

    /// Opens the layout, to be changed.
    pub(crate) fn layout_to_change(&self) -> Outcome<Layout> {
        layout::open_to_change(&self.path)
    }

    /// Finds the one entry that is meant.
    pub(crate) fn resolve(&self, layout: &Layout) -> Outcome<Descriptor> {
        let found = layout.entry(&self.selector);
        let found = found.map_err(|error| hints::on_entry(error, layout, self))?;
        tell_meaning(&self.selector, &found);
        Ok(found)
    }
}

/// Whether a name says which digest it has to lead to.
fn is_pinned(name: &RefName) -> bool {
    let digest = name.as_str().rsplit_once('@').map(|(_, digest)| digest.parse::<Digest>());
    matches!(digest, Some(Ok(_)))
}

/// The name of what is called `tag` in a layout, which is said where it is another one.
fn find_name(layout: &Layout, tag: &RefName) -> Outcome<Option<EntryName>> {
    let found = layout.entry_name(tag)?;
    if let Some(name) = &found {
        tell_name(tag, name);
    }
    Ok(found)
}

/// Says which name a tag was taken for, where it is another one.
pub(crate) fn tell_name(tag: &RefName, name: &EntryName) {
    if !name.is_exactly(tag.as_str()) {
        tell_meant(tag, &name.to_string());
    }
}

/// The name that a tag is given as: that of an entry which is called so, or else exactly that.
pub(crate) fn name_for(layout: &Layout, tag: &RefName) -> Outcome<EntryName> {
    Ok(find_name(layout, tag)?.unwrap_or_else(|| tag.into()))
}

/// Says which image a short name was taken for.
fn tell_meant(asked: &RefName, full: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let text = format!("{asked} is {full} here");
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
        output::complain(Label::Note, &text);
    }
}

/// Says which image a short name of a selector was taken for.
pub(super) fn tell_meaning(selector: &Selector, entry: &Descriptor) {
    let name = |annotation: &str| entry.annotations.get(annotation).map(String::as_str);
    let (Selector::Reference(asked), Some(full)) = (selector, full_name(entry)) else { return };
    let is_asked = |name: &str| {
        let rest = asked.as_str().strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
    };
    if ![REF_NAME, FULL_NAME].into_iter().filter_map(name).any(is_asked) {
        tell_meant(asked, full);
    }
}

/// Reads a tag; bytes that are no text are never part of one.
fn reference(tag: &OsStr) -> Result<RefName> {
    match tag.to_str() {
        Some(tag) => tag.parse(),
        None => {
            let tag = quote(tag.as_encoded_bytes());
            Err(Error::invalid(format!("tag contains invalid characters: {tag}")))
        }
    }
}

/// A digest stays with what it is; what is made of that needs a tag of its own.
pub(super) fn nameless(image: &impl std::fmt::Display) -> Failure {
    Failure::from(Error::invalid(format!("{image} names no tag for the result")))
        .hint("--tag gives it one.")
}

/// What is changed could be any of them.
fn several_names(names: &BTreeSet<EntryName>) -> Failure {
    let names: Vec<String> = names.iter().map(EntryName::to_string).collect();
    let message = format!("several tags lead to the only image: {}", names.join(", "));
    Failure::from(Error::new(ErrorKind::Ambiguous, message))
        .hint("--image path:tag says which one is meant.")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::args) fn image(value: &str) -> Outcome<EntryTarget> {
        EntryArg { image: Some(value.into()) }.target()
    }

    #[test]
    fn an_image_is_split_at_its_first_colon() {
        for (value, path, tag) in [
            ("img", "img", "latest"),
            ("/a/b:c", "/a/b", "c"),
            ("img:a:b", "img", "a:b"),
            ("a@b:c", "a@b", "c"),
        ] {
            let target = image(value).unwrap();
            let found = target.tag().unwrap();
            assert_eq!((target.path.as_path(), found.as_str()), (Path::new(path), tag));
        }
        assert_eq!(image("img").unwrap().selector, Selector::Default);
    }

    #[test]
    fn a_digest_stands_behind_an_at() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let digest = Digest::of(algorithm, "x");
            let target = image(&format!("/a/b@c@{digest}")).unwrap();
            assert_eq!(target.path, Path::new("/a/b@c"));
            assert!(target.tag().is_err());
            assert_eq!(target.selector, Selector::Digest(digest.clone()));
            let name = format!("tag@{digest}");
            let expected = Selector::Reference(name.parse().unwrap());
            assert_eq!(image(&format!("img:{name}")).unwrap().selector, expected);
            let empty = image(&format!("@{digest}")).unwrap_err().error().to_string();
            assert_eq!(empty, "invalid --image: path is empty");
        }
    }

    #[test]
    fn bad_images_are_refused_with_the_known_texts() {
        let invalid = "invalid --image: tag contains invalid characters: ";
        for (value, message) in [
            (":foo", "invalid --image: path is empty".to_owned()),
            ("", "invalid --image: path is empty".to_owned()),
            ("img:", format!("{invalid}\"\"")),
            ("img:a..b", format!("{invalid}\"a..b\"")),
            ("img:a\n", format!("{invalid}\"a\\n\"")),
        ] {
            assert_eq!(image(value).unwrap_err().error().to_string(), message);
        }
        let missing = EntryArg { image: None }.target().unwrap_err();
        assert_eq!(missing.error().to_string(), "missing mandatory argument: --image");
    }
}
