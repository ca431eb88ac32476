// SPDX-License-Identifier: Apache-2.0
//! What could not be set on inodes and is remembered instead: [`Emulated`] for
//! one inode, [`Ledger`] for all of a tree.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::Owner;
use super::super::metadata::{Device, Identity, Kind, Xattr};
use super::super::path::Name;
use super::census::{Census, Substitute};

/// A device or pipe that an empty file stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// What it is meant to be.
    pub kind: Kind,
    /// Its numbers.
    pub device: Device,
}

impl Node {
    /// What takes its place where it cannot be made.
    pub(super) fn placeholder(self) -> Substitute {
        match self.kind {
            Kind::Fifo => Substitute::FifoPlaceholder,
            _ => Substitute::Placeholder,
        }
    }

    /// What is said of the file that stands for it.
    pub(super) fn told_of_placeholder(self) -> String {
        let Self { kind, device: Device { major, minor } } = self;
        match kind {
            Kind::Fifo => "an empty file stands for the FIFO".to_owned(),
            _ => format!("an empty file stands for the device {major}:{minor}"),
        }
    }
}

/// Permission bits that an inode could not be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldMode {
    /// What it is meant to have.
    pub meant: u32,
    /// What it had when that was noted: when that has changed since, somebody has set others.
    pub on_disk: u32,
}

/// What an inode is meant to be, as far as it is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Emulated {
    /// Whose it is meant to be.
    pub owner: Option<Owner>,
    /// Whose it was when that was noted, where owners can be set at all: when
    /// that has changed since, somebody has given it away and `owner` is void.
    pub held_by: Option<Owner>,
    /// What it stands for.
    pub node: Option<Node>,
    /// Its permission bits.
    pub mode: Option<HeldMode>,
    /// Extended attributes that it could not take, sorted.
    pub xattrs: Vec<Xattr>,
    /// The SHA-256 of what the file held when that was noted, if it has privileges for it.
    pub contents: Option<[u8; 32]>,
}

impl Emulated {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        *self == Self { held_by: self.held_by, contents: self.contents, ..Self::default() }
    }
}

/// All that is noted of an inode that got what its layer says.
#[derive(Debug, Default)]
pub(super) struct Note {
    /// What it is meant to be.
    pub(super) emulated: Emulated,
    /// Whether its owner is kept in an attribute.
    pub(super) attributed: bool,
    /// What it did not get.
    pub(super) left_out: LeftOut,
}

/// What of its layer an inode did not get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// How many labels that are the host's own.
    pub(super) host_labels: u32,
    /// How many claims to an owner.
    pub(super) owner_claims: u32,
    /// Whether its date.
    pub(super) date: bool,
}

impl LeftOut {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// What is remembered of a tree, by inode. Each call is over when it returns: nobody outside
/// can hold the lock while they ask for something else, which would wait for it forever.
///
/// What was written is counted from what is remembered, so that an object counts as what it is
/// in the end, however often layers have replaced it; whoever removes an inode has it forgotten.
/// What is read is counted as it is read, for a layer may take a part of the tree.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    emulated: HashMap<Identity, Emulated>,
    /// Inodes whose owner is kept in an attribute.
    attributed: HashSet<Identity>,
    /// Inodes that did not get all that their layer says.
    left_out: HashMap<Identity, LeftOut>,
    /// Names at which there is a copy, for want of a hard link.
    copies: HashSet<Place>,
    /// Names that were taken for others. What has lost its name by that does not get it back.
    taken: HashSet<Place>,
    keys: RandomState,
    read: Census,
    /// The kinds of substitutes that there has been one of.
    kinds: BTreeSet<Substitute>,
    /// Inodes with several names that have been counted.
    linked: HashSet<Identity>,
    /// How many inodes have an attribute that names an owner where none is looked for.
    unheeded: u64,
}

/// A name in a directory, as a hash whose key is this process's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    dir: Identity,
    name: u64,
}

impl Ledger {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what an inode is meant to be, in place of what was noted of an earlier one.
    pub(super) fn set(&self, identity: Identity, emulated: Emulated) {
        self.records().set(identity, emulated);
    }

    /// As [`Ledger::set`], for an inode of which all is known.
    pub(super) fn settle(&self, identity: Identity, note: Note) {
        let mut records = self.records();
        records.set(identity, note.emulated);
        if note.attributed {
            records.attributed.insert(identity);
        } else {
            records.attributed.remove(&identity);
        }
        if note.left_out.is_empty() {
            records.left_out.remove(&identity);
        } else {
            records.left_out.insert(identity, note.left_out);
        }
    }

    /// Notes what became of a name in a directory.
    pub(super) fn note_name(&self, substitute: Substitute, dir: Identity, name: Name<'_>) {
        let mut records = self.records();
        let place = records.place(dir, name);
        let _ = match substitute {
            Substitute::Copy => records.copies.insert(place),
            _ => records.taken.insert(place),
        };
    }

    /// The inode is gone. Says whether anything was noted of it.
    pub(super) fn forget(&self, identity: Identity) -> bool {
        let mut records = self.records();
        let was_emulated = records.emulated.remove(&identity).is_some();
        let was_attributed = records.attributed.remove(&identity);
        records.left_out.remove(&identity).is_some() || was_emulated || was_attributed
    }

    /// The name is gone. Says whether there was a copy.
    pub(super) fn forget_copy(&self, dir: Identity, name: Name<'_>) -> bool {
        let mut records = self.records();
        let place = records.place(dir, name);
        records.copies.remove(&place)
    }

    pub(super) fn has_copies(&self) -> bool {
        !self.records().copies.is_empty()
    }

    pub(super) fn get(&self, identity: Identity) -> Option<Emulated> {
        let records = self.records();
        if records.emulated.is_empty() { None } else { records.emulated.get(&identity).cloned() }
    }

    pub(super) fn all(&self) -> Vec<(Identity, Emulated)> {
        let records = self.records();
        records.emulated.iter().map(|(identity, of)| (*identity, of.clone())).collect()
    }

    pub(super) fn is_attributed(&self, identity: Identity) -> bool {
        let records = self.records();
        !records.attributed.is_empty() && records.attributed.contains(&identity)
    }

    /// Whether all is what it is meant to be.
    pub(super) fn has_none_emulated(&self) -> bool {
        self.records().emulated.is_empty()
    }

    /// Whether nothing is noted, so that there is nothing that could be out of date.
    pub(super) fn is_empty(&self) -> bool {
        let records = self.records();
        records.emulated.is_empty()
            && records.attributed.is_empty()
            && records.left_out.is_empty()
            && records.copies.is_empty()
    }

    /// Whether a substitute is the first of its kind.
    pub(super) fn is_first(&self, substitute: Substitute) -> bool {
        self.records().kinds.insert(substitute)
    }

    /// Counts a substitute that was read.
    pub(super) fn count_read(&self, substitute: Substitute) {
        self.records().read.add(substitute, 1);
    }

    /// The substitutes that were read.
    pub(super) fn read(&self) -> Census {
        self.records().read.clone()
    }

    /// The substitutes in what was written, as it is now.
    pub(super) fn written(&self) -> Census {
        self.records().written()
    }

    /// Whether an inode with several names is met for the first time.
    pub(super) fn is_new(&self, identity: Identity) -> bool {
        self.records().linked.insert(identity)
    }

    pub(super) fn count_unheeded(&self) {
        self.records().unheeded += 1;
    }

    pub(super) fn unheeded(&self) -> u64 {
        self.records().unheeded
    }
}

impl Records {
    fn set(&mut self, identity: Identity, emulated: Emulated) {
        if emulated.is_empty() {
            self.emulated.remove(&identity);
        } else {
            self.emulated.insert(identity, emulated);
        }
    }

    fn place(&self, dir: Identity, name: Name<'_>) -> Place {
        Place { dir, name: self.keys.hash_one(name.as_bytes()) }
    }

    fn written(&self) -> Census {
        let mut census = Census::default();
        for emulated in self.emulated.values() {
            census.add(Substitute::OwnerRecord, u64::from(emulated.owner.is_some()));
            if let Some(node) = emulated.node {
                census.add(node.placeholder(), 1);
            }
            census.add(Substitute::AttributeRecord, emulated.xattrs.len() as u64);
            // What stands for a device has bits of its own as a matter of course.
            let has_other_mode = emulated.mode.is_some() && emulated.node.is_none();
            census.add(Substitute::ModeRecord, u64::from(has_other_mode));
        }
        for left_out in self.left_out.values() {
            census.add(Substitute::HostLabel, left_out.host_labels.into());
            census.add(Substitute::OwnerClaim, left_out.owner_claims.into());
            census.add(Substitute::NearestDate, left_out.date.into());
        }
        census.add(Substitute::OwnerAttribute, self.attributed.len() as u64);
        census.add(Substitute::Copy, self.copies.len() as u64);
        census.add(Substitute::SameName, self.taken.len() as u64);
        census
    }
}
