// SPDX-License-Identifier: Apache-2.0
//! Descriptors (image-spec `descriptor.md`): whether one is in order, and what it says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::code::Code;
use super::fields::{Fields, Need};
use super::finding::{Findings, Place};
use crate::layer::compress::Compression;
use crate::layout::{FULL_NAME, REF_NAME, REFERENCE_DIGEST};
use crate::oci::media_type::Kind;
use crate::oci::{Algorithm, Digest, Platform, is_digest};
use crate::quote::quote;

/// What a descriptor says, as far as it is in order.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    pub(super) place: Place,
    pub(super) media_type: String,
    /// Nothing, if it cannot be known which blob is meant.
    pub(super) digest: Option<Digest>,
    pub(super) size: Option<u64>,
    /// The blob itself, embedded, if it is the right one.
    pub(super) data: Option<Vec<u8>>,
    /// Whether the blob may be had elsewhere.
    pub(super) has_urls: bool,
    pub(super) platform: Option<Platform>,
    /// The digest of the image that it is said to be about, as attestations have it.
    pub(super) about: Option<String>,
    /// The annotations that name an image.
    pub(super) names: Names,
}

impl Reference {
    /// What the blob is. A layer that cannot be read is one of other kinds.
    pub(super) fn kind(&self) -> Kind {
        match Kind::of(&self.media_type) {
            Kind::Layer if self.compression().is_none() => Kind::Other,
            kind => kind,
        }
    }

    /// How the blob is compressed, if it is a layer.
    pub(super) fn compression(&self) -> Option<Compression> {
        let is_layer = Kind::of(&self.media_type) == Kind::Layer;
        Compression::from_media_type(&self.media_type).ok().filter(|_| is_layer)
    }

    pub(super) fn has_media_type(&self) -> bool {
        is_media_type(&self.media_type)
    }

    /// Whether this is no image, but something said about one, put among images.
    pub(super) fn is_attestation(&self) -> bool {
        self.platform.as_ref().is_some_and(Platform::is_unknown)
    }
}

/// How an entry of `index.json` is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// The tag.
    pub(super) tag: Option<String>,
    /// The full name that containerd and Docker write.
    pub(super) full: Option<String>,
}

const KNOWN: &[&str] =
    &["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"];

/// Checks a value that has to be a descriptor.
pub(super) fn check(value: &Value, place: &Place, findings: &mut Findings) -> Option<Reference> {
    let Value::Object(members) = value else {
        findings.add(Code::JsonType, place, "not an object");
        return None;
    };
    Some(check_fields(&mut Fields { members, place: place.clone(), findings }))
}

/// Checks an object that has to be a descriptor.
pub(super) fn check_fields(fields: &mut Fields<'_, '_>) -> Reference {
    fields.check_case(KNOWN);
    let media_type = media_type(fields, "mediaType", Need::Required).unwrap_or_default();
    media_type_of_artifact(fields);
    let digest = digest(fields);
    let size = size(fields);
    let annotations = fields.string_map("annotations");
    let name = |name: &str| annotations.get(name).map(|value| (*value).to_owned());
    let names = Names { tag: name(REF_NAME), full: name(FULL_NAME) };
    let about = name(REFERENCE_DIGEST);
    let has_urls = !fields.strings("urls").is_empty();
    let platform = platform(fields);
    check_empty(fields, &media_type, digest.as_ref(), size);
    let data = data(fields, digest.as_ref(), size);
    let place = fields.place.clone();
    Reference { place, media_type, digest, size, data, has_urls, platform, about, names }
}

/// A media type, whose form is checked.
pub(super) fn media_type(fields: &mut Fields<'_, '_>, name: &str, need: Need) -> Option<String> {
    let media_type = fields.string(name, need)?;
    if !is_media_type(media_type) {
        let message = format!("{} is not a media type", quote(media_type));
        fields.add_at(name, Code::MediaTypeInvalid, message);
    }
    Some(media_type.to_owned())
}

/// Whether a media type has the form that RFC 6838 gives (section 4.2).
fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        name.len() <= 127
            && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

/// The optional member `artifactType`.
pub(super) fn media_type_of_artifact(fields: &mut Fields<'_, '_>) -> Option<String> {
    media_type(fields, "artifactType", Need::Optional)
}

fn digest(fields: &mut Fields<'_, '_>) -> Option<Digest> {
    let text = fields.string("digest", Need::Required)?;
    let place = fields.place.at("digest");
    parse_digest(text, &place, fields.findings)
}

/// Reads a digest; `None` if it is malformed, or of an algorithm that is not registered.
pub(super) fn parse_digest(text: &str, place: &Place, findings: &mut Findings) -> Option<Digest> {
    let error = match text.parse() {
        Ok(digest) => return Some(digest),
        Err(error) => error,
    };
    let algorithm = text.split_once(':').map(|(algorithm, _)| algorithm);
    let is_registered = algorithm.is_some_and(|name| name.parse::<Algorithm>().is_ok());
    if !is_registered && is_digest(text) {
        let message = format!("{} is of an algorithm that is not registered", quote(text));
        findings.add(Code::DigestAlgorithm, place, message);
    } else {
        findings.add(Code::DigestInvalid, place, error.to_string());
    }
    None
}

fn size(fields: &mut Fields<'_, '_>) -> Option<u64> {
    let size = fields.integer("size", Need::Required)?;
    let unsigned = u64::try_from(size).ok();
    if unsigned.is_none() {
        fields.add_at("size", Code::JsonValue, format!("{size} is no size"));
    }
    unsigned
}

fn platform(fields: &mut Fields<'_, '_>) -> Option<Platform> {
    let mut fields = fields.object("platform", Need::Optional)?;
    fields.strings("os.features");
    fields.string("os.version", Need::Optional);
    let mut text = |name, need| fields.string(name, need).unwrap_or_default().to_owned();
    Some(Platform::new(
        text("os", Need::Required),
        text("architecture", Need::Required),
        text("variant", Need::Optional),
    ))
}

fn check_empty(
    fields: &mut Fields<'_, '_>,
    media_type: &str,
    digest: Option<&Digest>,
    size: Option<u64>,
) {
    let is_empty = |digest: &Digest| *digest == Digest::of(digest.algorithm(), "{}");
    if Kind::of(media_type) == Kind::Empty
        && (digest.is_some_and(|digest| !is_empty(digest)) || size.is_some_and(|size| size != 2))
    {
        fields.add(Code::EmptyBlob, "the type is that of the blob {}, which this is not");
    }
}

fn data(
    fields: &mut Fields<'_, '_>,
    digest: Option<&Digest>,
    size: Option<u64>,
) -> Option<Vec<u8>> {
    let text = fields.string("data", Need::Optional).filter(|text| !text.is_empty())?;
    let Ok(data) = STANDARD.decode(text) else {
        fields.add_at("data", Code::JsonValue, "not base64 as RFC 4648 has it");
        return None;
    };
    let right_digest = digest.is_none_or(|digest| *digest == Digest::of(digest.algorithm(), &data));
    if !right_digest || size.is_some_and(|size| size != data.len() as u64) {
        fields.add_at("data", Code::DataMismatch, "the data do not have the digest and size");
        return None;
    }
    digest.is_some().then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<Code> {
        let mut findings = Findings::default();
        let value = serde_json::from_str(text).unwrap();
        check(&value, &Place::file("f"), &mut findings);
        findings.kept.into_iter().map(|found| found.code).collect()
    }

    #[test]
    fn says_what_is_wrong_with_a_descriptor() {
        let sum = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let with =
            |more: &str| format!(r#"{{"mediaType":"a/b","digest":"sha256:{sum}","size":2{more}}}"#);
        for (text, expected) in [
            (with(""), &[][..]),
            (with(r#","x":1,"data":"e30=","urls":["u"],"annotations":{"a":"b"}"#), &[]),
            (with(r#","data":"eDA=""#), &[Code::DataMismatch]),
            (with(r#","data":"?""#), &[Code::JsonValue]),
            (with(r#","urls":[1]"#), &[Code::JsonType]),
            (with(r#","annotations":{"a":1}"#), &[Code::JsonType]),
            (with(r#","platform":{"os":"linux"}"#), &[Code::JsonMissing]),
            (with(r#","artifactType":"x""#), &[Code::MediaTypeInvalid]),
            (with(r#","Digest":1"#), &[Code::JsonCase]),
            (with("").replace("a/b", "application/vnd.oci.empty.v1+json"), &[]),
            (
                with("").replace("a/b", "application/vnd.oci.empty.v1+json").replace(":2", ":3"),
                &[Code::EmptyBlob],
            ),
            (with("").replace("sha256", "blake3"), &[Code::DigestAlgorithm]),
            (with("").replace("sha256:44", "sha256:4"), &[Code::DigestInvalid]),
            (with("").replace("sha256:4", "sha256:A"), &[Code::DigestInvalid]),
            (with("").replace("sha256:", "sha256"), &[Code::DigestInvalid]),
            (with("").replace(":2", ":-2"), &[Code::JsonValue]),
            (with("").replace(":2", ":2.5"), &[Code::JsonType]),
            ("[]".to_owned(), &[Code::JsonType]),
            ("{}".to_owned(), &[Code::JsonMissing, Code::JsonMissing, Code::JsonMissing]),
        ] {
            assert_eq!(codes(&text), expected, "{text}");
        }
    }

    #[test]
    fn media_types_have_a_form() {
        for name in ["a/b", "application/vnd.x+json", "1/2!#$&-^_."] {
            assert!(is_media_type(name), "{name}");
        }
        let long = format!("a/{}", "b".repeat(128));
        for name in ["", "a", "a/", "/b", "a/b/c", "a/b c", "a/+b", "é/b", &long] {
            assert!(!is_media_type(name), "{name}");
        }
    }
}
