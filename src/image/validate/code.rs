// SPDX-License-Identifier: Apache-2.0
//! What can be found: each [`Code`] with its severity and its meaning. The manual's
//! table is made of this one.

use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The specification is broken, or the image cannot be used.
    Error,
    /// Some tools will refuse this, or take it differently.
    Warning,
    /// Worth knowing, and in order.
    Information,
}

impl Severity {
    /// The severity as one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Information => "information",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

macro_rules! codes {
    ($($variant:ident $name:literal $severity:ident $meaning:literal)*) => {
        /// What was found. Codes keep their names; later versions may add some.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// All codes, grouped by what they are about.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code's name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// What it means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    LayoutFile "layout-file" Error
        "The file oci-layout is missing, not a regular file, or too large."
    LayoutVersion "layout-version" Error "The layout is of a version other than 1.0.0."
    LayoutBlobs "layout-blobs" Error "There is no directory blobs, or it cannot be read."
    IndexFile "index-file" Error "The file index.json is missing, not a regular file, or too large."
    BlobName "blob-name" Warning "Something among the blobs does not have the name of one."
    BlobOrphaned "blob-orphaned" Information "Nothing refers to the blob: umoci-gc(1) would delete it."

    JsonSyntax "json-syntax" Error "A document is not one JSON object, or nested too deep."
    JsonDuplicate "json-duplicate" Error "An object has the same member twice; readers differ in which one counts."
    JsonCase "json-case" Error "A member's name differs in letter case only from one that has a meaning; some readers take it for that."
    JsonMissing "json-missing" Error "A required member is missing."
    JsonType "json-type" Error "A member is of the wrong JSON type."
    JsonValue "json-value" Error "A member has a value that it must not have."

    SchemaVersion "schema-version" Error "The member schemaVersion is not 2."
    DocumentKind "document-kind" Error "A document could be taken for one of another kind: it has members of both."
    DocumentLimit "document-limit" Error "A document is too large, or documents are nested too deep in each other."
    MediaTypeMismatch "media-type-mismatch" Error "A document says that it is of another type than what refers to it does."
    MediaTypeInvalid "media-type-invalid" Error "A media type is not of the form that RFC 6838 gives."
    MediaTypeUnknown "media-type-unknown" Information "The blob is of a type that is not known here: only size and digest are checked."

    DigestInvalid "digest-invalid" Error "A digest is malformed."
    DigestAlgorithm "digest-algorithm" Warning "A digest is of an algorithm that is not registered, so nothing can be checked."
    BlobMissing "blob-missing" Error "A blob that is referred to is not in the layout."
    BlobType "blob-type" Error "A blob is not a regular file."
    BlobUnreadable "blob-unreadable" Error "A blob cannot be read."
    BlobSize "blob-size" Error "A blob has its digest, but another size than is said."
    BlobDigest "blob-digest" Error "A blob does not have its digest; nothing in it was looked at."
    DataMismatch "data-mismatch" Error "The data in a descriptor are not what it describes."
    EmptyBlob "empty-blob" Error "A descriptor of the type of {} points at something else."
    EntryAbsent "entry-absent" Warning "One image of a nested index is not in the layout, though others are."
    SubjectAbsent "subject-absent" Information "What an image refers to as its subject is not in the layout."
    LayerAbsent "layer-absent" Information "A layer that may be had elsewhere is not in the layout."

    TagInvalid "tag-invalid" Warning "A tag does not keep to the specification's grammar."
    TagDuplicate "tag-duplicate" Error "Several entries have the same tag, and nothing else to tell them apart."
    TagShared "tag-shared" Warning "Several entries have the same tag; they differ in platform or full name."
    NameDuplicate "name-duplicate" Warning "Several entries have the same full name, and no platforms to tell them apart; tools take one of them."
    PlatformDuplicate "platform-duplicate" Information "Two images of an index are for the same platform; most tools take the first."
    AttestationStale "attestation-stale" Information "An attestation is about an image that is not in its index (any more)."
    PlatformMismatch "platform-mismatch" Warning "An index says another platform than the image's configuration."

    RootFsType "rootfs-type" Error "The configuration's rootfs.type is not \"layers\"."
    ConfigValue "config-value" Warning "The configuration has a value that runtimes may refuse."
    HistoryCount "history-count" Warning "The history tells of another number of layers than there are."
    DiffIdCount "diff-id-count" Error "There are more or fewer diff ids than layers."
    DiffId "diff-id" Error "A layer, uncompressed, does not have its diff id."

    LayersLimit "layers-limit" Error "The layers of an image are together beyond what is read; what is in them is not told."
    LayerType "layer-type" Warning "A layer of an image is of a type that cannot be unpacked."
    CompressionMismatch "compression-mismatch" Error "A layer is not compressed as its media type says."
    CompressionDamaged "compression-damaged" Error "The compression of a layer is damaged."
    CompressionTrailing "compression-trailing" Warning "Bytes that belong to nothing follow the compressed stream of a layer."
    TarFormat "tar-format" Error "A layer is not a tar archive, breaks off, or could be read in two ways."
    TarType "tar-type" Error "A member of a layer is of a type that does not belong there."
    TarLimit "tar-limit" Error "A member of a layer is beyond what is read."
    TarEnd "tar-end" Warning "A layer lacks the two blocks of zeros at its end."
    TarTrailing "tar-trailing" Warning "Something other than zeros follows the end of a layer's archive."
    TarName "tar-name" Error "The name of a member leads out of the root, is empty, or holds a NUL byte."
    TarAbsolute "tar-absolute" Warning "The name of a member begins with a slash."
    TarDuplicate "tar-duplicate" Error "A layer has two members of the same name."
    TarDirectory "tar-directory" Warning "A layer has the same directory twice."
    TarWhiteout "tar-whiteout" Error "A whiteout is of nothing, of its own directory, or has something below it."
    TarWhiteoutBody "tar-whiteout-body" Warning "A whiteout is not an empty regular file."
    TarLink "tar-link" Error "A hard link is to itself, to nothing, or to something that no layer has up to its own."
    TarLinkParent "tar-link-parent" Warning "The target of a hard link has a component \"..\"; some tools refuse it."
    TarUnchecked "tar-unchecked" Information "A layer has so many members, or an image so many layers, that not all were compared with each other."
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_words_and_meanings_are_sentences() {
        let mut names = HashSet::new();
        for code in Code::ALL {
            let name = code.as_str();
            assert!(names.insert(name), "{name} twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
            assert!(code.meaning().ends_with('.'), "{name}");
        }
    }
}
