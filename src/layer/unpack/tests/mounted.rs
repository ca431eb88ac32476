// SPDX-License-Identifier: Apache-2.0
//! Laws of the form for overlayfs, with the kernel as the judge where this
//! user may mount: what it shows of the layers is what they are when they are
//! applied plainly, and a directory that it has filled survives being packed.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use super::overlay::{is_whiteout, make_whiteout, prefix, set, usable};
use super::*;
use crate::layer::{DiskFormat, PackOptions, pack_tree};
use crate::rootfs::OverlayNamespace;

/// Directories stacked by the kernel; gone when dropped.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    /// The highest layer first; with an upper directory and its `work` beside it, to change.
    fn new(
        at: &'a Path,
        lower: &[&Path],
        upper: Option<(&Path, &Path)>,
        namespace: OverlayNamespace,
    ) -> Option<Self> {
        let lower: Vec<_> = lower.iter().map(|path| path.to_str().unwrap()).collect();
        let upper = upper.map_or_else(String::new, |(upper, work)| {
            format!(",upperdir={},workdir={}", upper.display(), work.display())
        });
        let rest = match namespace {
            OverlayNamespace::Trusted => "redirect_dir=off,metacopy=off",
            OverlayNamespace::User => "userxattr",
        };
        let options = format!("lowerdir={}{upper},index=off,{rest}", lower.join(":"));
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o", &options]).arg(at);
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self(at))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Programs that other tests start hold it open for a moment.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()));
    }
}

/// The namespaces with which this user may mount.
fn mountable() -> Vec<OverlayNamespace> {
    static MOUNTABLE: LazyLock<Vec<OverlayNamespace>> = LazyLock::new(try_to_mount);
    MOUNTABLE.clone()
}

fn try_to_mount() -> Vec<OverlayNamespace> {
    let mountable = |namespace: &OverlayNamespace| {
        let place = Place::new();
        let [one, two, at] = ["one", "two", "at"].map(|name| place.dir(name));
        let mountable = Mounted::new(&at, &[&one, &two], None, *namespace).is_some();
        if !mountable {
            eprintln!("skipped for {namespace:?}: this user may not mount overlayfs here");
        }
        mountable
    };
    usable().into_iter().filter(mountable).collect()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

fn unpack(layers: &[&[u8]], path: &Path, format: DiskFormat) {
    let options = ApplyOptions { format, ..Default::default() };
    for layer in layers {
        unpack_layer(&Native::open(path).unwrap(), *layer, &options).unwrap();
    }
}

/// Everything in a tree: what the kernel lists and what it is, times of directories aside.
fn shown(root: &Path) -> Vec<String> {
    let mut shown = Vec::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            // A whiteout that is listed as a name has no inode.
            let Ok(meta) = path.symlink_metadata() else {
                shown.push(format!("{path:?} is a ghost"));
                continue;
            };
            let name = path.strip_prefix(root).unwrap().display();
            let (mode, owner) = (meta.mode(), (meta.uid(), meta.gid()));
            let rest = if meta.is_dir() {
                todo.push(path.clone());
                String::new()
            } else if meta.is_file() {
                let text = fs::read_to_string(&path).unwrap();
                format!("{text:?} {}", meta.mtime())
            } else {
                format!("{:?} {}", fs::read_link(&path).ok(), meta.rdev())
            };
            shown.push(format!("{name} {mode:o} {owner:?} {rest} {:?}", attributes(&path)));
        }
    }
    shown.sort();
    shown
}

/// Extended attributes, but for those that the kernel notes for itself in a stacked directory.
fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let names = xattr::list(path).unwrap().map(|name| name.into_string().unwrap());
    let noted = ["origin", "impure", "uuid", "upper"];
    let of_kernel = |name: &String| {
        let spaces = ["trusted.overlay.", "user.overlay."];
        spaces.iter().any(|space| name.strip_prefix(space).is_some_and(|own| noted.contains(&own)))
    };
    let names = names.filter(|name| !of_kernel(name) && name != "security.selinux");
    let mut found: Vec<_> =
        names.map(|name| (name.clone(), xattr::get(path, name).unwrap().unwrap())).collect();
    found.sort();
    found
}

/// What is in a directory for overlayfs, whatever inode a whiteout is.
fn on_disk(root: &Path) -> Vec<String> {
    let shown = shown(root).into_iter().map(|line| {
        let name = line.split(' ').next().unwrap();
        if is_whiteout(&root.join(name)) { format!("-{name}") } else { line }
    });
    shown.collect()
}

/// The layer below the others: names that all may be changed.
fn lower() -> Vec<u8> {
    let layer = Layer::new().dir("a/").file("a/f", "1").file("a/g", "2").dir("a/c/");
    let layer = layer.file("a/c/f", "3").file("a/c/g", "4").dir("b/").file("b/f", "5");
    layer.symlink("b/l", "nowhere").file("f", "6").bytes()
}

const DIRS: [&str; 5] = ["a", "a/c", "b", "a/n", "n"];
const FILES: [&str; 8] = ["a/f", "a/c/f", "a/c/new", "b/f", "f", "b/l", "n/f", "a/n/f"];

/// A member of the upper layer.
#[derive(Debug, Clone, Copy)]
enum Member {
    Dir(usize),
    File(usize),
    Link(usize),
    /// A file in the place of a directory.
    Cover(usize),
    /// Only of what can be in a lower layer: there the directory is one in all layers.
    Remove(usize),
    RemoveDir(usize),
    Hide(usize),
}

fn member() -> impl Strategy<Value = Member> {
    prop_oneof![
        2 => (0..DIRS.len()).prop_map(Member::Dir),
        3 => (0..FILES.len()).prop_map(Member::File),
        1 => (0..FILES.len()).prop_map(Member::Link),
        1 => (0..DIRS.len()).prop_map(Member::Cover),
        2 => (0..6_usize).prop_map(Member::Remove),
        2 => (0..3_usize).prop_map(Member::RemoveDir),
        2 => (0..3_usize).prop_map(Member::Hide),
    ]
}

fn add(layer: Layer, member: Member) -> Layer {
    let whiteout = |path: &str| match path.rsplit_once('/') {
        Some((above, name)) => format!("{above}/.wh.{name}"),
        None => format!(".wh.{path}"),
    };
    match member {
        Member::Dir(at) => layer.dir(&format!("{}/", DIRS[at])),
        Member::File(at) => layer.file(FILES[at], "new"),
        Member::Link(at) => layer.symlink(FILES[at], "elsewhere"),
        Member::Cover(at) => layer.file(DIRS[at], "cover"),
        Member::Remove(at) => layer.file(&whiteout(FILES[at]), ""),
        Member::RemoveDir(at) => layer.file(&whiteout(DIRS[at]), ""),
        Member::Hide(at) => layer.file(&format!("{}/.wh..wh..opq", DIRS[at]), ""),
    }
}

/// Something that is done in a mounted tree.
#[derive(Debug, Clone, Copy)]
enum Step {
    Write(usize),
    Symlink(usize),
    Link(usize, usize),
    Remove(usize),
    RemoveDir(usize),
    MakeDir(usize),
    Move(usize, usize),
    Mode(usize),
    Attribute(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (file, dir) = (0..FILES.len(), 0..DIRS.len());
    prop_oneof![
        3 => file.clone().prop_map(Step::Write),
        1 => file.clone().prop_map(Step::Symlink),
        1 => (file.clone(), file.clone()).prop_map(|(from, to)| Step::Link(from, to)),
        3 => file.clone().prop_map(Step::Remove),
        3 => dir.clone().prop_map(Step::RemoveDir),
        3 => dir.clone().prop_map(Step::MakeDir),
        2 => (dir.clone(), dir.clone()).prop_map(|(from, to)| Step::Move(from, to)),
        1 => dir.prop_map(Step::Mode),
        1 => file.prop_map(Step::Attribute),
    ]
}

/// Does a step as far as it can be done.
fn take(root: &Path, step: Step, namespace: OverlayNamespace) {
    let (file, dir) = (|at: usize| root.join(FILES[at]), |at: usize| root.join(DIRS[at]));
    let old = filetime::FileTime::from_unix_time(1_000_000_000, 0);
    match step {
        Step::Write(at) => drop(fs::write(file(at), format!("{at}"))),
        Step::Symlink(at) => drop(symlink("elsewhere", file(at))),
        Step::Link(from, to) => drop(fs::hard_link(file(from), file(to))),
        Step::Remove(at) => drop(fs::remove_file(file(at))),
        Step::RemoveDir(at) => drop(fs::remove_dir_all(dir(at))),
        Step::MakeDir(at) => drop(fs::create_dir(dir(at))),
        Step::Move(from, to) => drop(fs::rename(dir(from), dir(to))),
        Step::Mode(at) => drop(fs::set_permissions(dir(at), fs::Permissions::from_mode(0o2711))),
        Step::Attribute(at) if file(at).is_file() => {
            let name = format!("{}metacopy", prefix(namespace));
            drop(xattr::set(file(at), "user.x", b"1"));
            // The kernel escapes it.
            drop(xattr::set(file(at), name, b"2"));
        }
        Step::Attribute(_) => {}
    }
    for path in FILES.map(|path| root.join(path)) {
        drop(filetime::set_symlink_file_times(path, old, old));
    }
}

/// A name of a directory that is filled by hand.
#[derive(Debug, Clone, Copy)]
enum Object {
    Dir,
    Opaque,
    File,
    Whiteout,
    WhiteoutFile,
}

fn object() -> impl Strategy<Value = Object> {
    prop_oneof![
        Just(Object::Dir),
        Just(Object::Dir),
        Just(Object::Opaque),
        Just(Object::File),
        Just(Object::Whiteout),
        Just(Object::WhiteoutFile)
    ]
}

/// Makes it, unless it would be a whiteout in an opaque directory, or in a file.
fn make(root: &Path, path: &str, object: Object, namespace: OverlayNamespace) {
    let own = prefix(namespace);
    let at = root.join(path);
    let opaque = |path: &Path| xattr::get(path, format!("{own}opaque")).unwrap().is_some();
    if !at.parent().unwrap().is_dir() || at.symlink_metadata().is_ok() {
        return;
    }
    let hidden = at.ancestors().skip(1).take_while(|path| *path != root).any(opaque);
    match object {
        Object::Dir => fs::create_dir(at).unwrap(),
        Object::Opaque => {
            fs::create_dir(&at).unwrap();
            set(&at, &format!("{own}opaque"), b"y");
        }
        Object::File => {
            fs::write(&at, path).unwrap();
            set(&at, &format!("{own}overlay.opaque"), b"mine");
        }
        _ if hidden => {}
        Object::Whiteout => make_whiteout(&at),
        Object::WhiteoutFile => {
            fs::write(&at, "").unwrap();
            set(&at, &format!("{own}whiteout"), b"y");
        }
    }
}

/// Overlayfs lets nobody make the device that is a whiteout to it: nested, it is a file.
#[test]
fn whiteouts_can_be_files() {
    for namespace in mountable() {
        let place = Place::new();
        let [bottom, work, upper, at, inner] =
            ["bottom", "work", "upper", "at", "inner"].map(|name| place.dir(name));
        let upper = Some((&*upper, &*work));
        let _outer = Mounted::new(&at, &[&bottom], upper, OverlayNamespace::Trusted).unwrap();
        let [below, above] = ["at/below", "at/above"].map(|name| place.dir(name));
        let layer = Layer::new().dir("a/").file("a/.wh.f", "").file(".wh.f", "").file(".wh.b", "");
        let layer = layer.file("a/c/.wh..wh..opq", "").bytes();
        unpack(&[&lower()], &below, DiskFormat::Plain);
        unpack(&[&layer], &above, DiskFormat::Overlay(namespace));
        let file = above.join("a/f").symlink_metadata().unwrap();
        assert!(file.is_file() && file.len() == 0);
        let attribute = |path: &str, name: &str| {
            xattr::get(above.join(path), format!("{}{name}", prefix(namespace))).unwrap()
        };
        assert_eq!(attribute("a/f", "whiteout").unwrap(), b"y");
        assert_eq!(attribute("a", "opaque").unwrap(), b"x");
        assert_eq!(attribute("a/c", "opaque").unwrap(), b"y");

        let again = place.dir("at/again");
        let options = PackOptions { format: DiskFormat::Overlay(namespace), ..Default::default() };
        let packed = pack_tree(&Native::open(&above).unwrap(), Vec::new(), &options).unwrap();
        unpack(&[&packed], &again, options.format);
        assert_eq!(on_disk(&again), on_disk(&above));

        match Mounted::new(&inner, &[&above, &below], None, namespace) {
            Some(_mounted) => {
                let names =
                    fs::read_dir(&inner).unwrap().chain(fs::read_dir(inner.join("a")).unwrap());
                let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
                names.sort();
                assert_eq!(names, ["a", "c", "g"], "{namespace:?}");
            }
            None => eprintln!("skipped for {namespace:?}: this kernel does not nest overlayfs"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the members are and in whatever order, the kernel stacks the
    /// directories to what the layers are when they are applied plainly.
    #[test]
    fn stacked_is_applied(members in proptest::collection::vec(member(), 1..10)) {
        for namespace in mountable() {
            let upper = members.iter().fold(Layer::new(), |layer, member| add(layer, *member));
            let (lower, upper) = (lower(), upper.bytes());
            let place = Place::new();
            let [plain, below, above, at] = ["plain", "below", "above", "at"].map(|name| place.dir(name));
            unpack(&[&lower, &upper], &plain, DiskFormat::Plain);
            unpack(&[&lower], &below, DiskFormat::Plain);
            unpack(&[&upper], &above, DiskFormat::Overlay(namespace));
            let mounted = Mounted::new(&at, &[&above, &below], None, namespace);
            prop_assert!(mounted.is_some());
            prop_assert_eq!(shown(&at), shown(&plain));
        }
    }

    /// What is changed in a mounted tree becomes a layer, which is the same in every form.
    #[test]
    fn changes_become_a_layer(steps in proptest::collection::vec(step(), 1..16)) {
        for namespace in mountable() {
            let format = DiskFormat::Overlay(namespace);
            let (lower, place, mut upper) = (lower(), Place::new(), Tree::overlay(namespace));
            let [below, work, at] = ["below", "work", "at"].map(|name| place.dir(name));
            let directory = place.dir("rootfs");
            unpack(&[&lower], &below, DiskFormat::Plain);
            let mounted = Mounted::new(&at, &[&below], Some((&directory, &work)), namespace);
            prop_assert!(mounted.is_some());
            for step in &steps {
                take(&at, *step, namespace);
            }
            let expected = shown(&at);
            drop(mounted);
            upper.place = place.0;
            let layer = upper.pack().unwrap();

            let place = Place::new();
            let [above, plain] = ["above", "plain"].map(|name| place.dir(name));
            unpack(&[&layer], &above, format);
            prop_assert_eq!(on_disk(&above), on_disk(&directory));
            unpack(&[&lower, &layer], &plain, DiskFormat::Plain);
            prop_assert_eq!(shown(&plain), &*expected);
            let mounted = Mounted::new(&at, &[&above, &below], None, namespace);
            prop_assert!(mounted.is_some());
            prop_assert_eq!(shown(&at), expected);
        }
    }

    /// Packed and unpacked again it is what it was.
    #[test]
    fn packed_is_unpacked(objects in proptest::collection::vec(object(), 18)) {
        const PATHS: [&str; 18] = [
            "a", "a/f", "a/c", "a/c/f", "a/c/g", "a-b", "b", "b/c", "b/c/d", "b/c/d/e", "b/c/f",
            "c", "c/a", "c/b", "c/c", "c/c/x", "d", "d/e",
        ];
        for namespace in usable() {
            let (one, other) = (Tree::overlay(namespace), Tree::overlay(namespace));
            for (path, object) in PATHS.iter().zip(&objects) {
                make(&one.at(""), path, *object, namespace);
            }
            let layer = one.pack().unwrap();
            other.unpack(vec![layer.clone()]).unwrap();
            prop_assert_eq!(other.pack().unwrap(), layer);
            let whiteouts = format!("{}whiteout", prefix(namespace));
            let mut expected = on_disk(&one.at(""));
            expected.retain(|line| !line.contains(&whiteouts));
            let files = on_disk(&other.at("")).len() - expected.len();
            prop_assert_eq!(files, on_disk(&one.at("")).len() - expected.len());
            let found = on_disk(&other.at(""));
            prop_assert!(expected.iter().all(|line| found.contains(line)), "{expected:#?} {found:#?}");
        }
    }
}
