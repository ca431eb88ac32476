// SPDX-License-Identifier: Apache-2.0
//! Layers in the form of directories for overlayfs, case by case and in both
//! namespaces. What is on disk is read with other means than those under test.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, mknod};

use super::*;
use crate::layer::{
    DiskFormat, LayerOptions, LayerWriter, Owners, PackOptions, RootMember, TreePacker, pack_tree,
};
use crate::rootfs::{OverlayNamespace, Ownership, Rootless, RootlessOptions};

pub(super) const NAMESPACES: [OverlayNamespace; 2] =
    [OverlayNamespace::Trusted, OverlayNamespace::User];

pub(super) fn prefix(namespace: OverlayNamespace) -> &'static str {
    match namespace {
        OverlayNamespace::Trusted => "trusted.overlay.",
        OverlayNamespace::User => "user.overlay.",
    }
}

pub(super) fn set(path: &Path, name: &str, value: &[u8]) {
    xattr::set(path, name, value).unwrap_or_else(|error| panic!("{path:?}: {name}: {error}"));
}

pub(super) fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
    xattr::get(path, name).unwrap()
}

pub(super) fn make_whiteout(path: &Path) {
    try_to_make_whiteout(path).unwrap();
}

fn try_to_make_whiteout(path: &Path) -> nix::Result<()> {
    mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), 0)
}

pub(super) fn is_whiteout(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0)
}

/// The namespaces that the place of temporary files has and this user may use; none where there
/// are no whiteouts, as in a directory that overlayfs shows.
pub(super) fn usable() -> Vec<OverlayNamespace> {
    let place = tempfile::tempdir().unwrap();
    if let Err(error) = try_to_make_whiteout(&place.path().join("whiteout")) {
        eprintln!("skipped: no whiteouts of overlayfs here: {error}");
        return vec![];
    }
    let usable = |namespace: &OverlayNamespace| {
        let name = format!("{}test", prefix(*namespace));
        let usable = xattr::set(place.path(), name, b"").is_ok();
        if !usable {
            eprintln!("skipped for {namespace:?}: no such attributes here for this user");
        }
        usable
    };
    NAMESPACES.into_iter().filter(usable).collect()
}

impl Tree {
    pub(super) fn overlay(namespace: OverlayNamespace) -> Self {
        let mut tree = Self::new();
        tree.options.format = DiskFormat::Overlay(namespace);
        tree
    }

    fn namespace(&self) -> OverlayNamespace {
        match self.options.format {
            DiskFormat::Overlay(namespace) => namespace,
            DiskFormat::Plain => panic!("a plain tree"),
        }
    }

    /// Everything below the root in order: `/` behind directories, `!` behind
    /// opaque ones, `-` before whiteouts.
    fn shown(&self) -> String {
        let opaque = format!("{}opaque", prefix(self.namespace()));
        let mut shown = Vec::new();
        let walk = walkdir::WalkDir::new(self.at("")).sort_by_file_name().min_depth(1);
        for found in walk {
            let found = found.unwrap();
            let path = found.path().strip_prefix(self.at("")).unwrap().display().to_string();
            shown.push(match found.file_type() {
                _ if is_whiteout(found.path()) => format!("-{path}"),
                kind if !kind.is_dir() => path,
                _ => match get(found.path(), &opaque) {
                    None => format!("{path}/"),
                    Some(value) if value == b"y" => format!("{path}/!"),
                    Some(value) => panic!("{path}: {}", value.escape_ascii()),
                },
            });
        }
        shown.join(" ")
    }

    pub(super) fn pack(&self) -> Result<Vec<u8>> {
        self.pack_with(RootMember::Written)
    }

    fn pack_with(&self, root: RootMember) -> Result<Vec<u8>> {
        let fs = Native::open(&self.at("")).unwrap();
        let owners = Owners::Mapped(self.options.maps.clone());
        let format = self.options.format;
        pack_tree(&fs, Vec::new(), &PackOptions { format, root, owners, ..Default::default() })
    }

    /// The names of the members that it is packed to.
    fn packed(&self) -> String {
        let layer = self.pack().unwrap();
        let mut members = Members::new(&layer[..]);
        let mut names = Vec::new();
        while let Some(entry) = members.next_member().unwrap() {
            names.push(String::from_utf8(entry.path).unwrap());
        }
        names.join(" ")
    }
}

#[test]
fn whiteouts_and_opaque_directories() {
    // What a layer holds (`d/` a directory, `l@` a link, else a file), and what it becomes.
    let cases = [
        ("d/ d/.wh.x", "d/ -d/x"),
        ("a/b/.wh.x", "a/ a/b/ -a/b/x"),
        (".wh.x x", "x"),
        ("x .wh.x", "x"),
        // A directory that is new stays as it is.
        ("d/ d/x", "d/ d/x"),
        // Gone, or gone and made again, is not the same.
        (".wh.d", "-d"),
        (".wh.d d/", "d/!"),
        ("d/ .wh.d", "d/!"),
        (".wh.d d/x", "d/! d/x"),
        ("d/x .wh.d", "d/! d/x"),
        (".wh.d d/e/x", "d/! d/e/ d/e/x"),
        (".wh.l l@", "l"),
        // Nothing stands for what an opaque directory hides anyhow.
        ("d/ d/.wh..wh..opq d/new", "d/! d/new"),
        ("d/new d/.wh..wh..opq", "d/! d/new"),
        ("d/.wh.x d/.wh..wh..opq d/new", "d/! d/new"),
        ("d/.wh..wh..opq d/.wh.x d/new", "d/! d/new"),
        ("d/.wh..wh..opq d/e/.wh.x d/e/new", "d/! d/e/ d/e/new"),
        ("d/e/.wh..wh..opq d/.wh..wh..opq", "d/!"),
        ("d/ d/e/ d/e/.wh..wh..opq d/.wh..wh..opq", "d/! d/e/!"),
        (".wh.d d/.wh.x d/y", "d/! d/y"),
        (".wh.d d/.wh.x", "-d"),
        (".wh.d d/.wh..wh..opq", "-d"),
        ("d/.wh..wh..opq .wh.d", "-d"),
        ("a/b/.wh..wh..opq", "a/ a/b/!"),
        // What takes another's place takes all that it hid.
        ("d d/", "d/!"),
        ("d d/x", "d/! d/x"),
        ("d d/x d/", "d/! d/x"),
        ("d/ d", "d"),
        ("d/.wh.x d", "d"),
        ("d d/.wh.x", "d"),
        ("d d/.wh..wh..opq", "d"),
        ("l@ l/.wh..wh..opq", "l"),
        ("l@ l/.wh..wh..opq l/", "l/!"),
    ];
    for namespace in usable() {
        for (members, expected) in cases {
            let tree = Tree::overlay(namespace);
            let layer = members.split(' ').fold(Layer::new(), |layer, member| {
                match (member.strip_suffix('/'), member.strip_suffix('@')) {
                    (Some(_), _) => layer.dir(member),
                    (_, Some(link)) => layer.symlink(link, "nowhere"),
                    _ => layer.file(member, ""),
                }
            });
            tree.apply([layer]);
            assert_eq!(tree.shown(), expected, "{namespace:?}: {members}");
        }
    }
}

#[test]
fn layers_can_become_one() {
    for namespace in usable() {
        let tree = Tree::overlay(namespace);
        let first = Layer::new().file(".wh.d", "").file("e/.wh..wh..opq", "").file("e/x", "");
        let first = first.file("f", "").file("g/.wh.x", "").dir("h/").file("h/.wh.x", "");
        let second = Layer::new().file("d/x", "").file("e/.wh.x", "").file("f/x", "");
        let second = second.file("g/.wh..wh..opq", "").file(".wh.h", "").symlink("l", "g");
        tree.apply([first, second, Layer::new().file("l/.wh..wh..opq", "")]);
        assert_eq!(tree.shown(), "d/! d/x e/! f/! f/x g/! -h l/!");
    }
}

/// What stands for other devices would hide nothing.
#[test]
fn whiteouts_are_devices_for_ordinary_users_too() {
    if !usable().contains(&OverlayNamespace::User) {
        return;
    }
    let tree = Tree::overlay(OverlayNamespace::User);
    let root = fs::File::open(tree.at("")).unwrap();
    let ownership = Ownership::Record;
    let options = RootlessOptions { ownership, ..RootlessOptions::default() };
    let rootless = Rootless::native(root, options).unwrap();
    let layer = Layer::new().file("d/.wh..wh..opq", "").file("e/.wh.x", "").bytes();
    let format = tree.options.format;
    let options = ApplyOptions { format, ..ApplyOptions::default() };
    unpack_layer(&rootless, &layer[..], &options).unwrap();
    assert_eq!(tree.shown(), "d/! e/ -e/x");
}

#[test]
fn a_whiteout_is_nobodys() {
    for namespace in usable() {
        let tree = Tree::overlay(namespace);
        tree.apply([Layer::new().dir("d/").file("d/.wh.x", "").file("e/.wh.x", "")]);
        let meta = tree.at("d/x").symlink_metadata().unwrap();
        assert_eq!((meta.permissions().mode() & 0o7777, meta.mtime()), (0o666, 0));
        assert_eq!((tree.mtime("d"), tree.mtime("e")), (1_000_000_000, 0));
    }
}

#[test]
fn attributes_of_overlayfs_are_not_those_of_the_tree() {
    for namespace in usable() {
        let (own, other) = match namespace {
            OverlayNamespace::Trusted => ("trusted.overlay.", "user.overlay."),
            OverlayNamespace::User => ("user.overlay.", "trusted.overlay."),
        };
        let other_is_usable = usable().len() == NAMESPACES.len();
        let mut names = vec![format!("{own}opaque"), format!("{own}overlay.deep")];
        names.push("user.plain".to_owned());
        names.extend(other_is_usable.then(|| format!("{other}opaque")));
        let tree = Tree::overlay(namespace);
        let xattrs = |layer: Layer| {
            let records = names.iter().map(|name| format!("SCHILY.xattr.{name}"));
            let records: Vec<_> = records.collect();
            let mut layer = layer;
            layer.0.append_pax_extensions(records.iter().map(|name| (&**name, &b"y"[..]))).unwrap();
            layer
        };
        let layer = xattrs(xattrs(xattrs(Layer::new()).dir("d/")).file("f", "")).dir("o/");
        tree.apply([layer.file("o/.wh..wh..opq", "")]);
        for path in ["d", "f", "o"] {
            let escaped = |name: &str| get(&tree.at(path), &format!("{own}overlay.{name}"));
            assert_eq!(escaped("opaque").as_deref(), Some(&b"y"[..]), "{path}");
            assert_eq!(escaped("overlay.deep").as_deref(), Some(&b"y"[..]), "{path}");
            assert!(escaped("deep").is_none());
            let opaque = get(&tree.at(path), &format!("{own}opaque")).is_some();
            assert_eq!(opaque, path == "o", "{path}");
            assert_eq!(get(&tree.at(path), "user.plain").as_deref(), Some(&b"y"[..]));
            if other_is_usable {
                assert!(get(&tree.at(path), &format!("{other}opaque")).is_some());
            }
        }
        // Another layer clears what the tree had, and keeps what overlayfs has.
        set(&tree.at("o"), &format!("{own}origin"), b"secret");
        tree.apply([Layer::new().dir("o/")]);
        assert!(get(&tree.at("o"), "user.plain").is_none());
        assert!(get(&tree.at("o"), &format!("{own}overlay.opaque")).is_none());
        assert_eq!(get(&tree.at("o"), &format!("{own}opaque")).unwrap(), b"y");
        assert_eq!(get(&tree.at("o"), &format!("{own}origin")).unwrap(), b"secret");
        // And packing gives the names of the tree alone.
        let layer = tree.pack().unwrap();
        let mut members = Members::new(&layer[..]);
        while let Some(entry) = members.next_member().unwrap() {
            let of_tree = [&b"d/"[..], b"f"].contains(&&*entry.path);
            let mut found: Vec<_> = entry.xattrs.iter().map(|xattr| xattr.name.to_vec()).collect();
            found.retain(|name| !crate::rootfs::is_host_label(name));
            let mut expected: Vec<_> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
            expected.sort();
            assert_eq!(found, if of_tree { expected } else { Vec::new() }, "{:?}", entry.path);
        }
    }
}

#[test]
fn what_a_directory_for_overlayfs_says_becomes_whiteouts() {
    for namespace in usable() {
        let own = prefix(namespace);
        let tree = Tree::overlay(namespace);
        for directory in ["d", "o", "o/e", "x"] {
            fs::create_dir(tree.at(directory)).unwrap();
        }
        for file in ["d/file", "d/empty", "o/file", "x/gone"] {
            fs::write(tree.at(file), if file == "d/file" { "text" } else { "" }).unwrap();
        }
        make_whiteout(&tree.at("d/a"));
        fs::hard_link(tree.at("d/a"), tree.at("d/z")).unwrap();
        set(&tree.at("o"), &format!("{own}opaque"), b"y");
        set(&tree.at("x"), &format!("{own}opaque"), b"x");
        set(&tree.at("x/gone"), &format!("{own}whiteout"), b"");
        // A file with contents is one.
        set(&tree.at("d/file"), &format!("{own}whiteout"), b"");
        set(&tree.at("d/empty"), &format!("{own}origin"), b"/secret");
        let expected = ". d/ d/.wh.a d/empty d/file d/.wh.z \
                        o/ o/.wh..wh..opq o/e/ o/file x/ x/.wh.gone";
        assert_eq!(tree.packed(), expected);
        set(&tree.at(""), &format!("{own}opaque"), b"y");
        assert_eq!(tree.packed(), expected.replacen('.', ". .wh..wh..opq", 1));
    }
}

#[test]
fn a_plain_tree_has_devices_and_attributes() {
    for namespace in usable() {
        let mut tree = Tree::overlay(namespace);
        fs::create_dir(tree.at("d")).unwrap();
        set(&tree.at("d"), &format!("{}opaque", prefix(namespace)), b"y");
        make_whiteout(&tree.at("d/x"));
        tree.options.format = DiskFormat::Plain;
        assert_eq!(tree.packed(), ". d/ d/x");
    }
}

#[test]
fn what_no_layer_can_hold_is_refused() {
    for namespace in usable() {
        for (path, attribute) in [("d", "redirect"), ("f", "metacopy")] {
            let tree = Tree::overlay(namespace);
            fs::create_dir(tree.at("d")).unwrap();
            fs::write(tree.at("f"), "").unwrap();
            set(&tree.at(path), &format!("{}{attribute}", prefix(namespace)), b"/elsewhere");
            let error = tree.pack().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(attribute), "{error}");
        }
    }
}

#[test]
fn a_member_cannot_pose_as_a_whiteout() {
    for namespace in usable() {
        let tree = Tree::overlay(namespace);
        let device = |header: &mut Header| {
            header.set_device_major(0).unwrap();
            header.set_device_minor(0).unwrap();
        };
        let layer = Layer::new().raw("x", EntryType::Char, device, b"");
        tree.refuse([layer], "would be a whiteout");
        let name = format!("SCHILY.xattr.{}whiteout", prefix(namespace));
        let mut layer = Layer::new();
        layer.0.append_pax_extensions([(&*name, &b"y"[..])]).unwrap();
        tree.apply([layer.file("x", "")]);
        assert_eq!(tree.packed(), ". x");
    }
}

#[test]
fn differences_are_packed_too() {
    for namespace in usable() {
        let tree = Tree::overlay(namespace);
        fs::create_dir_all(tree.at("d/o")).unwrap();
        set(&tree.at("d/o"), &format!("{}opaque", prefix(namespace)), b"y");
        make_whiteout(&tree.at("d/x"));
        let fs = Native::open(&tree.at("")).unwrap();
        let owners = Owners::Mapped(tree.options.maps.clone());
        let layer = LayerWriter::new(Vec::new(), LayerOptions::default());
        let mut packer =
            TreePacker::new(&fs, &owners, layer).with_format(DiskFormat::Overlay(namespace));
        for path in ["d/o", "d/x"] {
            packer.add(&RootPath::clean(path).unwrap()).unwrap();
        }
        let layer = packer.finish().unwrap();
        let mut members = Members::new(&layer[..]);
        for expected in ["d/o/", "d/o/.wh..wh..opq", "d/.wh.x"] {
            let entry = members.next_member().unwrap().unwrap();
            assert_eq!(OsStr::from_bytes(&entry.path), expected);
        }
        assert!(members.next_member().unwrap().is_none());
    }
}

#[test]
fn packing_undoes_unpacking_to_the_byte() {
    for namespace in usable() {
        let both = |root| [(root, true), (root, false)];
        for (root, hidden) in [RootMember::Written, RootMember::Omitted].into_iter().flat_map(both)
        {
            let source = Tree::overlay(namespace);
            fs::create_dir_all(source.at("d/o/empty")).unwrap();
            fs::write(source.at("d/o/f"), "data").unwrap();
            set(&source.at("d/o"), &format!("{}opaque", prefix(namespace)), b"y");
            // Below an opaque root there is nothing for a whiteout to hide.
            if hidden {
                set(&source.at(""), &format!("{}opaque", prefix(namespace)), b"y");
            } else {
                make_whiteout(&source.at("d/gone"));
            }
            let layer = source.pack_with(root).unwrap();

            let copy = Tree::overlay(namespace);
            copy.unpack(vec![layer.clone()]).unwrap();
            assert!(copy.pack_with(root).unwrap() == layer, "{root:?}, {hidden}");
        }
    }
}

#[test]
fn whiteouts_lead_nowhere_outside() {
    for namespace in usable() {
        let tree = Tree::overlay(namespace);
        let layer = Layer::new().symlink("up", "../../outside").file("up/.wh.canary", "");
        tree.apply([layer.file("../../.wh.canary", "").file("up/.wh..wh..opq", "")]);
        assert_eq!(tree.shown(), "-canary outside/ -outside/canary up");
    }
}
