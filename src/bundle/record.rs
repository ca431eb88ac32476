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
    Device, Dir, Emulated, FileTime, FsOps, Kind, Native, Node, RootPath, Rootless, Stat, Xattr,
};
use crate::snapshot::vis;
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
}

#[derive(Serialize, Deserialize)]
struct Line {
    path: String,
    kind: LineKind,
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    xattrs: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct LineNode {
    kind: LineKind,
    major: u32,
    minor: u32,
    mode: u32,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LineKind {
    File,
    Dir,
    Link,
    Char,
    Block,
    Fifo,
    Socket,
}

impl From<Kind> for LineKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::File => Self::File,
            Kind::Dir => Self::Dir,
            Kind::Symlink => Self::Link,
            Kind::CharDevice => Self::Char,
            Kind::BlockDevice => Self::Block,
            Kind::Fifo => Self::Fifo,
            Kind::Socket => Self::Socket,
        }
    }
}

impl From<LineKind> for Kind {
    fn from(kind: LineKind) -> Self {
        match kind {
            LineKind::File => Self::File,
            LineKind::Dir => Self::Dir,
            LineKind::Link => Self::Symlink,
            LineKind::Char => Self::CharDevice,
            LineKind::Block => Self::BlockDevice,
            LineKind::Fifo => Self::Fifo,
            LineKind::Socket => Self::Socket,
        }
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
    let head = Head { umoci_rootless: VERSION, root: root.identity.ino, record, seen_as };
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

/// Refuses a bundle whose owners on disk mean something else than where it was unpacked.
///
/// # Errors
/// Also when the record is none.
pub(super) fn check_ids(bundle: &BundleDir) -> Result<()> {
    let Some(file) = open(bundle)? else { return Ok(()) };
    let check = || {
        let own = file.metadata()?;
        let (head, _) = begin(file)?;
        let seen_as = (own.uid(), own.gid());
        match head.seen_as {
            Some(then) if then != seen_as => Err(Error::new(
                ErrorKind::Mismatch,
                format!(
                    "the owners on disk mean something else than where the bundle was unpacked, \
                     another user namespace: {}:{} there is {}:{} here",
                    then.0, then.1, seen_as.0, seen_as.1
                ),
            )),
            _ => Ok(()),
        }
    };
    check().at("compare owners with", bundle.path.join(FILE_NAME))
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
            kind: node.kind.into(),
            major: node.device.major,
            minor: node.device.minor,
            mode: node.mode,
        });
        let xattrs = emulated.xattrs.iter();
        Self {
            path: word(path.as_bytes()),
            kind: stat.kind.into(),
            size: stat.size,
            inode: stat.identity.ino,
            born: born.map(|born| (born.seconds, born.nanoseconds)),
            owner: emulated.owner.map(pair),
            held_by: emulated.held_by.map(pair),
            node,
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
            xattrs: self.xattrs.iter().map(attribute).collect::<Result<_>>()?,
        };
        Ok((path, emulated))
    }

    fn is_of(&self, stat: &Stat) -> bool {
        self.inode == stat.identity.ino && Kind::from(self.kind) == stat.kind
    }

    fn was_born(&self, born: Option<FileTime>) -> bool {
        match (self.born, born) {
            (Some(then), Some(now)) => then == (now.seconds, now.nanoseconds),
            _ => true,
        }
    }

    fn is_like(&self, stat: &Stat) -> bool {
        let has_size = matches!(stat.kind, Kind::File | Kind::Symlink);
        Kind::from(self.kind) == stat.kind && (!has_size || self.size == stat.size)
    }
}

impl LineNode {
    fn meaning(&self) -> Result<Node> {
        let kind = Kind::from(self.kind);
        let is_node = matches!(kind, Kind::CharDevice | Kind::BlockDevice | Kind::Fifo);
        let Self { major, minor, mode, .. } = *self;
        if !is_node || major >= 1 << 12 || minor >= 1 << 20 || mode > 0o7777 {
            return Err(Error::invalid(format!("device {major}:{minor} out of range")));
        }
        Ok(Node { kind, device: Device { major, minor }, mode })
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
