// SPDX-License-Identifier: Apache-2.0
//! A layout with one image, made by hand, so that each of its parts can be spoiled while
//! what refers to it stays right.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tar::Header;
use umoci::image::validate::{Finding, Report, ValidateOptions, validate};
use umoci::oci::{Algorithm, Digest};

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(super) const TAG: &str = "org.opencontainers.image.ref.name";

/// What is spoiled.
pub(super) enum Damage {
    Nothing,
    /// The archive of the layer; its digests are right.
    Tar(fn() -> Vec<u8>),
    /// The blob of the layer; its digest is right.
    Blob(fn(Vec<u8>) -> Vec<u8>),
    Config(fn(&mut Value)),
    /// The text of the configuration.
    ConfigText(fn(String) -> String),
    Manifest(fn(&mut Value)),
    Index(fn(&mut Value)),
    /// The index, with access to the blobs.
    Blobs(fn(&mut Value, &Blobs)),
    /// The files, when all is there.
    Files(fn(&Scene)),
}

/// The directory of blobs.
pub(super) struct Blobs(PathBuf);

impl Blobs {
    pub(super) fn new(layout: &Path) -> Self {
        let path = layout.join("blobs/sha256");
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Stores a blob, and gives its descriptor.
    pub(super) fn put(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        fs::write(self.0.join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    pub(super) fn put_json(&self, media_type: &str, value: &Value) -> Value {
        self.put(media_type, value.to_string().as_bytes())
    }

    /// A blob as JSON.
    pub(super) fn json(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(&fs::read(self.path(descriptor)).unwrap()).unwrap()
    }

    pub(super) fn path(&self, descriptor: &Value) -> PathBuf {
        self.0.join(descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap())
    }
}

/// A layout and the files of its one image.
pub(super) struct Scene {
    pub(super) directory: tempfile::TempDir,
    pub(super) layer: PathBuf,
    pub(super) config: PathBuf,
    pub(super) manifest: PathBuf,
}

impl Scene {
    pub(super) fn new(damage: &Damage) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(directory.path());
        let tar = if let Damage::Tar(make) = damage { make() } else { archive() };
        let blob = gzip(&tar);
        let blob = if let Damage::Blob(edit) = damage { edit(blob) } else { blob };
        let layer = blobs.put(LAYER, &blob);
        let mut config = image_config(&tar);
        if let Damage::Config(edit) = damage {
            edit(&mut config);
        }
        let mut text = config.to_string();
        if let Damage::ConfigText(edit) = damage {
            text = edit(text);
        }
        let config = blobs.put(CONFIG, text.as_bytes());
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        if let Damage::Manifest(edit) = damage {
            edit(&mut manifest);
        }
        let mut entry = blobs.put_json(MANIFEST, &manifest);
        let (layer, config, manifest) =
            (blobs.path(&layer), blobs.path(&config), blobs.path(&entry));
        entry["annotations"] = json!({TAG: "latest"});
        let mut index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        match damage {
            Damage::Index(edit) => edit(&mut index),
            Damage::Blobs(edit) => edit(&mut index, &blobs),
            _ => {}
        }
        fs::write(directory.path().join("index.json"), index.to_string()).unwrap();
        fs::write(directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .unwrap();
        let scene = Self { directory, layer, config, manifest };
        if let Damage::Files(edit) = damage {
            edit(&scene);
        }
        scene
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn validate(&self) -> Report {
        validate(self.directory.path(), &ValidateOptions::default()).unwrap()
    }
}

/// The codes of findings, in their order.
pub(super) fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code.as_str()).collect()
}

pub(super) fn image_config(tar: &[u8]) -> Value {
    json!({
        "created": "2024-01-01T00:00:00Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "StopSignal": "SIGTERM"},
        "rootfs": {
            "type": "layers",
            "diff_ids": [Digest::of(Algorithm::Sha256, tar).to_string()],
        },
        "history": [{"created_by": "x"}, {"created_by": "y", "empty_layer": true}],
    })
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A member of an archive, header and body, with a name that is taken as it is.
pub(super) fn member(name: &str, flag: u8, link: &str, body: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    let bytes = header.as_mut_bytes();
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes[156] = flag;
    bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(body.len() as u64);
    header.set_cksum();
    let mut member = header.as_bytes().to_vec();
    member.extend_from_slice(body);
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

/// Members and an end.
pub(super) fn ended(members: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = members.concat();
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// The archive of the layer that is in order.
pub(super) fn archive() -> Vec<u8> {
    ended(&[
        member("etc/", b'5', "", b""),
        member("etc/file", b'0', "", b"hello"),
        member("etc/link", b'1', "etc/file", b""),
        member("./etc/soft", b'2', "file", b""),
        member(".wh.gone", b'0', "", b""),
        member("etc/.wh..wh..opq", b'0', "", b""),
    ])
}
