// SPDX-License-Identifier: Apache-2.0
//! Where a command finds its image or layout: `--image`, `--platform`, `--layout`, `--tag`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use umoci::error::{Context, Error, ErrorKind, Result};
use umoci::layout::{ImageRef, Layout, PlatformChoice, RefName, Selector};
use umoci::oci::{Descriptor, DescriptorPath, Platform};

use crate::failure::{Failure, Outcome};
use crate::host::Host;

/// The flag of commands that work on what a tag names, whatever it is.
#[derive(Debug, Clone, Args)]
pub(crate) struct EntryArg {
    /// image in a layout, as 'path[:tag]'; the tag is "latest" if not given
    #[arg(long, value_name = "PATH[:TAG]", value_hint = ValueHint::DirPath)]
    image: Option<OsString>,
}

impl EntryArg {
    /// Whether the flag is there.
    pub(crate) fn is_given(&self) -> bool {
        self.image.is_some()
    }

    /// Takes the value apart at its first colon.
    pub(crate) fn target(&self) -> Result<EntryTarget> {
        let Some(image) = &self.image else { return Err(missing("--image")) };
        let mut parts = image.as_bytes().splitn(2, |byte| *byte == b':');
        let path = OsStr::from_bytes(parts.next().unwrap_or_default());
        if path.is_empty() {
            return Err(Error::invalid("invalid --image: path is empty"));
        }
        let tag = reference(OsStr::from_bytes(parts.next().unwrap_or(b"latest")));
        Ok(EntryTarget { path: path.into(), tag: tag.context("invalid --image")? })
    }
}

/// The place of an entry: a layout and a tag there, which need not exist.
#[derive(Debug, Clone)]
pub(crate) struct EntryTarget {
    pub(crate) path: PathBuf,
    pub(crate) tag: RefName,
}

impl EntryTarget {
    /// Opens the layout.
    pub(crate) fn layout(&self) -> Outcome<Layout> {
        open(&self.path)
    }

    /// Finds the one entry that the tag names.
    pub(crate) fn resolve(&self, layout: &Layout) -> Outcome<Descriptor> {
        let found = layout.entry(&Selector::Name(self.tag.clone()));
        found.map_err(|error| explain(error, &self.path))
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
    pub(crate) fn target(&self) -> Result<ImageTarget> {
        let EntryTarget { path, tag } = self.entry.target()?;
        let platform = match self.platform()? {
            Some(platform) => PlatformChoice::Require(platform),
            None => PlatformChoice::Prefer(Host::read().platform()),
        };
        Ok(ImageTarget { path, tag, platform })
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

/// An image's place: a layout and a tag there, which need not exist, and which of the tag's
/// images it is.
#[derive(Debug, Clone)]
pub(crate) struct ImageTarget {
    pub(crate) path: PathBuf,
    pub(crate) tag: RefName,
    pub(crate) platform: PlatformChoice,
}

impl ImageTarget {
    /// Opens the layout.
    pub(crate) fn layout(&self) -> Outcome<Layout> {
        open(&self.path)
    }

    /// Finds the image.
    pub(crate) fn resolve(&self, layout: &Layout) -> Outcome<DescriptorPath> {
        let selector = Selector::Name(self.tag.clone());
        let image = ImageRef { selector, platform: self.platform.clone() };
        layout.find(&image).map_err(|error| match (error.kind(), &self.platform) {
            (ErrorKind::Platform, PlatformChoice::Prefer(_)) => {
                Failure::from(error).hint("--platform chooses one of them.")
            }
            _ => explain(error, &self.path),
        })
    }
}

/// Says where to look for tags if one is missing.
fn explain(error: Error, layout: &Path) -> Failure {
    // A blob that is missing on the way there is "not found" too.
    let tag_is_missing = error.kind() == ErrorKind::NotFound && error.io_error().is_none();
    let failure = Failure::from(error);
    if !tag_is_missing {
        return failure;
    }
    let path = shell_word(layout);
    failure.hint(format!("`umoci ls --layout {path}` lists the tags that there are."))
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
    Layout::open(path).map_err(|error| {
        let is_missing = error.kind() == ErrorKind::NotFound;
        let failure = Failure::from(error);
        match path.symlink_metadata() {
            Ok(_) if is_missing => failure.hint(format!("There is no image layout in {path:?}.")),
            Err(_) if is_missing => {
                let path = shell_word(path);
                failure.hint(format!("`umoci init --layout {path}` makes a new layout."))
            }
            _ => failure,
        }
    })
}

/// The path as a shell takes it for one word.
fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |character: char| character.is_alphanumeric() || "/._+-,@%".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The flag of commands that can store their result under another tag.
#[derive(Debug, Clone, Args)]
pub(crate) struct TagArg {
    /// store the result under this tag, instead of that of --image
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

impl TagArg {
    /// The tag of the result.
    pub(crate) fn or(&self, source: &RefName) -> Result<RefName> {
        match &self.tag {
            None => Ok(source.clone()),
            Some(tag) => tag.parse::<RefName>().context("invalid --tag"),
        }
    }
}

fn missing(flag: &str) -> Error {
    Error::invalid(format!("missing mandatory argument: {flag}"))
}

/// Reads a tag; bytes that are no text are never part of one.
fn reference(tag: &OsStr) -> Result<RefName> {
    match tag.to_str() {
        Some(tag) => tag.parse(),
        None => Err(Error::invalid(format!("tag contains invalid characters: {tag:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(value: &str) -> Result<EntryTarget> {
        EntryArg { image: Some(value.into()) }.target()
    }

    #[test]
    fn an_image_is_split_at_its_first_colon() {
        for (value, path, tag) in
            [("img", "img", "latest"), ("/a/b:c", "/a/b", "c"), ("img:a:b", "img", "a:b")]
        {
            let target = image(value).unwrap();
            assert_eq!((target.path.as_path(), target.tag.as_str()), (Path::new(path), tag));
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
            assert_eq!(image(value).unwrap_err().to_string(), message);
        }
        let missing = EntryArg { image: None }.target().unwrap_err();
        assert_eq!(missing.to_string(), "missing mandatory argument: --image");
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
    fn commands_in_hints_can_be_pasted() {
        assert_eq!(shell_word(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(shell_word(Path::new("a b")), "'a b'");
        assert_eq!(shell_word(Path::new("it's")), "'it'\\''s'");
    }

    #[test]
    fn a_result_goes_to_the_tag_of_its_source_or_to_a_valid_one() {
        let source: RefName = "old".parse().unwrap();
        let tag = |tag: Option<&str>| TagArg { tag: tag.map(str::to_owned) }.or(&source);
        assert_eq!(tag(None).unwrap().as_str(), "old");
        assert_eq!(tag(Some("new")).unwrap().as_str(), "new");
        let message = "invalid --tag: tag contains invalid characters: \"\"";
        assert_eq!(tag(Some("")).unwrap_err().to_string(), message);
    }
}
