// SPDX-License-Identifier: Apache-2.0
//! `umoci.json`: from which image a bundle was unpacked, and how.
//!
//! The file's form is shared with other tools that unpack and repack bundles.
//! The member `mtree` is this crate's own; others ignore it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::idmap::{IdMap, IdMaps, IdRange};
use crate::oci::json::{self, Trailing, nullable};
use crate::oci::media_type::Kind;
use crate::oci::{DescriptorPath, Digest, Members};
use crate::quote::{excerpt, quote_if_needed};
use crate::sys;

/// The name of the file in a bundle.
pub const FILE_NAME: &str = "umoci.json";
/// The most bytes that it may have.
pub const MAX_SIZE: u64 = 4 << 20;
/// The only version of the format.
const VERSION: &str = "2";

/// With which privileges a bundle was unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Privileges {
    /// Owners, devices and so on are as in the image.
    #[default]
    Full,
    /// By an ordinary user, who could set none of these (`--rootless`).
    Rootless,
}

/// Which mtree manifest belongs to a bundle, so that one that was only half
/// written cannot pass for a record of the rootfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MtreeRecord {
    /// The digest of the manifest file.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// The contents of `umoci.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleMetadata {
    /// The way from the layout's index to the manifest of the image. Its
    /// target always has the media type of an image manifest.
    pub from: DescriptorPath,
    /// The id maps that were used.
    pub maps: IdMaps,
    /// The privileges that were used.
    pub privileges: Privileges,
    /// The mtree manifest; `None` when another tool wrote the bundle.
    pub mtree: Option<MtreeRecord>,
    /// Members that this crate does not know.
    pub other: Members,
}

impl BundleMetadata {
    /// Describes a bundle.
    ///
    /// # Errors
    /// When `from` does not lead to an image manifest.
    pub fn new(from: DescriptorPath, maps: IdMaps, privileges: Privileges) -> Result<Self> {
        require_manifest(&from)?;
        Ok(Self { from, maps, privileges, mtree: None, other: Members::new() })
    }

    /// Reads the file of the bundle whose open directory is `bundle`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none; also when it is no regular
    /// file, over [`MAX_SIZE`], or does not pass [`BundleMetadata::parse`].
    pub fn read(bundle: &File) -> Result<Self> {
        let read = || -> Result<Vec<u8>> {
            let file = sys::open_regular(bundle, Path::new(FILE_NAME))?;
            let mut bytes = Vec::new();
            file.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read()
            .with_context(|| format!("open {FILE_NAME}"))
            .and_then(|bytes| Self::parse(&bytes))
            .context("read umoci.json metadata")
    }

    /// Reads the file's contents: one JSON value with nothing but white space around it.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::decode(bytes).context("decode metadata")
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > MAX_SIZE {
            let message = format!("{FILE_NAME} is larger than {MAX_SIZE} bytes");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        // First the version alone: another one may have members of other types.
        let Version { umoci_version } = json::from_slice(bytes, Trailing::Refuse)?;
        if umoci_version != VERSION {
            let message = format!("unsupported umoci.json version {umoci_version:?}");
            return Err(Error::unsupported(message));
        }
        json::from_slice::<Document>(bytes, Trailing::Refuse)?.try_into()
    }

    /// Writes the file's contents.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        json::to_bytes(&Document {
            umoci_version: VERSION.into(),
            from_descriptor_path: self.from.clone(),
            map_options: MapOptions {
                uid_mappings: self.maps.uid.ranges().map(<[_]>::to_vec),
                gid_mappings: self.maps.gid.ranges().map(<[_]>::to_vec),
                rootless: self.privileges == Privileges::Rootless,
            },
            whiteout_mode: 0,
            mtree: self.mtree.clone(),
            other: self.other.clone(),
        })
    }
}

fn require_manifest(path: &DescriptorPath) -> Result<()> {
    let media_type = &path.target().media_type;
    if Kind::of(media_type) == Kind::Manifest {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "descriptor does not point to ispec.MediaTypeImageManifest: not implemented: {}",
        quote_if_needed(&*excerpt(media_type))
    ))
    .context("invalid saved from descriptor"))
}

#[derive(Deserialize)]
struct Version {
    #[serde(default, deserialize_with = "nullable")]
    umoci_version: String,
}

/// The file as it is written, member by member.
#[derive(Serialize, Deserialize)]
struct Document {
    umoci_version: String,
    from_descriptor_path: DescriptorPath,
    #[serde(default, deserialize_with = "nullable")]
    map_options: MapOptions,
    /// What became of whiteouts, in a way that nobody could rely on.
    #[serde(default, deserialize_with = "nullable", skip_serializing)]
    whiteout_mode: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtree: Option<MtreeRecord>,
    #[serde(flatten)]
    other: Members,
}

/// `null` is the map that changes nothing; an empty list maps nothing.
#[derive(Default, Serialize, Deserialize)]
struct MapOptions {
    #[serde(default)]
    uid_mappings: Option<Vec<IdRange>>,
    #[serde(default)]
    gid_mappings: Option<Vec<IdRange>>,
    #[serde(default, deserialize_with = "nullable")]
    rootless: bool,
}

impl TryFrom<Document> for BundleMetadata {
    type Error = Error;

    fn try_from(document: Document) -> Result<Self> {
        if document.whiteout_mode != 0 {
            return Err(Error::unsupported(format!(
                "deprecated (broken) whiteout_mode field set ({})",
                document.whiteout_mode
            )));
        }
        require_manifest(&document.from_descriptor_path)?;
        let map = |ranges: Option<Vec<_>>| ranges.map_or(Ok(IdMap::IDENTITY), IdMap::new);
        Ok(Self {
            from: document.from_descriptor_path,
            maps: IdMaps {
                uid: map(document.map_options.uid_mappings).context("uid_mappings")?,
                gid: map(document.map_options.gid_mappings).context("gid_mappings")?,
            },
            privileges: if document.map_options.rootless {
                Privileges::Rootless
            } else {
                Privileges::Full
            },
            mtree: document.mtree,
            other: document.other,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oci::media_type;
    use crate::oci::{Algorithm, Descriptor};

    const WALK: &str = r#"{"descriptor_walk":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:2212c76866e6efd523a244d9f298a8c051c4c0925af9b1eb1b660091b1c6ce7d","size":249,"annotations":{"org.opencontainers.image.ref.name":"latest"}}]}"#;

    fn text(members: &str) -> String {
        format!("{{\"umoci_version\":\"2\",\"from_descriptor_path\":{WALK}{members}}}\n")
    }

    fn parse(members: &str) -> Result<BundleMetadata> {
        BundleMetadata::parse(text(members).as_bytes())
    }

    fn written(metadata: &BundleMetadata) -> String {
        String::from_utf8(metadata.to_bytes().unwrap()).unwrap()
    }

    #[test]
    fn writes_the_shared_form() {
        let from = parse("").unwrap().from;
        let privileged =
            BundleMetadata::new(from.clone(), IdMaps::default(), Privileges::Full).unwrap();
        let maps = r#","map_options":{"uid_mappings":null,"gid_mappings":null,"rootless":false}"#;
        assert_eq!(written(&privileged), text(maps));

        let root = IdMap::parse(&["0:0:1"]).unwrap();
        let maps = IdMaps { uid: root.clone(), gid: root };
        let rootless = BundleMetadata::new(from, maps, Privileges::Rootless).unwrap();
        let range = r#"[{"containerID":0,"hostID":0,"size":1}]"#;
        let maps = format!(
            ",\"map_options\":{{\"uid_mappings\":{range},\"gid_mappings\":{range},\"rootless\":true}}"
        );
        assert_eq!(written(&rootless), text(&maps));
        assert_eq!(parse(&maps).unwrap(), rootless);
    }

    #[test]
    fn no_map_and_an_empty_map_are_two_things() {
        let identity = parse(r#","map_options":{"uid_mappings":null}"#).unwrap();
        assert_eq!(identity.maps, IdMaps::default());
        assert_eq!(identity, parse(",\"map_options\":null").unwrap());
        let nothing = parse(r#","map_options":{"uid_mappings":[]}"#).unwrap();
        assert!(nothing.maps.uid.to_host(0).is_err());
        assert!(written(&nothing).contains(r#""uid_mappings":[],"gid_mappings":null"#));
    }

    #[test]
    fn takes_what_older_tools_wrote() {
        let old = parse(r#","whiteout_mode":0,"map_options":{"rootless":true}"#).unwrap();
        assert_eq!(old.privileges, Privileges::Rootless);
        assert!(!written(&old).contains("whiteout_mode"));
    }

    #[test]
    fn keeps_unknown_members() {
        let metadata = parse(r#","z":{"b":1.0,"a":null},"mtree":null"#).unwrap();
        assert!(written(&metadata).ends_with("},\"z\":{\"b\":1.0,\"a\":null}}\n"));
    }

    fn refusal(bytes: &[u8]) -> String {
        BundleMetadata::parse(bytes).unwrap_err().to_string()
    }

    #[test]
    fn refuses_what_it_cannot_trust() {
        for (members, expected) in [
            (
                ",\"whiteout_mode\":1",
                "decode metadata: deprecated (broken) whiteout_mode field set (1)",
            ),
            (
                r#","map_options":{"uid_mappings":[{"containerID":0,"hostID":0,"size":0}]}"#,
                "uid_mappings: range 0:0:0",
            ),
            (
                r#","map_options":{"gid_mappings":[{"containerID":0,"hostID":0,"size":4294967296}]}"#,
                "4294967296",
            ),
            (
                r#","map_options":{"gid_mappings":[{"containerID":0,"hostID":4294967295,"size":2}]}"#,
                "gid_mappings: range",
            ),
            (r#","mtree":{"digest":"sha256:00","size":1}"#, "invalid digest"),
        ] {
            let message = refusal(text(members).as_bytes());
            assert!(message.contains(expected), "{message}");
        }
        let manifest = text("").replace("manifest.v1", "index.v1");
        let expected = "invalid saved from descriptor: descriptor does not point to \
            ispec.MediaTypeImageManifest: not implemented: application/vnd.oci.image.index.v1+json";
        assert!(refusal(manifest.as_bytes()).contains(expected));
    }

    #[test]
    fn refuses_what_is_not_its_format() {
        let empty = r#"{"umoci_version":"2","from_descriptor_path":{"descriptor_walk":[]}}"#;
        for (text, expected) in [
            (r#"{"umoci_version":"1"}"#, "decode metadata: unsupported umoci.json version \"1\""),
            ("{}", "unsupported umoci.json version \"\""),
            (r#"{"umoci_version":2}"#, "decode metadata: invalid type"),
            (r#"{"umoci_version":"2"}"#, "from_descriptor_path"),
            (empty, "descriptor path is empty"),
            ("", "EOF"),
            ("not JSON", "expected"),
            ("[]", "unsupported umoci.json version \"\""),
            (&text("").replace('\n', "{}"), "trailing"),
            (text("").trim_end_matches("}\n"), "EOF"),
            (&"[".repeat(100_000), "decode metadata"),
        ] {
            let message = refusal(text.as_bytes());
            assert!(message.contains(expected), "{message}");
        }
        let padded = text("") + &" ".repeat(4 << 20);
        assert_eq!(BundleMetadata::parse(padded.as_bytes()).unwrap_err().kind(), ErrorKind::Limit);
    }

    fn read(bundle: &tempfile::TempDir) -> Result<BundleMetadata> {
        BundleMetadata::read(&File::open(bundle.path()).unwrap())
    }

    #[test]
    fn reads_only_a_regular_file() {
        let bundle = tempfile::tempdir().unwrap();
        let path = bundle.path().join(FILE_NAME);
        let missing = read(&bundle).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().starts_with("read umoci.json metadata: open umoci.json: "));

        std::fs::write(bundle.path().join("other"), text("")).unwrap();
        std::os::unix::fs::symlink("other", &path).unwrap();
        assert!(read(&bundle).is_err(), "a symbolic link");
        std::fs::remove_file(&path).unwrap();

        std::fs::create_dir(&path).unwrap();
        assert!(read(&bundle).unwrap_err().to_string().ends_with("not a regular file"));
        std::fs::remove_dir(&path).unwrap();

        std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(read(&bundle).is_err(), "a socket");
        std::fs::remove_file(&path).unwrap();

        std::fs::write(&path, text("")).unwrap();
        assert_eq!(read(&bundle).unwrap(), parse("").unwrap());
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&bundle).unwrap_err().kind(), ErrorKind::Limit);
    }

    prop_compose! {
        fn any_map()(starts in prop::option::of(prop::collection::btree_set(0_u32..1000, 0..4))) -> IdMap {
            let range = |start| IdRange { container: start * 5, host: start * 7, size: 5 };
            starts.map_or(IdMap::IDENTITY, |starts| {
                IdMap::new(starts.into_iter().map(range).collect()).unwrap()
            })
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(uid in any_map(), gid in any_map(), rootless: bool, mtree: Option<u64>, reference: String) {
            let digest = Digest::of(Algorithm::Sha256, &reference);
            let mut descriptor = Descriptor::new(media_type::IMAGE_MANIFEST, digest.clone(), 7);
            descriptor.annotations.insert("org.opencontainers.image.ref.name".into(), reference);
            let from = DescriptorPath::new(vec![descriptor]).unwrap();
            let privileges = if rootless { Privileges::Rootless } else { Privileges::Full };
            let mut metadata = BundleMetadata::new(from, IdMaps { uid, gid }, privileges).unwrap();
            metadata.mtree = mtree.map(|size| MtreeRecord { digest, size });
            prop_assert_eq!(BundleMetadata::parse(&metadata.to_bytes().unwrap()).unwrap(), metadata);
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = BundleMetadata::parse(&bytes);
        }
    }
}
