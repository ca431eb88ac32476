// SPDX-License-Identifier: Apache-2.0
//! Image configurations (image-spec `config.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Document;
use crate::error::{Context, Result};
use crate::oci::json::{MAX_CONFIG_SIZE, Members, Trailing, from_slice, is_false, nullable};
use crate::oci::media_type::{self, Kind};
use crate::oci::{Digest, Timestamp};

/// What an image is for, how to run it, and where it comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Who made it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// The CPU architecture, such as `amd64`.
    #[serde(default, deserialize_with = "nullable")]
    pub architecture: String,
    /// The operating system, such as `linux`.
    #[serde(default, deserialize_with = "nullable")]
    pub os: String,
    /// The version of the operating system.
    #[serde(rename = "os.version", default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Required features of the operating system.
    #[serde(rename = "os.features", default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the CPU, such as `v8`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// How to run a container of the image.
    #[serde(default, deserialize_with = "nullable")]
    pub config: ExecutionConfig,
    /// The layers' contents.
    #[serde(default, deserialize_with = "nullable")]
    pub rootfs: RootFs,
    /// How the layers came about.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl ImageConfig {
    /// Makes the configuration of an image without layers.
    pub fn new(architecture: impl Into<String>, os: impl Into<String>) -> Self {
        Self {
            architecture: architecture.into(),
            os: os.into(),
            rootfs: RootFs { kind: RootFs::LAYERS.into(), ..RootFs::default() },
            ..Self::default()
        }
    }
}

impl Document for ImageConfig {
    const KIND: Kind = Kind::Config;
    const MEDIA_TYPE: &'static str = media_type::IMAGE_CONFIG;
    const MAX_SIZE: u64 = MAX_CONFIG_SIZE;

    fn parse(bytes: &[u8]) -> Result<Self> {
        from_slice(bytes, Trailing::Ignore).context("parse image config")
    }
}

/// How to run a container of an image: the member `config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExecutionConfig {
    /// The user, and perhaps group, to run as.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports to expose, as `80/tcp`.
    #[serde(default, with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// The environment, as `NAME=value`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The first words of the command line.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The words after them.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Directories that are volumes.
    #[serde(default, with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// The working directory.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that ends the container.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Whether the command is one escaped string (Windows).
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    /// Members that this crate does not know, such as a health check.
    #[serde(flatten)]
    pub other: Members,
}

/// The layers' contents: the member `rootfs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// The member `type`; [`RootFs::LAYERS`] is the only one there is.
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    pub kind: String,
    /// The digests of the uncompressed layers, lowest first.
    #[serde(default, deserialize_with = "nullable")]
    pub diff_ids: Vec<Digest>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl RootFs {
    /// The type of a root filesystem that layers make up.
    pub const LAYERS: &str = "layers";
}

/// How one layer, or a change without a layer, came about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// By which command.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// By whom.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// A remark.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether there is no layer to this entry.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_false")]
    pub empty_layer: bool,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// Sets of strings are objects whose values are empty objects.
mod set {
    use super::{
        BTreeSet, Deserialize, Deserializer, IgnoredAny, MapAccess, SerializeMap, Serializer,
        Visitor, fmt,
    };

    pub(super) fn serialize<S: Serializer>(
        set: &BTreeSet<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(set.len()))?;
        for name in set {
            map.serialize_entry(name, &serde_json::Map::new())?;
        }
        map.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        Ok(Option::<Names>::deserialize(deserializer)?.map_or_else(BTreeSet::new, |names| names.0))
    }

    struct Names(BTreeSet<String>);

    impl<'de> Deserialize<'de> for Names {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(NamesVisitor)
        }
    }

    struct NamesVisitor;

    impl<'de> Visitor<'de> for NamesVisitor {
        type Value = Names;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with empty objects as values")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
            let mut names = BTreeSet::new();
            while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                names.insert(name);
            }
            Ok(Names(names))
        }
    }
}
