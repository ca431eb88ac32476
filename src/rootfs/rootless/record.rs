// SPDX-License-Identifier: Apache-2.0
//! What could not be set on inodes and is remembered instead: [`Emulated`] for
//! one inode, [`Ledger`] for all of a tree, [`Census`] for how many there are.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::Owner;
use super::super::metadata::{Device, Identity, Kind, Xattr};

/// A device or pipe that an empty file stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// What it is meant to be.
    pub kind: Kind,
    /// Its numbers.
    pub device: Device,
    /// Its permission bits.
    pub mode: u32,
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
    /// Extended attributes that it could not take, sorted.
    pub xattrs: Vec<Xattr>,
}

impl Emulated {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.owner.is_none() && self.node.is_none() && self.xattrs.is_empty()
    }
}

/// What happens in place of what the system refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Substitute {
    /// The owner is kept in an attribute.
    OwnerAttribute,
    /// The owner is kept in the record.
    OwnerRecord,
    /// An empty file stands for a device or pipe.
    Placeholder,
    /// The attribute is kept in the record.
    AttributeRecord,
    /// A hard link becomes a file of its own.
    Copy,
    /// An object takes the place of another whose name differs in nothing but case.
    SameName,
    /// An attribute that may not be read is left out.
    AttributeLoss,
}

impl Substitute {
    /// All of them, in the order in which they are told, with the word for one and for several.
    const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::OwnerAttribute, "owner in an attribute", "owners in attributes"),
        (Self::OwnerRecord, "owner in the record", "owners in the record"),
        (Self::Placeholder, "device as an empty file", "devices as empty files"),
        (Self::AttributeRecord, "attribute in the record", "attributes in the record"),
        (Self::Copy, "hard link as a copy", "hard links as copies"),
        (Self::SameName, "name that is taken for another", "names that are taken for others"),
        (Self::AttributeLoss, "attribute left out", "attributes left out"),
    ];
}

/// How often each substitute was needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census([u64; Substitute::ALL.len()]);

impl Census {
    /// How often this one was.
    pub fn of(&self, substitute: Substitute) -> u64 {
        self.0.get(substitute as usize).copied().unwrap_or_default()
    }

    fn count(&mut self, substitute: Substitute) -> u64 {
        let Some(counter) = self.0.get_mut(substitute as usize) else { return 0 };
        *counter = counter.saturating_add(1);
        *counter
    }

    /// Whether everything could be set as it should be.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = Substitute::ALL.iter().map(|(kind, one, many)| match self.of(*kind) {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {many}")),
        });
        let parts: Vec<_> = counts.flatten().collect();
        f.write_str(if parts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&parts.join(", "))
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
        self.records().census
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_census_counts_each_kind() {
        let mut census = Census::default();
        assert!(census.is_empty());
        assert_eq!(census.to_string(), "nothing");
        for (place, (kind, ..)) in Substitute::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, place);
        }
        assert_eq!(census.count(Substitute::Placeholder), 1);
        assert_eq!(census.count(Substitute::OwnerRecord), 1);
        assert_eq!(census.count(Substitute::OwnerRecord), 2);
        assert_eq!(census.to_string(), "2 owners in the record, 1 device as an empty file");
    }
}
