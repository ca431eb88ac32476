// SPDX-License-Identifier: Apache-2.0
//! Layers as directories for overlayfs, which are the library's business, and what the
//! program makes of a tree that has been one.

use std::path::Path;

use umoci::layer::{ApplyOptions, DiskFormat, Members, PackOptions, pack_tree, unpack_layer};
use umoci::rootfs::{Native, OverlayNamespace};

use super::{Layer, image};
use crate::harness::{Sandbox, needs_root, skip, write};

const FORMAT: DiskFormat = DiskFormat::Overlay(OverlayNamespace::Trusted);

/// A place whose filesystem has the attributes of overlayfs.
fn place() -> Option<Sandbox> {
    if !needs_root() {
        return None;
    }
    let sandbox = image([]);
    std::fs::create_dir(sandbox.path("upper")).unwrap();
    let usable = xattr::set(sandbox.path("upper"), "trusted.overlay.test", b"").is_ok();
    if !usable {
        return skip("attributes trusted.overlay.*");
    }
    xattr::remove(sandbox.path("upper"), "trusted.overlay.test").unwrap();
    Some(sandbox)
}

/// A place whose filesystem has whiteouts too, unlike a directory that overlayfs shows.
fn place_of_whiteouts() -> Option<Sandbox> {
    let sandbox = place()?;
    if sandbox.shell("mknod whiteout c 0 0").status() != Some(0) {
        return skip("whiteouts of overlayfs in the directory of temporary files");
    }
    Some(sandbox)
}

/// Makes the device that stands for a whiteout, by other means than the library's.
fn make_whiteout(sandbox: &Sandbox, name: &str) {
    sandbox.shell(&format!("mknod {name} c 0 0")).succeeds();
}

fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_char_device())
}

/// The members that a directory is packed to, each with the names of its attributes.
fn packed(directory: &Path) -> Vec<(String, Vec<String>)> {
    let options = PackOptions { format: FORMAT, ..PackOptions::default() };
    let layer = pack_tree(&Native::open(directory).unwrap(), Vec::new(), &options).unwrap();
    let mut members = Members::new(&layer[..]);
    let mut found = Vec::new();
    while let Some(entry) = members.next_member().unwrap() {
        let names = entry.xattrs.iter().map(|xattr| xattr.name.escape_ascii().to_string());
        found.push((String::from_utf8(entry.path).unwrap(), names.collect()));
    }
    found
}

fn unpack(layer: Layer, directory: &Path) {
    let options = ApplyOptions { format: FORMAT, ..ApplyOptions::default() };
    unpack_layer(&Native::open(directory).unwrap(), &layer.bytes()[..], &options).unwrap();
}

#[test]
fn case_39_what_overlayfs_has_on_disk_becomes_whiteouts() {
    let Some(sandbox) = place_of_whiteouts() else { return };
    write(sandbox.path("upper/d/beside"), "x");
    make_whiteout(&sandbox, "upper/d/gone");
    write(sandbox.path("upper/d/gone-by-attribute"), "");
    write(sandbox.path("upper/not-opaque/f"), "");
    let set = |name: &str, attribute: &str, value: &[u8]| {
        xattr::set(sandbox.path("upper").join(name), attribute, value).unwrap();
    };
    set("d/gone-by-attribute", "trusted.overlay.whiteout", b"y");
    set("d", "trusted.overlay.opaque", b"y");
    set("not-opaque", "trusted.overlay.opaque", b"x");
    set("d/beside", "trusted.overlay.origin", b"o");
    set("d/beside", "trusted.overlay.overlay.origin", b"escaped");
    let members = packed(&sandbox.path("upper"));
    let names: Vec<_> = members.iter().map(|(name, _)| name.trim_matches('/')).collect();
    for name in ["d/.wh.gone", "d/.wh.gone-by-attribute", "d/beside", "d/.wh..wh..opq"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(names.iter().all(|name| !name.contains("upper")), "{names:?}");
    assert!(!names.contains(&"not-opaque/.wh..wh..opq"), "{names:?}");
    let beside = members.iter().find(|(name, _)| name == "d/beside").unwrap();
    assert_eq!(beside.1, ["trusted.overlay.origin"]);
}

#[test]
fn case_39_a_plain_tree_keeps_the_attributes_of_overlayfs() {
    let Some(sandbox) = place() else { return };
    write(sandbox.path("upper/d/f"), "x");
    for (name, attribute) in [("d", "trusted.overlay.opaque"), ("d/f", "trusted.overlay.origin")] {
        xattr::set(sandbox.path("upper").join(name), attribute, b"y").unwrap();
    }
    sandbox.umoci(&["insert", "--image=img", "upper/d", "/d"]).succeeds_silently();
    assert_eq!(sandbox.top_members("img", "latest"), ["d/", "d/f"]);
    sandbox.umoci(&["raw", "unpack", "--image=img", "tree"]).succeeds_silently();
    for (name, attribute) in [("d", "trusted.overlay.opaque"), ("d/f", "trusted.overlay.origin")] {
        let value = xattr::get(sandbox.path("tree").join(name), attribute).unwrap();
        assert_eq!(value.as_deref(), Some(&b"y"[..]), "{name}");
    }
}

#[test]
fn case_40_no_whiteout_inside_of_an_opaque_directory() {
    let Some(sandbox) = place_of_whiteouts() else { return };
    let marks = ["d/.wh..wh..opq", "d/.wh.gone"];
    for (at, order) in [[0, 1], [1, 0]].into_iter().enumerate() {
        let directory = sandbox.path(format!("opaque-{at}"));
        std::fs::create_dir(&directory).unwrap();
        let layer = Layer::new().dir("d/").file(marks[order[0]], "").file(marks[order[1]], "");
        unpack(layer, &directory);
        assert_eq!(std::fs::read_dir(directory.join("d")).unwrap().count(), 0);
        let opaque = xattr::get(directory.join("d"), "trusted.overlay.opaque").unwrap();
        assert_eq!(opaque.as_deref(), Some(&b"y"[..]));
    }
    // A whiteout below which something appears is a directory that hides what was there.
    let layer = Layer::new().file(".wh.d", "").file("d/x", "").file(".wh.e", "");
    unpack(layer, &sandbox.path("upper"));
    let opaque = xattr::get(sandbox.path("upper/d"), "trusted.overlay.opaque").unwrap();
    assert_eq!(opaque.as_deref(), Some(&b"y"[..]));
    assert!(sandbox.path("upper/d/x").exists() && is_device(&sandbox.path("upper/e")));
}
