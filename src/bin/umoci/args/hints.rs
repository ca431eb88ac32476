// SPDX-License-Identifier: Apache-2.0
//! What the user can do about an image, layout or command that is not there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::ArgMatches;
use umoci::error::{Error, ErrorKind};
use umoci::layout::{EntryName, Layout, Platforms, Selector};
use umoci::oci::Descriptor;

use super::EntryTarget;
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
    let word = shell_word(path);
    match form(path) {
        Some(form) => {
            failure.hint(format!("`skopeo copy {form}:{word} oci:PATH:TAG` makes it a layout."))
        }
        None if is_missing => {
            on_transport(failure.hint(format!("There is no image layout in {path:?}.")), path)
        }
        None => failure,
    }
}

/// The form of an image that is no layout, as other tools call it.
fn form(path: &Path) -> Option<&'static str> {
    let has = |name: &str| path.join(name).is_file();
    if has("manifest.json") && has("version") && !has("oci-layout") {
        return Some("dir");
    }
    path.is_file().then(|| if is_oci_archive(path) { "oci-archive" } else { "docker-archive" })
}

/// Whether a file has a layout in it, as far as its beginning shows.
fn is_oci_archive(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64 << 10).read_to_end(&mut start));
    read.is_ok() && start.chunks(512).any(|block| block.starts_with(b"oci-layout\0"))
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

/// Says what the form of `--layout` is, where there is more than a path.
pub(crate) fn on_colon(error: Error, value: &OsStr) -> Failure {
    let failure = Failure::from(error);
    let mut parts = value.as_bytes().splitn(2, |byte| *byte == b':').map(OsStr::from_bytes);
    let (first, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if is_transport(Path::new(first)) && !is_there(Path::new(first)) {
        let mut path = rest.as_bytes().split(|byte| *byte == b':').map(OsStr::from_bytes);
        let path = shell_word(Path::new(path.next().unwrap_or_default()));
        let first = first.to_string_lossy();
        return failure.hint(match &*first {
            "oci" => format!("--layout takes a path alone: --layout {path}"),
            _ => "`skopeo copy` brings an image into a layout (oci:PATH:TAG) first.".to_owned(),
        });
    }
    if Path::new(first).join("oci-layout").exists() {
        let path = shell_word(Path::new(first));
        return failure.hint(format!("--layout takes a path alone: --layout {path}"));
    }
    failure
}

fn is_transport(path: &Path) -> bool {
    path.to_str().is_some_and(|path| TRANSPORTS.contains(&path))
}

/// Whether anything is there, or may be.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Says where to look if an image is missing, or what to do if there are several.
pub(crate) fn on_entry(error: Error, layout: &Layout, target: &EntryTarget) -> Failure {
    // A blob that is missing on the way there is "not found" too.
    let is_missing = error.kind() == ErrorKind::NotFound && error.io_error().is_none();
    let is_ambiguous = error.kind() == ErrorKind::Ambiguous;
    let failure = Failure::from(match &target.selector {
        Selector::Unread(_) => error.context("invalid --image"),
        _ => error,
    });
    let path = shell_word(&target.path);
    let entries = layout.entries(&target.selector).unwrap_or_default();
    let name = format!("{path}:{}", target.selector);
    match &target.selector {
        _ if !is_missing && !is_ambiguous => failure,
        Selector::Reference(_) if is_missing => {
            failure.hint(format!("`umoci ls --layout {path}` lists the tags that there are."))
        }
        Selector::Reference(tag) if is_one_per_platform(layout, &entries) => failure
            .hint(format!("`umoci index create --image {name} {tag}` makes one index of them.")),
        Selector::Reference(_) if entries.len() == 1 => {
            failure.hint(format!("`umoci index list --image {name}` shows the images."))
        }
        _ => failure
            .hint(format!("`umoci ls --long --layout {path}` shows the images that there are.")),
    }
}

/// Whether entries have the same name and are for different platforms, so that an index can be made of them.
fn is_one_per_platform(layout: &Layout, entries: &[Descriptor]) -> bool {
    let names: BTreeSet<EntryName> = entries.iter().map(EntryName::of).collect();
    let mut platforms = Platforms::new(layout);
    let known = entries.iter().map(|entry| platforms.of(entry).ok().flatten());
    let known: Option<BTreeSet<String>> =
        known.map(|platform| platform.map(|platform| platform.to_string())).collect();
    names.len() == 1 && entries.len() > 1 && known.is_some_and(|known| known.len() == entries.len())
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
pub(crate) fn shell_word(path: &Path) -> String {
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
