// SPDX-License-Identifier: Apache-2.0
//! The commands of `raw`: single steps, and that a step that fails leaves
//! everything as it was.

use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Stdio;

use serde_json::{Value, json};
use umoci::oci::{Algorithm, Digest};

use crate::harness::{Run, Sandbox, needs_root, peer, set_mode, set_times, write};

/// A tar archive with these files.
pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, contents) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_600_000_000);
        builder.append_data(&mut header, name, contents.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn add_layer(sandbox: &Sandbox, words: &[&str]) -> Run {
    sandbox.umoci(&[&["raw", "add-layer", "--image", "img:latest"], words].concat())
}

#[test]
fn an_archive_is_added_byte_for_byte() {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["config", "--image=img", "--author=me", "--no-history"]).succeeds();
    let mut bytes = archive(&[("etc/x", "contents"), ("a", "")]);
    // As GNU tar pads it.
    bytes.resize(10240, 0);
    write(sandbox.path("layer.tar"), &bytes);
    let words = ["layer.tar", "--tag", "file", "--history.created=2020-01-01T00:00:00Z"];
    add_layer(&sandbox, &words).succeeds_silently();
    assert_eq!(sandbox.layers("img", "file"), [bytes.clone()]);
    let diff_id = Digest::of(Algorithm::Sha256, &bytes).to_string();
    let config = sandbox.config("file");
    assert_eq!(config["rootfs"]["diff_ids"], json!([diff_id]));
    let entry = json!({
        "created": "2020-01-01T00:00:00Z",
        "created_by": "umoci raw add-layer",
        "author": "me",
    });
    assert_eq!(config["history"], json!([entry]));

    let mut command = sandbox.command(&["raw", "add-layer", "-", "--image=img", "--compress=none"]);
    let input = std::fs::File::open(sandbox.path("layer.tar")).unwrap();
    Run::of(command.stdin(Stdio::from(input))).succeeds_silently();
    assert_eq!(sandbox.layers("img", "latest"), [bytes]);
    assert_eq!(sandbox.manifest("img", "latest").1["layers"][0]["digest"], json!(diff_id));
}

#[test]
fn a_layer_can_come_through_a_pipe_in_pieces() {
    let sandbox = Sandbox::with_image();
    let bytes = archive(&[("large", &"x".repeat(3_000_000)), ("last", "y")]);
    let mut command = sandbox.command(&["raw", "add-layer", "--image=img", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    for piece in bytes.chunks(70_001) {
        std::io::Write::write_all(&mut pipe, piece).unwrap();
    }
    drop(pipe);
    assert!(child.wait().unwrap().success());
    assert_eq!(sandbox.layers("img", "latest"), [bytes]);
}

#[test]
fn what_is_no_uncompressed_archive_is_refused() {
    let sandbox = Sandbox::with_image();
    let good = archive(&[("a", "contents"), ("b", "more")]);
    let mut bad = good.clone();
    bad[1024 + 5] ^= 1;
    for (name, bytes) in [
        ("gzip", &b"\x1f\x8b\x08\0\0\0\0\0"[..]),
        ("zstd", b"\x28\xb5\x2f\xfd\x24\0\x01\0\0"),
        ("text", b"hello\n"),
        ("cut", &good[..515]),
        ("bad", &bad),
    ] {
        write(sandbox.path(name), bytes);
    }
    std::fs::create_dir(sandbox.path("dir")).unwrap();
    let before = sandbox.tree("img");
    for (name, message) in [
        ("gzip", "the archive is compressed (gzip): only uncompressed tar archives can be added"),
        ("zstd", "the archive is compressed (zstd)"),
        ("text", "not a tar archive"),
        ("cut", "unexpected EOF"),
        ("bad", "behind 1 good members"),
        ("dir", "new layer archive is a directory"),
        ("none", "open new layer archive: open \"none\": no such file or directory"),
        ("-", "standard input is empty"),
    ] {
        add_layer(&sandbox, &[name]).fails_with(message);
        assert_eq!(sandbox.tree("img"), before, "{name}");
    }
}

#[test]
fn an_empty_file_is_an_empty_layer() {
    for bytes in [vec![], vec![0; 1024], vec![0; 10_240]] {
        let sandbox = Sandbox::with_image();
        write(sandbox.path("empty"), &bytes);
        let run = add_layer(&sandbox, &["empty"]);
        run.succeeds();
        assert!(run.stderr().contains("warn: the archive is empty"), "{}", run.stderr());
        assert_eq!(sandbox.layers("img", "latest"), [bytes]);
    }
}

/// Filesystem images begin as an archive ends: with zeros.
#[test]
fn images_of_filesystems_are_no_archives() {
    let sandbox = Sandbox::with_image();
    let at = |offset: usize, magic: &[u8]| {
        let mut bytes = vec![0; 64 << 10];
        bytes[offset..offset + magic.len()].copy_from_slice(magic);
        bytes
    };
    write(sandbox.path("ext4"), at(1024 + 56, b"\x53\xef"));
    write(sandbox.path("erofs"), at(1024, b"\xe2\xe1\xf5\xe0"));
    write(sandbox.path("btrfs"), at(0x10040 - 512, b"_BHRfS_M"));
    write(sandbox.path("zeros"), vec![0; 1 << 20]);
    write(sandbox.path("odd"), vec![0; 1030]);
    let before = sandbox.tree("img");
    for name in ["ext4", "erofs", "btrfs", "zeros", "odd"] {
        let run = add_layer(&sandbox, &[name]);
        run.fails_with("not a tar archive: ");
        let hint = "umoci: hint: A layer of another format is added with --media-type.";
        assert!(run.stderr().lines().any(|line| line == hint), "{}", run.stderr());
        assert_eq!(sandbox.tree("img"), before, "{name}");
    }
    add_layer(&sandbox, &["ext4", "--media-type=application/vnd.example.ext4"]).succeeds_silently();
}

/// `raw add-layer` warns where `validate` does.
#[test]
fn an_archive_that_just_ends_is_told() {
    let good = archive(&[("a", "contents"), ("b", "more")]);
    let end = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for length in [end, end + 7, end.next_multiple_of(512), end.next_multiple_of(512) + 512] {
        let sandbox = Sandbox::with_image();
        write(sandbox.path("layer"), &good[..length]);
        let run = add_layer(&sandbox, &["layer"]);
        run.succeeds();
        assert_eq!(run.stderr(), "umoci: warn: the archive just ends: part of it may be missing\n");
        let report = sandbox.umoci(&["validate", "--layout=img"]);
        report.succeeds();
        assert!(report.stdout().contains("tar-end"), "{length}: {}", report.stdout());
    }
    for length in [good.len() - 500, good.len() - 1025 + 400] {
        let sandbox = Sandbox::with_image();
        write(sandbox.path("layer"), &good[..length]);
        add_layer(&sandbox, &["layer"]).fails_with("unexpected EOF");
    }
}

#[test]
fn layers_of_other_formats_are_stored_as_they_are() {
    let sandbox = Sandbox::with_image();
    let bytes = b"hsqs, or something like it";
    write(sandbox.path("layer"), bytes);
    let media_type = "application/vnd.example.layer.squashfs+zstd";
    let words = ["layer", "--media-type", media_type, "--layer.annotation", "example.root=a=b"];
    add_layer(&sandbox, &words).succeeds_silently();
    let digest = Digest::of(Algorithm::Sha256, bytes).to_string();
    let (_, manifest) = sandbox.manifest("img", "latest");
    let layer = json!({
        "mediaType": media_type,
        "digest": digest,
        "size": bytes.len(),
        "annotations": {"example.root": "a=b"},
    });
    assert_eq!(manifest["layers"], json!([layer]));
    assert_eq!(sandbox.config("latest")["rootfs"]["diff_ids"], json!([digest]));
    let before = sandbox.tree("");
    for command in [&["unpack"][..], &["raw", "unpack"]] {
        let words = [command, &["--image=img", "place"]].concat();
        sandbox.umoci(&words).fails_with("unsupported mediatype");
    }
    assert_eq!(sandbox.tree(""), before);

    for (words, message) in [
        (&["--media-type", media_type, "--compress=gzip"][..], "--compress"),
        (&["--media-type", "squashfs"], "is not a media type"),
        (&["--media-type="], "is not a media type"),
        (&["--media-type=application/vnd.oci.image.layer.v1.tar+gzip"], "see --compress"),
        (&["--media-type=application/vnd.oci.image.layer.v1.tar"], "not a tar archive"),
        (&["--media-type=application/vnd.oci.image.index.v1+json"], "not the type of a layer"),
        (&["--layer.annotation=x"], "layer.annotation: must contain '='"),
    ] {
        add_layer(&sandbox, &[&["layer"], words].concat()).fails_with(message);
    }
}

/// Its type says that it is an archive, and how it is compressed is another matter.
#[test]
fn an_archive_can_have_another_media_type() {
    let media_type = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    let flag = format!("--media-type={media_type}");
    let bytes = archive(&[("a", &"contents".repeat(100))]);
    for (compress, suffix) in [(&[][..], "+gzip"), (&["--compress=none"], "")] {
        let sandbox = Sandbox::with_image();
        write(sandbox.path("layer.tar"), &bytes);
        add_layer(&sandbox, &[&["layer.tar", &flag], compress].concat()).succeeds_silently();
        let layer = sandbox.manifest("img", "latest").1["layers"][0].clone();
        assert_eq!(layer["mediaType"], json!(format!("{media_type}{suffix}")));
        assert_eq!(sandbox.layers("img", "latest"), std::slice::from_ref(&bytes));
        write(sandbox.path("layer.tar"), "no archive");
        add_layer(&sandbox, &["layer.tar", &flag]).fails_with("not a tar archive");
    }
}

/// The hint is a command that does what was meant.
#[test]
fn what_is_compressed_can_be_added_as_the_hint_says() {
    let bytes = archive(&[("a", "contents")]);
    for program in ["gzip", "zstd", "xz", "bzip2"] {
        let Some(path) = peer(program) else { continue };
        let sandbox = Sandbox::with_image();
        write(sandbox.path("it's one"), &bytes);
        sandbox.peer(&path, &["it's one"]).succeeds();
        std::fs::remove_file(sandbox.path("it's one")).unwrap_or_default();
        let packed = std::fs::read_dir(sandbox.path("")).unwrap().map(|entry| entry.unwrap());
        let packed = packed.map(|entry| entry.file_name().into_string().unwrap());
        let packed = packed.into_iter().find(|name| name.starts_with("it's one.")).unwrap();
        let run = add_layer(&sandbox, &[&packed, "--history.comment=a 'b'", "--tag=new"]);
        run.fails_with(&format!("the archive is compressed ({program})"));
        let hint = run.hint().unwrap();
        let command = hint.split('`').nth(1).unwrap();
        sandbox.shell(command).succeeds();
        assert_eq!(sandbox.layers("img", "new"), std::slice::from_ref(&bytes), "{command}");
        assert_eq!(sandbox.config("new")["history"][0]["comment"], json!("a 'b'"));
    }
}

/// A member with extended headers for its names, which can be anything.
fn member(kind: tar::EntryType, name: &str, target: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let records = [("path", name.as_bytes()), ("linkpath", target.as_bytes())];
    let records = records.into_iter().filter(|(_, value)| !value.is_empty());
    builder.append_pax_extensions(records).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("name").unwrap();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(0);
    header.set_cksum();
    builder.append(&header, std::io::empty()).unwrap();
    builder.into_inner().unwrap()
}

/// An archive is refused for its names if it could not be unpacked over whatever is there, and
/// only then.
#[test]
fn names_are_refused_as_unpack_does() {
    use tar::EntryType::{Directory, Fifo, Link, Regular, Symlink};
    if !needs_root() {
        return;
    }
    let long = |length: usize| "n".repeat(length);
    let bad = [
        (Regular, ".wh.".into(), ""),
        (Regular, ".wh..".into(), ""),
        (Regular, ".wh...".into(), ""),
        (Regular, "d/.wh...".into(), ""),
        (Directory, "d/.wh..".into(), ""),
        (Regular, ".".into(), ""),
        (Symlink, "d/..".into(), "x"),
        (Regular, long(256), ""),
        (Directory, format!("{}/d", long(256)), ""),
        (Fifo, format!("d/{}", long(256)), ""),
        (Link, "f".into(), "./f"),
        (Link, "l".into(), "/"),
        (Link, "l".into(), "d/.."),
    ];
    let good = [
        (Regular, ".wh....".into(), ""),
        (Regular, "d/.wh..wh..opq".into(), ""),
        (Regular, "missing/.wh.x".into(), ""),
        (Regular, long(255), ""),
        (Regular, format!(".wh.{}", long(255)), ""),
        (Directory, ".".into(), ""),
        (Link, "l".into(), "f"),
        (Link, "l".into(), "/d/../f"),
        (Symlink, "s".into(), "s"),
    ];
    let sandbox = Sandbox::with_image();
    write(sandbox.path("below"), archive(&[("f", "x"), ("d/x", "x")]));
    add_layer(&sandbox, &["below", "--tag=below"]).succeeds_silently();
    for ((kind, name, target), is_good) in
        bad.into_iter().map(|it| (it, false)).chain(good.into_iter().map(|it| (it, true)))
    {
        let bytes = member(kind, &name, target);
        write(sandbox.path("layer"), &bytes);
        sandbox.umoci(&["tag", "--image=img:below", "latest"]).succeeds_silently();
        let before = sandbox.tree("img");
        let added = add_layer(&sandbox, &["layer"]);
        if is_good {
            added.succeeds_silently();
        } else {
            assert!(added.fails().contains(": member "), "{}", added.stderr());
            assert_eq!(sandbox.tree("img"), before, "{name}");
            sandbox.add_any_layer(&bytes);
        }
        let unpacked = sandbox.umoci(&["raw", "unpack", "--image=img", "tree"]);
        assert_eq!(unpacked.status(), Some(i32::from(!is_good)), "{name}: {}", unpacked.stderr());
        std::fs::remove_dir_all(sandbox.path("tree")).unwrap_or_default();
    }
}

#[test]
fn a_root_filesystem_is_unpacked_over_what_is_there() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    write(sandbox.path("layer.tar"), archive(&[("etc/x", "image"), ("new", "")]));
    add_layer(&sandbox, &["layer.tar"]).succeeds_silently();
    sandbox.umoci(&["raw", "unpack", "--image", "img", "fresh"]).succeeds_silently();
    let metadata = sandbox.path("fresh").metadata().unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (0o755, 0));
    assert_eq!(std::fs::read_dir(sandbox.path("fresh")).unwrap().count(), 2);

    write(sandbox.path("old/etc/x"), "before");
    write(sandbox.path("old/etc/y"), "before");
    symlink("old", sandbox.path("link")).unwrap();
    for place in ["old", "old/", "link"] {
        sandbox.umoci(&["raw", "unpack", place, "--image", "img"]).succeeds_silently();
        let read = |name: &str| std::fs::read_to_string(sandbox.path(name)).unwrap();
        assert_eq!((read("old/etc/x"), read("old/etc/y")), ("image".into(), "before".into()));
        write(sandbox.path("old/etc/x"), "before");
    }
    assert!(sandbox.path("link").is_symlink());
    let run = sandbox.umoci(&["raw", "unpack", "--image", "img", "missing/place"]);
    run.fails_with("no such file or directory");
}

#[test]
fn a_failed_unpack_removes_only_what_it_has_made() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    sandbox.add_any_layer(&archive(&[("one", "1"), ("d/.wh...", "")]));
    write(sandbox.path("old/precious"), "x");
    sandbox.umoci(&["raw", "unpack", "--image=img", "new"]).fails_with("invalid whiteout");
    sandbox.umoci(&["raw", "unpack", "--image=img", "old"]).fails_with("invalid whiteout");
    assert!(!sandbox.path("new").exists());
    assert!(sandbox.path("old/precious").exists());
    write(sandbox.path("file"), "x");
    sandbox.umoci(&["raw", "unpack", "--image=img", "file"]).fails_with("not a directory");
    assert_eq!(std::fs::read(sandbox.path("file")).unwrap(), b"x");
}

#[test]
fn a_runtime_configuration_of_its_own() {
    let sandbox = Sandbox::with_image();
    let words = ["config", "--image=img", "--config.user=bob", "--config.cmd=/bin/true"];
    sandbox.umoci(&words).succeeds();
    write(sandbox.path("tree/etc/passwd"), "bob:x:1000:1001::/home/bob:/bin/sh\n");
    let config = || -> Value { sandbox.json("config.json") };

    let run = sandbox.umoci(&["raw", "runtime-config", "--image", "img", "config.json"]);
    run.succeeds();
    let warning = "could not parse user spec \"bob\" without a rootfs -- defaulting to root:root";
    assert!(run.stderr().contains(warning), "{}", run.stderr());
    assert_eq!(config()["process"]["user"], json!({"uid": 0, "gid": 0}));
    assert_eq!(config()["root"]["path"], json!("."));

    let words = ["raw", "config", "config.json", "--image=img", "--rootfs=tree/"];
    sandbox.umoci(&words).succeeds_silently();
    assert_eq!(config()["process"]["user"], json!({"uid": 1000, "gid": 1001}));
    assert_eq!(config()["process"]["args"], json!(["/bin/true"]));
    assert_eq!(config()["root"]["path"], json!("tree"));
    let env = config()["process"]["env"].as_array().unwrap().clone();
    assert!(env.contains(&json!("HOME=/home/bob")), "{env:?}");

    let words = ["raw", "config", "--rootless", "--rootfs", "tree", "--image=img", "config.json"];
    sandbox.umoci(&words).succeeds();
    let namespaces = config()["linux"]["namespaces"].as_array().unwrap().clone();
    assert!(namespaces.contains(&json!({"type": "user"})), "{namespaces:?}");
    assert_eq!(config()["linux"].get("resources"), None);
}

#[test]
fn a_failed_configuration_leaves_no_file() {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["config", "--image=img", "--config.user=nobody-of-that-name"]).succeeds();
    std::fs::create_dir(sandbox.path("tree")).unwrap();
    write(sandbox.path("old.json"), "old");
    for name in ["new.json", "old.json"] {
        let words = ["raw", "runtime-config", "--image=img", "--rootfs=tree", name];
        sandbox.umoci(&words).fails_with("no matching entries in passwd file");
    }
    sandbox.umoci(&["config", "--image=img", "--config.user=1"]).succeeds();
    sandbox.umoci(&["raw", "config", "--image=img", "tree"]).fails_with("is a directory");
    assert!(!sandbox.path("new.json").exists());
    // Who is a number can be told before there is a root filesystem.
    let words = ["raw", "config", "--image=img", "--rootfs=to/come", "new.json"];
    sandbox.umoci(&words).succeeds();
    assert_eq!(sandbox.json("new.json")["root"]["path"], json!("come"));
    assert_eq!(std::fs::read(sandbox.path("old.json")).unwrap(), b"old");
}

#[test]
fn a_tree_is_validated_against_its_manifest() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    write(sandbox.path("layer.tar"), archive(&[("a", "x"), ("d/b", "y")]));
    add_layer(&sandbox, &["layer.tar"]).succeeds_silently();
    sandbox.umoci(&["unpack", "--image=img", "bundle"]).succeeds_silently();
    let (digest, _) = sandbox.manifest("img", "latest");
    let manifest = format!("bundle/{}.mtree", digest.replace(':', "_"));
    let check = |words: &[&str]| {
        let validate = ["raw", "mtree-validate", "-f", &manifest, "-p", "bundle/rootfs"];
        sandbox.umoci(&[&validate, words].concat())
    };
    for words in [&[][..], &["--umoci-keywords"], &["-k", "size,mode uid", "-K", "sha256"]] {
        check(words).succeeds_silently();
    }
    set_mode(sandbox.path("bundle/rootfs/a"), 0o700);
    write(sandbox.path("bundle/rootfs/d/\u{1b}[2J"), "");
    std::fs::remove_file(sandbox.path("bundle/rootfs/d/b")).unwrap();
    set_times(&sandbox.path("bundle/rootfs"), 1_600_000_000);
    let run = check(&["--use-keywords", "mode"]);
    // Scripts have known the status 1 for differences before checks got one of their own;
    // `fails` asserts it.
    assert_eq!(run.fails(), "validation failed: 3 differences found");
    let lines = "\"a\": keyword \"mode\": expected 0644; got 0700\n\
                 \"d/\\x1b[2J\": unexpected path\n\
                 \"d/b\": missing path\n";
    assert_eq!(run.stdout(), lines);
    let run = check(&["-k", "bogus"]);
    run.fails_with("unknown keyword \"bogus\"");
    assert_eq!(run.stdout(), "", "no difference was looked for");

    let run = sandbox.umoci(&["raw", "mtree-validate", "--file", "x"]);
    assert_eq!(run.fails(), "Required flag \"path\" not set");
    assert!(run.stdout().starts_with("NAME:\n   umoci raw mtree-validate - "));
    let run = sandbox.umoci(&["raw", "mtree-validate", "--path", "x"]);
    assert_eq!(run.fails(), "Required flag \"file\" not set");
}

#[test]
fn a_configuration_in_a_directory_that_is_not_there() {
    let sandbox = Sandbox::with_image();
    let run = sandbox.umoci(&["raw", "runtime-config", "--image=img", "none/config.json"]);
    assert_eq!(
        run.fails(),
        "create runtime config: write \"none/config.json\": open \"none\": no such file or directory"
    );
}
