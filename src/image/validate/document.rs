// SPDX-License-Identifier: Apache-2.0
//! Indexes and manifests (image-spec `image-index.md`, `manifest.md`): their members, and the
//! descriptors in them. Where those lead is [`super::graph`]'s business.

use std::collections::HashSet;

use serde_json::Value;

use super::code::Code;
use super::descriptor::{self, Names, Reference, media_type, media_type_of_artifact};
use super::fields::{Fields, Need};
use super::finding::Findings;
use crate::layout::{FULL_NAME, REF_NAME, RefName};
use crate::oci::media_type::Kind;
use crate::quote::quote;

/// An index, as far as it is in order.
pub(super) struct Index {
    pub(super) entries: Vec<Reference>,
    pub(super) subject: Option<Reference>,
}

/// A manifest, as far as it is in order.
pub(super) struct Manifest {
    pub(super) config: Option<Reference>,
    /// `None` without a list.
    pub(super) layers: Option<Vec<Reference>>,
    pub(super) subject: Option<Reference>,
}

/// Checks an index that is said to be of a type; `index.json` is not said to be of any.
/// Entries that are not `wanted` are not looked at.
pub(super) fn index(
    fields: &mut Fields<'_, '_>,
    said: Option<&str>,
    wanted: &dyn Fn(&Value) -> bool,
) -> Index {
    fields.check_case(&["schemaVersion", "mediaType", "manifests", "config", "layers"]);
    common(fields, Kind::Index, said);
    for name in ["config", "layers"] {
        confusion(fields, name, "a manifest");
    }
    let entries = descriptors(fields, "manifests", wanted).unwrap_or_default();
    Index { entries, subject: descriptor(fields, "subject", Need::Optional) }
}

/// Checks a manifest that is said to be of a type.
pub(super) fn manifest(fields: &mut Fields<'_, '_>, said: &str) -> Manifest {
    fields.check_case(&["schemaVersion", "mediaType", "config", "layers", "manifests"]);
    let artifact_type = common(fields, Kind::Manifest, Some(said));
    confusion(fields, "manifests", "an index");
    let config = descriptor(fields, "config", Need::Required);
    let is_empty = config.as_ref().is_some_and(|config| config.kind() == Kind::Empty);
    if is_empty && artifact_type.is_none() {
        let message = "with an empty configuration there has to be an \"artifactType\"";
        fields.add(Code::JsonMissing, message);
    }
    let layers = descriptors(fields, "layers", &|_| true);
    Manifest { config, layers, subject: descriptor(fields, "subject", Need::Optional) }
}

/// The members that both kinds have; gives the type of the artifact.
fn common(fields: &mut Fields<'_, '_>, expected: Kind, said: Option<&str>) -> Option<String> {
    match fields.integer("schemaVersion", Need::Required) {
        Some(version) if version != 2 => {
            fields.add_at(
                "schemaVersion",
                Code::SchemaVersion,
                format!("the version is {version}"),
            );
        }
        _ => {}
    }
    if let Some(own) = media_type(fields, "mediaType", Need::Optional)
        && (Kind::of(&own) != expected || said.is_some_and(|said| said != own))
    {
        let said = said.map_or_else(|| "what index.json is".to_owned(), quote);
        let message = format!("the type is {}, not {said}", quote(&own));
        fields.add_at("mediaType", Code::MediaTypeMismatch, message);
    }
    fields.string_map("annotations");
    media_type_of_artifact(fields)
}

fn confusion(fields: &mut Fields<'_, '_>, name: &str, what: &str) {
    if fields.members.contains_key(name) {
        fields.add_at(name, Code::DocumentKind, format!("only {what} has such a member"));
    }
}

fn descriptor(fields: &mut Fields<'_, '_>, name: &str, need: Need) -> Option<Reference> {
    Some(descriptor::check_fields(&mut fields.object(name, need)?))
}

fn descriptors(
    fields: &mut Fields<'_, '_>,
    name: &str,
    wanted: &dyn Fn(&Value) -> bool,
) -> Option<Vec<Reference>> {
    let values = fields.array(name, Need::Required)?;
    let place = fields.place.at(name);
    let wanted = values.iter().enumerate().filter(|(_, value)| wanted(value));
    let descriptors =
        wanted.filter_map(|(at, value)| descriptor::check(value, &place.at(at), fields.findings));
    Some(descriptors.collect())
}

/// Checks what entries of an index, not of `index.json`, are to each other.
pub(super) fn relations(entries: &[Reference], findings: &mut Findings) {
    let mut images: Vec<&Reference> = Vec::new();
    for entry in entries {
        let Some(platform) = entry.platform.as_ref().filter(|platform| platform.is_stated()) else {
            continue;
        };
        let is_twin = |other: &&Reference| {
            other.digest != entry.digest
                && other.platform.as_ref().is_some_and(|other| {
                    other.is_same(platform)
                        && other.os_version == platform.os_version
                        && other.os_features == platform.os_features
                })
        };
        if entry.about.is_some() || entry.is_attestation() {
            continue;
        }
        if images.iter().any(is_twin) {
            let message = format!("{} again", quote(platform.to_string()));
            findings.add(Code::PlatformDuplicate, &entry.place.at("platform"), message);
        } else {
            images.push(entry);
        }
    }
}

/// Checks the names of entries of `index.json`.
pub(super) fn names(entries: &[Reference], findings: &mut Findings) {
    let (mut tags, mut full_names) = (HashSet::new(), HashSet::new());
    let mut all = HashSet::new();
    for entry in entries {
        let Names { tag, full } = &entry.names;
        let place = |annotation| entry.place.at("annotations").at(annotation);
        let platform = format!("{:?}", entry.platform);
        let is_new = all.insert((tag, full, platform.clone()));
        if let Some(tag) = tag {
            let place = place(REF_NAME);
            if let Err(error) = tag.parse::<RefName>() {
                findings.add(Code::TagInvalid, &place, error.to_string());
            }
            let is_first = tags.insert(tag);
            if !is_new {
                findings.add(Code::TagDuplicate, &place, format!("the tag {} again", quote(tag)));
            } else if !is_first {
                findings.add(Code::TagShared, &place, format!("the tag {} again", quote(tag)));
            }
        }
        // With the same tag as well that has been told.
        let is_told = !is_new && tag.is_some();
        if let Some(full) = full
            && !full_names.insert((full, platform))
            && !is_told
        {
            let message = format!("the full name {} again", quote(full));
            findings.add(Code::NameDuplicate, &place(FULL_NAME), message);
        }
    }
}
