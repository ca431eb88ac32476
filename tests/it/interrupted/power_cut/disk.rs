// SPDX-License-Identifier: Apache-2.0
//! A disk that loses whatever was not synced.
//!
//! The model promises no more than the system's manual does. `fsync` of a file
//! keeps its contents, not its name; `fsync` of a directory keeps its names,
//! not what is below them. Anything else may be lost, each thing by itself: a
//! name that was given may stay without contents, and of a rename to another
//! directory either half.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::trace::Call;
use crate::harness::{Sandbox, write};

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy)]
pub(super) enum Luck {
    /// It is lost.
    None,
    /// Names stay, contents are lost.
    Names,
    /// Everything is kept or lost by chance, and contents may be cut off in the middle.
    Chance(u64),
    /// Everything stays, as if only the program had been killed.
    All,
}

/// Files with their contents, and directories.
pub(super) type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

type NodeId = usize;
type Names = BTreeMap<Vec<u8>, NodeId>;

/// What happens to a directory at once: names are given to something, or taken away.
type Changed = Vec<(Vec<u8>, Option<NodeId>)>;

#[derive(Debug, Clone)]
enum Node {
    Dir {
        now: Names,
        synced: Names,
        /// What has happened since.
        changes: Vec<Changed>,
    },
    File {
        now: Vec<u8>,
        synced: Vec<u8>,
    },
}

/// A file or directory that is open.
#[derive(Debug, Clone)]
struct Open {
    node: NodeId,
    offset: usize,
    appends: bool,
}

const ROOT: NodeId = 0;

/// What is below the directory where a program works. Links, devices, and what is in a root
/// filesystem are no part of it, and no command that it is meant for changes them.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    nodes: Vec<Node>,
    open: BTreeMap<i64, Open>,
}

impl Disk {
    /// A disk on which everything that is in a sandbox has been synced.
    pub(super) fn of(sandbox: &Sandbox) -> Self {
        let mut disk = Self { nodes: Vec::new(), open: BTreeMap::new() };
        disk.load(&sandbox.path(""));
        disk
    }

    fn load(&mut self, directory: &Path) -> NodeId {
        let id = self.add(Node::Dir { now: Names::new(), synced: Names::new(), changes: vec![] });
        let mut names = Names::new();
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let (kind, path) = (entry.file_type().unwrap(), entry.path());
            let node = if kind.is_dir() && entry.file_name() != "rootfs" {
                self.load(&path)
            } else if kind.is_file() {
                let bytes = fs::read(&path).unwrap();
                self.add(Node::File { now: bytes.clone(), synced: bytes })
            } else {
                continue;
            };
            names.insert(entry.file_name().into_encoded_bytes(), node);
        }
        self.nodes[id] = Node::Dir { now: names.clone(), synced: names, changes: vec![] };
        id
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn names(&self, id: NodeId) -> &Names {
        match &self.nodes[id] {
            Node::Dir { now, .. } => now,
            Node::File { .. } => panic!("{id} is no directory"),
        }
    }

    /// Another program works on: nothing is open any more.
    pub(super) fn close_all(&mut self) {
        self.open.clear();
    }

    /// The directory and the last name of a path; `None` when it is not on this disk.
    fn place(&self, dir: Option<i64>, path: &[u8]) -> Option<(NodeId, Vec<u8>)> {
        let mut at = match dir {
            Some(descriptor) => self.open.get(&descriptor)?.node,
            None => ROOT,
        };
        let path = Path::new(std::str::from_utf8(path).unwrap());
        let mut names = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => names.push(name.as_encoded_bytes().to_vec()),
                Component::CurDir => {}
                Component::RootDir | Component::ParentDir | Component::Prefix(_) => return None,
            }
        }
        let last = names.pop().unwrap_or_default();
        for name in names {
            at = *self.names(at).get(&name)?;
        }
        Some((at, last))
    }

    fn find(&self, (dir, name): &(NodeId, Vec<u8>)) -> Option<NodeId> {
        if name.is_empty() { Some(*dir) } else { self.names(*dir).get(name).copied() }
    }

    fn set(&mut self, (dir, name): (NodeId, Vec<u8>), node: Option<NodeId>) {
        self.change(dir, vec![(name, node)]);
    }

    fn change(&mut self, dir: NodeId, changed: Changed) {
        let Node::Dir { now, changes, .. } = &mut self.nodes[dir] else {
            panic!("{dir} is no directory")
        };
        make(now, &changed);
        changes.push(changed);
    }

    /// Does what a call did; tells whether it changed, or synced, anything.
    pub(super) fn apply(&mut self, call: &Call) -> bool {
        match call.name.as_str() {
            "openat" | "openat2" => self.open(call),
            "close" => {
                self.open.remove(&call.number(0).unwrap());
                false
            }
            "fcntl" => self.duplicate(call),
            "lseek" => {
                if let Some(open) = self.open.get_mut(&call.number(0).unwrap()) {
                    open.offset = usize::try_from(call.result).unwrap();
                }
                false
            }
            "write" => self.write(call),
            "ftruncate" => self.truncate(call),
            "fsync" | "fdatasync" => self.sync(call),
            "mkdir" => self.make_dir(None, call.bytes(0)),
            "mkdirat" => self.make_dir(call.number(0), call.bytes(1)),
            "renameat" | "renameat2" => self.rename(
                self.place(call.number(0), call.bytes(1)),
                self.place(call.number(2), call.bytes(3)),
            ),
            "rename" => {
                self.rename(self.place(None, call.bytes(0)), self.place(None, call.bytes(1)))
            }
            "unlink" | "rmdir" => self.remove(None, call.bytes(0)),
            "unlinkat" => self.remove(call.number(0), call.bytes(1)),
            _ => panic!("the model knows nothing of {call:?}"),
        }
    }

    fn open(&mut self, call: &Call) -> bool {
        let flags = call.word(2);
        self.open.remove(&call.result);
        let Some(place) = self.place(call.number(0), call.bytes(1)) else { return false };
        let found = self.find(&place);
        let node = match found {
            Some(node) => node,
            None if flags.contains("O_CREAT") => {
                let node = self.add(Node::File { now: Vec::new(), synced: Vec::new() });
                self.set(place, Some(node));
                node
            }
            None => return false,
        };
        assert!(!flags.contains("O_TRUNC"), "the model knows nothing of {call:?}");
        let appends = flags.contains("O_APPEND");
        self.open.insert(call.result, Open { node, offset: 0, appends });
        found.is_none()
    }

    fn duplicate(&mut self, call: &Call) -> bool {
        let found = self.open.get(&call.number(0).unwrap()).cloned();
        if let Some(open) = found.filter(|_| call.word(1).starts_with("F_DUPFD")) {
            // Of a file both would have one offset.
            let is_dir = matches!(self.nodes[open.node], Node::Dir { .. });
            assert!(is_dir, "the model knows nothing of {call:?}");
            self.open.insert(call.result, open);
        }
        false
    }

    fn file(&mut self, descriptor: i64) -> Option<(&mut Vec<u8>, &mut Open)> {
        let open = self.open.get_mut(&descriptor)?;
        match &mut self.nodes[open.node] {
            Node::File { now, .. } => Some((now, open)),
            Node::Dir { .. } => None,
        }
    }

    fn write(&mut self, call: &Call) -> bool {
        let Some((now, open)) = self.file(call.number(0).unwrap()) else { return false };
        let written = &call.bytes(1)[..usize::try_from(call.result).unwrap()];
        let start = if open.appends { now.len() } else { open.offset };
        open.offset = start + written.len();
        now.resize(now.len().max(open.offset), 0);
        now[start..open.offset].copy_from_slice(written);
        true
    }

    fn truncate(&mut self, call: &Call) -> bool {
        let size = usize::try_from(call.number(1).unwrap()).unwrap();
        let Some((now, _)) = self.file(call.number(0).unwrap()) else { return false };
        now.resize(size, 0);
        true
    }

    fn sync(&mut self, call: &Call) -> bool {
        let Some(open) = self.open.get(&call.number(0).unwrap()) else { return false };
        match &mut self.nodes[open.node] {
            Node::File { now, synced } => synced.clone_from(now),
            Node::Dir { now, synced, changes } => {
                synced.clone_from(now);
                changes.clear();
            }
        }
        true
    }

    fn make_dir(&mut self, dir: Option<i64>, path: &[u8]) -> bool {
        let Some(place) = self.place(dir, path) else { return false };
        let node = self.add(Node::Dir { now: Names::new(), synced: Names::new(), changes: vec![] });
        self.set(place, Some(node));
        true
    }

    fn rename(&mut self, from: Option<(NodeId, Vec<u8>)>, to: Option<(NodeId, Vec<u8>)>) -> bool {
        let (Some(from), Some(to)) = (from, to) else { return false };
        let node = self.find(&from).unwrap();
        if from.0 == to.0 {
            self.change(from.0, vec![(from.1, None), (to.1, Some(node))]);
        } else {
            self.set(from, None);
            self.set(to, Some(node));
        }
        true
    }

    fn remove(&mut self, dir: Option<i64>, path: &[u8]) -> bool {
        let Some(place) = self.place(dir, path) else { return false };
        self.set(place, None);
        true
    }

    /// Where the file or directory of a descriptor is.
    pub(super) fn path_of(&self, descriptor: i64) -> Option<PathBuf> {
        let wanted = self.open.get(&descriptor)?.node;
        if wanted == ROOT {
            return Some(PathBuf::new());
        }
        let mut left = vec![(ROOT, PathBuf::new())];
        while let Some((dir, path)) = left.pop() {
            for (name, node) in self.names(dir) {
                let path = path.join(std::str::from_utf8(name).unwrap());
                if *node == wanted {
                    return Some(path);
                }
                if matches!(self.nodes[*node], Node::Dir { .. }) {
                    left.push((*node, path));
                }
            }
        }
        None
    }

    /// What is there when the power comes back.
    pub(super) fn after_power_cut(&self, luck: Luck) -> Tree {
        let mut tree = Tree::new();
        let mut dice = Dice(match luck {
            Luck::Chance(seed) => seed,
            _ => 0,
        });
        self.survive(ROOT, Path::new(""), luck, &mut dice, &mut tree);
        tree
    }

    fn survive(&self, dir: NodeId, path: &Path, luck: Luck, dice: &mut Dice, tree: &mut Tree) {
        for (name, node) in self.surviving_names(dir, luck, dice) {
            let path = path.join(std::str::from_utf8(&name).unwrap());
            match &self.nodes[node] {
                Node::Dir { .. } => {
                    tree.insert(path.clone(), None);
                    self.survive(node, &path, luck, dice, tree);
                }
                Node::File { now, synced } => {
                    let bytes = match luck {
                        Luck::None | Luck::Names => synced.clone(),
                        Luck::All => now.clone(),
                        Luck::Chance(_) if now == synced => now.clone(),
                        Luck::Chance(_) => match dice.roll(4) {
                            0 => now.clone(),
                            1 => now[..now.len() / 2].to_vec(),
                            // Room on the disk that nobody has written to.
                            2 => vec![0; now.len()],
                            _ => synced.clone(),
                        },
                    };
                    tree.insert(path, Some(bytes));
                }
            }
        }
    }

    fn surviving_names(&self, dir: NodeId, luck: Luck, dice: &mut Dice) -> Names {
        let Node::Dir { now, synced, changes } = &self.nodes[dir] else {
            panic!("{dir} is no directory")
        };
        match luck {
            Luck::None => synced.clone(),
            Luck::Names | Luck::All => now.clone(),
            Luck::Chance(_) => {
                let mut names = synced.clone();
                for changed in changes.iter().filter(|_| dice.roll(2) == 0) {
                    make(&mut names, changed);
                }
                names
            }
        }
    }
}

fn make(names: &mut Names, changed: &Changed) {
    for (name, node) in changed {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}

/// Chance that comes out the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Makes a sandbox hold a tree, in the place of all that a [`Disk`] knows of it.
pub(super) fn restore(tree: &Tree, sandbox: &Sandbox) {
    for (path, _) in Disk::of(sandbox).after_power_cut(Luck::All).iter().rev() {
        let path = sandbox.path(path);
        if path.is_dir() {
            // One that holds something else stays.
            let _ = fs::remove_dir(path);
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    for (path, contents) in tree {
        match contents {
            Some(bytes) => write(sandbox.path(path), bytes),
            None => fs::create_dir_all(sandbox.path(path)).unwrap(),
        }
    }
}
