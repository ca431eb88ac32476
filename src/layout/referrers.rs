// SPDX-License-Identifier: Apache-2.0
//! What is said about images by others: signatures, attestations, lists of contents.
//!
//! A manifest says by its `subject` what it is about (image-spec `manifest.md`). Older tools
//! give it a name made of the digest instead, such as `sha256-<hex>.sig`, and build tools list
//! it beside the image with an annotation.

use std::collections::HashSet;

use serde::Deserialize;

use crate::error::{Context, ErrorKind, Result};
use crate::oci::json::{MAX_DOCUMENT_SIZE, Trailing, from_slice, nullable};
use crate::oci::media_type::{Family, Kind};
use crate::oci::{Descriptor, DescriptorPath, Digest, Index};

use super::{FULL_NAME, Layout, REF_NAME};

/// The annotation of an attestation that stands beside the image it is about.
pub(crate) const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// The annotation that says what such an entry is.
pub(super) const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// Something in a layout that is about an image there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Referrer {
    /// The entry that leads to it.
    pub descriptor: Descriptor,
    /// What it is about: the image's manifest, or an index above it.
    pub subject: Digest,
    /// What sort of thing it is, mostly a media type; empty where nothing says so.
    pub sort: String,
}

/// What a manifest or index says of itself.
#[derive(Debug, Default, Deserialize)]
struct About {
    #[serde(default)]
    subject: Option<Subject>,
    #[serde(rename = "artifactType", default, deserialize_with = "nullable")]
    artifact_type: String,
    #[serde(default)]
    config: Option<Config>,
}

#[derive(Debug, Deserialize)]
struct Subject {
    #[serde(default, deserialize_with = "nullable")]
    digest: String,
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(rename = "mediaType", default, deserialize_with = "nullable")]
    media_type: String,
}

impl About {
    /// Reads a document; nothing is known of what is none, or is not there.
    fn read(layout: &Layout, descriptor: &Descriptor) -> Result<Self> {
        if !is_document(descriptor) {
            return Ok(Self::default());
        }
        match layout.read(descriptor) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            bytes => from_slice(&bytes?, Trailing::Ignore)
                .with_context(|| format!("blob {}", descriptor.digest)),
        }
    }

    fn subject(&self) -> Option<Digest> {
        self.subject.as_ref()?.digest.parse().ok()
    }

    /// The type of an artifact that does not state it is that of its configuration.
    fn sort(self, descriptor: &Descriptor) -> String {
        let config = self.config.map(|config| config.media_type).unwrap_or_default();
        let stated = [descriptor.artifact_type.clone(), self.artifact_type, config];
        stated.into_iter().find(|sort| !sort.is_empty()).unwrap_or_default()
    }
}

/// Whether a blob can be a manifest or an index of any kind.
fn is_document(descriptor: &Descriptor) -> bool {
    descriptor.media_type.ends_with("json") && descriptor.size <= MAX_DOCUMENT_SIZE
}

/// What a manifest or index is about, if it says so; nothing if it is not there.
///
/// # Errors
/// When it is damaged or malformed.
pub(super) fn subject_of(layout: &Layout, descriptor: &Descriptor) -> Result<Option<Digest>> {
    Ok(About::read(layout, descriptor)?.subject())
}

/// Whether an entry of `index.json` has a name.
pub(super) fn is_named(entry: &Descriptor) -> bool {
    [REF_NAME, FULL_NAME].iter().any(|name| entry.annotations.contains_key(*name))
}

/// What a name of the form `sha256-<hex>` is about, with or without an ending such as `.sig`.
pub(super) fn named_subject(name: &str) -> Option<Digest> {
    let tag = name.rsplit([':', '/']).next()?;
    let (algorithm, rest) = tag.split_once('-')?;
    let hex = rest.split_once('.').map_or(rest, |(hex, _)| hex);
    format!("{algorithm}:{hex}").parse().ok()
}

/// Finds what the index says about the image at the end of `path`, and about the indexes that
/// lead there.
///
/// Entries that are damaged or missing are passed over: they say nothing about anything.
///
/// # Errors
/// When the index, or one on the path, cannot be read.
pub fn referrers(layout: &Layout, path: &DescriptorPath) -> Result<Vec<Referrer>> {
    let subjects: HashSet<&Digest> = path.walk().iter().map(|step| &step.digest).collect();
    let mut entries = layout.index()?.manifests;
    for step in path.walk().iter().filter(|step| Kind::of(&step.media_type) == Kind::Index) {
        entries.extend(layout.document::<Index>(step)?.manifests);
    }
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for entry in entries {
        if subjects.contains(&entry.digest) || !seen.insert(entry.digest.clone()) {
            continue;
        }
        let relation = stated_relation(&entry).or_else(|| {
            // A layout can have very many images, and few that are about this one.
            mentions(layout, &entry, &subjects).then(|| subject_relation(layout, &entry))?
        });
        let Some((subject, sort)) = relation else { continue };
        if subjects.contains(&subject) {
            found.push(Referrer { descriptor: entry, subject, sort });
        }
    }
    Ok(found)
}

/// Whether a document has one of these digests in it, at a first look.
fn mentions(layout: &Layout, entry: &Descriptor, digests: &HashSet<&Digest>) -> bool {
    // Docker's format has no subjects.
    if !is_document(entry) || Family::of(&entry.media_type) == Some(Family::Docker) {
        return false;
    }
    let bytes = layout.glance(entry).unwrap_or_default();
    digests.iter().any(|digest| contains(&bytes, digest.hex().as_bytes()))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What an entry is about, and what sort of thing it is.
pub(super) fn relation(layout: &Layout, entry: &Descriptor) -> Option<(Digest, String)> {
    stated_relation(entry).or_else(|| subject_relation(layout, entry))
}

/// What an entry is about, as its annotations say.
fn stated_relation(entry: &Descriptor) -> Option<(Digest, String)> {
    let annotation = |name| entry.annotations.get(name).map(String::as_str);
    if let Some(subject) = annotation(REFERENCE_DIGEST).and_then(|digest| digest.parse().ok()) {
        return Some((subject, annotation(REFERENCE_TYPE).unwrap_or_default().to_owned()));
    }
    let name = annotation(REF_NAME)?;
    let subject = named_subject(name)?;
    Some((subject, name.rsplit_once('.').map_or("", |(_, sort)| sort).to_owned()))
}

/// What an entry is about, as its document says.
fn subject_relation(layout: &Layout, entry: &Descriptor) -> Option<(Digest, String)> {
    let about = About::read(layout, entry).ok()?;
    Some((about.subject()?, about.sort(entry)))
}
