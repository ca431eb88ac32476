// SPDX-License-Identifier: Apache-2.0
//! The media types of the image specification (`media-types.md`).

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

/// Splits a media type at its first `+` into the base and the suffix without the `+`,
/// which is empty where there is none.
pub fn split_suffix(media_type: &str) -> (&str, &str) {
    media_type.split_once('+').unwrap_or((media_type, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_first_plus() {
        assert_eq!(split_suffix(IMAGE_LAYER), (IMAGE_LAYER, ""));
        assert_eq!(split_suffix("a.tar+gzip"), ("a.tar", "gzip"));
        assert_eq!(split_suffix("a.tar+gzip+encrypted"), ("a.tar", "gzip+encrypted"));
        assert_eq!(split_suffix(""), ("", ""));
    }
}
