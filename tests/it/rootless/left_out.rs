// SPDX-License-Identifier: Apache-2.0
//! Attributes that are left out on the way from a layer to the disk or back:
//! each kind is told once, all are counted, and none is left out strictly.

use std::path::Path;

use super::filesystem::with_limits;
use crate::harness::{Run, Sandbox, needs_root, write};

const LABEL: &str = "security.selinux";
const ACL: &str = "system.nfs4_acl";
const CLAIM: &str = "user.rootlesscontainers";

/// The image `img:labelled`: a directory, a link and two files with attributes of this name.
fn sandbox(attribute: &str, value: &[u8]) -> Sandbox {
    let sandbox = Sandbox::with_image();
    let mut layer = tar::Builder::new(Vec::new());
    for (name, kind) in [
        ("dir/", tar::EntryType::Directory),
        ("dir/one", tar::EntryType::Regular),
        ("dir/two", tar::EntryType::Regular),
        ("link", tar::EntryType::Symlink),
        ("plain", tar::EntryType::Regular),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_size(0);
        if name != "plain" {
            let record = (&*format!("SCHILY.xattr.{attribute}"), value);
            layer.append_pax_extensions([record]).unwrap();
        }
        if kind.is_symlink() {
            layer.append_link(&mut header, name, "plain").unwrap();
        } else {
            layer.append_data(&mut header, name, std::io::empty()).unwrap();
        }
    }
    std::fs::write(sandbox.path("layer.tar"), layer.into_inner().unwrap()).unwrap();
    let words = ["raw", "add-layer", "--image=img", "--tag=labelled", "layer.tar"];
    sandbox.umoci(&words).succeeds_silently();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    sandbox.give_to_ordinary_user("home");
    sandbox.give_to_ordinary_user("img");
    sandbox
}

const PATHS: [&str; 4] = ["\"dir\"", "\"dir/one\"", "\"dir/two\"", "\"link\""];

/// One warning with a path and an attribute, and the counts.
#[track_caller]
fn tells(run: &Run, attribute: &str, counts: &str) {
    run.succeeds();
    let stderr = run.stderr();
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    assert!(lines[0].contains(attribute), "{stderr}");
    assert!(PATHS.iter().any(|path| lines[0].contains(path)), "{stderr}");
    assert_eq!(lines[1].split_once("emulated: ").unwrap().1, counts);
}

/// The lines of `--log=debug` that have this text.
fn debug_lines(run: &Run, text: &str) -> Vec<String> {
    run.succeeds();
    let lines = run.stderr();
    lines.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

#[test]
fn labels_of_a_layer_are_the_hosts_to_decide() {
    if !needs_root() {
        return;
    }
    for label in [LABEL, ACL, "system.nfs4_dacl", "system.nfs4_sacl"] {
        let sandbox = sandbox(label, b"of the image");
        for words in [
            ["unpack", "--image=img:labelled", "b"].as_slice(),
            &["raw", "unpack", "--image=img:labelled", "tree"],
        ] {
            let run = sandbox.umoci(words);
            tells(&run, label, "4 labels of the host left out");
        }
        assert_eq!(xattr::get(sandbox.path("tree/dir/one"), label).ok().flatten(), None);
        let words = ["unpack", "--rootless", "--image=img:labelled", "home/b"];
        let run = sandbox.umoci_as_ordinary_user(&words);
        tells(&run, label, "4 labels of the host left out");
        let run = sandbox.umoci(&["--log=debug", "unpack", "--image=img:labelled", "debug"]);
        let told = debug_lines(&run, label);
        for path in PATHS {
            assert_eq!(told.iter().filter(|line| line.contains(path)).count(), 1, "{told:#?}");
        }
        let line = sandbox.umoci(&["unpack", "--strict", "--image=img:labelled", "s"]).fails();
        assert!(line.contains(label) && line.contains("unpack entry: "), "{line}");
    }
}

/// Where the host gives the label that the layer has, nothing is lost.
#[test]
fn a_label_that_is_there_already_is_not_left_out() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox(LABEL, b"system_u:object_r:some_t:s0");
    let script = "limited labels; $umoci unpack --strict --image=img:labelled m/b";
    let Some(run) = with_limits(&sandbox, script) else { return };
    run.succeeds_silently();
}

#[test]
fn no_layer_names_an_owner_by_an_attribute() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox(CLAIM, b"\x08\x05\x10\x05");
    for words in [
        ["unpack", "--rootless", "--image=img:labelled", "home/b"].as_slice(),
        &["raw", "unpack", "--rootless", "--image=img:labelled", "home/tree"],
    ] {
        let run = sandbox.umoci_as_ordinary_user(words);
        tells(&run, CLAIM, "4 claims to owners left out");
    }
    assert_eq!(xattr::get(sandbox.path("home/tree/dir/one"), CLAIM).unwrap(), None);
    let words = ["unpack", "--rootless", "--strict", "--image=img:labelled", "home/s"];
    sandbox.umoci_as_ordinary_user(&words).fails_with(CLAIM);
}

/// Where owners are set, the attribute is one like any other, but nobody may have meant that.
#[test]
fn an_attribute_that_names_an_owner_is_packed_with_a_word() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["unpack", "--image=img", "b"]).succeeds_silently();
    for name in ["one", "two", "three"] {
        let file = sandbox.path("b/rootfs").join(name);
        write(&file, "");
        if name != "three" {
            xattr::set(&file, CLAIM, b"\x08\x05\x10\x05").unwrap();
        }
    }
    for words in [
        ["--log=warn", "repack", "--image=img:new", "b"].as_slice(),
        &["--log=warn", "insert", "--image=img", "--tag=new", "b/rootfs", "/"],
    ] {
        let run = sandbox.umoci(words);
        assert_eq!(run.succeeds(), "");
        let expected = "umoci: warn: 2 objects have the attribute user.rootlesscontainers, which \
            is packed as it is: it says who owns a file only without privileges (--rootless)\n";
        assert_eq!(run.stderr(), expected);
        sandbox.umoci(&["unpack", "--image=img:new", "check"]).succeeds_silently();
        assert!(xattr::get(sandbox.path("check/rootfs/one"), CLAIM).unwrap().is_some());
        std::fs::remove_dir_all(sandbox.path("check")).unwrap();
        let run = sandbox.umoci(&[&["--log=debug"], &words[1..]].concat());
        let told = debug_lines(&run, CLAIM);
        assert!(told[0].contains("one\": ") && told[1].contains("two\": "), "{told:#?}");
    }
}

#[test]
fn labels_of_the_host_do_not_go_into_a_layer() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["unpack", "--image=img", "b"]).succeeds_silently();
    let label = |path: &Path| xattr::set(path, LABEL, b"system_u:object_r:some_t:s0").unwrap();
    write(sandbox.path("b/rootfs/dir/file"), "");
    for name in ["", "dir", "dir/file"] {
        label(&sandbox.path("b/rootfs").join(name));
    }
    let insert = ["insert", "--image=img", "--tag=new", "b/rootfs", "/"];
    let repack = ["repack", "--image=img:new", "b"];
    for words in [&insert[..], &repack] {
        // They never were the image's, so that nothing is lost.
        let strict = [&words[..1], &["--strict"], &words[1..]].concat();
        sandbox.umoci(&strict).succeeds_silently();
        let run = sandbox.umoci(&[&["--log=debug"], words].concat());
        // What is inserted is named as the user has named it.
        let paths = match words[0] {
            "insert" => ["b/rootfs", "b/rootfs/dir", "b/rootfs/dir/file"],
            _ => [".", "dir", "dir/file"],
        };
        for path in paths {
            let lines = debug_lines(&run, &format!("{path:?}: the label {LABEL}"));
            assert_eq!(lines.len(), 1, "{path}: {lines:#?}");
        }
        // A label in the layer would be an error.
        let tree = format!("tree-{}", words[0]);
        sandbox.umoci(&["raw", "unpack", "--strict", "--image=img:new", &tree]).succeeds_silently();
    }
}
