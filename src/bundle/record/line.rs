// SPDX-License-Identifier: Apache-2.0
//! The lines of the record, each of one object.

use serde::{Deserialize, Serialize};

use super::Remembered;
use crate::bundle::places::Places;
use crate::error::{Error, Result};
use crate::idmap::Owner;
use crate::oci::Digest;
use crate::rootfs::{Device, Emulated, FileTime, HeldMode, Kind, Node, RootPath, Stat, Xattr};
use crate::snapshot::{parse_type, type_name, vis};

/// The longest name of an attribute that the kernel takes.
const MAX_ATTRIBUTE_NAME: usize = 255;
/// The longest value.
const MAX_ATTRIBUTE_VALUE: usize = 64 << 10;

#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) path: String,
    kind: KindWord,
    size: u64,
    pub(super) inode: u64,
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
    /// The digest of what is in the file, or of the link's target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contents: Option<Digest>,
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

/// What has become of the tree that a record was written for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tree {
    /// It is that one.
    Same,
    /// It is that one below an overlay. What is changed there is a copy with the number of its
    /// original, which is still there, so that nothing else can have that number. A copy of one
    /// name of several has a number of its own, and so has any copy that was made for an earlier
    /// mount in a user namespace: these are known by their contents.
    Overlaid,
    /// It is a copy, with numbers of its own.
    Copied,
}

/// Whether the two are not known to differ.
pub(super) fn is_same_time(then: Option<(i64, u32)>, now: Option<FileTime>) -> bool {
    then.zip(now).is_none_or(|(then, now)| then == pair(now))
}

pub(super) fn pair(time: FileTime) -> (i64, u32) {
    (time.seconds, time.nanoseconds)
}

impl Line {
    pub(super) fn of(object: &Remembered, places: &mut Places<'_>) -> Result<Self> {
        let Remembered { path, stat, emulated, contents } = object;
        let contents = match contents {
            Some(known) => Some(*known),
            None => places.contents(path, stat.kind)?,
        };
        let born = places.born(path)?;
        let ids = |owner: Owner| (owner.uid, owner.gid);
        let node = emulated.node.map(|node| LineNode {
            kind: KindWord(node.kind),
            major: node.device.major,
            minor: node.device.minor,
        });
        let xattrs = emulated.xattrs.iter();
        Ok(Self {
            path: word(path.as_bytes()),
            kind: KindWord(stat.kind),
            size: stat.size,
            inode: stat.identity.ino,
            born: born.map(pair),
            owner: emulated.owner.map(ids),
            held_by: emulated.held_by.map(ids),
            node,
            mode: emulated.mode.map(|mode| mode.meant),
            mode_on_disk: emulated.mode.map(|mode| mode.on_disk),
            xattrs: xattrs.map(|xattr| (word(&xattr.name), word(&xattr.value))).collect(),
            contents: contents.as_ref().map(Digest::from_sha256),
        })
    }

    /// The line for the same object at another path.
    pub(super) fn at(self, path: &RootPath) -> Self {
        Self { path: word(path.as_bytes()), ..self }
    }

    /// What the line says, checked.
    pub(super) fn meaning(&self) -> Result<(RootPath, Emulated)> {
        let path = RootPath::clean(vis::decode(self.path.as_bytes())?)?;
        let owner = |(uid, gid): (u32, u32)| match (uid, gid) {
            (u32::MAX, _) | (_, u32::MAX) => {
                Err(Error::invalid(format!("{path:?}: owner {uid}:{gid} out of range")))
            }
            _ => Ok(Owner { uid, gid }),
        };
        let mut emulated = Emulated {
            owner: self.owner.map(owner).transpose()?,
            held_by: self.held_by.map(owner).transpose()?,
            node: self.node.as_ref().map(LineNode::meaning).transpose()?,
            mode: self.held_mode()?,
            xattrs: self.xattrs.iter().map(attribute).collect::<Result<_>>()?,
            contents: None,
        };
        let contents = self.contents.as_ref().map(sha256).transpose()?;
        emulated.contents = contents.filter(|_| emulated.has_privileges());
        Ok((path, emulated))
    }

    fn held_mode(&self) -> Result<Option<HeldMode>> {
        let (Some(meant), Some(on_disk)) = (self.mode, self.mode_on_disk) else { return Ok(None) };
        if meant > 0o7777 {
            return Err(Error::invalid(format!("{:?}: mode {meant:o} out of range", self.path)));
        }
        Ok(Some(HeldMode { meant, on_disk }))
    }

    /// Whether the object at a path of a tree is the one that the line was written for.
    pub(super) fn is_for(
        &self,
        tree: Tree,
        places: &mut Places<'_>,
        path: &RootPath,
        stat: &Stat,
    ) -> Result<bool> {
        let is_inode = self.inode == stat.identity.ino && self.kind.0 == stat.kind;
        match tree {
            Tree::Same => Ok(is_inode && is_same_time(self.born, places.born(path)?)),
            Tree::Overlaid if is_inode => Ok(true),
            // Others have nothing to be known by.
            Tree::Overlaid if self.contents.is_none() => Ok(false),
            Tree::Overlaid | Tree::Copied => self.is_like(places, path, stat),
        }
    }

    fn is_like(&self, places: &mut Places<'_>, path: &RootPath, stat: &Stat) -> Result<bool> {
        let has_size = matches!(stat.kind, Kind::File | Kind::Symlink);
        // An empty file is not a device for its emptiness alone.
        let is_placeholder = |mode: u32| self.mode_on_disk.is_none_or(|then| then == mode);
        if self.kind.0 != stat.kind
            || has_size && self.size != stat.size
            || self.node.is_some() && !is_placeholder(stat.mode)
        {
            return Ok(false);
        }
        match &self.contents {
            Some(then) if stat.size > 0 => {
                let now = places.contents(path, stat.kind)?;
                Ok(now.is_some_and(|now| *then == Digest::from_sha256(&now)))
            }
            _ => Ok(true),
        }
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

fn sha256(digest: &Digest) -> Result<[u8; 32]> {
    digest.to_sha256().ok_or_else(|| Error::invalid(format!("digest {digest} is not of SHA-256")))
}

fn word(bytes: &[u8]) -> String {
    let mut word = Vec::new();
    vis::encode(bytes, &mut word);
    String::from_utf8(word).unwrap_or_default()
}
