// SPDX-License-Identifier: Apache-2.0
//! Where a command finds its image or layout: `--image`, `--platform`, `--layout`, `--tag`.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::{Args, ValueHint};
use umoci::error::{Context, Error, ErrorKind, Result};
use umoci::layout::{
    Destination, EntryName, FULL_NAME, ImageRef, Layout, PlatformChoice, REF_NAME, RefName,
    Selector, full_name,
};
use umoci::oci::{Algorithm, Descriptor, DescriptorPath, Digest, Platform};
use umoci::quote::quote;

use super::hints;
use crate::failure::{Failure, Outcome};
use crate::host::Host;
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

    /// Takes the value apart at its first colon.
    pub(crate) fn target(&self) -> Outcome<EntryTarget> {
        let Some(image) = &self.image else { return Err(missing("--image").into()) };
        let mut parts = image.as_bytes().splitn(2, |byte| *byte == b':');
        let path = OsStr::from_bytes(parts.next().unwrap_or_default());
        let rest = parts.next().map(OsStr::from_bytes);
        let (path, selector) = match (split_digest(path, rest), rest) {
            (Some((path, digest)), _) => (path, digest.map(Selector::Digest)),
            (None, None) => (path, Ok(Selector::Default)),
            (None, Some(tag)) => (path, reference(tag).map(Selector::Reference)),
        };
        if path.is_empty() {
            return Err(Error::invalid("invalid --image: path is empty").into());
        }
        let path = PathBuf::from(path);
        let selector = selector.context("invalid --image");
        let selector = selector.map_err(|error| hints::on_transport(error.into(), &path))?;
        Ok(EntryTarget { path, selector })
    }
}

/// Splits `path@algorithm` and the `hex` behind a colon into path and digest, if that is what they are.
///
/// A directory can be called `path@sha256`. Where there is none, a digest must have been meant.
fn split_digest<'a>(path: &'a OsStr, rest: Option<&OsStr>) -> Option<(&'a OsStr, Result<Digest>)> {
    let at = path.as_bytes().iter().rposition(|byte| *byte == b'@')?;
    let (before, algorithm) = path.as_bytes().split_at(at);
    let algorithm = std::str::from_utf8(&algorithm[1..]).ok()?;
    let digest = format!("{algorithm}:{}", rest?.to_str()?).parse::<Digest>();
    let is_meant = || algorithm.parse::<Algorithm>().is_ok() && !Path::new(path).exists();
    (digest.is_ok() || is_meant()).then(|| (OsStr::from_bytes(before), digest))
}

/// The place of an entry: a layout and what is called in some way there, which need not exist.
#[derive(Debug, Clone)]
pub(crate) struct EntryTarget {
    pub(crate) path: PathBuf,
    pub(crate) selector: Selector,
}

impl EntryTarget {
    /// The tag that is to be given or taken away: exactly that.
    pub(crate) fn tag(&self) -> Outcome<RefName> {
        let (text, digest) = match &self.selector {
            Selector::Digest(digest) => (digest.to_string(), true),
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
            Selector::Digest(_) => Ok(None),
            Selector::Name(tag) | Selector::Reference(tag) => find_name(layout, tag),
            Selector::Default => find_name(layout, &DEFAULT_TAG.parse()?),
        }
    }

    /// The place of an entry that was found here. A digest is nothing that could lead to another.
    pub(crate) fn place_of(&self, entry: &Descriptor) -> Outcome<Destination> {
        let is_nameless = EntryName::of(entry).is_nameless();
        match &self.selector {
            Selector::Digest(digest) => Err(nameless(&digest.to_string())),
            Selector::Name(_) | Selector::Reference(_) if is_nameless => {
                Err(nameless(&entry.digest.to_string()))
            }
            _ => Ok(Destination::Entry(Box::new(entry.clone()))),
        }
    }

    /// Opens the layout.
    pub(crate) fn layout(&self) -> Outcome<Layout> {
        open(&self.path)
    }

    /// Finds the one entry that is meant.
    pub(crate) fn resolve(&self, layout: &Layout) -> Outcome<Descriptor> {
        let found =
            layout.entry(&self.selector).map_err(|error| hints::on_tag(error, &self.path))?;
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
    if let Some(name) = found.as_ref().filter(|name| !name.is_exactly(tag.as_str())) {
        tell_meant(tag, &name.to_string());
    }
    Ok(found)
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
fn tell_meaning(selector: &Selector, entry: &Descriptor) {
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

/// The flags of commands that work on one image.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImageArg {
    #[command(flatten)]
    entry: EntryArg,

    /// which image of a tag that has several, as 'os/arch[/variant]'; that for this machine if not given
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
}

impl ImageArg {
    /// What was asked for.
    pub(crate) fn target(&self) -> Outcome<ImageTarget> {
        let place = self.entry.target()?;
        let platform = match self.platform()? {
            Some(platform) => PlatformChoice::Require(platform),
            None => PlatformChoice::Prefer(Host::read().platform()),
        };
        Ok(ImageTarget { place, platform })
    }

    /// The flag about entries alone.
    pub(crate) fn entry(&self) -> &EntryArg {
        &self.entry
    }

    /// The platform that was given.
    pub(crate) fn platform(&self) -> Result<Option<Platform>> {
        platform(self.platform.as_deref())
    }
}

/// Reads a platform, if one is given.
pub(crate) fn platform(text: Option<&str>) -> Result<Option<Platform>> {
    text.map(str::parse).transpose().context("invalid --platform")
}

/// An image's place: an entry, which need not exist, and which of its images it is.
#[derive(Debug, Clone)]
pub(crate) struct ImageTarget {
    pub(crate) place: EntryTarget,
    pub(crate) platform: PlatformChoice,
}

impl ImageTarget {
    /// Opens the layout.
    pub(crate) fn layout(&self) -> Outcome<Layout> {
        self.place.layout()
    }

    /// Finds the image.
    pub(crate) fn resolve(&self, layout: &Layout) -> Outcome<DescriptorPath> {
        let EntryTarget { path, selector } = &self.place;
        let image = ImageRef { selector: selector.clone(), platform: self.platform.clone() };
        let found = layout.find(&image).map_err(|error| match (error.kind(), &self.platform) {
            (ErrorKind::Platform, PlatformChoice::Prefer(_)) => {
                Failure::from(error).hint("--platform chooses one of them.")
            }
            _ => hints::on_tag(error, path),
        })?;
        tell_meaning(selector, found.root());
        Ok(found)
    }
}

/// The flag of commands that work on a whole layout.
#[derive(Debug, Clone, Args)]
pub(crate) struct LayoutArg {
    /// path to an image layout
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    layout: Option<OsString>,
}

impl LayoutArg {
    /// Whether the flag is there.
    pub(crate) fn is_given(&self) -> bool {
        self.layout.is_some()
    }

    /// The path.
    pub(crate) fn path(&self) -> Result<&Path> {
        let Some(path) = &self.layout else { return Err(missing("--layout")) };
        if path.as_bytes().contains(&b':') {
            let message = format!("invalid --layout: path contains ':' character: {path:?}");
            return Err(Error::invalid(message));
        }
        if path.is_empty() {
            return Err(Error::invalid("invalid --layout: path is empty"));
        }
        Ok(Path::new(path))
    }
}

/// Opens a layout that has to exist.
pub(crate) fn open(path: &Path) -> Outcome<Layout> {
    Layout::open(path).map_err(|error| hints::on_layout(error, path))
}

/// The flag of commands that can store their result under another tag.
#[derive(Debug, Clone, Args)]
pub(crate) struct TagArg {
    /// store the result under this tag, instead of that of --image
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

impl TagArg {
    /// Where the result goes.
    pub(crate) fn result(&self, source: &EntryTarget) -> Outcome<ResultTag> {
        match (&self.tag, &source.selector) {
            (Some(tag), _) => {
                Ok(ResultTag::Given(tag.parse::<RefName>().context("invalid --tag")?))
            }
            (None, Selector::Digest(digest)) => Err(nameless(&digest.to_string())),
            (None, _) => Ok(ResultTag::Kept),
        }
    }
}

/// Which tag the result of a change gets.
#[derive(Debug, Clone)]
pub(crate) enum ResultTag {
    /// This one.
    Given(RefName),
    /// That of the image before the change.
    Kept,
}

impl ResultTag {
    /// Where the result goes, now that the entry that leads to the image is known.
    pub(crate) fn destination(&self, layout: &Layout, base: &Descriptor) -> Outcome<Destination> {
        let name = match self {
            Self::Given(tag) => name_for(layout, tag)?,
            Self::Kept => EntryName::of(base),
        };
        if name == EntryName::of(base) {
            return Ok(Destination::Entry(Box::new(base.clone())));
        }
        Ok(Destination::Name(name))
    }
}

/// A digest stays with what it is; what is made of that needs a tag of its own.
fn nameless(image: &str) -> Failure {
    Failure::from(Error::invalid(format!("{image} names no tag for the result")))
        .hint("--tag gives it one.")
}

fn missing(flag: &str) -> Error {
    Error::invalid(format!("missing mandatory argument: {flag}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn image(value: &str) -> Outcome<EntryTarget> {
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
            (
                "img@sha256:0",
                "invalid --image: invalid digest: \"sha256:0\": invalid checksum digest length"
                    .into(),
            ),
        ] {
            assert_eq!(image(value).unwrap_err().error().to_string(), message);
        }
        let missing = EntryArg { image: None }.target().unwrap_err();
        assert_eq!(missing.error().to_string(), "missing mandatory argument: --image");
    }

    #[test]
    fn bad_layouts_are_refused_with_the_known_texts() {
        let layout = |value: Option<&str>| {
            let arg = LayoutArg { layout: value.map(OsString::from) };
            arg.path().map(Path::to_owned).map_err(|error| error.to_string())
        };
        assert_eq!(layout(Some("a")), Ok("a".into()));
        assert_eq!(layout(None), Err("missing mandatory argument: --layout".into()));
        assert_eq!(layout(Some("")), Err("invalid --layout: path is empty".into()));
        let colon = "invalid --layout: path contains ':' character: \"a:b\"";
        assert_eq!(layout(Some("a:b")), Err(colon.into()));
    }

    #[test]
    fn a_result_goes_to_the_tag_of_its_source_or_to_a_valid_one() {
        let result = |tag: Option<&str>, value: &str| {
            let arg = TagArg { tag: tag.map(str::to_owned) };
            match arg.result(&image(value).unwrap()) {
                Ok(ResultTag::Given(tag)) => Ok(tag.to_string()),
                Ok(ResultTag::Kept) => Ok("kept".to_owned()),
                Err(failure) => Err(failure.error().to_string()),
            }
        };
        let digest = format!("a@{}", Digest::of(Algorithm::Sha256, "x"));
        assert_eq!(result(None, "a:short").unwrap(), "kept");
        assert_eq!(result(Some("new"), "a:short").unwrap(), "new");
        assert_eq!(result(Some("new"), &digest).unwrap(), "new");
        assert!(result(None, &digest).unwrap_err().ends_with("names no tag for the result"));
        let message = "invalid --tag: tag contains invalid characters: \"\"";
        assert_eq!(result(Some(""), "a").unwrap_err(), message);
    }
}
