// SPDX-License-Identifier: Apache-2.0
//! What layers do to a tree. Archives are made here, not by the code under test.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::*;
use crate::idmap::{IdMap, IdMaps};
use crate::layer::buffer::BUFFER;
use crate::layer::{DirLinks, DiskFormat};
use crate::oci::Algorithm;
use crate::rootfs::{Native, OverlayNamespace};

mod mounted;
mod overlay;

/// A tree in a temporary directory, with a canary beside it.
struct Tree {
    place: tempfile::TempDir,
    options: ApplyOptions,
}

/// One layer in the making.
struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn raw(mut self, name: &str, kind: EntryType, edit: impl Fn(&mut Header), body: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(body.len() as u64);
        edit(&mut header);
        header.set_cksum();
        self.0.append(&header, body).unwrap();
        self
    }

    fn file(self, name: &str, body: &str) -> Self {
        self.raw(name, EntryType::Regular, |_| {}, body.as_bytes())
    }

    fn dir(self, name: &str) -> Self {
        self.raw(name, EntryType::Directory, |_| {}, b"")
    }

    fn link(self, name: &str, kind: EntryType, target: &str) -> Self {
        self.raw(name, kind, |header| header.set_link_name_literal(target).unwrap(), b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.link(name, EntryType::Symlink, target)
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.link(name, EntryType::Link, target)
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// An ordinary user is root in the layers, and can be nobody else.
fn maps() -> IdMaps {
    let map = |id: u32| match id {
        0 => IdMap::default(),
        id => IdMap::parse(&[format!("0:{id}:1")]).unwrap(),
    };
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    IdMaps { uid: map(uid.as_raw()), gid: map(gid.as_raw()) }
}

impl Tree {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("rootfs")).unwrap();
        fs::create_dir(place.path().join("outside")).unwrap();
        fs::write(place.path().join("outside/canary"), "untouched").unwrap();
        let options = ApplyOptions { maps: maps(), ..ApplyOptions::default() };
        Self { place, options }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.path().join("rootfs").join(path)
    }

    fn unpack(&self, layers: Vec<Vec<u8>>) -> Result<Unpacked, LayerFailure> {
        let sources: Vec<_> = layers.into_iter().map(|bytes| Ok(source(bytes))).collect();
        let fs = Native::open(&self.at("")).unwrap();
        let result = unpack_layers(&fs, sources.into_iter(), FileDigests::Sha256, &self.options);
        let canary = fs::read_to_string(self.place.path().join("outside/canary")).unwrap();
        assert_eq!(canary, "untouched");
        assert_eq!(fs::read_dir(self.place.path()).unwrap().count(), 2, "escaped");
        result
    }

    fn apply<const N: usize>(&self, layers: [Layer; N]) -> Unpacked {
        self.unpack(layers.into_iter().map(Layer::bytes).collect()).unwrap()
    }

    fn refuse<const N: usize>(&self, layers: [Layer; N], because: &str) {
        let error = self.unpack(layers.into_iter().map(Layer::bytes).collect()).unwrap_err().error;
        assert!(error.to_string().contains(because), "{error}");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    fn exists(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    fn mtime(&self, path: &str) -> i64 {
        self.at(path).symlink_metadata().unwrap().mtime()
    }
}

fn source(bytes: Vec<u8>) -> LayerSource<'static> {
    let diff_id = Digest::of(Algorithm::Sha256, &bytes);
    LayerSource {
        name: "test".into(),
        stream: Box::new(Cursor::new(bytes)),
        diff_id: Some(diff_id),
    }
}

#[test]
fn members_become_what_they_say() {
    let tree = Tree::new();
    tree.apply([Layer::new()
        .raw("d/", EntryType::Directory, |header| header.set_mode(0o1750), b"")
        .raw("d/f", EntryType::Regular, |header| header.set_mode(0o4751), b"hello")
        .symlink("d/l", "/nowhere")
        .hard_link("d/h", "d/f")
        .raw("p", EntryType::Fifo, |header| header.set_mode(0o600), b"")
        .file("empty", "")]);
    assert_eq!(tree.read("d/h"), "hello");
    let meta = |path: &str| tree.at(path).symlink_metadata().unwrap();
    assert_eq!(meta("d").permissions().mode() & 0o7777, 0o1750);
    assert_eq!(meta("d/f").permissions().mode() & 0o7777, 0o4751);
    assert_eq!((meta("d/f").ino(), meta("d/f").nlink()), (meta("d/h").ino(), 2));
    assert_eq!(fs::read_link(tree.at("d/l")).unwrap(), PathBuf::from("/nowhere"));
    assert!(meta("p").file_type().is_fifo());
    for path in ["d", "d/f", "d/l", "p", "empty"] {
        assert_eq!(tree.mtime(path), 1_000_000_000, "{path}");
    }
}

#[test]
fn large_and_sparse_sizes_pass_through_the_workers() {
    let tree = Tree::new();
    let body = "0123456789abcdef".repeat(200_000);
    let many =
        (0..300).fold(Layer::new(), |layer, i| layer.file(&format!("f{i}"), &format!("{i}")));
    let unpacked = tree.apply([many.file("large", &body).file("last", "x")]);
    assert!(tree.read("large") == body);
    for i in 0..300 {
        assert_eq!(tree.read(&format!("f{i}")), i.to_string());
    }
    let digest = unpacked.get(&RootPath::clean("large").unwrap()).digest.unwrap();
    assert_eq!(Digest::from_sha256(&digest), Digest::of(Algorithm::Sha256, &body));
}

/// A layer of files that begin shortly before the end of a buffer, each with what fills all of
/// another buffer before it: small ones, and behind each group of them a large one.
fn straddling(groups: [usize; 2]) -> Layer {
    let (mut layer, mut position) = (Layer::new(), 0);
    for count in groups {
        for number in 0..=count {
            let size = if number < count { 1024 } else { 512 << 10 };
            // Two headers come before the body.
            let begin = (position / BUFFER + 2) * BUFFER - 512;
            let mut filler = format!("{} comment=", begin - 1024 - position).into_bytes();
            filler.resize(begin - 1025 - position, b'x');
            filler.push(b'\n');
            let name = format!("{count}-{number}");
            layer = layer.raw("x", EntryType::XHeader, |_| {}, &filler).raw(
                &name,
                EntryType::Regular,
                |_| {},
                &vec![b'f'; size],
            );
            position = begin + size;
        }
    }
    layer
}

#[test]
fn files_far_apart_leave_buffers_for_what_follows() {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        // As many as a batch may have, all but one.
        let layer = || straddling([15, 31]);
        Tree::new().apply([layer(), layer()]);
        let _ = done.send(());
    });
    wait.recv_timeout(std::time::Duration::from_secs(60)).expect("waits for ever");
}

#[test]
fn a_file_is_known_as_it_was_finished() {
    let tree = Tree::new();
    let many = |layer: Layer| (0..100).fold(layer, |layer, n| layer.file(&format!("f{n}"), "many"));
    let lower = Layer::new().file("replaced", "lower").file("linked", "x").file("late", "x");
    let odd = |header: &mut Header| header.set_mode(0o2640);
    let upper = many(Layer::new().file("replaced", "upper"))
        .raw("odd", EntryType::Regular, odd, b"odd")
        .hard_link("link", "linked")
        .hard_link("early", "late")
        .dir("dir");
    let unpacked = tree.apply([lower, upper]);
    let fs = Native::open(&tree.at("")).unwrap();
    let dir = fs.open_dir(&RootPath::root()).unwrap();
    for listed in fs.read_dir(&dir).unwrap().iter() {
        let name = crate::rootfs::Name::new(listed).unwrap();
        let known = unpacked.get(&RootPath::root().join(name));
        let may_have_changed = matches!(listed, b"linked" | b"link" | b"late" | b"early" | b"dir");
        let expected = (!may_have_changed).then(|| fs.stat(&dir, name).unwrap());
        assert_eq!(known.stat, expected, "{name:?}");
        assert_eq!(known.digest.is_some(), listed != b"dir", "{name:?}");
    }
}

#[test]
fn missing_parents_are_made_the_same_way_every_time() {
    let tree = Tree::new();
    tree.apply([Layer::new().file("a/b/c", "x")]);
    for path in ["a", "a/b"] {
        let meta = tree.at(path).metadata().unwrap();
        assert_eq!((meta.permissions().mode() & 0o7777, meta.mtime()), (0o755, 0), "{path}");
    }
}

#[test]
fn parents_keep_their_times() {
    let tree = Tree::new();
    tree.apply([
        Layer::new().dir("a/").dir("a/b/").file("a/b/old", ""),
        Layer::new().file("a/b/new", "").file("a/b/.wh.old", ""),
    ]);
    assert!(tree.exists("a/b/new") && !tree.exists("a/b/old"));
    assert_eq!((tree.mtime("a"), tree.mtime("a/b")), (1_000_000_000, 1_000_000_000));
}

#[test]
fn whiteouts_spare_the_same_layer_in_any_order() {
    for order in 0..3 {
        let tree = Tree::new();
        let lower = Layer::new().dir("d/").file("d/old", "").dir("d/sub/").file("d/sub/x", "");
        let (upper, gone): (_, &[&str]) = match order {
            0 => (Layer::new().file("d/.wh..wh..opq", "").file("d/new", ""), &["d/old", "d/sub"]),
            1 => (Layer::new().file("d/new", "").file("d/.wh..wh..opq", ""), &["d/old", "d/sub"]),
            _ => (Layer::new().file("d/sub/new", "").file(".wh.d", ""), &["d/old", "d/sub/x"]),
        };
        tree.apply([lower, upper]);
        assert!(tree.exists("d/new") || tree.exists("d/sub/new"), "{order}");
        for path in gone {
            assert!(!tree.exists(path), "{order}: {path}");
        }
        assert_eq!(tree.mtime("d"), 1_000_000_000, "{order}");
    }
}

#[test]
fn whiteouts_of_nothing_do_nothing() {
    let tree = Tree::new();
    tree.apply([Layer::new()
        .file("f", "")
        .file(".wh.x", "")
        .file("f/.wh.x", "")
        .file("a/.wh.b", "")]);
    assert!(tree.exists("f") && !tree.exists("a"));
}

#[test]
fn hostile_whiteouts_are_refused() {
    for name in [".wh.", "d/.wh.", ".wh..", ".wh...", "d/.wh...", "d/.wh.."] {
        let tree = Tree::new();
        tree.refuse(
            [Layer::new().dir("d/").file("d/f", ""), Layer::new().file(name, "")],
            "whiteout",
        );
        assert!(tree.exists("d/f"), "{name}");
    }
}

/// The marker speaks of what is in the directory, the whiteout of the directory.
#[test]
fn a_directory_that_is_emptied_can_still_be_removed() {
    let tree = Tree::new();
    tree.apply([
        Layer::new().dir("d").file("d/f", "x").dir("kept"),
        Layer::new().file("d/.wh..wh..opq", "").file(".wh.d", "").file(".wh.d", ""),
    ]);
    assert!(!tree.exists("d") && tree.exists("kept"));
}

#[test]
fn a_whiteout_takes_the_link_and_not_its_target() {
    let tree = Tree::new();
    let lower = Layer::new().dir("t/").file("t/f", "").symlink("l", "t");
    tree.apply([lower, Layer::new().file(".wh.l", "")]);
    assert!(!tree.exists("l") && tree.exists("t/f"));
}

#[test]
fn an_opaque_directory_in_the_place_of_a_link_leaves_its_target_alone() {
    for first in [true, false] {
        let tree = Tree::new();
        let lower = Layer::new().dir("t/").file("t/keep", "").symlink("l", "/t");
        let upper = if first {
            Layer::new().file("l/.wh..wh..opq", "").dir("l/").file("l/new", "")
        } else {
            Layer::new().dir("l/").file("l/.wh..wh..opq", "").file("l/new", "")
        };
        tree.apply([lower, upper]);
        assert!(tree.exists("t/keep") && tree.exists("l/new") && !tree.exists("t/new"), "{first}");
    }
}

#[test]
fn an_opaque_root_removes_all_but_the_root() {
    let tree = Tree::new();
    tree.apply([
        Layer::new().dir("a/").file("a/f", ""),
        Layer::new().file(".wh..wh..opq", "").file("n", ""),
    ]);
    assert!(!tree.exists("a") && tree.exists("n"));
}

#[test]
fn a_hard_link_names_an_inode() {
    let tree = Tree::new();
    tree.apply([
        Layer::new().file("a", "old").hard_link("b", "a"),
        Layer::new().file("a", "new").hard_link("c", "b"),
        Layer::new().file(".wh.a", ""),
    ]);
    assert!(!tree.exists("a"));
    assert_eq!((tree.read("b"), tree.read("c")), ("old".into(), "old".into()));
}

#[test]
fn hard_links_may_come_before_their_target() {
    let tree = Tree::new();
    let unpacked = tree.apply([Layer::new().hard_link("d/b", "a").file("a", "text")]);
    assert_eq!(tree.read("d/b"), "text");
    assert!(unpacked.get(&RootPath::clean("d/b").unwrap()).digest.is_some());
}

#[test]
fn a_hard_link_that_waits_takes_the_name_from_an_earlier_member() {
    let tree = Tree::new();
    tree.apply([Layer::new().file("a", "old").hard_link("a", "b").file("b", "text")]);
    assert_eq!(tree.read("a"), "text");
    let tree = Tree::new();
    tree.apply([Layer::new().hard_link("a", "b").file("a", "later").file("b", "text")]);
    assert_eq!(tree.read("a"), "later");
}

#[test]
fn an_opaque_marker_in_a_link_that_stays_one_clears_what_it_leads_to() {
    let tree = Tree::new();
    let lower = Layer::new().dir("t/").file("t/old", "").symlink("l", "t");
    tree.apply([lower, Layer::new().file("l/.wh..wh..opq", "").file("l/new", "")]);
    assert!(tree.exists("t/new") && !tree.exists("t/old") && tree.at("l").is_symlink());
}

#[test]
fn a_disk_that_fails_is_the_reason_given() {
    let tree = Tree::new();
    let failing = LayerSource { stream: Box::new(Cursor::new(vec![1; 512])), ..source(Vec::new()) };
    let fs = Native::open(&tree.at("")).unwrap();
    let layers = vec![Ok(failing)].into_iter();
    let failure = unpack_layers(&fs, layers, FileDigests::Skip, &tree.options).unwrap_err();
    assert_eq!(failure.error.to_string().matches("unpack entry").count(), 0, "{}", failure.error);
}

#[test]
fn hard_links_that_cannot_be_are_refused() {
    let tree = Tree::new();
    tree.refuse([Layer::new().hard_link("b", "missing")], "no such file");
    tree.refuse([Layer::new().file("a", "").hard_link("a", "a")], "itself");
    tree.refuse([Layer::new().dir("d/").hard_link("a", "d")], "directory");
    tree.refuse([Layer::new().hard_link("x", "../outside/canary")], "no such file");
    tree.refuse(
        [Layer::new().symlink("l", "../outside").hard_link("x", "l/canary")],
        "no such file",
    );
}

#[test]
fn links_lead_nowhere_outside() {
    let tree = Tree::new();
    let outside = tree.place.path().join("outside");
    let outside = outside.to_str().unwrap();
    tree.apply([
        Layer::new().symlink("abs", outside).file("abs/f", "in"),
        Layer::new().symlink("up", "../../outside").file("up/g", "in"),
    ]);
    assert!(tree.at(&outside[1..]).join("f").exists());
    assert_eq!(tree.read("outside/g"), "in");
}

#[test]
fn names_that_climb_stay_inside() {
    let tree = Tree::new();
    tree.apply([Layer::new().file("../../e", "1").file("/abs", "2").file("a/../../../y", "3")]);
    assert_eq!(
        (tree.read("e"), tree.read("abs"), tree.read("y")),
        ("1".into(), "2".into(), "3".into())
    );
}

#[test]
fn nothing_is_written_through_what_was_there() {
    let tree = Tree::new();
    let canary = tree.place.path().join("outside/canary");
    symlink(&canary, tree.at("link")).unwrap();
    fs::hard_link(&canary, tree.at("hard")).unwrap();
    tree.apply([Layer::new().file("link", "new").file("hard", "new").raw(
        "link",
        EntryType::Directory,
        |header| header.set_mode(0o777),
        b"",
    )]);
    assert!(tree.at("link").symlink_metadata().unwrap().is_dir());
    assert_eq!(tree.read("hard"), "new");
}

#[test]
fn a_type_makes_room_for_another() {
    let tree = Tree::new();
    tree.apply([
        Layer::new().file("a", "").dir("d/").file("d/x", "").symlink("l", "d").dir("keep/"),
        Layer::new().file("a/b/c", "1").file("d", "2").file("l", "3").file("keep/x", "4"),
    ]);
    assert_eq!(
        (tree.read("a/b/c"), tree.read("d"), tree.read("l")),
        ("1".into(), "2".into(), "3".into())
    );
    assert_eq!(tree.read("keep/x"), "4");
}

#[test]
fn links_to_directories_are_kept_on_request() {
    let lower = || {
        Layer::new().dir("real/").file("real/old", "").symlink("l", "real").symlink("loop", "loop")
    };
    let upper = || {
        Layer::new()
            .raw("l/", EntryType::Directory, |header| header.set_mode(0o700), b"")
            .file("l/new", "")
            .dir("loop/")
    };
    let mut tree = Tree::new();
    tree.apply([lower(), upper()]);
    assert!(!tree.exists("real/new") && tree.exists("l/new"));
    tree = Tree::new();
    tree.options.dir_links = DirLinks::Keep;
    tree.apply([lower(), upper()]);
    assert!(tree.exists("real/new") && tree.at("l").is_symlink());
    assert_eq!(tree.at("real").metadata().unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(tree.at("loop").symlink_metadata().unwrap().is_dir());
}

#[test]
fn the_root_stays_a_directory() {
    let tree = Tree::new();
    for name in [".", "/", "./", "a/.."] {
        tree.refuse([Layer::new().symlink(name, "/outside")], "root directory");
    }
    tree.apply([Layer::new().raw(
        "./",
        EntryType::Directory,
        |header| header.set_mode(0o711),
        b"",
    )]);
    assert_eq!(tree.at("").metadata().unwrap().permissions().mode() & 0o7777, 0o711);
    assert_eq!(tree.mtime(""), 1_000_000_000);
}

#[test]
fn ids_outside_the_maps_are_refused_before_anything_is_written() {
    let mut tree = Tree::new();
    tree.options.maps.uid = IdMap::parse(&["0:1000:1"]).unwrap();
    let layer = Layer::new().raw("f", EntryType::Regular, |header| header.set_uid(5), b"");
    tree.refuse([layer], "container id 5 cannot be mapped");
}

#[test]
fn deep_paths_have_a_limit() {
    let deep = "d/".repeat(3000);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(0);
    builder.append_data(&mut header, &deep[..deep.len() - 2], &b""[..]).unwrap();
    let error = Tree::new().unpack(vec![builder.into_inner().unwrap()]).unwrap_err().error;
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn a_wrong_diff_id_is_found() {
    let tree = Tree::new();
    let mut wrong = source(Layer::new().file("f", "").bytes());
    wrong.diff_id = Some(Digest::of(Algorithm::Sha256, "other"));
    let fs = Native::open(&tree.at("")).unwrap();
    let sources = vec![Ok(wrong)].into_iter();
    let failure = unpack_layers(&fs, sources, FileDigests::Skip, &tree.options).unwrap_err();
    assert!(failure.error.to_string().contains("diffid mismatch"), "{}", failure.error);
    assert_eq!((failure.layer, failure.error.kind()), (Some(0), ErrorKind::Mismatch));
}

/// Blocks of zeros, and then an error.
struct Broken(u32);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| std::io::Error::other("the disk is gone"))?;
        buffer.fill(0);
        Ok(buffer.len())
    }
}

fn broken() -> LayerSource<'static> {
    LayerSource { stream: Box::new(Broken(20)), ..source(Vec::new()) }
}

#[test]
fn a_stream_that_breaks_off_ends_all_stages() {
    let tree = Tree::new();
    let fs = Native::open(&tree.at("")).unwrap();
    let layers = vec![Ok(broken())].into_iter();
    let failure = unpack_layers(&fs, layers, FileDigests::Skip, &tree.options).unwrap_err();
    assert!(failure.error.to_string().contains("the disk is gone"), "{}", failure.error);
}

/// Whatever stage finds it, and though a later layer has failed by then.
#[test]
fn the_lowest_layer_that_failed_is_the_reason_given() {
    let good = || source(Layer::new().file("f", "").bytes());
    let large = || straddling([2, 2]).file("last", "");
    let wrong = || LayerSource { diff_id: good().diff_id, ..source(large().bytes()) };
    let refused = || source(large().file(".wh.", "").bytes());
    let missing = || Err(Error::new(ErrorKind::NotFound, "no such blob"));
    for (second, because) in [
        (Ok(wrong()), "diffid mismatch"),
        (Ok(refused()), "whiteout"),
        (Ok(broken()), "the disk is gone"),
        (missing(), "no such blob"),
    ] {
        let tree = Tree::new();
        let fs = Native::open(&tree.at("")).unwrap();
        let layers = vec![Ok(good()), second, missing(), Ok(good())].into_iter();
        let failure = unpack_layers(&fs, layers, FileDigests::Skip, &tree.options).unwrap_err();
        assert_eq!(failure.layer, Some(1), "{}", failure.error);
        assert!(failure.error.to_string().contains(because), "{}", failure.error);
    }
}

#[test]
fn two_layers_are_decoded_at_the_same_time() {
    /// A stream that tells of its start, or waits to be told of another's.
    enum Linked {
        Tells(Sender<()>),
        Waits(Receiver<()>),
    }
    impl Read for Linked {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            match self {
                Self::Tells(other) => other.send(()).map_err(std::io::Error::other)?,
                Self::Waits(other) => {
                    let patience = std::time::Duration::from_secs(60);
                    other.recv_timeout(patience).map_err(std::io::Error::other)?;
                }
            }
            Ok(0)
        }
    }
    let tree = Tree::new();
    let fs = Native::open(&tree.at("")).unwrap();
    let (tell, wait) = mpsc::channel();
    let streams = [Linked::Waits(wait), Linked::Tells(tell)];
    let layer = |stream| LayerSource { stream: Box::new(stream), ..source(Vec::new()) };
    let layers = streams.map(|stream| Ok(layer(stream))).into_iter();
    unpack_layers(&fs, layers, FileDigests::Skip, &tree.options).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No sequence of odd names and links gets out of the root or hangs.
    #[test]
    fn nothing_escapes(user_overlay in any::<bool>(), members in proptest::collection::vec(
        (0..6_u8, "[ab./]{1,8}", "(/|\\.\\./){0,3}(outside|a|b)(/canary)?"), 1..12)) {
        let mut tree = Tree::new();
        if user_overlay {
            tree.options.format = DiskFormat::Overlay(OverlayNamespace::User);
        }
        let layer = members.iter().fold(Layer::new(), |layer, (kind, name, target)| match kind {
            0 => layer.file(name, "x"),
            1 => layer.dir(name),
            2 => layer.symlink(name, target),
            3 => layer.hard_link(name, target),
            4 => layer.file(&format!("{name}/.wh.{}", &target[target.len() - 1..]), ""),
            _ => layer.file(&format!("{name}/.wh..wh..opq"), ""),
        });
        // Refused or applied: what counts is checked by `unpack` itself.
        let _ = tree.unpack(vec![layer.bytes()]);
    }
}
