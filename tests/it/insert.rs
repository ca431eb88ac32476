// SPDX-License-Identifier: Apache-2.0
//! `insert`: which members the new layer has, byte for byte, and what is refused.

use std::os::unix::fs::{MetadataExt, symlink};

use serde_json::json;

use crate::harness::{Sandbox, go_umoci, needs_root, set_mode, set_times, write};

/// A sandbox with an image and a tree `tree` of many sorts of files, all of the same age.
fn with_tree() -> Sandbox {
    let sandbox = Sandbox::with_image();
    let top = sandbox.path("tree");
    for name in ["a", "d/e/f", "d-x/q", "d.x/r", "z\u{e9}", "sp ace"] {
        write(top.join(name), format!("contents of {name}"));
    }
    write(top.join("long").join("l".repeat(120)).join("m".repeat(120)), "deep");
    std::fs::hard_link(top.join("d/e/f"), top.join("a-link")).unwrap();
    symlink("../a", top.join("d/link")).unwrap();
    set_mode(top.join("a"), 0o4755);
    set_times(&top, 1_600_000_000);
    sandbox
}

#[track_caller]
fn insert(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let insert = ["insert", "--image", "img", "--tag", "new"];
    sandbox.umoci(&[&insert, words].concat()).succeeds_silently();
    sandbox.top_members("img", "new")
}

#[test]
fn layers_are_those_of_the_go_program() {
    let Some(go) = go_umoci() else { return };
    let sandbox = with_tree();
    if needs_root() {
        std::os::unix::fs::lchown(sandbox.path("tree/d"), Some(5), Some(3_000_000)).unwrap();
        // Not every filesystem has them.
        let _ = xattr::set(sandbox.path("tree"), "user.one", b"1");
        let _ = xattr::set(sandbox.path("tree/d/link"), "trusted.two", b"2");
        set_times(&sandbox.path("tree"), 1_600_000_000);
    }
    let tree = sandbox.path("tree");
    let map: &[&str] = &["--uid-map", "7:5", "--uid-map=0:0", "--gid-map=0:0:4000000"];
    let mut lines: Vec<Vec<&str>> = vec![
        vec!["tree/a", "/usr/bin/a"],
        vec!["tree/d/link", "link"],
        vec!["tree/d/link/", "/link"],
        vec!["--opaque", "tree", "/opt"],
        vec!["--opaque", "tree", "/"],
        vec!["--opaque", "tree/a", "opt"],
        vec!["--whiteout", "/etc/x"],
        vec![tree.to_str().unwrap(), "x"],
        vec!["--rootless", "tree", "x"],
        [map, &["tree", "x"]].concat(),
    ];
    for target in ["/", ".", "/opt", "opt/", "../../opt", "./", "//", "/.", "/a/./b/../c", ".."] {
        lines.push(vec!["tree", target]);
    }
    for words in lines {
        let words = words.as_slice();
        sandbox.peer(&go, &[&["insert", "--image=img", "--tag=go"], words].concat()).succeeds();
        insert(&sandbox, words);
        let top = |tag: &str| sandbox.layers("img", tag).pop().unwrap();
        let (ours, theirs) = (top("new"), top("go"));
        // That version leaves out the end of the archive.
        let (start, end) = ours.split_at_checked(theirs.len()).unwrap();
        assert!(start == theirs, "{words:?}: {:?}", sandbox.top_members("img", "new"));
        assert!(end.len() < 1024 + 512 && end.iter().all(|byte| *byte == 0), "{words:?}");
    }
}

#[test]
fn layers_have_the_known_digests() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    std::fs::create_dir(sandbox.path("dir")).unwrap();
    set_mode(sandbox.path("dir"), 0o755);
    for words in [&["--whiteout", "/etc/x"][..], &["--opaque", "dir", "/opt"]] {
        let words = [&["insert", "--compress=none", "--image=img"], words].concat();
        let mut command = sandbox.command(&words);
        assert!(command.env("SOURCE_DATE_EPOCH", "0").status().unwrap().success());
    }
    let diff_ids = [
        "sha256:52a9bb6b244e63c4448ae78d9786c22191fa7674e2a7f9ebd597295d698d19be",
        "sha256:c8210dff53485502d04a18e64c6c58bc4867f57721615b3c4ed6d36846f2336c",
    ];
    assert_eq!(sandbox.config("latest")["rootfs"]["diff_ids"], json!(diff_ids));
    let (digest, manifest) = sandbox.manifest("img", "latest");
    let config = "sha256:881b13328fc325f12f5cf4c89640853cb8d314ec426920442a638ae0403b1fee";
    assert_eq!(manifest["config"]["digest"], json!(config));
    let expected = "sha256:ffc2441c00b1adad171aa9701db228cd187ed511de763f434fc3c94176ae9ccb";
    assert_eq!(digest, expected);
}

#[test]
fn a_directory_comes_before_what_is_in_it() {
    let sandbox = with_tree();
    let members = insert(&sandbox, &["tree/d", "/x"]);
    assert_eq!(members, ["x/", "x/e/", "x/e/f", "x/link"]);
    assert_eq!(insert(&sandbox, &["--opaque", "tree/d/e", "x"]), ["x/.wh..wh..opq", "x/", "x/f"]);
    assert_eq!(insert(&sandbox, &["--whiteout", "x/y"]), ["x/.wh.y"]);
}

#[test]
fn a_source_is_where_the_shell_would_find_it() {
    let sandbox = with_tree();
    write(sandbox.path("outer/inner/keep"), "");
    let from = |directory: &str, source: &str| {
        let layout = format!("--image={}", sandbox.path("img").display());
        let mut command = sandbox.command(&["insert", &layout, "--tag=new", source, "/x"]);
        assert!(command.current_dir(sandbox.path(directory)).status().unwrap().success());
        sandbox.top_members("img", "new")
    };
    let all = ["x/", "x/e/", "x/e/f", "x/link"];
    assert_eq!(from("outer", "../tree/d"), all);
    assert_eq!(from("outer/inner", "../../tree/d/"), all);
    assert_eq!(from("outer/inner", "../../tree/d/e/.."), all);
    assert_eq!(from("tree/d", "."), all);
    assert_eq!(from("tree/d/e", ".."), all);
    assert_eq!(from("tree/d/e", "../link"), ["x"]);
    symlink("tree", sandbox.path("way")).unwrap();
    assert_eq!(from("", "way/d"), all);
    assert_eq!(from("", "way/"), ["x"]);
}

#[test]
fn switches_that_are_off_are_off() {
    let sandbox = with_tree();
    let words = ["--whiteout=false", "--opaque=false", "tree/d/e", "/x"];
    assert_eq!(insert(&sandbox, &words), ["x/", "x/f"]);
    assert_eq!(insert(&sandbox, &["--opaque", "--whiteout=true", "/x"]), [".wh.x"]);
    sandbox.umoci(&["insert", "--opaque", "tree/a", "/x", "--image", "img"]).succeeds_silently();
}

#[test]
fn what_makes_no_valid_layer_is_refused() {
    let sandbox = with_tree();
    write(sandbox.path("tree/w/.wh.x"), "");
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.path("tree/s")).unwrap();
    let root = "the root cannot be removed by a whiteout";
    let prefix = "invalid path has whiteout prefix \".wh.\": ";
    let long = format!("a/{}", "n".repeat(256));
    for (words, message) in [
        (&["--whiteout", "/"][..], root.to_owned()),
        (&["--whiteout", "."], root.to_owned()),
        (&["--whiteout", "a/.."], root.to_owned()),
        (&["--whiteout", "/a/.wh.b"], format!("{prefix}a/.wh.b")),
        (&["tree/a", "/.wh.foo"], format!("{prefix}.wh.foo")),
        (&["tree/d", "/.wh.foo/"], format!("{prefix}.wh.foo")),
        (&["tree/w", "/w"], format!("{prefix}w/.wh.x")),
        // `validate` would find a layer that leads through a whiteout.
        (&["--whiteout", "/.wh.x/y"], format!("{prefix}.wh.x/y")),
        (&["tree/a", "/a/.wh.x/y"], format!("{prefix}a/.wh.x/y")),
        (&["--opaque", "tree/d", ".wh.x/y/z"], format!("{prefix}.wh.x/y/z")),
        (&["tree/a", &long], "invalid path has a name over 255 bytes: ".to_owned()),
        (&["tree/d", &long], "invalid path has a name over 255 bytes: ".to_owned()),
        (&["--whiteout", &long], "invalid path has a name over 255 bytes: ".to_owned()),
        (&["tree/s", "/s"], "sockets not supported".to_owned()),
        (&["tree/a", "/"], "only a directory can be the root".to_owned()),
        (&["missing", "/x"], "lstat \"missing\": no such file or directory".to_owned()),
        (&["tree/a/b", "/x"], "not a directory".to_owned()),
        (&["--uid-map=0:12345", "tree/a", "/x"], "cannot be mapped to a container id".to_owned()),
    ] {
        let before = sandbox.tree("img");
        let run = sandbox.umoci(&[&["insert", "--image=img"], words].concat());
        run.fails_with(&message);
        assert!(run.fails().starts_with("add diff layer: generate insert layer: "));
        assert_eq!(sandbox.tree("img"), before, "{words:?}");
    }
}

/// With the prefix of whiteouts the name is longer than that of a file can be.
#[test]
fn the_longest_name_can_be_removed() {
    if !needs_root() {
        return;
    }
    let sandbox = with_tree();
    let name = "n".repeat(255);
    sandbox.umoci(&["insert", "--image=img", "tree/a", &name]).succeeds_silently();
    sandbox.umoci(&["insert", "--image=img", "--whiteout", &name]).succeeds_silently();
    sandbox.umoci(&["raw", "unpack", "--image=img", "rootfs"]).succeeds_silently();
    assert!(sandbox.path("rootfs").join(name).symlink_metadata().is_err());
    sandbox.umoci(&["validate", "--layout=img"]).succeeds();
}

#[test]
fn the_history_tells_of_it() {
    let sandbox = with_tree();
    sandbox.umoci(&["config", "--image=img", "--author=me", "--no-history"]).succeeds();
    let before = sandbox.config("latest");
    let time = "--history.created=2020-01-01T00:00:00Z";
    insert(&sandbox, &[time, "tree/a", "/a"]);
    let entry = json!({"created": "2020-01-01T00:00:00Z", "created_by": "umoci insert"});
    assert_eq!(sandbox.config("new")["history"], json!([entry]));
    assert_eq!(sandbox.config("latest"), before);
    insert(&sandbox, &[time, "--history.author=x", "--history.comment=", "tree/a", "/a"]);
    assert_eq!(sandbox.config("new")["history"][0]["author"], json!("x"));
    let words = ["--verbose", "insert", "--image=img", "--tag=new", "tree/a", "/a"];
    let told = sandbox.umoci(&words).stderr();
    let (digest, _) = sandbox.manifest("img", "new");
    assert!(told.contains(&format!("new image manifest created: {digest}->{digest}\n")), "{told}");
    assert!(told.ends_with("updated tag for image manifest: new\n"), "{told}");
    let run = sandbox.umoci(&["insert", "--no-history", "tree/a", "/a", "--image", "img"]);
    run.succeeds();
    assert!(run.stderr().contains("warn: new layer has no history entry"), "{}", run.stderr());
    assert_eq!(sandbox.config("latest").get("history"), None);
}

#[test]
fn an_unpacked_image_has_what_was_inserted() {
    if !needs_root() {
        return;
    }
    let sandbox = with_tree();
    for words in [
        &["tree", "/opt"][..],
        &["tree/d", "opt/d.x"],
        &["--opaque", "tree/d-x", "/opt/d"],
        &["--whiteout", "/opt/long"],
        &["tree/a", "--compress=zstd", "/bin/tool"],
    ] {
        sandbox.umoci(&[&["insert", "--image=img"], words].concat()).succeeds_silently();
    }
    sandbox.umoci(&["raw", "unpack", "--image=img", "rootfs"]).succeeds_silently();
    let exists = |name: &str| sandbox.path("rootfs").join(name).symlink_metadata().is_ok();
    for name in ["opt/a", "opt/d.x/r", "opt/d.x/e/f", "opt/d/q", "bin/tool"] {
        assert!(exists(name), "{name}");
    }
    for name in ["opt/d/e", "opt/long"] {
        assert!(!exists(name), "{name}");
    }
    let metadata = sandbox.path("rootfs/bin/tool").metadata().unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (0o4755, 1_600_000_000));
    let (_, manifest) = sandbox.manifest("img", "latest");
    let media_type = manifest["layers"][4]["mediaType"].as_str().unwrap();
    assert_eq!(media_type, "application/vnd.oci.image.layer.v1.tar+zstd");
}
