// SPDX-License-Identifier: Apache-2.0
//! What the user can do about an image, layout or command that is not there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::ArgMatches;
use umoci::error::{Error, ErrorKind};

use crate::failure::Failure;

/// What other tools write in front of an image's name to say where it is.
const TRANSPORTS: [&str; 8] = [
    "containers-storage",
    "dir",
    "docker",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "tarball",
];

/// Names the layout that could not be opened, if it is that there is none.
pub(crate) fn on_layout(error: Error, path: &Path) -> Failure {
    let is_missing = error.kind() == ErrorKind::NotFound;
    let failure = Failure::from(error);
    if !is_missing {
        return failure;
    }
    on_transport(failure.hint(format!("There is no image layout in {path:?}.")), path)
}

/// Says how to make a layout that is not there, for a command that is the first one used on it.
pub(crate) fn on_first_use(failure: Failure, path: &Path) -> Failure {
    if failure.kind() != ErrorKind::NotFound || is_transport(path) || is_there(path) {
        return failure;
    }
    failure.hint(format!("`umoci init --layout {}` makes a new layout.", shell_word(path)))
}

/// Says what the form of `--image` is, if the path looks like the first word of another one.
pub(crate) fn on_transport(failure: Failure, path: &Path) -> Failure {
    if !is_transport(path) || is_there(path) {
        return failure;
    }
    let form = format!("--image takes PATH[:TAG], without \"{}:\" in front", path.display());
    failure.hint(match path.to_str() {
        Some("oci") => format!("{form}."),
        _ => format!("{form}; `skopeo copy` brings an image into a layout (oci:PATH:TAG) first."),
    })
}

fn is_transport(path: &Path) -> bool {
    path.to_str().is_some_and(|path| TRANSPORTS.contains(&path))
}

/// Whether anything is there, or may be.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Says where to look for tags if one is missing.
pub(crate) fn on_tag(error: Error, layout: &Path) -> Failure {
    // A blob that is missing on the way there is "not found" too.
    let tag_is_missing = error.kind() == ErrorKind::NotFound && error.io_error().is_none();
    let failure = Failure::from(error);
    if !tag_is_missing {
        return failure;
    }
    let path = shell_word(layout);
    failure.hint(format!("`umoci ls --layout {path}` lists the tags that there are."))
}

/// The hint for a command line that names its image or layout without the flag for it.
pub(crate) fn forgotten_flag(program: &ArgMatches) -> Option<String> {
    let mut command = program;
    while let Some((_, below)) = command.subcommand() {
        command = below;
    }
    let has = |flag| command.try_get_raw(flag).is_ok();
    let is_given = |flag| command.try_get_raw(flag).is_ok_and(|value| value.is_some());
    if is_given("image") || is_given("layout") {
        return None;
    }
    let mut words = command.try_get_raw("words").ok()??;
    if let Some(word) = words.clone().find(|word| has("image") && is_image(word)) {
        return Some(format!("An image is named by a flag: --image {}", shell_word(word.as_ref())));
    }
    let word = words.next().filter(|_| has("layout"))?;
    Some(format!("A layout is named by a flag: --layout {}", shell_word(word.as_ref())))
}

/// Whether the word is an image's name rather than a path or a tag: there is a layout, or a tag behind a path.
fn is_image(word: &OsStr) -> bool {
    let mut parts = word.as_bytes().splitn(2, |byte| *byte == b':');
    let path = Path::new(OsStr::from_bytes(parts.next().unwrap_or_default()));
    parts.next().is_some() || path.join("oci-layout").exists()
}

/// The path as a shell takes it for one word.
fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |character: char| character.is_alphanumeric() || "/._+-,:@%".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_hints_can_be_pasted() {
        assert_eq!(shell_word(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(shell_word(Path::new("img:a")), "img:a");
        assert_eq!(shell_word(Path::new("a b")), "'a b'");
        assert_eq!(shell_word(Path::new("it's")), "'it'\\''s'");
    }
}
