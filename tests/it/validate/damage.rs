// SPDX-License-Identifier: Apache-2.0
//! Every kind of damage, and exactly the code that it has to get.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use umoci::image::validate::{Code, Severity};
use umoci::oci::{Algorithm, Digest};

use super::scene::{
    Blobs, Damage, INDEX, LAYER, MANIFEST, Scene, TAG, archive, codes, ended, gzip, member,
};
use crate::harness::{Run, needs_root, set_mode};

type Case = (&'static str, &'static [&'static str], Damage);

#[track_caller]
fn check(cases: &[Case]) {
    for (name, expected, damage) in cases {
        let report = Scene::new(damage).validate();
        let found = codes(&report.findings);
        assert_eq!(found, *expected, "{name}: {:#?}", report.findings);
        let errors =
            report.findings.iter().filter(|found| found.code.severity() == Severity::Error);
        assert_eq!(
            (report.errors, report.is_valid()),
            (errors.clone().count() as u64, errors.count() == 0)
        );
    }
}

const LAYOUT: &[Case] = &[
    ("nothing", &[], Damage::Nothing),
    (
        "no marker",
        &["layout-file"],
        Damage::Files(|at| fs::remove_file(at.path("oci-layout")).unwrap()),
    ),
    (
        "a marker that is a directory",
        &["layout-file"],
        Damage::Files(|at| {
            fs::remove_file(at.path("oci-layout")).unwrap();
            fs::create_dir(at.path("oci-layout")).unwrap();
        }),
    ),
    (
        "a marker without JSON",
        &["json-syntax"],
        Damage::Files(|at| fs::write(at.path("oci-layout"), "x").unwrap()),
    ),
    (
        "a marker of a later version",
        &["layout-version"],
        Damage::Files(|at| {
            fs::write(at.path("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
        }),
    ),
    (
        "a marker without a version",
        &["json-missing"],
        Damage::Files(|at| fs::write(at.path("oci-layout"), "{}").unwrap()),
    ),
    (
        "no index",
        &["index-file"],
        Damage::Files(|at| fs::remove_file(at.path("index.json")).unwrap()),
    ),
    (
        "an index that is a FIFO",
        &["index-file"],
        Damage::Files(|at| {
            fs::remove_file(at.path("index.json")).unwrap();
            assert!(Command::new("mkfifo").arg(at.path("index.json")).status().unwrap().success());
        }),
    ),
    (
        "an index that is a link",
        &["index-file"],
        Damage::Files(|at| {
            fs::rename(at.path("index.json"), at.path("other.json")).unwrap();
            symlink("other.json", at.path("index.json")).unwrap();
        }),
    ),
    (
        "half an index",
        &["json-syntax"],
        Damage::Files(|at| {
            let text = fs::read(at.path("index.json")).unwrap();
            fs::write(at.path("index.json"), &text[..text.len() / 2]).unwrap();
        }),
    ),
    (
        "two indexes in one",
        &["json-syntax"],
        Damage::Files(|at| {
            let text = fs::read(at.path("index.json")).unwrap();
            fs::write(at.path("index.json"), [&text[..], &text].concat()).unwrap();
        }),
    ),
    (
        "no blobs",
        &["layout-blobs"],
        Damage::Files(|at| fs::remove_dir_all(at.path("blobs")).unwrap()),
    ),
    (
        "blobs that are a link",
        &["layout-blobs"],
        Damage::Files(|at| {
            fs::rename(at.path("blobs"), at.path("elsewhere")).unwrap();
            symlink("elsewhere", at.path("blobs")).unwrap();
        }),
    ),
    (
        "a blob with an odd name",
        &["blob-name"],
        Damage::Files(|at| fs::write(at.path("blobs/sha256/x"), "").unwrap()),
    ),
    (
        "an odd algorithm",
        &["blob-name"],
        Damage::Files(|at| fs::create_dir(at.path("blobs/md5")).unwrap()),
    ),
    ("a blob too many", &["blob-orphaned"], Damage::Blobs(|_, blobs| drop(blobs.put("", b"x")))),
    (
        "a damaged blob too many",
        &["blob-orphaned", "blob-digest"],
        Damage::Blobs(|_, blobs| {
            fs::write(blobs.path(&blobs.put("", b"x")), "y").unwrap();
        }),
    ),
];

const INDEXES: &[Case] = &[
    (
        "an old schema",
        &["schema-version"],
        Damage::Index(|index| index["schemaVersion"] = json!(1)),
    ),
    (
        "no schema",
        &["json-missing"],
        Damage::Index(|index| drop(index.as_object_mut().unwrap().remove("schemaVersion"))),
    ),
    (
        "a schema as text",
        &["json-type"],
        Damage::Index(|index| index["schemaVersion"] = json!("2")),
    ),
    (
        "no entries",
        &["json-missing", "blob-orphaned", "blob-orphaned", "blob-orphaned"],
        Damage::Index(|index| {
            index["manifests"] = Value::Null;
        }),
    ),
    (
        "an index that says that it is a manifest",
        &["media-type-mismatch"],
        Damage::Index(|index| {
            index["mediaType"] = json!(MANIFEST);
        }),
    ),
    (
        "an index with layers",
        &["document-kind"],
        Damage::Index(|index| index["layers"] = json!([])),
    ),
    (
        "an index for careless readers",
        &["json-case"],
        Damage::Index(|index| index["Manifests"] = json!([])),
    ),
    (
        "an entry that is a number",
        &["json-type"],
        Damage::Index(|index| {
            index["manifests"].as_array_mut().unwrap().push(json!(1));
        }),
    ),
    (
        "an entry without a type",
        &["json-missing"],
        Damage::Blobs(|index, blobs| {
            let mut entry = blobs.put("a/b", b"x");
            entry.as_object_mut().unwrap().remove("mediaType");
            index["manifests"].as_array_mut().unwrap().push(entry);
        }),
    ),
    (
        "an entry of no possible type",
        &["media-type-invalid"],
        Damage::Blobs(|index, blobs| {
            let entry = blobs.put("what ever", b"x");
            index["manifests"].as_array_mut().unwrap().push(entry);
        }),
    ),
    (
        "an entry of a foreign type",
        &["media-type-unknown"],
        Damage::Blobs(|index, blobs| {
            let entry = blobs.put("application/vnd.other", b"x");
            index["manifests"].as_array_mut().unwrap().push(entry);
        }),
    ),
    (
        "an entry of an unregistered algorithm",
        &["digest-algorithm"],
        Damage::Index(|index| {
            let entry = json!({"mediaType": MANIFEST, "digest": "blake3:00", "size": 1});
            index["manifests"].as_array_mut().unwrap().push(entry);
        }),
    ),
    (
        "a malformed digest",
        &["digest-invalid"],
        Damage::Index(|index| {
            let entry =
                json!({"mediaType": MANIFEST, "digest": "sha256:../../etc/passwd", "size": 1});
            index["manifests"].as_array_mut().unwrap().push(entry);
        }),
    ),
    (
        "a dangling entry",
        &["blob-missing"],
        Damage::Index(|index| {
            let digest = Digest::of(Algorithm::Sha256, "gone").to_string();
            let entry = json!({"mediaType": MANIFEST, "digest": digest, "size": 4});
            index["manifests"].as_array_mut().unwrap().push(entry);
        }),
    ),
    (
        "a wrong size",
        &["blob-size"],
        Damage::Index(|index| index["manifests"][0]["size"] = json!(1)),
    ),
    (
        "a negative size",
        &["json-value"],
        Damage::Index(|index| index["manifests"][0]["size"] = json!(-1)),
    ),
    (
        "an odd tag",
        &["tag-invalid"],
        Damage::Index(|index| index["manifests"][0]["annotations"][TAG] = json!("a b")),
    ),
    (
        "the same tag twice",
        &["tag-duplicate"],
        Damage::Index(|index| {
            let entry = index["manifests"][0].clone();
            index["manifests"].as_array_mut().unwrap().push(entry);
        }),
    ),
    (
        "a tag for two full names",
        &["tag-shared"],
        Damage::Index(|index| {
            let mut entry = index["manifests"][0].clone();
            entry["annotations"]["io.containerd.image.name"] = json!("docker.io/library/x:latest");
            index["manifests"].as_array_mut().unwrap().push(entry);
        }),
    ),
    (
        "a full name twice",
        &["name-duplicate"],
        Damage::Index(|index| {
            let mut entry = index["manifests"][0].clone();
            entry["annotations"]["io.containerd.image.name"] = json!("docker.io/library/x:latest");
            let mut other = entry.clone();
            other["annotations"][TAG] = json!("other");
            // For another platform it is as it should be.
            let mut third = other.clone();
            third["annotations"][TAG] = json!("third");
            third["platform"] = json!({"os": "linux", "architecture": "amd64"});
            index["manifests"] = json!([entry, other, third]);
        }),
    ),
    (
        "a full name twice and no tag",
        &["name-duplicate"],
        Damage::Index(|index| {
            let name = json!({"io.containerd.image.name": "docker.io/library/x:latest"});
            index["manifests"][0]["annotations"] = name;
            let entry = index["manifests"][0].clone();
            index["manifests"].as_array_mut().unwrap().push(entry);
        }),
    ),
    (
        "an attestation about nothing",
        &["attestation-stale"],
        Damage::Blobs(|index, blobs| {
            let image = index["manifests"][0].clone();
            let mut stale = image.clone();
            let gone = Digest::of(Algorithm::Sha256, "gone").to_string();
            stale["platform"] = json!({"os": "unknown", "architecture": "unknown"});
            stale["annotations"] = json!({"vnd.docker.reference.digest": gone});
            let inner = json!({"schemaVersion": 2, "manifests": [image, stale]});
            index["manifests"] = json!([blobs.put_json(INDEX, &inner)]);
        }),
    ),
    (
        "two images for one platform",
        &["platform-duplicate"],
        Damage::Blobs(|index, blobs| {
            let mut image = index["manifests"][0].clone();
            let mut manifest = blobs.json(&image);
            manifest["annotations"] = json!({"a": "b"});
            let mut other = blobs.put_json(MANIFEST, &manifest);
            for entry in [&mut image, &mut other] {
                entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
            }
            let inner = json!({"schemaVersion": 2, "manifests": [image, other]});
            index["manifests"] = json!([blobs.put_json(INDEX, &inner)]);
        }),
    ),
    (
        "another platform",
        &["platform-mismatch"],
        Damage::Index(|index| {
            index["manifests"][0]["platform"] = json!({"os": "linux", "architecture": "arm64"});
        }),
    ),
    (
        "half a platform",
        &["json-missing"],
        Damage::Index(|index| {
            index["manifests"][0]["platform"] = json!({"os": "linux"});
        }),
    ),
    (
        "wrong data",
        &["data-mismatch"],
        Damage::Index(|index| index["manifests"][0]["data"] = json!("e30=")),
    ),
    (
        "an unknown member",
        &[],
        Damage::Index(|index| index["manifests"][0]["x-new"] = json!({"a": 1.5})),
    ),
    (
        "one platform of two",
        &["entry-absent"],
        Damage::Blobs(|index, blobs| nest(index, blobs, true)),
    ),
    (
        "no platform of two",
        &["blob-missing", "blob-missing"],
        Damage::Blobs(|index, blobs| nest(index, blobs, false)),
    ),
    (
        "no subject",
        &["subject-absent"],
        Damage::Blobs(|index, blobs| {
            let mut subject = index["manifests"][0].clone();
            subject["digest"] = json!(Digest::of(Algorithm::Sha256, "gone").to_string());
            let mut manifest = blobs.json(&index["manifests"][0]);
            manifest["subject"] = subject;
            index["manifests"].as_array_mut().unwrap().push(blobs.put_json(MANIFEST, &manifest));
        }),
    ),
    (
        "too deep",
        &["document-limit"],
        Damage::Blobs(|index, blobs| {
            for _ in 0..66 {
                let mut inner = index.clone();
                inner["manifests"][0].as_object_mut().unwrap().remove("annotations");
                index["manifests"] = json!([blobs.put_json(INDEX, &inner)]);
            }
        }),
    ),
];

/// Puts an index between `index.json` and its image, with another platform that is not there.
fn nest(index: &mut Value, blobs: &Blobs, with_image: bool) {
    let gone = |text: &str| {
        let digest = Digest::of(Algorithm::Sha256, text).to_string();
        json!({"mediaType": MANIFEST, "digest": digest, "size": 4})
    };
    let image = if with_image { index["manifests"][0].clone() } else { gone("also gone") };
    let inner = json!({"schemaVersion": 2, "manifests": [gone("gone"), image]});
    let inner = blobs.put_json(INDEX, &inner);
    if with_image {
        index["manifests"] = json!([inner]);
    } else {
        index["manifests"].as_array_mut().unwrap().push(inner);
    }
}

const MANIFESTS: &[Case] = &[
    (
        "no config",
        &["json-missing"],
        Damage::Manifest(|manifest| drop(manifest.as_object_mut().unwrap().remove("config"))),
    ),
    (
        "no layers",
        &["json-missing", "blob-orphaned"],
        Damage::Manifest(|manifest| {
            manifest.as_object_mut().unwrap().remove("layers");
        }),
    ),
    (
        "layers that are none",
        &["json-type"],
        Damage::Manifest(|manifest| {
            manifest["layers"] = json!({});
        }),
    ),
    (
        "a manifest that says that it is an index",
        &["media-type-mismatch"],
        Damage::Manifest(|manifest| {
            manifest["mediaType"] = json!(INDEX);
        }),
    ),
    (
        "a manifest that is for Docker",
        &["media-type-mismatch"],
        Damage::Manifest(|manifest| {
            manifest["mediaType"] = json!("application/vnd.docker.distribution.manifest.v2+json");
        }),
    ),
    (
        "a manifest with entries",
        &["document-kind"],
        Damage::Manifest(|manifest| manifest["manifests"] = json!([])),
    ),
    (
        "annotations that are numbers",
        &["json-type"],
        Damage::Manifest(|manifest| manifest["annotations"] = json!({"a": 1})),
    ),
    (
        "a wrong size of a layer",
        &["blob-size"],
        Damage::Manifest(|manifest| manifest["layers"][0]["size"] = json!(1)),
    ),
    (
        "a layer that can be had elsewhere",
        &["blob-orphaned", "layer-absent"],
        Damage::Manifest(|manifest| {
            let digest = Digest::of(Algorithm::Sha256, "gone").to_string();
            manifest["layers"][0]["digest"] = json!(digest);
            manifest["layers"][0]["urls"] = json!(["https://example.org/layer"]);
        }),
    ),
    (
        "a layer of a foreign type",
        &["layer-type"],
        Damage::Manifest(|manifest| {
            manifest["layers"][0]["mediaType"] = json!("application/vnd.other");
        }),
    ),
    (
        "a layer that is not compressed as is said",
        &["compression-mismatch"],
        Damage::Manifest(|manifest| {
            manifest["layers"][0]["mediaType"] = json!(LAYER.replace("gzip", "zstd"));
        }),
    ),
    (
        "an empty config that is none",
        &["empty-blob"],
        Damage::Manifest(|manifest| {
            manifest["artifactType"] = json!("application/vnd.other");
            manifest["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json");
        }),
    ),
    (
        "an artifact",
        &[],
        Damage::Manifest(|manifest| {
            manifest["artifactType"] = json!("application/vnd.other");
            manifest["config"]["mediaType"] = json!("application/vnd.other.config");
            manifest["layers"][0]["mediaType"] = json!("application/vnd.other.thing");
        }),
    ),
];

const CONFIGS: &[Case] = &[
    (
        "no platform",
        &["json-missing", "json-missing"],
        Damage::Config(|config| {
            config.as_object_mut().unwrap().remove("os");
            config.as_object_mut().unwrap().remove("architecture");
        }),
    ),
    (
        "no rootfs",
        &["json-missing"],
        Damage::Config(|config| drop(config.as_object_mut().unwrap().remove("rootfs"))),
    ),
    (
        "another rootfs",
        &["rootfs-type"],
        Damage::Config(|config| config["rootfs"]["type"] = json!("x")),
    ),
    (
        "another diff id",
        &["diff-id"],
        Damage::Config(|config| {
            config["rootfs"]["diff_ids"][0] = json!(Digest::of(Algorithm::Sha256, "x").to_string());
        }),
    ),
    (
        "a diff id of SHA-512",
        &[],
        Damage::Config(|config| {
            config["rootfs"]["diff_ids"][0] =
                json!(Digest::of(Algorithm::Sha512, archive()).to_string());
        }),
    ),
    (
        "another diff id of SHA-512",
        &["diff-id"],
        Damage::Config(|config| {
            config["rootfs"]["diff_ids"][0] = json!(Digest::of(Algorithm::Sha512, "x").to_string());
        }),
    ),
    (
        "a diff id too many",
        &["diff-id-count"],
        Damage::Config(|config| {
            let diff_id = config["rootfs"]["diff_ids"][0].clone();
            config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(diff_id);
        }),
    ),
    (
        "no diff ids",
        &["diff-id-count"],
        Damage::Config(|config| config["rootfs"]["diff_ids"] = json!([])),
    ),
    (
        "a diff id that is none",
        &["digest-invalid"],
        Damage::Config(|config| config["rootfs"]["diff_ids"][0] = json!("x")),
    ),
    (
        "too much history",
        &["history-count"],
        Damage::Config(|config| {
            config["history"].as_array_mut().unwrap().push(json!({}));
        }),
    ),
    (
        "no history",
        &[],
        Damage::Config(|config| drop(config.as_object_mut().unwrap().remove("history"))),
    ),
    (
        "a date that is none",
        &["json-value"],
        Damage::Config(|config| config["created"] = json!("today")),
    ),
    (
        "an environment without a value",
        &["config-value"],
        Damage::Config(|config| config["config"]["Env"] = json!(["A"])),
    ),
    (
        "what Docker writes",
        &[],
        Damage::Config(|config| {
            config["config"]["Volumes"] = Value::Null;
            config["config"]["OnBuild"] = Value::Null;
            config["config"]["Healthcheck"] = json!({"Test": ["NONE"]});
            config["docker_version"] = json!("25.0");
            config["container_config"] = json!({"Hostname": "x"});
        }),
    ),
    ("no JSON", &["json-syntax"], Damage::ConfigText(|text| text[1..].to_owned())),
    (
        "a member twice",
        &["json-duplicate"],
        Damage::ConfigText(|text| text.replacen('{', r#"{"os":"linux","#, 1)),
    ),
    (
        "a member for careless readers",
        &["json-case"],
        Damage::Config(|config| config["RootFS"] = json!({})),
    ),
];

const LAYERS: &[Case] = &[
    (
        "a layer that is not in the layout",
        &["blob-missing"],
        Damage::Files(|at| fs::remove_file(&at.layer).unwrap()),
    ),
    (
        "a config that is not in the layout",
        &["blob-missing"],
        Damage::Files(|at| fs::remove_file(&at.config).unwrap()),
    ),
    (
        "a manifest that is not in the layout",
        &["blob-missing"],
        Damage::Files(|at| fs::remove_file(&at.manifest).unwrap()),
    ),
    ("a bit of a layer", &["blob-digest"], Damage::Files(|at| flip(&at.layer))),
    ("a bit of a config", &["blob-digest"], Damage::Files(|at| flip(&at.config))),
    ("a bit of a manifest", &["blob-digest"], Damage::Files(|at| flip(&at.manifest))),
    (
        "half a layer",
        &["blob-digest"],
        Damage::Files(|at| {
            let blob = fs::read(&at.layer).unwrap();
            fs::write(&at.layer, &blob[..blob.len() / 2]).unwrap();
        }),
    ),
    ("no byte of a layer", &["blob-digest"], Damage::Files(|at| fs::write(&at.layer, "").unwrap())),
    (
        "a layer that is a link",
        &["blob-type"],
        Damage::Files(|at| {
            let other = at.path("other");
            fs::rename(&at.layer, &other).unwrap();
            symlink(&other, &at.layer).unwrap();
        }),
    ),
    (
        "a layer that is a FIFO",
        &["blob-type"],
        Damage::Files(|at| {
            fs::remove_file(&at.layer).unwrap();
            assert!(Command::new("mkfifo").arg(&at.layer).status().unwrap().success());
        }),
    ),
    (
        "a manifest that is a directory",
        &["blob-type"],
        Damage::Files(|at| {
            fs::remove_file(&at.manifest).unwrap();
            fs::create_dir(&at.manifest).unwrap();
        }),
    ),
    ("a layer that is not compressed", &["compression-mismatch"], Damage::Blob(|_| archive())),
    (
        "half a compressed stream",
        &["compression-damaged"],
        Damage::Blob(|blob| blob[..blob.len() - 9].to_vec()),
    ),
    (
        "a checksum of the compression",
        &["compression-damaged"],
        Damage::Blob(|mut blob| {
            let at = blob.len() - 6;
            blob[at] ^= 1;
            blob
        }),
    ),
    (
        "junk behind the compressed stream",
        &["compression-trailing"],
        Damage::Blob(|mut blob| {
            blob.extend_from_slice(b"junk");
            blob
        }),
    ),
    (
        "two compressed streams",
        &[],
        Damage::Blob(|_| {
            let tar = archive();
            [gzip(&tar[..700]), gzip(&tar[700..])].concat()
        }),
    ),
    ("no archive", &["tar-format"], Damage::Tar(|| vec![b'x'; 2048])),
    ("half an archive", &["tar-format"], Damage::Tar(|| archive()[..1027].to_vec())),
    (
        "an archive without an end",
        &["tar-end"],
        Damage::Tar(|| {
            let archive = archive();
            archive[..archive.len() - 1024].to_vec()
        }),
    ),
    (
        "an archive with half an end",
        &["tar-end"],
        Damage::Tar(|| {
            let archive = archive();
            archive[..archive.len() - 512].to_vec()
        }),
    ),
    ("zeros behind an archive", &[], Damage::Tar(|| [archive(), vec![0; 9000]].concat())),
    (
        "an archive behind an archive",
        &["tar-trailing"],
        Damage::Tar(|| [archive(), archive()].concat()),
    ),
    ("a member of no type", &["tar-type"], Damage::Tar(|| ended(&[member("a", b'Z', "", b"")]))),
    (
        "endless attributes",
        &["tar-limit"],
        Damage::Tar(|| {
            ended(&[member("a", b'x', "", &vec![b'x'; 2 << 20]), member("a", b'0', "", b"")])
        }),
    ),
    (
        "a name that leads out",
        &["tar-name"],
        Damage::Tar(|| ended(&[member("a/../../b", b'0', "", b"")])),
    ),
    (
        "a file in place of the root",
        &["tar-name"],
        Damage::Tar(|| ended(&[member(".", b'0', "", b"")])),
    ),
    ("a member without a name", &["tar-name"], Damage::Tar(|| ended(&[member("", b'0', "", b"")]))),
    ("an absolute name", &["tar-absolute"], Damage::Tar(|| ended(&[member("/a", b'0', "", b"")]))),
    (
        "a file twice",
        &["tar-duplicate"],
        Damage::Tar(|| ended(&[member("a", b'0', "", b""), member("./a", b'0', "", b"")])),
    ),
    (
        "a file and a directory",
        &["tar-duplicate"],
        Damage::Tar(|| ended(&[member("a", b'0', "", b""), member("a/", b'5', "", b"")])),
    ),
    (
        "a directory twice",
        &["tar-directory"],
        Damage::Tar(|| ended(&[member("a/", b'5', "", b""), member("a", b'5', "", b"")])),
    ),
    (
        "a whiteout of nothing",
        &["tar-whiteout"],
        Damage::Tar(|| ended(&[member("a/.wh.", b'0', "", b"")])),
    ),
    (
        "a whiteout of the directory above",
        &["tar-whiteout"],
        Damage::Tar(|| ended(&[member(".wh...", b'0', "", b"")])),
    ),
    (
        "a whiteout with children",
        &["tar-whiteout"],
        Damage::Tar(|| ended(&[member(".wh.a/b", b'0', "", b"")])),
    ),
    (
        "a whiteout with contents",
        &["tar-whiteout-body"],
        Damage::Tar(|| ended(&[member(".wh.a", b'0', "", b"x")])),
    ),
    ("a link to itself", &["tar-link"], Damage::Tar(|| ended(&[member("a", b'1', "./a", b"")]))),
    (
        "a link through a parent",
        &["tar-link-parent"],
        Damage::Tar(|| {
            ended(&[
                member("etc/passwd", b'0', "", b""),
                member("a", b'1', "../../etc/passwd", b""),
            ])
        }),
    ),
    (
        "a link to what is not there",
        &["tar-link"],
        Damage::Tar(|| ended(&[member("etc/", b'5', "", b""), member("etc/a", b'1', "b", b"")])),
    ),
    (
        "a link to what comes later",
        &[],
        Damage::Tar(|| ended(&[member("a", b'1', "b", b""), member("b", b'0', "", b"")])),
    ),
    (
        "a name that is too deep",
        &["tar-limit"],
        Damage::Tar(|| {
            let name = format!("19 path={}x\n", "a/".repeat(1024));
            let length = (name.len() + 2).to_string();
            let name = name.replacen("19", &length, 1);
            ended(&[member("x", b'x', "", name.as_bytes()), member("x", b'0', "", b"")])
        }),
    ),
    ("a link to nothing", &["tar-link"], Damage::Tar(|| ended(&[member("a", b'1', "/", b"")]))),
];

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

#[test]
fn of_the_layout() {
    check(LAYOUT);
}

#[test]
fn of_indexes() {
    check(INDEXES);
}

#[test]
fn of_manifests() {
    check(MANIFESTS);
}

#[test]
fn of_configurations() {
    check(CONFIGS);
}

#[test]
fn of_layers() {
    check(LAYERS);
}

#[test]
fn a_layer_of_very_many_members() {
    if std::env::var_os("UMOCI_TEST_SLOW").is_none() {
        println!("skipped: a layer of a million members needs UMOCI_TEST_SLOW=1");
        return;
    }
    let report = Scene::new(&Damage::Tar(|| {
        let mut archive = Vec::new();
        for number in 0..=1 << 20 {
            archive.extend(member(&number.to_string(), b'0', "", b""));
        }
        ended(&[archive])
    }));
    assert_eq!(codes(&report.validate().findings), ["tar-unchecked"]);
}

#[test]
fn what_cannot_be_read_is_said() {
    if !needs_root() {
        return;
    }
    let sandbox = crate::harness::Sandbox::with_image();
    let manifest = sandbox.manifest("img", "latest").0.replace(':', "/");
    set_mode(sandbox.path(format!("img/blobs/{manifest}")), 0);
    let run = sandbox.umoci_as_ordinary_user(&["validate", "--layout", "img"]);
    assert_eq!(run.status(), Some(3));
    let expected = format!("error: blob-unreadable: blobs/{manifest}: ");
    assert!(run.stdout().starts_with(&expected), "{}", run.stdout());
}

/// No code is without a damage that gets it.
#[test]
fn all_codes_occur() {
    let tables = [LAYOUT, INDEXES, MANIFESTS, CONFIGS, LAYERS];
    let mut seen: BTreeSet<&str> = tables
        .iter()
        .flat_map(|table| table.iter())
        .flat_map(|(_, codes, _)| *codes)
        .copied()
        .collect();
    // In tests of their own.
    seen.extend(["tar-unchecked", "blob-unreadable", "layers-limit"]);
    let all: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(seen, all);
}

/// All files below a directory, and what is in them; of a link or a FIFO that it is there.
fn files(top: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![top.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                directories.push(entry.path());
            } else {
                let is_file = kind.is_file();
                let bytes = if is_file { fs::read(entry.path()).unwrap() } else { Vec::new() };
                files.insert(entry.path(), bytes);
            }
        }
    }
    files
}

/// The commands that look at a whole image end with an answer or one line, and change nothing
/// but the index.
#[test]
fn commands_end_in_order_on_every_damage() {
    let cases = [LAYOUT, INDEXES, MANIFESTS, CONFIGS, LAYERS].into_iter().flatten();
    for (name, codes, damage) in cases {
        let scene = Scene::new(damage);
        let before = files(scene.directory.path());
        let umoci = |words: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_umoci"));
            Run::of(command.args(words).current_dir(scene.directory.path()))
        };
        let validated = umoci(&["validate", "--layout=."]);
        let errors = Code::ALL.iter().filter(|code| code.severity() == Severity::Error);
        let is_invalid = errors.clone().any(|code| codes.contains(&code.as_str()));
        assert_eq!(validated.status(), Some(if is_invalid { 3 } else { 0 }), "{name}");
        assert_eq!(files(scene.directory.path()), before, "{name}");
        for format in ["--format=docker", "--format=oci"] {
            let run = umoci(&["convert", format, "--lossy", "--image=.:latest"]);
            assert!(matches!(run.status(), Some(0 | 1)), "{name}: {}", run.stderr());
            let mut after = files(scene.directory.path());
            let index = scene.path("index.json");
            for (path, bytes) in before.iter().filter(|(path, _)| **path != index) {
                assert_eq!(after.remove(path).as_ref(), Some(bytes), "{name}: {path:?}");
            }
            let new_index = after.remove(&index);
            if run.status() == Some(1) {
                run.fails();
                assert_eq!(new_index.as_ref(), before.get(&index), "{name}");
            }
            let blobs = scene.path("blobs");
            assert!(after.keys().all(|path| path.starts_with(&blobs)), "{name}: {after:?}");
        }
    }
}
