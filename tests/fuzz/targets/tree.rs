// SPDX-License-Identifier: Apache-2.0
//! Layers, unpacked for real over a tree that is full of links to outside.
//! Nothing outside is ever touched; what was unpacked makes a layer that
//! unpacks to the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tar::EntryType::{self, Directory, Fifo, Link, Regular, Symlink};
use umoci::layer::{
    ApplyOptions, FileDigests, LayerSource, Limits, PackOptions, pack_tree, unpack_layers,
};
use umoci::rootfs::{Native, RootPath, remove_all};

use crate::driver::Target;

pub(crate) const TARGET: Target = Target {
    name: "tree",
    run,
    words: super::members::WORDS,
    mend: |input| super::members::checksums(input),
};

fn run(input: &[u8]) -> String {
    thread_local!(static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) });
    PLACE.with_borrow_mut(|place| place.get_or_insert_with(Place::new).check(input))
}

/// A directory with a tree, another one, and something that is none of their business.
struct Place {
    top: tempfile::TempDir,
    below: Vec<u8>,
    outside: BTreeMap<PathBuf, String>,
}

const OUTSIDE: &str = "outside";

impl Place {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join(OUTSIDE)).unwrap();
        fs::write(top.path().join(OUTSIDE).join("secret"), "secret").unwrap();
        let mut place = Self { below: below(top.path()), top, outside: BTreeMap::new() };
        place.outside = place.around();
        place
    }

    fn check(&self, input: &[u8]) -> String {
        let tree = self.new_tree("tree");
        let unpacked = unpack(&tree, &[&self.below, input]);
        assert_eq!(self.around(), self.outside, "something outside has changed");
        if let Err(error) = unpacked {
            assert!(!error.contains("internal error"), "{error}");
            return error;
        }
        let before = listing(&self.top.path().join("tree"));
        let packed = match pack_tree(&tree, Vec::new(), &PackOptions::default()) {
            Ok(packed) => packed,
            // Not all that a layer can put there can be in one.
            Err(error) => return format!("cannot be packed: {error}"),
        };
        let again = self.new_tree("again");
        unpack(&again, &[&packed]).unwrap();
        assert_eq!(listing(&self.top.path().join("again")), before);
        assert_eq!(self.around(), self.outside);
        before.values().map(|what| what.split(' ').next().unwrap()).collect()
    }

    /// An empty directory in the place of what has been there.
    fn new_tree(&self, name: &str) -> Native {
        let path = self.top.path().join(name);
        if path.exists() {
            let fs = Native::open(self.top.path()).unwrap();
            remove_all(&fs, &RootPath::clean(name).unwrap()).unwrap();
        }
        fs::create_dir(&path).unwrap();
        Native::open(&path).unwrap()
    }

    /// Everything beside the trees.
    fn around(&self) -> BTreeMap<PathBuf, String> {
        let mut around = listing(&self.top.path().join(OUTSIDE));
        for entry in fs::read_dir(&self.top).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(["tree", "again", OUTSIDE].iter().any(|known| name == *known), "{name:?}");
        }
        let secret = fs::metadata(self.top.path().join(OUTSIDE).join("secret")).unwrap();
        around.insert("names of the secret".into(), secret.nlink().to_string());
        around
    }
}

fn unpack(tree: &Native, layers: &[&[u8]]) -> Result<(), String> {
    let limits = Limits { unpacked_size: Some(1 << 20), entries: 1000, path_depth: 100 };
    let options = ApplyOptions { limits, ..ApplyOptions::default() };
    let source = |layer: &&[u8]| {
        let stream = Box::new(std::io::Cursor::new(layer.to_vec()));
        Ok(LayerSource { name: "layer".to_owned(), stream, diff_id: None })
    };
    let layers: Vec<_> = layers.iter().map(source).collect();
    let unpacked = unpack_layers(tree, layers.into_iter(), FileDigests::Skip, &options);
    unpacked.map(drop).map_err(|failure| failure.error.to_string())
}

/// The lower layer: directories, files, links of every sort, most of them to outside.
fn below(top: &Path) -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: EntryType, target: Option<&Path>| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_mtime(1);
        header.set_size(0);
        match target {
            Some(target) => layer.append_link(&mut header, name, target).unwrap(),
            None => layer.append_data(&mut header, name, std::io::empty()).unwrap(),
        }
    };
    let outside = top.join(OUTSIDE);
    add("d", Directory, None);
    add("d/e", Directory, None);
    add("d/f", Regular, None);
    add("f", Regular, None);
    add("h", Link, Some(Path::new("d/f")));
    add("p", Fifo, None);
    add("up", Symlink, Some(&Path::new("..").join(OUTSIDE)));
    add("abs", Symlink, Some(&outside));
    add("d/up", Symlink, Some(Path::new("../../outside/secret")));
    add("l", Symlink, Some(Path::new("d")));
    add("loop", Symlink, Some(Path::new("loop")));
    add("root", Symlink, Some(Path::new("/")));
    layer.into_inner().unwrap()
}

/// What is below a directory, and it itself.
fn listing(top: &Path) -> BTreeMap<PathBuf, String> {
    let mut links: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(top).sort_by_file_name() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let path = entry.path().strip_prefix(top).unwrap().to_owned();
        let kind = match metadata.mode() >> 12 {
            0o4 => "dir",
            0o12 => "symlink",
            0o10 => "file",
            _ => "node",
        };
        let contents = match kind {
            "symlink" => fs::read_link(entry.path()).unwrap().as_os_str().as_bytes().to_vec(),
            "file" => fs::read(entry.path()).unwrap(),
            _ => Vec::new(),
        };
        let first = links.entry(metadata.ino()).or_insert_with(|| path.clone());
        let what = format!(
            "{kind} {:o} {}:{} {} {} {first:?} {}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.mtime(),
            metadata.rdev(),
            contents.escape_ascii()
        );
        found.insert(path, what);
    }
    found
}
