// SPDX-License-Identifier: Apache-2.0
//! Directories that are no bundle, or one that somebody has prepared.

use std::fs;
use std::io::{BufWriter, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::arena::{Arena, Limits};
use crate::harness::needs_root;

const UNPACK: [&str; 3] = ["unpack", "--image=img:good", "bundle"];
const REPACK: [&str; 3] = ["repack", "--image=img:new", "bundle"];

/// Unpacks into what `prepare` has made, which has to stay as it is.
#[track_caller]
fn not_unpacked(name: &str, prepare: impl Fn(&Arena)) {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    fs::create_dir(arena.path("bundle")).unwrap();
    prepare(&arena);
    let (around, inside) = (arena.surroundings(), arena.sandbox.tree("bundle"));
    let run = arena.run_within(&UNPACK, Limits::default());
    run.fails();
    assert_eq!(arena.surroundings(), around, "{name}");
    let mut left = arena.sandbox.tree("bundle");
    // A bundle is closed to others before anything else.
    left.insert(PathBuf::new(), inside[Path::new("")].clone());
    assert_eq!(left, inside, "{name}");
}

#[test]
fn links_where_a_bundle_has_its_files() {
    for name in ["rootfs", "config.json", "umoci.json"] {
        not_unpacked(name, |arena| {
            symlink(arena.outside(), arena.path("bundle").join(name)).unwrap();
        });
        not_unpacked(name, |arena| {
            symlink(arena.path("outside/new"), arena.path("bundle").join(name)).unwrap();
        });
    }
    for suffix in ["mtree", "stat"] {
        not_unpacked(suffix, |arena| {
            let (digest, _) = arena.sandbox.manifest("img", "good");
            let name = format!("{}.{suffix}", digest.replace(':', "_"));
            symlink(arena.path("outside/canary"), arena.path("bundle").join(name)).unwrap();
        });
    }
    not_unpacked("a file", |arena| {
        fs::remove_dir(arena.path("bundle")).unwrap();
        fs::write(arena.path("bundle"), "x").unwrap();
    });
}

/// Names like those of an interrupted unpack, that are not.
#[test]
fn what_only_looks_left_over() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    fs::create_dir(arena.path("bundle")).unwrap();
    symlink(arena.path("outside"), arena.path("bundle/.umoci-unpack-link")).unwrap();
    symlink(arena.path("outside/canary"), arena.path("bundle/.umoci-new-link")).unwrap();
    let private = arena.path("bundle/.umoci-unpack-dir");
    fs::create_dir(&private).unwrap();
    symlink(arena.path("outside"), private.join("rootfs")).unwrap();
    let canary = fs::metadata(arena.path("outside/canary")).unwrap();
    let (dev, ino) = (
        std::os::unix::fs::MetadataExt::dev(&canary),
        std::os::unix::fs::MetadataExt::ino(&canary),
    );
    let record =
        format!("{dev} {ino} ../outside/canary\n{dev} {ino} ..\n1 1 /etc/passwd\nx\n{dev} {ino} ");
    fs::write(private.join("moved"), record).unwrap();
    let before = arena.surroundings();
    arena.run_within(&UNPACK, Limits::default()).succeeds();
    assert_eq!(arena.surroundings(), before);
    assert!(!private.exists());
}

/// Repacks a bundle that `spoil` has changed; the layout stays as it is.
#[track_caller]
fn not_repacked(name: &str, spoil: impl Fn(&Arena)) {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    arena.sandbox.umoci(&UNPACK).succeeds();
    spoil(&arena);
    let before = (arena.surroundings(), arena.sandbox.tree("img"));
    let run = arena.run_within(&REPACK, Limits { seconds: 6, memory: 300 << 20 });
    let line = run.fails();
    assert!(!line.contains("panic"), "{name}: {line}");
    // Temporary files come and go, which changes times of directories.
    assert_eq!(arena.sandbox.tree("img"), before.1, "{name}");
    arena.sandbox.umoci(&["stat", "--image=img:good"]).succeeds();
}

fn edit(arena: &Arena, change: impl Fn(&mut Value)) {
    let mut metadata = arena.sandbox.json("bundle/umoci.json");
    change(&mut metadata);
    fs::write(arena.path("bundle/umoci.json"), serde_json::to_vec(&metadata).unwrap()).unwrap();
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn hostile_umoci_json() {
    for text in ["", "{", "null", "[]", "{}", "{\"umoci_version\":\"2\"}", "{\"umoci_version\":99}"]
    {
        not_repacked(text, |arena| fs::write(arena.path("bundle/umoci.json"), text).unwrap());
    }
    let deep = "[".repeat(100_000);
    not_repacked("deep", |arena| fs::write(arena.path("bundle/umoci.json"), &deep).unwrap());
    not_repacked("empty walk", |arena| {
        edit(arena, |json| json["from_descriptor_path"]["descriptor_walk"] = json!([]));
    });
    not_repacked("walk of null", |arena| {
        edit(arena, |json| json["from_descriptor_path"] = Value::Null);
    });
    not_repacked("walk that leads elsewhere", |arena| {
        edit(arena, |json| {
            let digest = format!("sha256:{}", "0".repeat(64));
            json["from_descriptor_path"]["descriptor_walk"][0]["digest"] = digest.into();
        });
    });
    not_repacked("digest that is a path", |arena| {
        edit(arena, |json| {
            json["from_descriptor_path"]["descriptor_walk"][0]["digest"] =
                "sha256:../../outside/canary".into();
        });
    });
    for (name, replace) in [
        ("FIFO", make_fifo as fn(&Path)),
        ("endless", |path| symlink("/dev/zero", path).unwrap()),
        ("directory", |path| fs::create_dir(path).unwrap()),
        ("missing", |_| ()),
    ] {
        not_repacked(name, |arena| {
            fs::remove_file(arena.path("bundle/umoci.json")).unwrap();
            replace(&arena.path("bundle/umoci.json"));
        });
    }
}

fn mtree(arena: &Arena) -> PathBuf {
    let (digest, _) = arena.sandbox.manifest("img", "good");
    arena.path("bundle").join(format!("{}.mtree", digest.replace(':', "_")))
}

/// Replaces the manifest of the tree and what vouches for it.
fn write_mtree(arena: &Arena, text: &str) {
    fs::write(mtree(arena), text).unwrap();
    edit(arena, |json| {
        let members = json.as_object_mut().unwrap();
        members.retain(|name, _| !name.contains("mtree"));
    });
}

#[test]
fn hostile_mtree() {
    for (name, replace) in [
        ("missing", (|_| ()) as fn(&Path)),
        ("FIFO", make_fifo),
        ("endless", |path| symlink("/dev/zero", path).unwrap()),
        ("directory", |path| fs::create_dir(path).unwrap()),
    ] {
        not_repacked(name, |arena| {
            fs::remove_file(mtree(arena)).unwrap();
            replace(&mtree(arena));
        });
    }
    not_repacked("torn", |arena| {
        let text = fs::read(mtree(arena)).unwrap();
        fs::write(mtree(arena), &text[..text.len() / 2]).unwrap();
    });
    for text in [
        "#mtree\n. type=dir size=x\n..\n",
        "..\n..\n..\n",
        ". type=dir\n    a\\400 type=file\n..\n",
        ". type=dir\n    ..\\057x type=file\n..\n",
        ". type=dir uid=-1\n..\n",
        ". type=dir time=x.y\n..\n",
        ". type=unheard\n..\n",
    ] {
        not_repacked(text, |arena| write_mtree(arena, text));
    }
}

/// As [`write_mtree`], a manifest of many pieces.
fn write_long_mtree(arena: &Arena, head: &str, pieces: impl Iterator<Item = String>) {
    write_mtree(arena, "");
    let mut file = BufWriter::new(fs::File::create(mtree(arena)).unwrap());
    file.write_all(head.as_bytes()).unwrap();
    for piece in pieces {
        file.write_all(piece.as_bytes()).unwrap();
    }
    file.flush().unwrap();
}

const SET: &str = "#mtree\n/set type=file uid=0 gid=0 mode=0644 size=0 time=1.5\n";
const MIB: usize = 1 << 20;

/// A manifest that would take all memory, or all day.
#[test]
fn mtree_without_end() {
    type Pieces = Box<dyn Iterator<Item = String>>;
    let repeated =
        |piece: String, times: usize| -> Pieces { Box::new(std::iter::repeat_n(piece, times)) };
    let long = |unit: &str| unit.repeat(4 * MIB / unit.len());
    let cases: Vec<(&str, Pieces)> = vec![
        ("deep", repeated("d type=dir\n".repeat(MIB / 8), 8)),
        ("deep in one name", repeated("d/".repeat(MIB), 4)),
        ("many lines", repeated("a\n".repeat(MIB), 20)),
        ("many lines of one name", repeated("a size=123456 time=1.5\n".repeat(MIB / 16), 20)),
        ("many names", Box::new((0..300_000).map(|number| format!("n{number} nlink=1 a=b\n")))),
        ("a long name", repeated(long("x"), 8)),
        ("a long name in code", repeated(long("\\141"), 8)),
        ("long names", repeated(format!("{}\n", long("\\141")), 6)),
        ("a long attribute", repeated(format!("xattr.user.x={}", long("AAAA")), 8)),
        ("attributes", repeated(format!("a {}\n", "xattr.a= ".repeat(MIB / 8)), 20)),
        ("borders of attributes", repeated(format!("a xattr.a{}\n", long("=")), 3)),
        ("a line that is folded", repeated("\\\n".repeat(2 * MIB), 8)),
        ("lines that leave", repeated("..\n".repeat(MIB), 20)),
        ("settings", repeated("/set uid=0 gid=0\n/unset all\n".repeat(MIB / 16), 8)),
        ("comments", repeated(format!("#{}\n", long("x")), 10)),
    ];
    for (name, pieces) in cases {
        bounded(name, |arena| write_long_mtree(arena, SET, pieces));
    }
    bounded("no end at all", |arena| {
        write_mtree(arena, SET);
        fs::File::options().write(true).open(mtree(arena)).unwrap().set_len(1 << 40).unwrap();
    });
}

/// Repacks a bundle that `spoil` has changed, within limits of time and memory, whatever comes
/// of it; what it was made of stays.
#[track_caller]
fn bounded(name: &str, spoil: impl FnOnce(&Arena)) {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    arena.sandbox.umoci(&UNPACK).succeeds();
    spoil(&arena);
    let before = arena.sandbox.manifest("img", "good").0;
    let run = arena.run_within(&REPACK, Limits { seconds: 10, memory: 300 << 20 });
    if run.status() != Some(0) {
        let line = run.fails();
        assert!(!line.contains("panic") && line.len() < 5000, "{name}: {line:.100}");
    }
    assert_eq!(arena.sandbox.manifest("img", "good").0, before, "{name}");
    arena.sandbox.umoci(&["stat", "--image=img:good"]).succeeds();
}

#[test]
fn hostile_rootfs() {
    not_repacked("a link outside", |arena| {
        fs::remove_dir_all(arena.path("bundle/rootfs")).unwrap();
        symlink(arena.outside(), arena.path("bundle/rootfs")).unwrap();
    });
    not_repacked("a file", |arena| {
        fs::remove_dir_all(arena.path("bundle/rootfs")).unwrap();
        fs::write(arena.path("bundle/rootfs"), "x").unwrap();
    });
    not_repacked("missing", |arena| fs::remove_dir_all(arena.path("bundle/rootfs")).unwrap());
    for name in [".wh.x", "etc/.wh.passwd", ".wh..wh..opq", ".wh."] {
        not_repacked(name, |arena| fs::write(arena.rootfs(name), "").unwrap());
    }
}

/// What a link in the tree leads to is not what is packed.
#[test]
fn links_are_packed_as_links() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    arena.sandbox.umoci(&UNPACK).succeeds();
    fs::remove_dir_all(arena.rootfs("etc")).unwrap();
    symlink(arena.outside(), arena.rootfs("etc")).unwrap();
    symlink(arena.path("outside/canary"), arena.rootfs("canary")).unwrap();
    let before = arena.sandbox.tree("outside");
    arena.sandbox.umoci(&["repack", "--compress=none", "--image=img:new", "bundle"]).succeeds();
    assert_eq!(arena.sandbox.tree("outside"), before);
    let (_, manifest) = arena.sandbox.manifest("img", "new");
    let layer = arena.sandbox.blob(manifest["layers"][1]["digest"].as_str().unwrap());
    let secret = fs::read(arena.path("outside/canary")).unwrap();
    assert!(!layer.windows(secret.len()).any(|window| window == secret));
}
