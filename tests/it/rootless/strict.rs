// SPDX-License-Identifier: Apache-2.0
//! `--strict`: whatever would take the place of something else is an error
//! that names the path and says what it is, on the way to the disk and back.

use super::namespace::alone;
use super::scene::{self, CAPABILITY, empty_member};
use crate::harness::{Sandbox, needs_root, set_mode, write};

type Member = fn(&mut tar::Builder<Vec<u8>>);

/// What an ordinary user cannot have as it is: the member, what is said when it is unpacked, and
/// when it is packed again.
const CASES: [(&str, Member, &str, &str); 4] = [
    (
        "file",
        |layer| append(layer, "file", tar::EntryType::Regular, 7),
        "the owner 7:7 is kept in an attribute",
        "the owner 7:7 is not that on disk",
    ),
    (
        "link",
        |layer| append(layer, "link", tar::EntryType::Symlink, 7),
        "the owner 7:7 is recorded",
        "the owner 7:7 is not that on disk",
    ),
    (
        "null",
        |layer| append(layer, "null", tar::EntryType::Char, 0),
        "an empty file stands for the device 1:3",
        "an empty file stands for the device 1:3",
    ),
    (
        "noted",
        |layer| {
            layer.append_pax_extensions([("SCHILY.xattr.trusted.note", &b"x"[..])]).unwrap();
            append(layer, "noted", tar::EntryType::Regular, 0);
        },
        "the attribute trusted.note is recorded: operation not permitted",
        "the attribute trusted.note is not on disk",
    ),
];

fn append(layer: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, owner: u64) {
    let mut header = empty_member(kind, owner);
    match kind {
        tar::EntryType::Symlink => layer.append_link(&mut header, name, "file").unwrap(),
        _ => layer.append_data(&mut header, name, std::io::empty()).unwrap(),
    }
}

fn sandbox(member: Member) -> Sandbox {
    let sandbox = Sandbox::with_image();
    let mut layer = tar::Builder::new(Vec::new());
    member(&mut layer);
    std::fs::write(sandbox.path("layer.tar"), layer.into_inner().unwrap()).unwrap();
    let words = ["raw", "add-layer", "--image=img", "--tag=one", "layer.tar"];
    sandbox.umoci(&words).succeeds_silently();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    sandbox.give_to_ordinary_user("home");
    sandbox.give_to_ordinary_user("img");
    sandbox
}

/// Asserts that each command ends in an error with these words, and changes no image.
#[track_caller]
fn refuse(sandbox: &Sandbox, commands: &[&[&str]], path: &str, what: &str) {
    let before = sandbox.json("img/index.json");
    for words in commands {
        let line = sandbox.umoci_as_ordinary_user(words).fails();
        assert!(line.ends_with(&format!("{what} (strict)")), "{line}");
        assert!(line.contains(path), "{path}: {line}");
        assert_eq!(sandbox.json("img/index.json"), before, "{words:?}");
    }
}

#[test]
fn each_substitute_is_an_error() {
    if !needs_root() {
        return;
    }
    for (name, member, unpacking, packing) in CASES {
        let sandbox = sandbox(member);
        let commands: [&[&str]; 2] = [
            &["unpack", "--rootless", "--strict", "--image=img:one", "home/s"],
            &["raw", "unpack", "--rootless", "--strict", "--image=img:one", "home/s"],
        ];
        refuse(&sandbox, &commands, &format!("unpack entry: {name}: "), unpacking);
        assert!(!sandbox.path("home/s").exists());

        let words = ["unpack", "--rootless", "--image=img:one", "home/b"];
        sandbox.umoci_as_ordinary_user(&words).emulates();
        let object = format!("home/b/rootfs/{name}");
        let time = filetime::FileTime::from_unix_time(5, 0);
        filetime::set_symlink_file_times(sandbox.path(&object), time, time).unwrap();
        let repack: &[&str] = &["repack", "--strict", "--image=img:new", "home/b"];
        refuse(&sandbox, &[repack], &format!("could not add file {name:?}: "), packing);
        let insert: &[&str] =
            &["insert", "--rootless", "--strict", "--image=img", "--tag=new", &object, "/x"];
        refuse(&sandbox, &[insert], &format!("could not add file {object:?}: "), packing);
        // It is the same without the flag, and told.
        for words in [repack, insert] {
            let words: Vec<_> = words.iter().copied().filter(|word| *word != "--strict").collect();
            assert!(sandbox.umoci_as_ordinary_user(&words).emulates().starts_with("1 "));
        }
    }
}

/// What has become of the rest of a bundle is nothing to whoever takes a part of it.
#[test]
fn what_is_replaced_elsewhere_in_a_bundle_is_no_matter() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let words = ["unpack", "--rootless", "--image=img:full", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).emulates();
    for name in ["dev/null", "dev/disk", "bin/ping"] {
        std::fs::remove_file(sandbox.path("home/b/rootfs").join(name)).unwrap();
        write(sandbox.path("home/b/rootfs").join(name), "new");
        set_mode(sandbox.path("home/b/rootfs").join(name), 0o644);
    }
    std::os::unix::fs::symlink("b/rootfs/bin", sandbox.path("home/link")).unwrap();
    for (source, told) in [
        ("home/b/rootfs/sealed", ""),
        ("home/b/rootfs/bin/ping", "1 object is"),
        ("home/link/ping", "1 object is"),
        ("home/b/rootfs/dev", "2 objects are"),
    ] {
        let words = ["insert", "--rootless", "--image=img:full", "--tag=new", source, "/x"];
        let run = sandbox.umoci_as_ordinary_user(&words);
        run.succeeds();
        let stderr = run.stderr();
        let line = stderr.lines().find(|line| line.contains("no longer"));
        let expected = format!("umoci: warn: {told} no longer what was recorded");
        assert_eq!(line, (!told.is_empty()).then_some(&*expected), "{source}");
        let strict = [&words[..1], &["--strict"], &words[1..]].concat();
        let run = sandbox.umoci_as_ordinary_user(&strict);
        if told.is_empty() {
            run.succeeds_silently();
        } else {
            run.fails_with(&format!("{told} no longer what was recorded (strict)"));
        }
    }
}

/// Capabilities for the root of another namespace cannot even be read.
#[test]
fn an_attribute_that_may_not_be_read_is_told() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox(|layer| append(layer, "file", tar::EntryType::Regular, 0));
    write(sandbox.path("home/program"), "");
    sandbox.give_to_ordinary_user("home/program");
    set_mode(sandbox.path("home/program"), 0o755);
    let foreign = [&CAPABILITY[..3], b"\x03", &CAPABILITY[4..], &100_000_u32.to_le_bytes()];
    xattr::set(sandbox.path("home/program"), "security.capability", &foreign.concat()).unwrap();
    let words = ["insert", "--image=img", "--tag=new", "home/program", "/program"];
    let Some(run) = alone(&sandbox, &words) else { return };
    run.succeeds();
    let stderr = run.stderr();
    let lines: Vec<_> = stderr.lines().collect();
    let what = "the attribute security.capability may not be read and is left out";
    let first =
        format!("umoci: warn: \"home/program\": {what}; more of this kind are counted only");
    assert_eq!(lines, [first.as_str(), "umoci: warn: emulated: 1 attribute left out"]);
    let strict = [&words[..1], &["--strict"], &words[1..]].concat();
    let line = alone(&sandbox, &strict).unwrap().fails();
    assert!(line.ends_with(&format!("could not add file \"home/program\": {what} (strict)")));
}
