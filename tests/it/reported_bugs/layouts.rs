// SPDX-License-Identifier: Apache-2.0
//! Layouts: tags, garbage, owners, and several programs at once.

use std::os::unix::fs::{MetadataExt, chown};

use serde_json::json;

use super::{INDEX, Layer, image, named, put_json, quietly, set_index};
use crate::harness::{Sandbox, needs_root, set_mode, write};

#[test]
fn case_9_nothing_is_made_elsewhere() {
    let sandbox = image([]);
    let run = sandbox.shell("TMPDIR=/nonexistent umoci insert --image img img/oci-layout /x");
    run.succeeds();
    assert_eq!(sandbox.layers("img", "latest").len(), 1);
}

#[test]
fn case_10_a_layout_that_can_only_be_read() {
    if !needs_root() {
        return;
    }
    let sandbox = image([Layer::new().file("a", "x")]);
    for path in sandbox.tree("img").into_keys() {
        let path = sandbox.path("img").join(path);
        set_mode(&path, if path.is_dir() { 0o555 } else { 0o444 });
    }
    let before = sandbox.tree("img");
    sandbox.umoci_as_ordinary_user(&["ls", "--layout=img"]).succeeds();
    sandbox.umoci_as_ordinary_user(&["stat", "--image=img"]).succeeds();
    quietly(&sandbox, &["unpack", "--image=img", "bundle"]);
    quietly(&sandbox, &["raw", "unpack", "--image=img", "tree"]);
    assert_eq!(sandbox.tree("img"), before);
}

#[test]
fn case_11_a_tag_is_replaced() {
    let sandbox = image([]);
    quietly(&sandbox, &["new", "--image=img:other"]);
    for _ in 0..2 {
        quietly(&sandbox, &["tag", "--image=img:latest", "other"]);
        assert_eq!(sandbox.umoci(&["ls", "--layout=img"]).succeeds(), "latest\nother\n");
        assert_eq!(sandbox.manifest("img", "other").0, sandbox.manifest("img", "latest").0);
    }
}

#[test]
fn case_15_a_layout_needs_no_refs() {
    let sandbox = image([]);
    assert!(!sandbox.path("img/refs").exists());
    write(sandbox.path("img/refs/latest"), "of an older layout");
    sandbox.umoci(&["stat", "--image=img"]).succeeds();
    assert_eq!(sandbox.umoci(&["ls", "--layout=img"]).succeeds(), "latest\n");
}

#[test]
fn case_25_garbage_and_what_is_none() {
    let sandbox = image([]);
    let names = ["README", "dir/file", ".hidden", ".umoci-dead/blob-1", ".umoci-alive/blob-1"];
    for name in names {
        write(sandbox.path("img").join(name), "x");
    }
    let alive = std::fs::File::open(sandbox.path("img/.umoci-alive")).unwrap();
    alive.lock().unwrap();
    // Whoever holds it may be writing, and is waited for.
    let run = sandbox.shell("timeout 1 umoci gc --layout img");
    assert_eq!(run.status(), Some(124), "{}", run.stderr());
    assert!(sandbox.path("img/.umoci-alive/blob-1").exists());
    drop(alive);
    quietly(&sandbox, &["gc", "--layout=img"]);
    for (name, kept) in names.into_iter().zip([true, true, true, false, false]) {
        assert_eq!(sandbox.path("img").join(name).exists(), kept, "{name}");
    }
}

#[test]
fn case_32_and_62_names_of_images() {
    let sandbox = image([]);
    let good = ["1.2.3", "asd/qwe:ew", "test.com/proj:1.2.3", "docker.io/library/a--b_c+d@e"];
    for tag in good {
        quietly(&sandbox, &["tag", "--image=img", tag]);
        sandbox.umoci(&["stat", "--image", &format!("img:{tag}")]).succeeds();
    }
    for tag in ["a..b", "a-", "-a", ".a", "a/", "/a", "a b", "\u{e9}", "a\n", "a//b", "a---b", ""] {
        sandbox.umoci(&["tag", "--image=img", "--", tag]).fails();
        let run = sandbox.umoci(&["stat", "--image", &format!("img:{tag}")]);
        run.fails_with("invalid --image: tag contains invalid characters: ");
    }
}

#[test]
fn case_50_new_files_belong_to_the_owner_of_the_layout() {
    if !needs_root() {
        return;
    }
    let sandbox = image([]);
    for path in sandbox.tree("img").into_keys() {
        chown(sandbox.path("img").join(path), Some(1000), Some(1001)).unwrap();
    }
    write(sandbox.path("f"), "x");
    quietly(&sandbox, &["insert", "--image=img", "f", "/f"]);
    quietly(&sandbox, &["config", "--image=img", "--author=x", "--tag=new"]);
    quietly(&sandbox, &["tag", "--image=img", "newer"]);
    for path in sandbox.tree("img").into_keys() {
        let metadata = sandbox.path("img").join(&path).metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1000, 1001), "{path:?}");
    }
}

#[test]
fn case_51_an_index_without_images() {
    let sandbox = image([]);
    quietly(&sandbox, &["rm", "--image=img"]);
    assert_eq!(sandbox.json("img/index.json")["manifests"], json!([]));
}

#[test]
fn case_61_several_images_of_one_name() {
    let sandbox = image([]);
    let entry = sandbox.json("img/index.json")["manifests"][0].clone();
    quietly(&sandbox, &["new", "--image=img:other"]);
    let other = sandbox.json("img/index.json")["manifests"][1].clone();
    for words in [&["tag", "--image=img:other", "latest"][..], &["rm", "--image=img:latest"]] {
        set_index(&sandbox, &[entry.clone(), other.clone(), entry.clone()]);
        let run = sandbox.umoci(words);
        run.succeeds();
        assert!(run.stderr().contains("warn: multiple references match"), "{}", run.stderr());
    }
}

#[test]
fn case_76_a_blob_that_was_cut_off() {
    let sandbox = Sandbox::with_image();
    let add = |tag: &str| {
        write(sandbox.path("layer.tar"), Layer::new().file("f", "contents").bytes());
        let words = ["raw", "add-layer", "--image=img:latest", "--no-history", "layer.tar"];
        sandbox.umoci(&[&words[..], &["--tag", tag]].concat()).succeeds();
        sandbox.manifest("img", tag).1["layers"][0]["digest"].as_str().unwrap().to_owned()
    };
    let digest = add("one");
    let path = sandbox.path("img/blobs/sha256").join(&digest[7..]);
    let good = std::fs::read(&path).unwrap();
    for damaged in [&good[..10], b"", &[0; 100]] {
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(add("two"), digest);
        assert_eq!(std::fs::read(&path).unwrap(), good);
    }
}

#[test]
fn case_77_several_writers_at_once() {
    let sandbox = Sandbox::with_image();
    write(sandbox.path("file"), "the same for all");
    let children: Vec<_> = (0..8)
        .map(|number| {
            let tag = format!("--tag=t{number}");
            let words = ["insert", "--image=img:latest", &tag, "file", "/file"];
            sandbox.command(&words).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    for number in 0..8 {
        assert_eq!(sandbox.top_members("img", &format!("t{number}")), ["file"]);
    }
}

#[test]
fn case_78_what_is_still_needed_is_kept() {
    let sandbox = image([Layer::new().file("a", "x")]);
    let config = sandbox.config("latest");
    let entry = sandbox.json("img/index.json")["manifests"][0].clone();
    // A nested index, and a blob that is a layer there and a configuration elsewhere.
    let nested = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    let nested = put_json(&sandbox, INDEX, &nested);
    let outer = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [nested]});
    let outer = put_json(&sandbox, INDEX, &outer);
    set_index(&sandbox, &[named(outer, "nested")]);
    let before = sandbox.tree("img/blobs");
    quietly(&sandbox, &["gc", "--layout=img"]);
    let after = sandbox.tree("img/blobs");
    assert!(after.len() < before.len(), "the images before this one");
    sandbox.umoci(&["stat", "--image=img:nested"]).succeeds();
    let platform = ["os", "architecture"].map(|name| config[name].as_str().unwrap()).join("/");
    quietly(&sandbox, &["tag", "--image=img:nested", "again"]);
    quietly(&sandbox, &["rm", "--image=img:nested"]);
    quietly(&sandbox, &["gc", "--layout=img"]);
    assert_eq!(sandbox.tree("img/blobs"), after, "a tag is all that it leads to");
    let flag = format!("--platform={platform}");
    quietly(&sandbox, &["tag", "--image=img:again", &flag, "flat"]);
    quietly(&sandbox, &["rm", "--image=img:again"]);
    quietly(&sandbox, &["gc", "--layout=img"]);
    assert_eq!(sandbox.tree("img/blobs").len(), after.len() - 2);
    assert_eq!(sandbox.top_members("img", "flat"), ["a"]);
}
