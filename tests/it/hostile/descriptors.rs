// SPDX-License-Identifier: Apache-2.0
//! Descriptors, manifests and configurations that contradict their blobs, each
//! other, or the specification.

use serde_json::{Value, json};
use umoci::oci::media_type;

use super::archive::Archive;
use super::arena::Answer::{self, Either, Refuse};
use super::arena::{Arena, Layer, Limits, base};
use crate::harness::needs_root;

type Spoil = fn(&Arena, &mut Value, &mut Value);

/// Spoils manifest and configuration of an image of one layer, each time in a new arena.
#[track_caller]
fn each(cases: &[(&str, Answer, Spoil)]) {
    if !needs_root() {
        return;
    }
    for (name, answer, spoil) in cases {
        let arena = Arena::new();
        let (mut manifest, mut config) = arena.parts(&[Layer::plain(base().end())]);
        spoil(&arena, &mut manifest, &mut config);
        arena.tag("bad", arena.join(manifest, &config));
        if arena.unpack_bad(name, *answer, Limits::default()) {
            assert!(!arena.has("evil"), "{name}");
        }
    }
}

/// A layer that must not be unpacked.
fn evil(arena: &Arena) -> Value {
    arena.put_as(&Archive::new().file("evil", "x").end(), media_type::IMAGE_LAYER)
}

#[test]
fn digests_of_layers() {
    each(&[
        ("path", Refuse, |_, manifest, _| {
            manifest["layers"][0]["digest"] = "sha256:../../../outside/canary".into();
        }),
        ("absolute", Refuse, |arena, manifest, _| {
            manifest["layers"][0]["digest"] = format!("sha256:{}/canary", arena.outside()).into();
        }),
        ("short", Refuse, |_, manifest, _| manifest["layers"][0]["digest"] = "sha256:abc".into()),
        ("empty", Refuse, |_, manifest, _| manifest["layers"][0]["digest"] = "".into()),
        ("no algorithm", Refuse, |_, manifest, _| {
            manifest["layers"][0]["digest"] = "0".repeat(64).into();
        }),
        ("algorithm that climbs", Refuse, |_, manifest, _| {
            manifest["layers"][0]["digest"] = format!("../../outside:{}", "0".repeat(64)).into();
        }),
        ("line feed", Refuse, |_, manifest, _| {
            let digest = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
            manifest["layers"][0]["digest"] = format!("{digest}\n").into();
        }),
        ("upper case", Refuse, |_, manifest, _| {
            let digest = manifest["layers"][0]["digest"].as_str().unwrap();
            manifest["layers"][0]["digest"] = digest.to_uppercase().replace("SHA", "sha").into();
        }),
        ("unknown algorithm", Refuse, |_, manifest, _| {
            manifest["layers"][0]["digest"] = "md5:d41d8cd98f00b204e9800998ecf8427e".into();
        }),
        ("sha512 that is missing", Either, |_, manifest, _| {
            manifest["layers"][0]["digest"] = format!("sha512:{}", "0".repeat(128)).into();
        }),
        ("missing", Refuse, |_, manifest, _| {
            manifest["layers"][0]["digest"] = format!("sha256:{}", "0".repeat(64)).into();
        }),
        ("no digest", Refuse, |_, manifest, _| {
            drop(manifest["layers"][0].as_object_mut().unwrap().remove("digest"));
        }),
    ]);
}

#[test]
fn sizes_and_data() {
    each(&[
        ("too big", Refuse, |_, manifest, _| {
            let size = manifest["layers"][0]["size"].as_u64().unwrap();
            manifest["layers"][0]["size"] = (size + 1).into();
        }),
        ("too small", Refuse, |_, manifest, _| manifest["layers"][0]["size"] = 10.into()),
        ("0", Refuse, |_, manifest, _| manifest["layers"][0]["size"] = 0.into()),
        ("negative", Refuse, |_, manifest, _| manifest["layers"][0]["size"] = (-1).into()),
        ("2^63", Refuse, |_, manifest, _| manifest["layers"][0]["size"] = (1_u64 << 63).into()),
        ("2^63 - 1", Refuse, |_, manifest, _| manifest["layers"][0]["size"] = i64::MAX.into()),
        ("fraction", Refuse, |_, manifest, _| manifest["layers"][0]["size"] = json!(1.5)),
        ("text", Refuse, |_, manifest, _| manifest["layers"][0]["size"] = "2048".into()),
        ("config of 1 EiB", Refuse, |arena, manifest, config| {
            manifest["config"] = arena.put_json(config, media_type::IMAGE_CONFIG);
            manifest["config"]["size"] = (1_u64 << 60).into();
        }),
        ("data of something else", Refuse, |arena, manifest, config| {
            manifest["config"] = arena.put_json(config, media_type::IMAGE_CONFIG);
            manifest["config"]["data"] = "e30=".into();
        }),
    ]);
}

#[test]
fn diff_ids_and_types() {
    each(&[
        ("fewer diff ids", Refuse, |_, _, config| config["rootfs"]["diff_ids"] = json!([])),
        ("no diff ids", Refuse, |_, _, config| config["rootfs"] = json!({ "type": "layers" })),
        ("more diff ids", Either, |_, _, config| {
            let digest = config["rootfs"]["diff_ids"][0].clone();
            config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(digest);
        }),
        ("wrong diff id", Refuse, |_, _, config| {
            config["rootfs"]["diff_ids"][0] = format!("sha256:{}", "0".repeat(64)).into();
        }),
        ("a path as diff id", Refuse, |_, _, config| {
            config["rootfs"]["diff_ids"][0] = "sha256:../x".into();
        }),
        ("no layers", Refuse, |_, _, config| config["rootfs"]["type"] = "snapshots".into()),
        ("type of the config", Refuse, |arena, manifest, config| {
            manifest["config"] = arena.put_json(config, "application/vnd.example+json");
        }),
        ("type of the layer", Refuse, |_, manifest, _| {
            manifest["layers"][0]["mediaType"] = "text/html\x1b[2J".into();
        }),
        ("manifest that says it is an index", Refuse, |_, manifest, _| {
            manifest["mediaType"] = media_type::IMAGE_INDEX.into();
        }),
        ("manifest with manifests", Refuse, |arena, manifest, _| {
            manifest["manifests"] = json!([evil(arena)]);
        }),
        ("LAYERS", Either, |arena, manifest, _| manifest["LAYERS"] = json!([evil(arena)])),
        ("layers: null", Refuse, |_, manifest, _| {
            manifest["layers"] = Value::Null;
            manifest["config"] = json!({});
        }),
        ("layers of nulls", Refuse, |_, manifest, _| manifest["layers"] = json!([null])),
        ("a config of null", Refuse, |arena, manifest, _| {
            manifest["config"] = arena.put_json(&Value::Null, media_type::IMAGE_CONFIG);
        }),
        ("a config of a number", Refuse, |arena, manifest, _| {
            manifest["config"] = arena.put_json(&json!(1), media_type::IMAGE_CONFIG);
        }),
        ("a foreign layer is not fetched", Refuse, |_, manifest, _| {
            manifest["layers"][0]["urls"] = json!(["http://127.0.0.1:1/layer"]);
            manifest["layers"][0]["digest"] = format!("sha256:{}", "1".repeat(64)).into();
        }),
    ]);
}

type Damage = fn(&mut Vec<u8>);

/// Manifests whose digests are right, but whose text is none that should be there.
#[test]
fn texts_of_manifests() {
    if !needs_root() {
        return;
    }
    let cases: [(&str, Answer, Damage); 9] = [
        ("trailing bytes", Either, |text| text.extend_from_slice(b" {}")),
        ("trailing zeros", Either, |text| text.extend_from_slice(&[0; 16])),
        ("byte order mark", Either, |text| drop(text.splice(0..0, *b"\xef\xbb\xbf"))),
        ("cut", Refuse, |text| text.truncate(text.len() - 2)),
        ("empty", Refuse, Vec::clear),
        ("an array", Refuse, |text| *text = b"[]".to_vec()),
        ("deep", Refuse, |text| *text = [vec![b'['; 200_000], vec![b']'; 200_000]].concat()),
        ("16 MiB", Refuse, |text| text.resize(16 << 20, b' ')),
        ("layers twice", Either, |text| {
            let at = text.iter().rposition(|byte| *byte == b'}').unwrap();
            drop(text.splice(at..at, *b",\"layers\":[]"));
        }),
    ];
    for (name, answer, damage) in cases {
        let arena = Arena::new();
        let (mut manifest, config) = arena.parts(&[Layer::plain(base().end())]);
        manifest["config"] = arena.put_json(&config, media_type::IMAGE_CONFIG);
        let mut text = serde_json::to_vec(&manifest).unwrap();
        damage(&mut text);
        arena.tag("bad", arena.put_as(&text, media_type::IMAGE_MANIFEST));
        arena.unpack_bad(name, answer, Limits::default());
    }
}
