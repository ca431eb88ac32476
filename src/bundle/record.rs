// SPDX-License-Identifier: Apache-2.0
//! `rootless.jsonl`: what the objects of a bundle's tree are meant to be, where
//! the disk could not be told. One JSON value per line: a head, then one object
//! each, by path.
//!
//! The file speaks of the tree as it is, not of an image, so it stays good when
//! the bundle becomes one of another image. A line counts only for the object
//! that it was written for: the same inode, or in a copy of the tree one of the
//! same type and size. Whatever a user has put in its place inherits nothing.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Take, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::staging::BundleDir;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::idmap::Owner;
use crate::oci::json::{self, Trailing};
use crate::rootfs::{
    Device, Dir, Emulated, FileTime, FsOps, HeldMode, Kind, Native, Node, RootPath, Rootless, Stat,
    Xattr, is_in_user_namespace,
};
use crate::snapshot::{parse_type, type_name, vis};
use crate::sys;

/// The name of the file in a bundle.
pub(super) const FILE_NAME: &str = "rootless.jsonl";
/// The only version of the format.
const VERSION: u32 = 1;
/// The most bytes that the file may have.
const MAX_SIZE: u64 = 256 << 20;
/// The most bytes of a line.
const MAX_LINE: u64 = 4 << 20;
/// The longest name of an attribute that the kernel takes.
const MAX_ATTRIBUTE_NAME: usize = 255;
/// The longest value.
const MAX_ATTRIBUTE_VALUE: usize = 64 << 10;

/// What was found on a walk: an object that something is remembered of.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) path: RootPath,
    pub(super) stat: Stat,
    pub(super) emulated: Emulated,
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    umoci_rootless: u32,
    /// The inode number of the tree's root: another one means a copy.
    root: u64,
    /// That of this file: another one means a copy, or a filesystem that numbers anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<u64>,
    /// The owner of this file as its writer saw it: who sees another one is in another user
    /// namespace, where the owners on disk mean something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen_as: Option<(u32, u32)>,
    /// Whether its writer was in a user namespace.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    in_namespace: bool,
}

#[derive(Serialize, Deserialize)]
struct Line {
    path: String,
    kind: KindWord,
    size: u64,
    inode: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    born: Option<(i64, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_by: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<LineNode>,
    /// Permission bits that it is meant to have, and those that it had instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode_on_disk: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    xattrs: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct LineNode {
    kind: KindWord,
    major: u32,
    minor: u32,
}

/// The type of an inode, in the words of mtree manifests.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
struct KindWord(Kind);

impl From<KindWord> for &'static str {
    fn from(KindWord(kind): KindWord) -> Self {
        type_name(kind)
    }
}

impl TryFrom<String> for KindWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        parse_type(word.as_bytes()).map(Self).ok_or_else(|| format!("unknown type {word:?}"))
    }
}

/// Writes the record of a tree.
pub(super) fn write(
    file: &File,
    fs: &Rootless<Native>,
    mut remembered: Vec<Remembered>,
) -> Result<()> {
    remembered.sort_by(|one, other| one.path.cmp(&other.path));
    let root = fs.stat_on_disk(&fs.open_dir(&RootPath::root())?, None)?;
    let mut out = BufWriter::new(file);
    let own = file.metadata()?;
    let (record, seen_as) = (Some(own.ino()), Some((own.uid(), own.gid())));
    let (root, in_namespace) = (root.identity.ino, is_in_user_namespace());
    let head = Head { umoci_rootless: VERSION, root, record, seen_as, in_namespace };
    out.write_all(&json::to_bytes(&head)?)?;
    let mut places = Places { fs, open: None };
    for object in &remembered {
        let born = places.born(&object.path)?;
        out.write_all(&json::to_bytes(&Line::of(object, born))?)?;
    }
    Ok(out.flush()?)
}

/// Reads the record of a bundle, if it has one, and tells `fs`, whose root is the bundle's tree.
///
/// # Errors
/// When it is no such record, or larger than it may be.
pub(super) fn load(bundle: &BundleDir, fs: &Rootless<Native>) -> Result<()> {
    let Some(file) = open(bundle)? else { return Ok(()) };
    read(file, fs).at("read", bundle.path.join(FILE_NAME))
}

/// What the record says of who wrote it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Witness {
    /// The owner of the record as its writer saw it.
    pub(super) then: Owner,
    /// The owner as it is seen now.
    pub(super) now: Owner,
    /// Whether the writer was in a user namespace.
    pub(super) in_namespace: bool,
}

/// Asks the record of a bundle who wrote it; `None` where it does not say.
///
/// # Errors
/// When it is no such record.
pub(super) fn witness(bundle: &BundleDir) -> Result<Option<Witness>> {
    let Some(file) = open(bundle)? else { return Ok(None) };
    let ask = || {
        let own = file.metadata()?;
        let now = Owner { uid: own.uid(), gid: own.gid() };
        let (head, _) = begin(file)?;
        let in_namespace = head.in_namespace;
        let seen_as = head.seen_as.map(|(uid, gid)| Owner { uid, gid });
        Ok::<_, Error>(seen_as.map(|then| Witness { then, now, in_namespace }))
    };
    ask().at("read", bundle.path.join(FILE_NAME))
}

fn open(bundle: &BundleDir) -> Result<Option<File>> {
    match sys::open_regular(&bundle.dir, Path::new(FILE_NAME)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        opened => opened.at("open", bundle.path.join(FILE_NAME)).map(Some),
    }
}

/// Reads the head, and gives the lines after it.
fn begin(file: File) -> Result<(Head, BufReader<Take<File>>)> {
    if file.metadata()?.len() > MAX_SIZE {
        return Err(Error::new(ErrorKind::Limit, format!("larger than {MAX_SIZE} bytes")));
    }
    let mut lines = BufReader::new(file.take(MAX_SIZE));
    let mut bytes = Vec::new();
    next_line(&mut lines, &mut bytes)?;
    let head: Head = json::from_slice(&bytes, Trailing::Refuse)?;
    if head.umoci_rootless != VERSION {
        let version = head.umoci_rootless;
        return Err(Error::unsupported(format!("unsupported version {version}")));
    }
    Ok((head, lines))
}

fn read(file: File, fs: &Rootless<Native>) -> Result<()> {
    let own = file.metadata()?;
    let (head, mut lines) = begin(file)?;
    let mut bytes = Vec::new();
    let root = fs.stat_on_disk(&fs.open_dir(&RootPath::root())?, None)?;
    let is_tree = head.root == root.identity.ino && head.record == Some(own.ino());
    let mut places = Places { fs, open: None };
    while next_line(&mut lines, &mut bytes)? {
        let line: Line = json::from_slice(&bytes, Trailing::Refuse)?;
        let (path, emulated) = line.meaning()?;
        let Some(stat) = places.stat(&path)? else { continue };
        let is_same = if is_tree && stat.identity.dev == root.identity.dev {
            line.is_of(&stat) && line.was_born(places.born(&path)?)
        } else {
            line.is_like(&stat)
        };
        if is_same {
            fs.remember(stat.identity, emulated);
        } else {
            log::debug!("{path:?} is no longer what was recorded");
        }
    }
    Ok(())
}

fn next_line(lines: &mut impl BufRead, bytes: &mut Vec<u8>) -> Result<bool> {
    bytes.clear();
    let count = lines.take(MAX_LINE).read_until(b'\n', bytes)?;
    if count as u64 == MAX_LINE {
        return Err(Error::new(ErrorKind::Limit, format!("a line of {MAX_LINE} bytes")));
    }
    Ok(count > 0)
}

/// Objects of a tree by path; those of a directory come together.
struct Places<'a> {
    fs: &'a Rootless<Native>,
    open: Option<(RootPath, Dir)>,
}

impl Places<'_> {
    fn dir(&mut self, path: &RootPath) -> std::io::Result<&Dir> {
        if self.open.as_ref().is_none_or(|(open, _)| open != path) {
            self.open = Some((path.clone(), self.fs.open_dir(path)?));
        }
        let open = self.open.as_ref().map(|(_, dir)| dir);
        open.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
    }

    /// `None` when there is nothing.
    fn stat(&mut self, path: &RootPath) -> Result<Option<Stat>> {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        let fs = self.fs;
        let stat = match path.split() {
            Some((parent, name)) => {
                self.dir(&parent).and_then(|dir| fs.stat_on_disk(dir, Some(name)))
            }
            None => self.dir(path).and_then(|dir| fs.stat_on_disk(dir, None)),
        };
        match stat {
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
            stat => Ok(Some(stat.with_context(|| format!("stat {path:?}"))?)),
        }
    }

    fn born(&mut self, path: &RootPath) -> Result<Option<FileTime>> {
        let fs = self.fs;
        let Some((parent, name)) = path.split() else { return Ok(None) };
        let born = self.dir(&parent).and_then(|dir| fs.born(dir, name));
        born.with_context(|| format!("stat {path:?}"))
    }
}

impl Line {
    fn of(object: &Remembered, born: Option<FileTime>) -> Self {
        let Remembered { path, stat, emulated } = object;
        let pair = |owner: Owner| (owner.uid, owner.gid);
        let node = emulated.node.map(|node| LineNode {
            kind: KindWord(node.kind),
            major: node.device.major,
            minor: node.device.minor,
        });
        let xattrs = emulated.xattrs.iter();
        Self {
            path: word(path.as_bytes()),
            kind: KindWord(stat.kind),
            size: stat.size,
            inode: stat.identity.ino,
            born: born.map(|born| (born.seconds, born.nanoseconds)),
            owner: emulated.owner.map(pair),
            held_by: emulated.held_by.map(pair),
            node,
            mode: emulated.mode.map(|mode| mode.meant),
            mode_on_disk: emulated.mode.map(|mode| mode.on_disk),
            xattrs: xattrs.map(|xattr| (word(&xattr.name), word(&xattr.value))).collect(),
        }
    }

    /// What the line says, checked.
    fn meaning(&self) -> Result<(RootPath, Emulated)> {
        let path = RootPath::clean(vis::decode(self.path.as_bytes())?)?;
        let owner = |(uid, gid): (u32, u32)| match (uid, gid) {
            (u32::MAX, _) | (_, u32::MAX) => {
                Err(Error::invalid(format!("{path:?}: owner {uid}:{gid} out of range")))
            }
            _ => Ok(Owner { uid, gid }),
        };
        let emulated = Emulated {
            owner: self.owner.map(owner).transpose()?,
            held_by: self.held_by.map(owner).transpose()?,
            node: self.node.as_ref().map(LineNode::meaning).transpose()?,
            mode: self.held_mode()?,
            xattrs: self.xattrs.iter().map(attribute).collect::<Result<_>>()?,
        };
        Ok((path, emulated))
    }

    fn held_mode(&self) -> Result<Option<HeldMode>> {
        let (Some(meant), Some(on_disk)) = (self.mode, self.mode_on_disk) else { return Ok(None) };
        if meant > 0o7777 {
            return Err(Error::invalid(format!("{:?}: mode {meant:o} out of range", self.path)));
        }
        Ok(Some(HeldMode { meant, on_disk }))
    }

    fn is_of(&self, stat: &Stat) -> bool {
        self.inode == stat.identity.ino && self.kind.0 == stat.kind
    }

    fn was_born(&self, born: Option<FileTime>) -> bool {
        match (self.born, born) {
            (Some(then), Some(now)) => then == (now.seconds, now.nanoseconds),
            _ => true,
        }
    }

    fn is_like(&self, stat: &Stat) -> bool {
        let has_size = matches!(stat.kind, Kind::File | Kind::Symlink);
        self.kind.0 == stat.kind && (!has_size || self.size == stat.size)
    }
}

impl LineNode {
    fn meaning(&self) -> Result<Node> {
        let Self { kind: KindWord(kind), major, minor } = *self;
        let is_node = matches!(kind, Kind::CharDevice | Kind::BlockDevice | Kind::Fifo);
        if !is_node || major >= 1 << 12 || minor >= 1 << 20 {
            return Err(Error::invalid(format!("device {major}:{minor} out of range")));
        }
        Ok(Node { kind, device: Device { major, minor } })
    }
}

fn attribute((name, value): &(String, String)) -> Result<Xattr> {
    let (name, value) = (vis::decode(name.as_bytes())?, vis::decode(value.as_bytes())?);
    let is_name = !name.is_empty() && name.len() <= MAX_ATTRIBUTE_NAME && !name.contains(&0);
    if !is_name || value.len() > MAX_ATTRIBUTE_VALUE {
        return Err(Error::invalid(format!("attribute {:?} out of range", name.escape_ascii())));
    }
    Ok(Xattr { name: name.into(), value: value.into() })
}

fn word(bytes: &[u8]) -> String {
    let mut word = Vec::new();
    vis::encode(bytes, &mut word);
    String::from_utf8(word).unwrap_or_default()
}
