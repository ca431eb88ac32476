// SPDX-License-Identifier: Apache-2.0
//! What could not be set on inodes and is remembered instead: [`Emulated`] for
//! one inode, [`Ledger`] for all of a tree.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::Owner;
use super::super::metadata::{Device, Identity, Kind, Xattr};
use super::census::{Census, Substitute};

/// A device or pipe that an empty file stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// What it is meant to be.
    pub kind: Kind,
    /// Its numbers.
    pub device: Device,
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

/// What is remembered of a tree, by inode. Each call is over when it returns: nobody outside
/// can hold the lock while they ask for something else, which would wait for it forever.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    emulated: HashMap<Identity, Emulated>,
    /// Inodes whose owner is kept in an attribute.
    attributed: HashSet<Identity>,
    census: Census,
    /// Inodes with several names that have been counted.
    linked: HashSet<Identity>,
    /// How many inodes have an attribute that names an owner where none is looked for.
    unheeded: u64,
}

impl Ledger {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what an inode is meant to be, in place of what was noted of an earlier one.
    pub(super) fn set(&self, identity: Identity, emulated: Emulated) {
        self.records().set(identity, emulated);
    }

    /// As [`Ledger::set`], for an inode of which it is known whether its owner is in an attribute.
    pub(super) fn settle(&self, identity: Identity, emulated: Emulated, attributed: bool) {
        let mut records = self.records();
        records.set(identity, emulated);
        if attributed {
            records.attributed.insert(identity);
        } else if !records.attributed.is_empty() {
            records.attributed.remove(&identity);
        }
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

    /// Whether nothing is remembered, so that there is nothing that could be out of date.
    pub(super) fn is_empty(&self) -> bool {
        let records = self.records();
        records.emulated.is_empty() && records.attributed.is_empty()
    }

    pub(super) fn count(&self, substitute: Substitute) -> u64 {
        self.records().census.count(substitute)
    }

    pub(super) fn census(&self) -> Census {
        self.records().census.clone()
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
        if !emulated.is_empty() {
            self.emulated.insert(identity, emulated);
        } else if !self.emulated.is_empty() {
            self.emulated.remove(&identity);
        }
    }
}
