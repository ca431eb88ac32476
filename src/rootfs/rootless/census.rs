// SPDX-License-Identifier: Apache-2.0
//! What is not as it should be, counted by kind ([`Census`]), and how a user is told.

use std::collections::BTreeMap;
use std::fmt;

use super::super::ops::FsOps;
use super::{OWNER_ATTRIBUTE, Rootless};

/// What happens in place of what cannot be had. They are told in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Substitute {
    /// The owner is kept in an attribute.
    OwnerAttribute,
    /// The owner is kept in the record.
    OwnerRecord,
    /// An empty file stands for a device.
    Placeholder,
    /// An empty file stands for a FIFO.
    FifoPlaceholder,
    /// The attribute is kept in the record.
    AttributeRecord,
    /// The permission bits are kept in the record.
    ModeRecord,
    /// A hard link becomes a file of its own.
    Copy,
    /// An object takes the place of another whose name differs in nothing but case.
    SameName,
    /// The time of change is the nearest that the filesystem holds.
    NearestDate,
    /// A label of the inode that is the host's own is left out.
    HostLabel,
    /// An attribute of a layer that would pose as an owner's is left out.
    OwnerClaim,
    /// An attribute that may not be read is left out.
    AttributeLoss,
    /// A recorded privilege of a file that has been written to is left out.
    PrivilegeLoss,
}

impl Substitute {
    /// The word for one and for several.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::OwnerAttribute => ("owner in an attribute", "owners in attributes"),
            Self::OwnerRecord => ("owner in the record", "owners in the record"),
            Self::Placeholder => ("device as an empty file", "devices as empty files"),
            Self::FifoPlaceholder => ("FIFO as an empty file", "FIFOs as empty files"),
            Self::AttributeRecord => ("attribute in the record", "attributes in the record"),
            Self::ModeRecord => ("mode in the record", "modes in the record"),
            Self::Copy => ("hard link as a copy", "hard links as copies"),
            Self::SameName => ("name that is taken for another", "names that are taken for others"),
            Self::NearestDate => ("date as the nearest there is", "dates as the nearest there are"),
            Self::HostLabel => ("label of the host left out", "labels of the host left out"),
            Self::OwnerClaim => ("claim to an owner left out", "claims to owners left out"),
            Self::AttributeLoss => ("attribute left out", "attributes left out"),
            Self::PrivilegeLoss => ("privilege left out", "privileges left out"),
        }
    }

    /// Whether nothing but the record knows what was meant.
    fn needs_record(self) -> bool {
        match self {
            Self::OwnerRecord
            | Self::Placeholder
            | Self::FifoPlaceholder
            | Self::AttributeRecord
            | Self::ModeRecord => true,
            Self::OwnerAttribute
            | Self::Copy
            | Self::SameName
            | Self::NearestDate
            | Self::HostLabel
            | Self::OwnerClaim
            | Self::AttributeLoss
            | Self::PrivilegeLoss => false,
        }
    }
}

/// How many of each substitute there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census(BTreeMap<Substitute, u64>);

impl Census {
    /// How many of this one there are.
    pub fn of(&self, substitute: Substitute) -> u64 {
        self.0.get(&substitute).copied().unwrap_or_default()
    }

    /// Counts some more.
    pub(super) fn add(&mut self, substitute: Substitute, count: u64) {
        if count > 0 {
            let counter = self.0.entry(substitute).or_default();
            *counter = counter.saturating_add(count);
        }
    }

    /// Whether everything could be set as it should be.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn needs_record(&self) -> bool {
        self.0.keys().any(|substitute| substitute.needs_record())
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.iter().map(|(kind, count)| match (count, kind.words()) {
            (1, (one, _)) => format!("1 {one}"),
            (count, (_, many)) => format!("{count} {many}"),
        });
        let parts: Vec<_> = counts.collect();
        f.write_str(if parts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// What becomes of what is remembered of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// It is in the record of a bundle.
    Record,
    /// It is lost, for there is no bundle.
    Nothing,
}

impl<F: FsOps> Rootless<F> {
    /// Tells the user in one line what is not as it should be, with counts.
    pub fn tell_substitutes(&self, keeping: Keeping) {
        let census = self.census();
        if keeping == Keeping::Nothing && census.needs_record() {
            log::warn!("emulated: {census}; without a bundle, the record is lost");
        } else if !census.is_empty() {
            log::warn!("emulated: {census}");
        }
        let name = OWNER_ATTRIBUTE.escape_ascii();
        let packed = match self.ledger.unheeded() {
            0 => return,
            1 => format!("1 object has the attribute {name}, which is packed as it is"),
            count => format!("{count} objects have the attribute {name}, which is packed as it is"),
        };
        log::warn!("{packed}: it says who owns a file only without privileges (--rootless)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_census_counts_each_kind() {
        let mut census = Census::default();
        assert!(census.is_empty() && !census.needs_record());
        assert_eq!(census.to_string(), "nothing");
        census.add(Substitute::ModeRecord, 0);
        assert!(census.is_empty());
        census.add(Substitute::HostLabel, 1);
        assert!(!census.needs_record());
        census.add(Substitute::Placeholder, 1);
        census.add(Substitute::OwnerRecord, 1);
        census.add(Substitute::OwnerRecord, 1);
        assert!(census.needs_record());
        assert_eq!((census.of(Substitute::OwnerRecord), census.of(Substitute::Copy)), (2, 0));
        let told =
            "2 owners in the record, 1 device as an empty file, 1 label of the host left out";
        assert_eq!(census.to_string(), told);
    }
}
