// SPDX-License-Identifier: Apache-2.0
//! Reading: what an inode is meant to be, given what is on disk.

use std::io;

use super::super::Owner;
use super::super::metadata::{Kind, Stat, Xattr};
use super::super::ops::{Contents, FsOps, Inode};
use super::super::xattr;
use super::census::Substitute;
use super::record::{Emulated, Node};
use super::target::Target;
use super::{OWNER_ATTRIBUTE, Ownership, Rootless, View, owner};

/// What an inode is meant to be, and which substitute on disk said so.
struct Meaning {
    stat: Stat,
    owner_by: Option<Substitute>,
}

impl<F: FsOps> Rootless<F> {
    /// What a target of which the disk says `stat` is in the view that was asked for.
    pub(super) fn view(&self, target: Target<'_>, stat: Stat) -> io::Result<Stat> {
        match self.options.view {
            View::Disk => Ok(stat),
            View::Image => {
                let attribute = self.owner_attribute(target, &stat)?;
                let emulated = self.noted(target, &stat)?;
                Ok(self.meaning(stat, &emulated, attribute.as_deref())?.stat)
            }
        }
    }

    fn owner_attribute(&self, target: Target<'_>, stat: &Stat) -> io::Result<Option<Vec<u8>>> {
        if self.options.ownership == Ownership::Set || !matches!(stat.kind, Kind::File | Kind::Dir)
        {
            return Ok(None);
        }
        self.with_target(target, || xattr::read(target.xattrs(), OWNER_ATTRIBUTE))
    }

    /// The attributes in the view that was asked for, given those on disk.
    pub(super) fn view_xattrs(
        &self,
        target: Target<'_>,
        xattrs: Vec<Xattr>,
    ) -> io::Result<Vec<Xattr>> {
        match self.options.view {
            View::Disk => Ok(xattrs),
            View::Image => {
                let is_noted = !self.ledger.has_none_emulated();
                let stat = is_noted.then(|| self.with_dir_of(target, Target::stat)).transpose()?;
                let emulated = stat.map(|stat| self.noted(target, &stat)).transpose()?;
                let emulated = emulated.unwrap_or_default();
                Ok(self.meant_xattrs(&emulated, xattrs))
            }
        }
    }

    /// What is meant by an inode, as [`FsOps::inode`] gives it. What of it is not on the disk
    /// is counted.
    pub(super) fn meant(&self, target: Target<'_>, inode: Inode) -> io::Result<Inode> {
        let Inode { stat, xattrs, withheld, contents } = inode;
        let emulated = self.noted(target, &stat)?;
        let owner = xattrs.iter().find(|xattr| *xattr.name == *OWNER_ATTRIBUTE);
        let meaning = self.meaning(stat, &emulated, owner.map(|owner| &*owner.value))?;
        let has_names = stat.kind != Kind::Dir && stat.nlink > 1;
        if self.options.view == View::Image && (!has_names || self.ledger.is_new(stat.identity)) {
            self.count(target, &stat, &meaning)?;
            self.count_xattrs(target, &emulated, &xattrs, &withheld)?;
        }
        let xattrs = self.meant_xattrs(&emulated, xattrs);
        // The file that stands for a device has nothing to say.
        let contents = if meaning.stat.kind == stat.kind { contents } else { Contents::Nothing };
        Ok(Inode { stat: meaning.stat, xattrs, withheld, contents })
    }

    fn meaning(
        &self,
        stat: Stat,
        emulated: &Emulated,
        attribute: Option<&[u8]>,
    ) -> io::Result<Meaning> {
        let (owner, owner_by) = self.meant_owner(&stat, emulated, attribute)?;
        let mut meant = Stat { owner, ..stat };
        if let Some(mode) = emulated.mode.filter(|mode| mode.on_disk == stat.mode) {
            meant.mode = mode.meant;
        }
        if let Some(node) = emulated.node.filter(|_| stat.kind == Kind::File && stat.size == 0) {
            meant.kind = node.kind;
            meant.device = node.device;
        }
        Ok(Meaning { stat: meant, owner_by })
    }

    fn meant_owner(
        &self,
        stat: &Stat,
        emulated: &Emulated,
        attribute: Option<&[u8]>,
    ) -> io::Result<(Owner, Option<Substitute>)> {
        let is_void = emulated.held_by.is_some_and(|held_by| held_by != stat.owner);
        let recorded = emulated.owner.filter(|_| !is_void);
        let by_record = recorded.map(|owner| (owner, Some(Substitute::OwnerRecord)));
        Ok(match (self.options.ownership, attribute) {
            (Ownership::Record, Some(value)) => {
                (owner::decode(value)?, Some(Substitute::OwnerAttribute))
            }
            (Ownership::Record, None) => by_record.unwrap_or_default(),
            (Ownership::Set, _) => match by_record {
                Some(recorded) => recorded,
                None => (self.namespace.known(stat.owner)?, None),
            },
        })
    }

    /// Counts what of an inode is not on the disk.
    fn count(&self, target: Target<'_>, stat: &Stat, meaning: &Meaning) -> io::Result<()> {
        if let Some(substitute) = meaning.owner_by {
            let Owner { uid, gid } = meaning.stat.owner;
            let what = || format!("the owner {uid}:{gid} is not that on disk");
            self.count_one(substitute, target, what)?;
        }
        if meaning.stat.kind != stat.kind {
            let node = Node { kind: meaning.stat.kind, device: meaning.stat.device };
            return self.count_one(node.placeholder(), target, || node.told_of_placeholder());
        }
        if meaning.stat.mode != stat.mode {
            let what = || format!("the mode {:04o} is not that on disk", meaning.stat.mode);
            return self.count_one(Substitute::ModeRecord, target, what);
        }
        Ok(())
    }

    /// Counts attributes that are not on the disk, or stay there.
    fn count_xattrs(
        &self,
        target: Target<'_>,
        emulated: &Emulated,
        xattrs: &[Xattr],
        withheld: &[Box<[u8]>],
    ) -> io::Result<()> {
        for xattr in missing(emulated, xattrs) {
            let what = || format!("the attribute {} is not on disk", xattr.name.escape_ascii());
            self.count_one(Substitute::AttributeRecord, target, what)?;
        }
        for name in withheld {
            let shown = name.escape_ascii();
            if xattr::is_host_label(name) {
                // Nothing is lost: it was never the image's.
                let path = self.shown(target);
                log::debug!("{path}: the label {shown} of the host is left out");
            } else {
                let what = || format!("the attribute {shown} may not be read and is left out");
                self.count_one(Substitute::AttributeLoss, target, what)?;
            }
        }
        let has_owner = xattrs.iter().any(|xattr| *xattr.name == *OWNER_ATTRIBUTE);
        if has_owner && self.options.ownership == Ownership::Set {
            let (path, name) = (self.shown(target), OWNER_ATTRIBUTE.escape_ascii());
            log::debug!("{path}: the attribute {name} is packed as it is");
            self.ledger.count_unheeded();
        }
        Ok(())
    }

    /// Counts one substitute that is met in reading, and tells of it.
    pub(super) fn count_one(
        &self,
        substitute: Substitute,
        target: Target<'_>,
        what: impl Fn() -> String,
    ) -> io::Result<()> {
        self.substitute(substitute, target, what)?;
        self.ledger.count_read(substitute);
        Ok(())
    }

    fn meant_xattrs(&self, emulated: &Emulated, mut xattrs: Vec<Xattr>) -> Vec<Xattr> {
        if self.options.ownership == Ownership::Record {
            xattrs.retain(|xattr| *xattr.name != *OWNER_ATTRIBUTE);
        }
        let missing: Vec<_> = missing(emulated, &xattrs).cloned().collect();
        xattrs.extend(missing);
        xattrs.sort_unstable();
        xattrs
    }
}

/// What an inode is to have besides the attributes on disk.
fn missing<'e>(emulated: &'e Emulated, xattrs: &[Xattr]) -> impl Iterator<Item = &'e Xattr> {
    let is_missing = |kept: &&Xattr| !xattrs.iter().any(|xattr| xattr.name == kept.name);
    emulated.xattrs.iter().filter(is_missing)
}
