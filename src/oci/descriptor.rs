// SPDX-License-Identifier: Apache-2.0
//! Descriptors (image-spec `descriptor.md`) and the path of descriptors that
//! leads from an entry of `index.json` to an image.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::json::{Members, nullable, refuse_case_variants};
use super::{Digest, Platform, data};
use crate::error::{Context, Error, Result};

/// Points at a blob and says what it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// What the blob is.
    #[serde(rename = "mediaType", default, deserialize_with = "nullable")]
    pub media_type: String,
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob in bytes, at most `i64::MAX`.
    #[serde(default, deserialize_with = "size")]
    pub size: u64,
    /// Other places where the blob may be had.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Annotations.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The blob itself, embedded. Not verified by reading the descriptor.
    #[serde(default, with = "data", skip_serializing_if = "is_empty")]
    pub data: Option<Vec<u8>>,
    /// The platform that the blob is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of the artifact that the blob is, where it is one.
    #[serde(rename = "artifactType", default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Descriptor {
    const KNOWN: &[&str] =
        &["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"];

    /// Makes a descriptor that says only what a blob is.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            platform: None,
            artifact_type: String::new(),
            other: Members::new(),
        }
    }

    /// Points the descriptor at another blob of the same type. Everything that is not
    /// about the old blob's bytes stays.
    pub fn redirect(&mut self, digest: Digest, size: u64) {
        self.digest = digest;
        self.size = size;
        self.data = None;
    }

    pub(super) fn refuse_case_variants(&self) -> Result<()> {
        refuse_case_variants(&self.other, Self::KNOWN)
            .with_context(|| format!("descriptor of {}", self.digest))
    }
}

#[expect(clippy::ref_option, reason = "serde calls it with this type")]
fn is_empty(data: &Option<Vec<u8>>) -> bool {
    data.as_ref().is_none_or(Vec::is_empty)
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size: i64 = nullable(deserializer)?;
    u64::try_from(size).map_err(|_| {
        serde::de::Error::custom("invalid descriptor: descriptor size must not be negative")
    })
}

/// The descriptors from an entry of `index.json` (the root) through nested
/// indexes to what was looked for (the target). Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Walk")]
pub struct DescriptorPath {
    #[serde(rename = "descriptor_walk")]
    walk: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Walk {
    #[serde(default, deserialize_with = "nullable")]
    descriptor_walk: Vec<Descriptor>,
}

impl TryFrom<Walk> for DescriptorPath {
    type Error = Error;

    fn try_from(walk: Walk) -> Result<Self> {
        Self::new(walk.descriptor_walk)
    }
}

impl DescriptorPath {
    /// Makes a path from the root to the target.
    pub fn new(walk: Vec<Descriptor>) -> Result<Self> {
        if walk.is_empty() {
            return Err(Error::invalid("descriptor path is empty"));
        }
        Ok(Self { walk })
    }

    /// The entry of `index.json`.
    pub fn root(&self) -> &Descriptor {
        &self.walk[0]
    }

    /// The end of the path.
    pub fn target(&self) -> &Descriptor {
        &self.walk[self.walk.len() - 1]
    }

    /// All of the path, the root first.
    pub fn walk(&self) -> &[Descriptor] {
        &self.walk
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::json::{Trailing, from_slice, to_bytes};

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn read(members: &str) -> Result<Descriptor> {
        from_slice(format!("{{\"digest\":\"{DIGEST}\"{members}}}").as_bytes(), Trailing::Refuse)
    }

    fn written(descriptor: &Descriptor) -> String {
        String::from_utf8(to_bytes(descriptor).unwrap()).unwrap()
    }

    #[test]
    fn writes_members_in_the_known_order_and_unknown_ones_last() {
        let descriptor = read(
            r#","x":1.0,"artifactType":"t","platform":{"z":1e+3,"os":"linux","variant":"v8"},"data":"e30=",
               "annotations":{"b":"2","a":"1"},"a":18446744073709551616,"urls":["u"],"size":2,"mediaType":"m""#,
        )
        .unwrap();
        assert_eq!(descriptor.data.as_deref(), Some(&b"{}"[..]));
        assert_eq!(
            written(&descriptor),
            format!(
                "{{\"mediaType\":\"m\",\"digest\":\"{DIGEST}\",\"size\":2,\"urls\":[\"u\"],\
                 \"annotations\":{{\"a\":\"1\",\"b\":\"2\"}},\"data\":\"e30=\",\
                 \"platform\":{{\"architecture\":\"\",\"os\":\"linux\",\"variant\":\"v8\",\"z\":1e+3}},\
                 \"artifactType\":\"t\",\"x\":1.0,\"a\":18446744073709551616}}\n"
            )
        );
    }

    #[test]
    fn takes_null_as_absent() {
        let nulls = r#","mediaType":null,"size":null,"urls":null,"annotations":null,"data":null,"platform":null,"artifactType":null"#;
        let plain = format!("{{\"mediaType\":\"\",\"digest\":\"{DIGEST}\",\"size\":0}}\n");
        assert_eq!(written(&read(nulls).unwrap()), plain);
        assert_eq!(written(&read("").unwrap()), plain);
    }

    #[test]
    fn refuses_impossible_values() {
        let negative = read(",\"size\":-1").unwrap_err().to_string();
        assert!(negative.contains("invalid descriptor: descriptor size must not be negative"));
        assert!(read(",\"size\":9223372036854775807").is_ok());
        for members in [
            ",\"size\":9223372036854775808",
            ",\"size\":1.5",
            ",\"size\":1e3",
            ",\"size\":\"1\"",
            ",\"size\":1,\"size\":2",
            ",\"data\":\"?\"",
            ",\"urls\":\"u\"",
            ",\"annotations\":{\"a\":1}",
        ] {
            assert!(read(members).is_err(), "{members}");
        }
        for text in ["{}", "null", "[]", "{\"digest\":null}", "{\"digest\":\"md5:0\"}"] {
            assert!(from_slice::<Descriptor>(text.as_bytes(), Trailing::Refuse).is_err(), "{text}");
        }
    }

    #[test]
    fn path_has_two_ends() {
        let descriptor = |size| Descriptor::new("m", DIGEST.parse().unwrap(), size);
        let path = DescriptorPath::new(vec![descriptor(1), descriptor(2)]).unwrap();
        assert_eq!((path.root().size, path.target().size, path.walk().len()), (1, 2, 2));
        let bytes = to_bytes(&path).unwrap();
        assert!(bytes.starts_with(b"{\"descriptor_walk\":[{\"mediaType\":\"m\""));
        assert_eq!(from_slice::<DescriptorPath>(&bytes, Trailing::Refuse).unwrap(), path);
        for text in ["{}", "{\"descriptor_walk\":null}", "{\"descriptor_walk\":[]}"] {
            assert!(from_slice::<DescriptorPath>(text.as_bytes(), Trailing::Refuse).is_err());
        }
    }
}
