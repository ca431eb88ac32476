// SPDX-License-Identifier: Apache-2.0
//! Layouts whose index is no index, is endless, or names the same twice; files
//! of the wrong kind where a layout has its files.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::Command;

use serde_json::{Value, json};
use umoci::oci::media_type;

use super::arena::Answer::{Either, Refuse};
use super::arena::{Arena, Layer, Limits, base};
use crate::harness::needs_root;

fn make_fifo(path: &std::path::Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

const COMMANDS: [&[&str]; 8] = [
    &["unpack", "--image=img:good", "bundle"],
    &["stat", "--image=img:good"],
    &["ls", "--layout=img"],
    &["tag", "--image=img:good", "new"],
    &["rm", "--image=img:good"],
    &["new", "--image=img:new"],
    &["config", "--image=img:good", "--author=x"],
    &["gc", "--layout=img"],
];

/// Every command refuses the layout, quickly, and changes nothing.
#[track_caller]
fn all_refuse(name: &str, spoil: impl Fn(&Arena)) {
    let arena = Arena::new();
    spoil(&arena);
    let before = arena.sandbox.tree("img");
    for words in COMMANDS {
        let run = arena.run_within(words, Limits::default());
        assert_eq!(run.status(), Some(1), "{name} {words:?}");
        arena.refused(name, &run);
        assert_eq!(arena.sandbox.tree("img"), before, "{name} {words:?}");
    }
}

#[test]
fn an_index_that_is_none() {
    let deep = format!("{}{}", "{\"a\":".repeat(200_000), "1");
    for text in ["", "{", "null", "[]", "\"x\"", &deep, &"[".repeat(200_000), "{\"manifests\":1}"] {
        let name = &text[..text.len().min(20)];
        all_refuse(name, |arena| fs::write(arena.path("img/index.json"), text).unwrap());
    }
}

/// An empty list, to some writers.
#[test]
fn an_index_of_null() {
    let arena = Arena::new();
    for words in COMMANDS {
        let text = r#"{"schemaVersion":2,"manifests":null}"#;
        fs::write(arena.path("img/index.json"), text).unwrap();
        let run = arena.run_within(words, Limits::default());
        assert!(matches!(run.status(), Some(0 | 1)), "{words:?}: {}", run.stderr());
    }
}

#[test]
fn files_of_the_wrong_kind() {
    all_refuse("no index", |arena| fs::remove_file(arena.path("img/index.json")).unwrap());
    for file in ["img/index.json", "img/oci-layout"] {
        all_refuse("a FIFO", |arena| {
            fs::remove_file(arena.path(file)).unwrap();
            make_fifo(&arena.path(file));
        });
        all_refuse("a directory", |arena| {
            fs::remove_file(arena.path(file)).unwrap();
            fs::create_dir(arena.path(file)).unwrap();
        });
        all_refuse("an endless device", |arena| {
            fs::remove_file(arena.path(file)).unwrap();
            symlink("/dev/zero", arena.path(file)).unwrap();
        });
    }
    for text in [r#"{"imageLayoutVersion":"2.0.0"}"#, "{}", "", "[]", r#"{"imageLayoutVersion":1}"#]
    {
        all_refuse(text, |arena| fs::write(arena.path("img/oci-layout"), text).unwrap());
    }
    all_refuse("no blobs", |arena| fs::remove_dir_all(arena.path("img/blobs")).unwrap());
}

#[test]
fn blobs_of_the_wrong_kind() {
    if !needs_root() {
        return;
    }
    for (name, put) in [
        ("a FIFO", (|path| make_fifo(path)) as fn(&std::path::Path)),
        ("an endless device", |path| symlink("/dev/zero", path).unwrap()),
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a dangling link", |path| symlink("nowhere", path).unwrap()),
    ] {
        for which in ["manifest", "config", "layer"] {
            let arena = Arena::new();
            let (mut manifest, config) =
                arena.parts(&[Layer::plain(base().file("only", "here").end())]);
            manifest["config"] = arena.put_json(
                &json!({ "author": "x", "rootfs": config["rootfs"] }),
                media_type::IMAGE_CONFIG,
            );
            let image = arena.join(manifest.clone(), &config);
            arena.tag("bad", image.clone());
            let descriptor = match which {
                "manifest" => &image,
                "config" => &manifest["config"],
                _ => &manifest["layers"][0],
            };
            let path = arena.blob_path(descriptor["digest"].as_str().unwrap());
            fs::remove_file(&path).unwrap();
            put(&path);
            arena.unpack_bad(&format!("{name} as {which}"), Refuse, Limits::default());
        }
    }
}

fn index_of(manifests: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": media_type::IMAGE_INDEX, "manifests": manifests })
}

#[test]
fn ambiguous_names() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    let good = arena.sandbox.json("img/index.json")["manifests"][0].clone();
    let other = arena.image(&[Layer::plain(base().file("other", "x").end())]);
    arena.tag("bad", good.clone());
    arena.tag("bad", other.clone());
    arena.unpack_bad("two of one name", Refuse, Limits::default());

    let arena = Arena::new();
    let other = arena.image(&[Layer::plain(base().file("other", "x").end())]);
    arena.tag("bad", arena.put_json(&index_of(&[good, other]), media_type::IMAGE_INDEX));
    arena.unpack_bad("an index of two", Refuse, Limits::default());
}

/// Each level lists the one below twice: the paths double, the blobs do not.
#[test]
fn indexes_that_fan_out() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    let mut top = arena.sandbox.json("img/index.json")["manifests"][0].clone();
    for _ in 0..40 {
        top = arena.put_json(&index_of(&[top.clone(), top]), media_type::IMAGE_INDEX);
    }
    arena.tag("bad", top);
    arena.unpack_bad("fan out", Either, Limits::default());
    arena.run_within(&["stat", "--image=img:bad"], Limits::default());
    let before = fs::read_dir(arena.path("img/blobs/sha256")).unwrap().count();
    assert_eq!(arena.run_within(&["gc", "--layout=img"], Limits::default()).status(), Some(0));
    assert_eq!(fs::read_dir(arena.path("img/blobs/sha256")).unwrap().count(), before);

    let arena = Arena::new();
    let mut top = arena.sandbox.json("img/index.json")["manifests"][0].clone();
    for _ in 0..2000 {
        top = arena.put_json(&index_of(&[top]), media_type::IMAGE_INDEX);
    }
    arena.tag("bad", top);
    arena.unpack_bad("2000 deep", Either, Limits::default());
    for words in [
        &["index", "list", "--image=img:bad"][..],
        &["index", "remove", "--stale", "--image=img:bad"],
        &["convert", "--format=oci", "--image=img:bad"],
    ] {
        let run = arena.run_within(words, Limits::default());
        assert!(run.fails().contains("nested more than 64 deep"), "{words:?}");
    }
    arena.run_within(&["gc", "--layout=img"], Limits::default());
    assert!(arena.blob_path(&arena.sandbox.manifest("img", "good").0).exists());
}

#[test]
fn many_entries() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    let good = arena.sandbox.json("img/index.json")["manifests"][0].clone();
    let named = |number: u32| {
        let mut entry = good.clone();
        entry["annotations"]["org.opencontainers.image.ref.name"] = format!("tag-{number}").into();
        entry
    };
    let entries: Vec<Value> = std::iter::once(good.clone()).chain((0..50_000).map(named)).collect();
    arena.write_index(&entries);
    let limits = Limits { seconds: 20, memory: 600 << 20 };
    for words in [
        &["unpack", "--image=img:good", "bundle"][..],
        &["tag", "--image=img:tag-49999", "new"],
        &["gc", "--layout=img"],
        &["ls", "--layout=img"],
    ] {
        arena.run_within(words, limits).succeeds();
    }
}

#[test]
fn entries_that_lack_everything() {
    if !needs_root() {
        return;
    }
    for entry in [
        json!(null),
        json!({}),
        json!({ "digest": null }),
        json!([]),
        json!({ "annotations": null }),
    ] {
        let arena = Arena::new();
        let good = arena.sandbox.json("img/index.json")["manifests"][0].clone();
        arena.write_index(&[entry.clone(), good]);
        let before = arena.sandbox.tree("img");
        for words in COMMANDS {
            let run = arena.run_within(words, Limits::default());
            assert!(matches!(run.status(), Some(0 | 1)), "{entry} {words:?}: {}", run.stderr());
            if run.status() == Some(1) {
                arena.refused("entry", &run);
                assert_eq!(arena.sandbox.tree("img"), before, "{entry} {words:?}");
            }
            let _ = fs::remove_dir_all(arena.path("bundle"));
            if arena.sandbox.tree("img") != before {
                break;
            }
        }
    }
}

#[test]
fn garbage_collection_stays_inside() {
    // Blobs that are elsewhere are not this layout's to delete.
    for name in ["img/blobs", "img/blobs/sha256"] {
        let arena = Arena::new();
        let elsewhere = arena.path("outside/blobs");
        fs::rename(arena.path(name), &elsewhere).unwrap();
        symlink(&elsewhere, arena.path(name)).unwrap();
        let garbage = |at: &str| elsewhere.join(at).join("0".repeat(64));
        let _ = fs::write(garbage("sha256"), "x");
        let _ = fs::write(garbage("."), "x");
        let before = arena.surroundings();
        arena.run_within(&["gc", "--layout=img"], Limits::default());
        assert_eq!(arena.surroundings(), before, "{name}");
    }
    // Junk neither stops it nor is it removed.
    let arena = Arena::new();
    let blobs = arena.path("img/blobs/sha256");
    fs::write(blobs.join("junk"), "x").unwrap();
    fs::create_dir(blobs.join("1".repeat(64))).unwrap();
    symlink(arena.path("outside/canary"), blobs.join("2".repeat(64))).unwrap();
    make_fifo(&blobs.join("3".repeat(64)));
    fs::write(blobs.join("4".repeat(64)), "garbage").unwrap();
    arena.run_within(&["gc", "--layout=img"], Limits::default()).succeeds();
    assert!(!blobs.join("4".repeat(64)).exists());
    assert!(blobs.join("junk").exists() && blobs.join("1".repeat(64)).is_dir());
    assert!(fs::symlink_metadata(blobs.join("3".repeat(64))).unwrap().file_type().is_fifo());
    assert!(arena.path("outside/canary").exists());
    arena.sandbox.umoci(&["stat", "--image=img:good"]).succeeds();
}

#[test]
fn temporary_names_that_lead_elsewhere() {
    let arena = Arena::new();
    symlink(arena.path("outside"), arena.path("img/.umoci-link")).unwrap();
    symlink("/dev/zero", arena.path("img/.umoci-device")).unwrap();
    make_fifo(&arena.path("img/.umoci-fifo"));
    fs::create_dir_all(arena.path("img/.umoci-dir/sub")).unwrap();
    fs::write(arena.path("img/.umoci-dir/sub/file"), "x").unwrap();
    symlink(arena.path("outside"), arena.path("img/.umoci-dir/link")).unwrap();
    let outside = arena.sandbox.tree("outside");
    arena.run_within(&["gc", "--layout=img"], Limits::default());
    arena.run_within(&["tag", "--image=img:good", "new"], Limits::default()).succeeds();
    assert_eq!(arena.sandbox.tree("outside"), outside);
    arena.sandbox.umoci(&["stat", "--image=img:good"]).succeeds();
}

/// What annotations and histories hold is shown, but never as it is.
#[test]
fn text_for_terminals() {
    let arena = Arena::new();
    let (manifest, mut config) = arena.parts(&[Layer::plain(base().end())]);
    let evil = "\x1b[2J\x1b]0;title\x07\r\nfake line\u{202e}";
    config["history"] = json!([
        { "created_by": evil, "author": evil, "comment": evil },
        { "empty_layer": true },
        { "created": "2020-01-01T00:00:00Z", "empty_layer": true },
    ]);
    config["config"] = json!({ "Labels": { evil: evil }, "Env": [evil], "User": evil });
    let mut image = arena.join(manifest, &config);
    image["mediaType"] = media_type::IMAGE_MANIFEST.into();
    arena.tag("bad", image);
    let text = arena.run_within(&["stat", "--image=img:bad"], Limits::default()).succeeds();
    assert!(!text.contains(['\x1b', '\x07', '\r']), "{text:?}");
    let text =
        arena.run_within(&["stat", "--json", "--image=img:bad"], Limits::default()).succeeds();
    assert!(!text.contains(['\x1b', '\x07', '\r']), "{text:?}");
    // Nor in errors.
    for words in [["stat", "--image=img:\x1b[2J"], ["stat", "--image=\x1b[2J"]] {
        let run = arena.sandbox.umoci(&words);
        assert!(!run.stderr().contains('\x1b'), "{}", run.stderr());
    }
}
