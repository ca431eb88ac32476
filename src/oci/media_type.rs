// SPDX-License-Identifier: Apache-2.0
//! What media types mean: those of the image specification (`media-types.md`)
//! and those that Docker's image format, version 2 schema 2, has for the same.
//!
//! Nothing else in this crate compares media types. [`Kind`] is what a blob
//! is, [`Family`] in whose words that is said.

use std::fmt;

/// An image index.
pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An image manifest.
pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image configuration.
pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A layer, uncompressed; `+gzip` or `+zstd` behind it names a compression.
pub const IMAGE_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer that may not be passed on freely (deprecated by the specification).
pub const NONDISTRIBUTABLE_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
/// A blob that holds a descriptor.
pub const DESCRIPTOR: &str = "application/vnd.oci.descriptor.v1+json";
/// The blob `{}`, for a descriptor that must point at something.
pub const EMPTY_JSON: &str = "application/vnd.oci.empty.v1+json";

/// Docker's image index.
pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's layer, uncompressed; `.gzip` or `.zstd` behind it names a compression.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker's layer that may not be passed on freely.
pub const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";

/// Whose words a media type is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// The image specification's.
    #[default]
    Oci,
    /// Docker's.
    Docker,
}

impl Family {
    const ALL: [Self; 2] = [Self::Oci, Self::Docker];

    /// The family that a media type belongs to, where this crate knows what it means.
    pub fn of(media_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| {
            Kind::DOCUMENTS.iter().any(|kind| kind.media_type(*family) == Some(media_type))
                || family.layers().contains(&split_compression(media_type).0)
        })
    }

    /// The layers that may, and those that may not, be passed on freely.
    fn layers(self) -> [&'static str; 2] {
        match self {
            Self::Oci => [IMAGE_LAYER, NONDISTRIBUTABLE_LAYER],
            Self::Docker => [DOCKER_LAYER, DOCKER_FOREIGN_LAYER],
        }
    }

    /// A layer that may be passed on, without compression.
    pub fn layer(self) -> &'static str {
        self.layers()[0]
    }

    /// The same media type in the words of this family, or `None` where it has none, or
    /// nothing is known of the type.
    pub fn translate(self, media_type: &str) -> Option<String> {
        if Kind::DOCUMENTS.contains(&Kind::of(media_type)) {
            return Kind::of(media_type).media_type(self).map(str::to_owned);
        }
        let (base, method) = split_compression(media_type);
        let at = Self::ALL.iter().find_map(|other| other.layers().iter().position(|l| *l == base));
        Some(with_compression(self.layers()[at?], method))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oci => "OCI",
            Self::Docker => "Docker",
        })
    }
}

/// What a blob is, whatever family's words say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A list of manifests or further lists.
    Index,
    /// One image, or an artifact.
    Manifest,
    /// The configuration of an image.
    Config,
    /// A tar archive, compressed in some way or not.
    Layer,
    /// A descriptor.
    Descriptor,
    /// The blob `{}`.
    Empty,
    /// Something that this crate does not know.
    Other,
}

impl Kind {
    const DOCUMENTS: [Self; 5] =
        [Self::Index, Self::Manifest, Self::Config, Self::Descriptor, Self::Empty];

    /// What blobs of a media type are.
    pub fn of(media_type: &str) -> Self {
        match media_type {
            IMAGE_INDEX | DOCKER_MANIFEST_LIST => Self::Index,
            IMAGE_MANIFEST | DOCKER_MANIFEST => Self::Manifest,
            IMAGE_CONFIG | DOCKER_CONFIG => Self::Config,
            DESCRIPTOR => Self::Descriptor,
            EMPTY_JSON => Self::Empty,
            _ if is_layer(split_compression(media_type).0) => Self::Layer,
            _ => Self::Other,
        }
    }

    /// The media type of a document in the words of a family; `None` for layers, which have
    /// several, and where the family has no word for it.
    pub fn media_type(self, family: Family) -> Option<&'static str> {
        let [oci, docker] = match self {
            Self::Index => [Some(IMAGE_INDEX), Some(DOCKER_MANIFEST_LIST)],
            Self::Manifest => [Some(IMAGE_MANIFEST), Some(DOCKER_MANIFEST)],
            Self::Config => [Some(IMAGE_CONFIG), Some(DOCKER_CONFIG)],
            Self::Descriptor => [Some(DESCRIPTOR), None],
            Self::Empty => [Some(EMPTY_JSON), None],
            Self::Layer | Self::Other => [None, None],
        };
        match family {
            Family::Oci => oci,
            Family::Docker => docker,
        }
    }
}

/// Whether a media type without its compression is that of a layer in tar format.
pub fn is_layer(base: &str) -> bool {
    Family::ALL.iter().any(|family| family.layers().contains(&base))
}

/// Splits a media type into what is compressed and the name of the compression, which is
/// empty where there is none: at its first `+`, or as Docker writes it.
pub fn split_compression(media_type: &str) -> (&str, &str) {
    for base in Family::Docker.layers() {
        if let Some(method) = media_type.strip_prefix(base).and_then(|rest| rest.strip_prefix('.'))
        {
            return (base, method);
        }
    }
    let parts = media_type.split_once('+').filter(|(_, method)| !method.is_empty());
    parts.unwrap_or((media_type, ""))
}

/// Puts together what [`split_compression`] takes apart.
pub fn with_compression(base: &str, method: &str) -> String {
    let joint = if Family::Docker.layers().contains(&base) { '.' } else { '+' };
    if method.is_empty() { base.to_owned() } else { format!("{base}{joint}{method}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressions_are_named_in_two_ways() {
        for (whole, base, method) in [
            (IMAGE_LAYER, IMAGE_LAYER, ""),
            ("a.tar+gzip", "a.tar", "gzip"),
            ("a.tar+gzip+encrypted", "a.tar", "gzip+encrypted"),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", DOCKER_LAYER, "gzip"),
            ("application/vnd.docker.image.rootfs.diff.tar.zstd", DOCKER_LAYER, "zstd"),
            (
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                DOCKER_FOREIGN_LAYER,
                "gzip",
            ),
            (DOCKER_LAYER, DOCKER_LAYER, ""),
            ("a.tar.gzip", "a.tar.gzip", ""),
            ("a.tar+", "a.tar+", ""),
            ("", "", ""),
        ] {
            assert_eq!(split_compression(whole), (base, method));
            assert_eq!(with_compression(base, method), whole);
        }
    }

    #[test]
    fn families_say_the_same_in_other_words() {
        let oci_gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        let docker_gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        for (oci, docker, kind) in [
            (IMAGE_INDEX, DOCKER_MANIFEST_LIST, Kind::Index),
            (IMAGE_MANIFEST, DOCKER_MANIFEST, Kind::Manifest),
            (IMAGE_CONFIG, DOCKER_CONFIG, Kind::Config),
            (IMAGE_LAYER, DOCKER_LAYER, Kind::Layer),
            (NONDISTRIBUTABLE_LAYER, DOCKER_FOREIGN_LAYER, Kind::Layer),
            (oci_gzip, docker_gzip, Kind::Layer),
        ] {
            assert_eq!((Kind::of(oci), Kind::of(docker)), (kind, kind));
            assert_eq!(
                (Family::of(oci), Family::of(docker)),
                (Some(Family::Oci), Some(Family::Docker))
            );
            for from in [oci, docker] {
                assert_eq!(Family::Oci.translate(from).as_deref(), Some(oci));
                assert_eq!(Family::Docker.translate(from).as_deref(), Some(docker));
            }
        }
        assert_eq!(Family::Docker.translate(EMPTY_JSON), None);
        assert_eq!(Family::Oci.translate("application/vnd.example"), None);
        assert_eq!(Family::of("application/vnd.docker.distribution.manifest.v1+json"), None);
        assert_eq!(Kind::of("application/vnd.docker.distribution.manifest.v1+json"), Kind::Other);
    }
}
