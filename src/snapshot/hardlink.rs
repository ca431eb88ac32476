// SPDX-License-Identifier: Apache-2.0
//! Which names must be told as modified because of hard links alone.
//!
//! A layer can say that two of its own members are one inode; it cannot link
//! to something that only a lower layer has. A name that is not in the layer
//! keeps the inode it had. So the names of one inode go into a layer together
//! or not at all:
//!
//! * An inode that has a new name, or a name that was another file before: all
//!   its names go in, though only the new one differs.
//! * An inode that has only lost names: those are whiteouts or other files by
//!   now, and the rest stays out, however low its link count has become.
//! * An inode that was split, each part with the old contents: the part with
//!   the first name stays out, the others go in.
//! * An inode whose count differs because of names outside the tree: stays out.
//!
//! A snapshot has link counts but no inode numbers, so which names *were* one
//! inode is told from their being equal in everything and the count. Where
//! several inodes were equal and lost names, that is not certain; then more
//! goes in than may be needed. Equal inodes that swapped names and kept
//! their counts are not noticed.

use std::collections::{BTreeMap, HashMap};

use super::entries::Snapshot;
use super::entry::SnapshotEntry;
use crate::rootfs::{Identity, Kind, RootPath};

/// How a name compares with the snapshot, link counts aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is in the snapshot, and equal.
    Same,
    /// It is not, and will be in the layer anyhow.
    Changed,
}

/// A name in the tree whose inode has several names, or had.
#[derive(Debug)]
pub(super) struct LinkedName {
    pub(super) path: RootPath,
    pub(super) identity: Identity,
    /// How many names the inode has now.
    pub(super) nlink: u64,
    pub(super) state: State,
}

/// The paths in the state [`State::Same`] that must go into the layer all the same.
pub(super) fn relinked(mut names: Vec<LinkedName>, snapshot: &Snapshot) -> Vec<RootPath> {
    names.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    let mut inodes: BTreeMap<Identity, Vec<LinkedName>> = BTreeMap::new();
    for name in names {
        inodes.entry(name.identity).or_default().push(name);
    }
    let mut inodes: Vec<Vec<LinkedName>> = inodes.into_values().collect();
    inodes.sort_unstable_by(|one, other| first_path(one).cmp(&first_path(other)));

    let mut twins = Twins::of(snapshot);
    let mut modified = Vec::new();
    for inode in inodes {
        match likeness(&inode, snapshot) {
            Some(like) => twins.add(like, inode),
            None => tell(inode, &mut modified),
        }
    }
    twins.into_relinked(&mut modified);
    modified
}

fn first_path(inode: &[LinkedName]) -> Option<&RootPath> {
    inode.first().map(|name| &name.path)
}

fn tell(inode: Vec<LinkedName>, modified: &mut Vec<RootPath>) {
    let same = inode.into_iter().filter(|name| name.state == State::Same);
    modified.extend(same.map(|name| name.path));
}

/// What the names of one inode had in common; `None` when they cannot have
/// been one inode, or when one of them is in the layer anyhow.
fn likeness(inode: &[LinkedName], snapshot: &Snapshot) -> Option<Likeness> {
    let mut common = None;
    for name in inode {
        if name.state == State::Changed {
            return None;
        }
        let like = Likeness::of(snapshot.get(&name.path)?);
        let were_apart = like.nlink() == 1 && inode.len() > 1;
        if were_apart || common.as_ref().is_some_and(|common| *common != like) {
            return None;
        }
        common = Some(like);
    }
    common
}

/// Everything that names of one inode have in common: all but the path.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Likeness(SnapshotEntry);

impl Likeness {
    fn of(entry: SnapshotEntry) -> Self {
        Self(SnapshotEntry { path: RootPath::root(), ..entry })
    }

    fn nlink(&self) -> u64 {
        self.0.nlink
    }
}

/// Names of the snapshot that are alike, so that they may have been one inode.
#[derive(Debug, Default)]
struct Twin {
    /// How many names of the snapshot.
    names: usize,
    /// What they are now, where unchanged, in the order of their first paths.
    inodes: Vec<Vec<LinkedName>>,
}

struct Twins(HashMap<Likeness, Twin>);

impl Twins {
    fn of(snapshot: &Snapshot) -> Self {
        let mut twins: HashMap<_, Twin> = HashMap::new();
        for entry in snapshot.entries() {
            if entry.nlink > 1 && entry.kind != Kind::Dir {
                twins.entry(Likeness::of(entry)).or_default().names += 1;
            }
        }
        Self(twins)
    }

    fn add(&mut self, like: Likeness, inode: Vec<LinkedName>) {
        // A name that was alone and is alone in the tree: others are outside.
        if like.nlink() > 1 {
            self.0.entry(like).or_default().inodes.push(inode);
        }
    }

    fn into_relinked(self, modified: &mut Vec<RootPath>) {
        for (like, twin) in self.0 {
            twin.relinked(like.nlink(), modified);
        }
    }
}

impl Twin {
    /// `nlink` is how many names each of the inodes had.
    fn relinked(self, nlink: u64, modified: &mut Vec<RootPath>) {
        let whole = |inode: &Vec<LinkedName>| {
            inode.len() as u64 == nlink || inode.iter().any(|name| name.nlink == nlink)
        };
        let (whole, parts): (Vec<_>, Vec<_>) = self.inodes.into_iter().partition(whole);
        let names = self.names.saturating_sub(whole.iter().map(Vec::len).sum());
        let was_one_inode = names as u64 <= nlink;
        for (at, part) in parts.into_iter().enumerate() {
            // Whatever inode the first part was of, none of the other parts keeps it.
            let keeps = at == 0 && (was_one_inode || part.len() == 1);
            if !keeps {
                tell(part, modified);
            }
        }
    }
}
