// SPDX-License-Identifier: Apache-2.0
//! How many system calls a file costs: what makes large trees slow, counted,
//! since a clock would give another answer each time.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::garbage::put;
use crate::harness::{Sandbox, needs_root, strace};

/// Calls by which memory and threads are managed, as often as chance has it; and the one by
/// which the standard library looks, in a build with assertions, whether what it closes is open.
const NOT_COUNTED: [&str; 9] =
    ["futex", "sched_yield", "mmap", "munmap", "mremap", "madvise", "mprotect", "brk", "fcntl"];
/// How many files more the second image has.
const MORE: usize = 1000;

/// A sandbox with an image `img` of so many small files in one directory.
fn image_of(files: usize) -> Sandbox {
    let sandbox = Sandbox::with_image();
    fs::create_dir(sandbox.path("tree")).unwrap();
    for file in 0..files {
        fs::write(sandbox.path(format!("tree/{file}")), "contents").unwrap();
    }
    sandbox.umoci(&["insert", "--image=img", "tree", "/tree"]).succeeds();
    sandbox
}

/// How many calls a command makes.
fn calls(sandbox: &Sandbox, words: &[&str]) -> usize {
    let Some(strace) = strace() else { return 0 };
    let traced = ["-f", "-c", "-o", "calls", env!("CARGO_BIN_EXE_umoci")];
    sandbox.peer(&strace, &[&traced[..], words].concat()).succeeds();
    let summary = fs::read_to_string(sandbox.path("calls")).unwrap();
    let rows = summary.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let counted = rows.filter_map(|words| {
        let name = words.last()?;
        let calls = words.get(3)?.parse::<usize>().ok()?;
        (!NOT_COUNTED.contains(name) && *name != "total").then_some(calls)
    });
    counted.sum()
}

/// How many calls each of many files costs.
#[track_caller]
fn per_file(words: &[&str], prepare: impl Fn(&Sandbox)) -> usize {
    per_one(words, |files| {
        let sandbox = image_of(files);
        prepare(&sandbox);
        sandbox
    })
}

/// How many calls each of many things costs, of which a sandbox has so many. What is done once
/// for all does not count, and neither do a few calls of which chance has the number: to wait
/// for the clock, to read. One more for each of ten things is more than those.
#[track_caller]
fn per_one(words: &[&str], sandbox_of: impl Fn(usize) -> Sandbox) -> usize {
    let [few, many] = [10, 10 + MORE].map(|count| calls(&sandbox_of(count), words));
    let difference = many.saturating_sub(few);
    let cost = (difference + MORE / 2) / MORE;
    let rest = difference.abs_diff(cost * MORE);
    assert!(rest <= MORE / 20, "{words:?}: {difference} calls for {MORE}");
    cost
}

/// A sandbox with an image `img` of which the last layer removes so many of the files.
fn image_without(removed: usize) -> Sandbox {
    let sandbox = image_of(10 + MORE);
    fs::create_dir_all(sandbox.path("whiteouts/tree")).unwrap();
    for file in 0..removed {
        fs::write(sandbox.path(format!("whiteouts/tree/.wh.{file}")), "").unwrap();
    }
    sandbox.peer(Path::new("tar"), &["-cf", "whiteouts.tar", "-C", "whiteouts", "tree"]).succeeds();
    sandbox.umoci(&["raw", "add-layer", "--image=img", "whiteouts.tar"]).succeeds();
    sandbox
}

#[test]
fn a_small_file_costs_few_system_calls() {
    if !needs_root() || strace().is_none() {
        return;
    }
    let unpack = ["unpack", "--image=img", "bundle"];
    let cost = per_file(&unpack, |_| {});
    assert_eq!(cost, 5, "unpack: to make it, write to it, set its times, ask what it is, close it");
    let repack = ["repack", "--image=img:new", "bundle"];
    let cost = per_file(&repack, |sandbox| sandbox.umoci(&unpack).succeeds_silently());
    assert_eq!(cost, 1, "repack, nothing changed");
}

/// A sandbox with a bundle of an image that has so many empty directories.
fn bundle_of_dirs(dirs: usize) -> Sandbox {
    let sandbox = Sandbox::with_image();
    for dir in 0..dirs {
        fs::create_dir_all(sandbox.path(format!("tree/{dir}"))).unwrap();
    }
    sandbox.umoci(&["insert", "--image=img", "tree", "/tree"]).succeeds();
    sandbox.umoci(&["unpack", "--image=img", "bundle"]).succeeds();
    sandbox
}

#[test]
fn an_empty_directory_costs_a_repack_few_system_calls() {
    if !needs_root() || strace().is_none() {
        return;
    }
    let cost = per_one(&["repack", "--image=img:new", "bundle"], bundle_of_dirs);
    assert_eq!(cost, 8, "a look; to open it twice, ask once, list it to the end, close it twice");
}

#[test]
fn a_whiteout_of_a_file_costs_one_system_call() {
    if !needs_root() || strace().is_none() {
        return;
    }
    let cost = per_one(&["raw", "unpack", "--image=img", "rootfs"], image_without);
    assert_eq!(cost, 1, "to remove it; what it is, the unpack knows");
}

/// A sandbox with an image `img` of a file with so many names.
fn image_of_links(names: usize) -> Sandbox {
    let sandbox = Sandbox::with_image();
    fs::create_dir(sandbox.path("tree")).unwrap();
    fs::write(sandbox.path("tree/file"), "contents").unwrap();
    for name in 0..names {
        fs::hard_link(sandbox.path("tree/file"), sandbox.path(format!("tree/{name}"))).unwrap();
    }
    sandbox.umoci(&["insert", "--image=img", "tree", "/tree"]).succeeds();
    sandbox
}

#[test]
fn a_hard_link_costs_one_system_call() {
    if !needs_root() || strace().is_none() {
        return;
    }
    let cost = per_one(&["unpack", "--image=img", "bundle"], image_of_links);
    assert_eq!(cost, 1, "to make it; what it is, another name has told");
}

/// A sandbox with a layout `img` that has so many other images, each with a tag.
fn layout_of(images: usize) -> Sandbox {
    let sandbox = Sandbox::with_image();
    let (_, manifest) = sandbox.manifest("img", "latest");
    let mut index = sandbox.json("img/index.json");
    let entries = index["manifests"].as_array_mut().unwrap();
    for number in 0..images {
        let mut manifest = manifest.clone();
        manifest["annotations"] = json!({"number": number.to_string()});
        let media_type = manifest["mediaType"].as_str().unwrap();
        let mut entry: Value = put(&sandbox, media_type, manifest.to_string().as_bytes());
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": format!("t{number}")});
        entries.push(entry);
    }
    fs::write(sandbox.path("img/index.json"), index.to_string()).unwrap();
    sandbox
}

#[test]
fn other_images_cost_a_change_a_look_each() {
    if strace().is_none() {
        return;
    }
    let cost = per_one(&["config", "--image=img", "--author=x"], layout_of);
    assert_eq!(cost, 4, "to open it, to look what it is, to read and to close it");
    for words in
        [&["tag", "--image=img", "new"][..], &["ls", "--layout=img"], &["stat", "--image=img"]]
    {
        assert_eq!(per_one(words, layout_of), 0, "{words:?}");
    }
}

/// A sandbox with a layout `img` that has an image of so many layers.
fn layout_of_layers(layers: usize) -> Sandbox {
    let sandbox = Sandbox::with_image();
    let (_, mut manifest) = sandbox.manifest("img", "latest");
    let media_type = "application/vnd.oci.image.layer.v1.tar";
    let layers = (0..layers).map(|number| put(&sandbox, media_type, number.to_string().as_bytes()));
    manifest["layers"] = layers.collect();
    let media_type = manifest["mediaType"].as_str().unwrap();
    let entry = put(&sandbox, media_type, manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(sandbox.path("img/index.json"), index.to_string()).unwrap();
    sandbox
}

#[test]
fn a_blob_costs_a_collection_of_garbage_a_look() {
    if strace().is_none() {
        return;
    }
    let gc = ["gc", "--layout=img"];
    assert_eq!(per_one(&gc, layout_of_layers), 1, "a layer that is in use");
    assert_eq!(per_one(&gc, layout_of), 1 + 5, "a manifest, which is read to its end as well");
    let unreferenced = |layers| {
        let sandbox = layout_of_layers(layers);
        fs::write(sandbox.path("img/index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
        sandbox
    };
    assert_eq!(per_one(&gc, unreferenced), 3, "garbage, at which it looks again to remove it");
}

/// Parsing it takes most of the time of a command, where there are thousands of tags.
#[test]
fn the_index_is_read_once_and_once_more_to_be_changed() {
    let Some(strace) = strace() else { return };
    let sandbox = layout_of(1);
    for (words, reads) in [
        (&["ls", "--layout=img"][..], 1),
        (&["stat", "--image=img:t0"], 1),
        (&["tag", "--image=img:t0", "new"], 2),
    ] {
        let traced = ["-f", "-e", "trace=openat", "-o", "opened", env!("CARGO_BIN_EXE_umoci")];
        sandbox.peer(&strace, &[&traced[..], words].concat()).succeeds();
        let opened = fs::read_to_string(sandbox.path("opened")).unwrap();
        let is_read = |line: &&str| line.contains("\"index.json\"") && !line.contains("O_PATH");
        assert_eq!(opened.lines().filter(is_read).count(), reads, "{words:?}\n{opened}");
    }
}
