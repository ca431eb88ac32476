// SPDX-License-Identifier: Apache-2.0
//! From what has changed in a bundle to a layer.

use std::fs::{create_dir, hard_link, remove_dir_all, remove_file};
use std::os::unix::fs::MetadataExt;

use serde_json::json;
use umoci::oci::{Algorithm, Digest};

use super::{bundle, quietly, repacked};
use crate::harness::{needs_root, set_mode, set_times, write};

#[test]
fn case_2_diff_ids_are_of_the_plain_archive() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| write(rootfs.join("f"), "x"));
    let layers = sandbox.layers("img", "latest");
    let diff_id = Digest::of(Algorithm::Sha256, &layers[0]).to_string();
    assert_eq!(sandbox.config("latest")["rootfs"]["diff_ids"], json!([diff_id]));
    let (_, manifest) = sandbox.manifest("img", "latest");
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    let blob = sandbox.blob(digest);
    assert_eq!(Digest::of(Algorithm::Sha256, &blob).to_string(), digest);
    assert_ne!(digest, diff_id);
}

/// It was a race once: the report asks for 200 rounds.
#[test]
fn case_5_a_file_that_is_named_like_a_whiteout() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| write(rootfs.join("f"), "x"));
    write(sandbox.path("bundle/rootfs/.wh.foo"), "x".repeat(100_000));
    let before = sandbox.tree("img");
    for round in 0..200 {
        let run = sandbox.umoci(&["repack", "--image=img:new", "bundle"]);
        run.fails_with("invalid path has whiteout prefix \".wh.\": .wh.foo");
        if round % 20 == 0 {
            assert_eq!(sandbox.tree("img"), before);
        }
    }
}

#[test]
fn case_14_volumes_and_masks() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| write(rootfs.join("f"), "x"));
    quietly(&sandbox, &["config", "--image=img", "--config.volume=/data/"]);
    remove_dir_all(sandbox.path("bundle")).unwrap();
    quietly(&sandbox, &["unpack", "--image=img", "bundle"]);
    write(sandbox.path("bundle/rootfs/data/x"), "");
    write(sandbox.path("bundle/rootfs/other/x"), "");
    let members = |flag: &str| {
        quietly(&sandbox, &["repack", "--image=img:new", flag, "bundle"]);
        let mut members = sandbox.top_members("img", "new");
        members.retain(|name| name.ends_with('x'));
        members
    };
    assert_eq!(members("--mask-path=nothing"), ["other/x"]);
    assert_eq!(members("--no-mask-volumes"), ["data/x", "other/x"]);
    assert!(members("--mask-path=/other").is_empty());
}

#[test]
fn case_24_refreshing_twice() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| write(rootfs.join("one"), "x"));
    write(sandbox.path("bundle/rootfs/two"), "x");
    quietly(&sandbox, &["repack", "--refresh-bundle", "--image=img", "bundle"]);
    assert_eq!(sandbox.top_members("img", "latest"), [".", "two"]);
    let (digest, _) = sandbox.manifest("img", "latest");
    let paths =
        std::fs::read_dir(sandbox.path("bundle")).unwrap().map(|entry| entry.unwrap().path());
    let manifests: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "mtree")).collect();
    let expected = format!("bundle/{}.mtree", digest.replace(':', "_"));
    assert_eq!(manifests, [sandbox.path(expected)]);
    let metadata = sandbox.json("bundle/umoci.json");
    assert_eq!(metadata["from_descriptor_path"]["descriptor_walk"][0]["digest"], json!(digest));
}

#[test]
fn case_30_a_removed_directory_is_one_whiteout() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| {
        for name in ["test/a", "test/d/b", "test/test/c", "keep"] {
            write(rootfs.join(name), "x");
        }
    });
    remove_dir_all(sandbox.path("bundle/rootfs/test")).unwrap();
    assert_eq!(repacked(&sandbox), [".", ".wh.test"]);
    // What was never in a layer has no whiteout.
    write(sandbox.path("bundle/rootfs/brief/x"), "");
    remove_dir_all(sandbox.path("bundle/rootfs/brief")).unwrap();
    assert_eq!(repacked(&sandbox), [".", ".wh.test"]);
}

#[test]
fn case_35_no_change_is_no_layer() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| write(rootfs.join("f"), "x"));
    assert!(repacked(&sandbox).is_empty());
    let history = |tag: &str| sandbox.config(tag)["history"].as_array().unwrap().len();
    assert_eq!(history("new"), history("latest") + 1);
    assert_eq!(sandbox.config("new")["history"][1]["empty_layer"], json!(true));
    quietly(&sandbox, &["repack", "--no-history", "--image=img:none", "bundle"]);
    assert_eq!(history("none"), history("latest"));
}

#[test]
fn case_42_a_directory_that_was_made_anew() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| {
        write(rootfs.join("d/old"), "x");
        write(rootfs.join("e/old"), "x");
    });
    let at = |name: &str| sandbox.path("bundle/rootfs").join(name);
    for name in ["d", "e"] {
        remove_dir_all(at(name)).unwrap();
    }
    create_dir(at("d")).unwrap();
    write(at("d/new"), "x");
    write(at("brand/new"), "x");
    let members = repacked(&sandbox);
    assert_eq!(
        members,
        [".", "brand/", "brand/new", "d/", "d/new", "d/.wh.old", ".wh.e"],
        "no opaque marker for what is new"
    );
    quietly(&sandbox, &["raw", "unpack", "--image=img:new", "tree"]);
    let has = |name: &str| sandbox.path("tree").join(name).exists();
    assert!(has("d/new") && !has("d/old") && !has("e") && has("brand/new"));
}

#[test]
fn case_55_times_are_cut_and_clamped() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| write(rootfs.join("f"), "x"));
    let rootfs = sandbox.path("bundle/rootfs");
    write(rootfs.join("old"), "x");
    write(rootfs.join("new"), "x");
    set_times(&rootfs, 500);
    let almost = |seconds| filetime::FileTime::from_unix_time(seconds, 999_999_999);
    filetime::set_file_mtime(rootfs.join("old"), almost(99)).unwrap();
    filetime::set_file_mtime(rootfs.join("new"), almost(499)).unwrap();
    let repack = ["repack", "--image=img:new", "bundle"];
    let run = |epoch: &str| {
        crate::harness::Run::of(sandbox.command(&repack).env("SOURCE_DATE_EPOCH", epoch))
    };
    run("300").succeeds_silently();
    let top = sandbox.layers("img", "new").pop().unwrap();
    let mut archive = tar::Archive::new(&top[..]);
    let times = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.path().unwrap().display().to_string(), entry.header().mtime().unwrap())
    });
    let times: Vec<_> = times.collect();
    for expected in [("old", 99), ("new", 300), (".", 300)] {
        assert!(times.contains(&(expected.0.to_owned(), expected.1)), "{times:?}");
    }
    let history = sandbox.config("new")["history"].as_array().unwrap().clone();
    assert_eq!(history.last().unwrap()["created"], json!("1970-01-01T00:05:00Z"));
    for epoch in ["abc", "1.5", " 1", "99999999999999999999"] {
        run(epoch).fails_with("parse SOURCE_DATE_EPOCH=");
    }
}

#[test]
fn case_80_hard_links_stay_together() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| {
        write(rootfs.join("a"), "x".repeat(100_000));
        for name in ["b", "c"] {
            hard_link(rootfs.join("a"), rootfs.join(name)).unwrap();
        }
    });
    let layers = sandbox.layers("img", "latest");
    assert!(layers[0].len() < 110_000, "the contents are there once");
    quietly(&sandbox, &["raw", "unpack", "--image=img", "tree"]);
    assert_eq!(sandbox.path("tree/b").metadata().unwrap().nlink(), 3);
}

#[test]
fn case_84_directories_come_before_what_is_in_them() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| {
        for name in ["d/e/f/g", "d-x/y", "d.x/y", "d/e-1/x"] {
            write(rootfs.join(name), "x");
        }
    });
    let source = sandbox.path("bundle/rootfs/d");
    let words = ["insert", "--image=img:latest", "--tag=in", source.to_str().unwrap(), "/i/j"];
    quietly(&sandbox, &words);
    for tag in ["latest", "in"] {
        let members = sandbox.top_members("img", tag);
        for (at, name) in members.iter().enumerate() {
            for directory in members.iter().filter(|other| other.ends_with('/')) {
                let inside = name.len() > directory.len() && name.starts_with(directory.as_str());
                let place = members.iter().position(|other| other == directory);
                assert!(!inside || place < Some(at), "{directory} is behind {name}");
            }
        }
    }
    assert!(!sandbox.top_members("img", "in").iter().any(|name| name == "." || name == "i/"));
}

#[test]
fn case_86_removing_one_name_of_several() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| {
        write(rootfs.join("d/a"), "x".repeat(100_000));
        hard_link(rootfs.join("d/a"), rootfs.join("b")).unwrap();
    });
    remove_file(sandbox.path("bundle/rootfs/b")).unwrap();
    assert_eq!(repacked(&sandbox), [".", ".wh.b"]);
}

#[test]
fn case_45_and_56_what_a_runtime_is_told() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| {
        write(rootfs.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n");
        set_mode(rootfs.join("etc"), 0o755);
    });
    let env = |bundle: &str| {
        quietly(&sandbox, &["unpack", "--image=img", bundle]);
        let config = sandbox.json(format!("{bundle}/config.json"));
        let namespaces = config["linux"]["namespaces"].as_array().unwrap().clone();
        assert!(namespaces.contains(&json!({"type": "cgroup"})));
        let version = config["ociVersion"].as_str().unwrap();
        assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
        assert_eq!(config["linux"].get("seccomp"), None);
        config["process"]["env"].as_array().unwrap().clone()
    };
    assert!(env("absent").contains(&json!("HOME=/root")));
    quietly(&sandbox, &["config", "--image=img", "--config.env=HOME=/config"]);
    let set = env("set");
    assert!(set.contains(&json!("HOME=/config")) && !set.contains(&json!("HOME=/root")));
}
