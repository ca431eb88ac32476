// SPDX-License-Identifier: Apache-2.0
//! Layers: their formats, their members, and what is done to existing files.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::json;
use tar::{EntryType, Header};

use super::{AGE, Layer, add, edit_manifest, image, put, quietly, refused, unpacked, with_failing};
use crate::harness::{Sandbox, needs_root, needs_time, peer, set_mode, write};

#[test]
fn case_1_unpacking_twice_gives_the_same_times() {
    if !needs_root() {
        return;
    }
    let sandbox = image([Layer::new().file("a/b/c", ""), Layer::new().file("a/b/d", "")]);
    let times = |name: &str| {
        quietly(&sandbox, &["raw", "unpack", "--image=img", name]);
        let entries = walkdir::WalkDir::new(sandbox.path(name)).sort_by_file_name();
        entries.into_iter().map(|entry| entry.unwrap().metadata().unwrap().mtime()).collect()
    };
    let (one, two): (Vec<i64>, Vec<i64>) = (times("one"), times("two"));
    assert_eq!(one, two);
    assert_eq!(one[0], 0, "the root has no entry");
}

#[test]
fn case_8_and_29_attributes_of_the_host_are_not_the_images() {
    if !needs_root() {
        return;
    }
    let label = [
        ("SCHILY.xattr.security.selinux", "system_u:object_r:other_t:s0"),
        ("SCHILY.xattr.system.nfs4_acl", "\0\0\0\0"),
    ];
    let layer = Layer::new().pax(&label).dir("./").pax(&label).file("f", "x").pax(&label).dir("d/");
    let sandbox = image([layer]);
    let run = sandbox.umoci(&["raw", "unpack", "--image=img", "tree"]);
    run.succeeds();
    for name in ["tree", "tree/f", "tree/d"] {
        let found = xattr::get(sandbox.path(name), "security.selinux");
        let of_new_files = xattr::get(sandbox.path("img"), "security.selinux");
        assert_eq!(found.ok().flatten(), of_new_files.ok().flatten(), "{name}");
    }
}

#[test]
fn case_29_attributes_that_cannot_be_read_are_left_out() {
    if !needs_root() {
        return;
    }
    let Some(strace) = crate::harness::strace() else { return };
    let bundle = super::bundle(|rootfs| write(rootfs.join("lower"), "x"));
    write(bundle.path("bundle/rootfs/new"), "x");
    xattr::set(bundle.path("bundle/rootfs/new"), "trusted.some", b"v").unwrap();
    let list = "listxattr,llistxattr,flistxattr";
    let get = "getxattr,lgetxattr,fgetxattr";
    for (calls, error) in
        [(list, "EOPNOTSUPP"), (get, "EOPNOTSUPP"), (get, "ENODATA"), (get, "EACCES")]
    {
        let source = "bundle/rootfs/new";
        for words in [
            &["insert", "--image=img", "--tag=inserted", source, "/new"][..],
            &["repack", "--image=img:repacked", "bundle"],
        ] {
            let run = with_failing(&bundle, &strace, calls, &format!("error={error}"), words);
            run.succeeds();
            // Which one was the first, and how many there were.
            let warnings = if error == "EACCES" { 2 } else { 0 };
            assert_eq!(run.stderr().lines().count(), warnings, "{error}: {}", run.stderr());
            let tag = if words[0] == "insert" { "inserted" } else { "repacked" };
            let layer = bundle.layers("img", tag).pop().unwrap();
            assert!(bundle.top_members("img", tag).contains(&"new".to_owned()));
            assert!(!layer.windows(12).any(|bytes| bytes == b"trusted.some"), "{error} {words:?}");
        }
    }
    // What its owner can read and we cannot is not left out.
    write(bundle.path("own"), "x");
    xattr::set(bundle.path("own"), "user.own", b"v").unwrap();
    let words = ["insert", "--image=img", "--tag=failed", "own", "/new"];
    with_failing(&bundle, &strace, get, "error=EACCES", &words).fails_with("permission denied");
}

#[test]
fn case_16_a_directory_is_not_altered_by_what_is_put_into_it() {
    if !needs_root() {
        return;
    }
    let lower = Layer::new().pax(&[("SCHILY.xattr.user.kept", "v")]).dir("d/");
    let tree = unpacked([lower, Layer::new().file("d/x", "").symlink("d/l", "x")]);
    assert_eq!(tree.stat("d").mtime(), AGE);
    if let Ok(value) = xattr::get(tree.path("d"), "user.kept") {
        assert_eq!(value.as_deref(), Some(&b"v"[..]));
    }
}

#[test]
fn case_17_setuid_and_capabilities_survive_the_owner() {
    if !needs_root() {
        return;
    }
    let edit = |header: &mut Header| {
        header.set_mode(0o4755);
        header.set_uid(1000);
        header.set_gid(1000);
    };
    // Version 2, CAP_NET_RAW.
    let capability = "\u{1}\0\0\u{2}\0\u{20}\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let layer = Layer::new()
        .member("su", EntryType::Regular, "x", edit)
        .pax(&[("SCHILY.xattr.security.capability", capability)])
        .member("ping", EntryType::Regular, "x", edit);
    let sandbox = image([layer]);
    let maps = ["--uid-map=0:0:1", "--uid-map=1000:2000:1", "--gid-map=0:0:2000"];
    for (name, maps, uid) in [("plain", &[][..], 1000), ("mapped", &maps, 2000)] {
        quietly(&sandbox, &[&["raw", "unpack", "--image=img", name], maps].concat());
        let tree = sandbox.path(name);
        let metadata = tree.join("su").metadata().unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o4755, uid), "{name}");
        let found = xattr::get(tree.join("ping"), "security.capability").unwrap();
        assert_eq!(found.as_deref(), Some(capability.as_bytes()), "{name}");
    }
}

#[test]
fn case_19_a_failure_half_way_leaves_nothing() {
    if !needs_root() {
        return;
    }
    let closed = |header: &mut Header| header.set_mode(0);
    let layer = Layer::new().member("d/", EntryType::Directory, "", closed).file("d/x", "");
    let layer = layer.member("d/e/", EntryType::Directory, "", closed).hard_link("z", "missing");
    refused([layer], "no such file");
}

#[test]
fn case_20_padding_behind_the_archive_and_behind_gzip() {
    if !needs_root() {
        return;
    }
    let mut padded = Layer::new().file("f", "x").bytes();
    padded.resize(20480, 0);
    let sandbox = Sandbox::with_image();
    add(&sandbox, &padded, &["--compress=gzip"]);
    quietly(&sandbox, &["raw", "unpack", "--image=img", "padded"]);

    let (_, manifest) = sandbox.manifest("img", "latest");
    let layer = &manifest["layers"][0];
    let good = sandbox.blob(layer["digest"].as_str().unwrap());
    let media_type = layer["mediaType"].as_str().unwrap();
    for junk in [&[0; 1][..], &[0; 700], b"junk behind the trailer"] {
        let descriptor = put(&sandbox, media_type, &[&good[..], junk].concat());
        edit_manifest(&sandbox, |manifest| manifest["layers"] = json!([descriptor]));
        let name = format!("junk{}", junk.len());
        let run = sandbox.umoci(&["raw", "unpack", "--image=img", &name]);
        run.succeeds();
        assert!(run.stderr().contains("trailing 'junk' bytes"), "{}", run.stderr());
        assert!(sandbox.path(name).join("f").exists());
    }
    let descriptor = put(&sandbox, media_type, &good);
    let mut short = good.clone();
    short.pop();
    write(
        sandbox.path("img/blobs/sha256").join(&descriptor["digest"].as_str().unwrap()[7..]),
        short,
    );
    edit_manifest(&sandbox, |manifest| manifest["layers"] = json!([descriptor]));
    let line = sandbox.umoci(&["raw", "unpack", "--image=img", "short"]).fails();
    for size in [good.len(), good.len() - 1] {
        assert!(line.contains(&size.to_string()), "{size}: {line}");
    }
}

#[test]
fn case_21_the_bundle_is_closed_whatever_the_umask() {
    if !needs_root() {
        return;
    }
    let sandbox = image([]);
    let run =
        sandbox.shell("umask 0; umoci unpack --image img a; umask 777; umoci unpack --image img b");
    run.succeeds();
    for name in ["a", "b"] {
        let mode = sandbox.path(name).metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o700, "{name}");
    }
}

#[test]
fn case_23_plain_and_nondistributable_layers() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let nondistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    for (name, flags) in [
        ("a", &["--compress=none"][..]),
        ("b", &["--compress=none", "--media-type", nondistributable]),
        ("c", &["--compress=gzip", "--media-type", nondistributable]),
        ("d", &["--compress=zstd", "--media-type", nondistributable]),
    ] {
        add(&sandbox, &Layer::new().file(name, "").bytes(), flags);
    }
    let (_, manifest) = sandbox.manifest("img", "latest");
    let types: Vec<_> = manifest["layers"].as_array().unwrap().iter().collect();
    assert_eq!(types[1]["mediaType"], json!(nondistributable));
    assert_eq!(types[3]["mediaType"], json!(format!("{nondistributable}+zstd")));
    quietly(&sandbox, &["raw", "unpack", "--image=img", "tree"]);
    for name in ["a", "b", "c", "d"] {
        assert!(sandbox.path("tree").join(name).exists(), "{name}");
    }
}

#[test]
fn case_33_what_may_be_there_before_an_unpack() {
    if !needs_root() {
        return;
    }
    let sandbox = image([Layer::new().file("f", "")]);
    for (name, message) in [
        ("a/rootfs/x", "rootfs already exists"),
        ("b/config.json", "config.json already exists"),
        ("c/umoci.json", "already exists"),
    ] {
        write(sandbox.path(name), "precious");
        let bundle = &name[..1];
        sandbox.umoci(&["unpack", "--image=img", bundle]).fails_with(message);
        assert_eq!(std::fs::read(sandbox.path(name)).unwrap(), b"precious");
    }
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    quietly(&sandbox, &["unpack", "--image=img", "empty"]);
}

#[test]
fn case_41_a_tree_in_the_place_of_a_file() {
    if !needs_root() {
        return;
    }
    let tree = unpacked([Layer::new().file("a", "x"), Layer::new().file("a/b/c", "y")]);
    assert_eq!(tree.read("a/b/c"), "y");
}

#[test]
fn case_44_a_signal_interrupts_a_call() {
    if !needs_root() {
        return;
    }
    let Some(strace) = crate::harness::strace() else { return };
    let sandbox = image([Layer::new().file("f", &"x".repeat(1 << 20))]);
    for call in ["read", "openat", "write"] {
        let place = format!("{call}.tree");
        let unpack = ["raw", "unpack", "--image=img", &place];
        with_failing(&sandbox, &strace, call, "error=EINTR:when=3+5", &unpack).succeeds();
        assert_eq!(sandbox.path(place).join("f").metadata().unwrap().len(), 1 << 20);
    }
}

#[test]
fn case_57_damaged_archives() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let missing = |header: &mut Header| header.set_size(5000);
    let archive = Layer::new().member("f", EntryType::Regular, "x", missing).bytes();
    write(sandbox.path("layer.tar"), &archive[..1024]);
    let words = ["raw", "add-layer", "--image=img", "layer.tar"];
    sandbox.umoci(&words).fails_with("unexpected EOF");
    // A file without a name would be the root.
    refused([Layer::new().file("", "x")], "root directory");
}

#[test]
fn case_71_an_attribute_without_a_value() {
    if !needs_root() {
        return;
    }
    let layer = Layer::new().pax(&[("SCHILY.xattr.user.overlay.origin", "")]).file("f", "x");
    assert_eq!(unpacked([layer]).read("f"), "x");
}

#[test]
fn case_82_missing_parents_do_not_depend_on_the_umask() {
    if !needs_root() {
        return;
    }
    let sandbox = image([Layer::new().file("a/b/c", "")]);
    sandbox.shell("umask 077; umoci raw unpack --image img tree").succeeds();
    for name in ["tree", "tree/a", "tree/a/b"] {
        let metadata = sandbox.path(name).metadata().unwrap();
        let found = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
        assert_eq!(found, (0o755, 0, 0), "{name}");
    }
    assert_eq!(sandbox.path("tree/a/b/c").metadata().unwrap().mode() & 0o7777, 0o644);
}

#[test]
fn case_83_frames_that_a_reader_of_zstd_skips() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    add(&sandbox, &Layer::new().file("f", "x").bytes(), &["--compress=zstd"]);
    let (_, manifest) = sandbox.manifest("img", "latest");
    let layer = &manifest["layers"][0];
    let mut blob = sandbox.blob(layer["digest"].as_str().unwrap());
    for contents in [&b"a manifest of chunks"[..], b"", &[0; 64]] {
        blob.extend_from_slice(b"\x50\x2a\x4d\x18");
        blob.extend_from_slice(&u32::try_from(contents.len()).unwrap().to_le_bytes());
        blob.extend_from_slice(contents);
    }
    let descriptor = put(&sandbox, layer["mediaType"].as_str().unwrap(), &blob);
    edit_manifest(&sandbox, |manifest| manifest["layers"] = json!([descriptor]));
    quietly(&sandbox, &["raw", "unpack", "--image=img", "tree"]);
    assert!(sandbox.path("tree/f").exists());
}

#[test]
fn case_59_insert_writes_a_marker_and_what_is_inserted() {
    let sandbox = image([]);
    write(sandbox.path("d/f"), "x");
    for (words, members) in [
        (&["--whiteout", "/a/b"][..], &["a/.wh.b"][..]),
        (&["--opaque", "d", "/a"], &["a/.wh..wh..opq", "a/", "a/f"]),
    ] {
        quietly(&sandbox, &[&["insert", "--image=img"], words].concat());
        assert_eq!(sandbox.top_members("img", "latest"), members);
    }
}

/// Each layer that is made here ends as an archive has to.
#[test]
fn case_43_archives_have_an_end() {
    if !needs_root() {
        return;
    }
    let sandbox = super::bundle(|rootfs| write(rootfs.join("a/f"), "x".repeat(700)));
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    for words in [&["bundle/rootfs/a", "/b"][..], &["--whiteout", "/a"], &["empty", "/e"]] {
        quietly(&sandbox, &[&["insert", "--image=img"], words].concat());
    }
    let layers = sandbox.layers("img", "latest");
    assert_eq!(layers.len(), 4);
    for (at, layer) in layers.iter().enumerate() {
        assert!(layer.ends_with(&[0; 1024]) && layer.len() % 512 == 0, "{at}");
        let file = sandbox.path(format!("{at}.tar"));
        std::fs::File::create(&file).unwrap().write_all(layer).unwrap();
        for (program, words) in [
            ("tar", vec!["tf"]),
            ("bsdtar", vec!["tf"]),
            ("python3", vec!["-c", "import sys, tarfile; tarfile.open(sys.argv[1]).getmembers()"]),
        ] {
            let Some(program) = peer(program) else { continue };
            let words = [words, vec![file.to_str().unwrap()]].concat();
            let run = sandbox.peer(&program, &words);
            run.succeeds();
            assert_eq!(run.stderr(), "", "{program:?}");
        }
    }
}

#[test]
fn case_47_bytes_do_not_depend_on_the_number_of_processors() {
    let Some(taskset) = peer("taskset") else { return };
    let sandbox = Sandbox::with_image();
    let numbers = (0..400_000_u64).map(|number| (number * 7919 % 10_007).to_string());
    let body = numbers.collect::<Vec<_>>().join("\n");
    write(sandbox.path("layer.tar"), Layer::new().file("f", &body).bytes());
    let program = env!("CARGO_BIN_EXE_umoci");
    for compress in ["gzip", "zstd"] {
        let flag = format!("--compress={compress}");
        let add = ["raw", "add-layer", "--image=img", &flag, "--no-history", "layer.tar", "--tag"];
        sandbox.umoci(&[&add[..], &["many"]].concat()).succeeds();
        sandbox.peer(&taskset, &[&["-c", "0", program], &add[..], &["one"]].concat()).succeeds();
        assert_eq!(sandbox.manifest("img", "many"), sandbox.manifest("img", "one"), "{compress}");
    }
}

/// Takes long, and more than 4 GiB go through it.
#[test]
fn case_48_a_layer_of_more_than_4_gib() {
    if !needs_time() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let script = "truncate -s 4300M large; tar c large | umoci raw add-layer --image img -";
    sandbox.shell(script).succeeds_silently();
    let (_, manifest) = sandbox.manifest("img", "latest");
    let size = manifest["layers"][0]["annotations"]["ci.umo.uncompressed_blob_size"].as_str();
    let size: u64 = size.unwrap().parse().unwrap();
    assert!(size > 4300 << 20, "{size}");
}

#[test]
fn case_49_maps_are_not_cut_short() {
    let sandbox = image([]);
    for map in ["0:4294967296:1", "4294967296:0:1", "0:0:4294967297", "1:4294967295:2"] {
        for command in [&["unpack"][..], &["raw", "unpack"], &["insert"]] {
            let words = [command, &["--image=img", "--uid-map", map, "a"]].concat();
            let words = if command == ["insert"] { [&words[..], &["b"]].concat() } else { words };
            sandbox.umoci(&words).fails_with(&format!("failure parsing --uid-map {map}"));
        }
    }
}

#[test]
fn case_12_names_of_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    if !needs_root() {
        return;
    }
    let long = "n".repeat(255);
    let names: [&[u8]; 10] = [
        "AC_Ra\u{ed}z_Certic\u{e1}mara_S.A..pem".as_bytes(),
        b"in\xffvalid",
        b"new\nline",
        b"back\\slash",
        b"#hash",
        b"a blank",
        b"st*r[?]",
        b"-leading",
        b" ",
        long.as_bytes(),
    ];
    let name = |bytes: &[u8]| Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned();
    let sandbox = super::bundle(|rootfs| {
        for bytes in names {
            write(rootfs.join("d").join(name(bytes)), bytes);
            std::fs::create_dir(rootfs.join(name(bytes))).unwrap();
        }
    });
    assert_eq!(super::repacked(&sandbox), [""; 0]);
    quietly(&sandbox, &["raw", "unpack", "--image=img", "tree"]);
    for bytes in names {
        let path = sandbox.path("tree/d").join(name(bytes));
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{path:?}");
        assert!(sandbox.path("tree").join(name(bytes)).is_dir(), "{path:?}");
    }
    set_mode(sandbox.path("bundle/rootfs/d").join(name(names[0])), 0o600);
    assert_eq!(super::repacked(&sandbox).len(), 1);
}
