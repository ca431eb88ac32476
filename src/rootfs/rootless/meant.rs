// SPDX-License-Identifier: Apache-2.0
//! Reading: what an inode is meant to be, given what is on disk.

use std::io;

use super::super::Owner;
use super::super::metadata::{Identity, Kind, Stat, Xattr};
use super::super::ops::{Contents, Dir, FsOps, Inode};
use super::super::path::Name;
use super::super::xattr;
use super::record::{Emulated, Substitute};
use super::target::Target;
use super::{OWNER_ATTRIBUTE, Ownership, Rootless, View, owner};

/// What an inode is meant to be, and which substitute on disk said so.
struct Meaning {
    stat: Stat,
    owner_by: Option<Substitute>,
}

impl<F: FsOps> Rootless<F> {
    /// Tells the user in one line how much of what was read is not on the disk as such.
    pub fn tell_substitutes(&self) {
        let census = self.census();
        if census.of(Substitute::AttributeLoss) > 0 {
            log::warn!("emulated: {census}");
        } else if !census.is_empty() {
            log::info!("emulated: {census}");
        }
    }

    /// What a target of which the disk says `stat` is in the view that was asked for.
    pub(super) fn view(&self, target: Target<'_>, stat: Stat) -> io::Result<Stat> {
        match self.options.view {
            View::Disk => Ok(stat),
            View::Image => {
                let attribute = self.owner_attribute(target, &stat)?;
                Ok(self.meaning(stat, attribute.as_deref())?.stat)
            }
        }
    }

    /// As [`Rootless::view`], for the root, of which nobody takes hold in any other way.
    pub(super) fn view_dir(&self, dir: &Dir, stat: Stat) -> io::Result<Stat> {
        if self.options.view == View::Disk {
            return Ok(stat);
        }
        let target = Target::Open(dir.as_file());
        let attribute = self.owner_attribute(target, &stat)?;
        let meaning = self.meaning(stat, attribute.as_deref())?;
        self.count(target, &stat, &meaning)?;
        Ok(meaning.stat)
    }

    fn owner_attribute(&self, target: Target<'_>, stat: &Stat) -> io::Result<Option<Vec<u8>>> {
        if self.options.ownership == Ownership::Set || !matches!(stat.kind, Kind::File | Kind::Dir)
        {
            return Ok(None);
        }
        self.reading(target, || xattr::read(target.xattrs(), OWNER_ATTRIBUTE))
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
                let is_noted = !self.ledger.is_empty();
                let stat = is_noted.then(|| self.on(target, Target::stat)).transpose()?;
                let emulated = stat.map(|stat| self.noted(stat.identity)).unwrap_or_default();
                self.meant_xattrs(target, &emulated, xattrs)
            }
        }
    }

    /// What is meant by a name, as [`FsOps::inode`] gives it.
    pub(super) fn meant(&self, dir: &Dir, name: Name<'_>, inode: Inode) -> io::Result<Inode> {
        let Inode { stat, xattrs, withheld, contents } = inode;
        let target = Target::Name(dir, name);
        let owner = xattrs.iter().find(|xattr| *xattr.name == *OWNER_ATTRIBUTE);
        let meaning = self.meaning(stat, owner.map(|owner| &*owner.value))?;
        if self.options.view == View::Image {
            self.count(target, &stat, &meaning)?;
            for name in &withheld {
                let what = || format!("the attribute {} is left out", name.escape_ascii());
                self.substitute(Substitute::AttributeLoss, target, what)?;
            }
        }
        let xattrs = self.meant_xattrs(target, &self.noted(stat.identity), xattrs)?;
        // The file that stands for a device has nothing to say.
        let contents = if meaning.stat.kind == stat.kind { contents } else { Contents::Nothing };
        Ok(Inode { stat: meaning.stat, xattrs, withheld, contents })
    }

    fn noted(&self, identity: Identity) -> Emulated {
        self.emulated(identity).unwrap_or_default()
    }

    fn meaning(&self, stat: Stat, attribute: Option<&[u8]>) -> io::Result<Meaning> {
        let emulated = self.noted(stat.identity);
        let (owner, owner_by) = self.meant_owner(&stat, &emulated, attribute)?;
        let mut meant = Stat { owner, ..stat };
        if let Some(node) = emulated.node.filter(|_| stat.kind == Kind::File && stat.size == 0) {
            meant.kind = node.kind;
            meant.device = node.device;
            // A build that changes the bits of the placeholder means those of the device.
            meant.mode = if stat.mode == 0 { node.mode } else { stat.mode };
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
            (Ownership::Set, _) => by_record.unwrap_or((stat.owner, None)),
            (Ownership::Record, Some(value)) => {
                (owner::decode(value)?, Some(Substitute::OwnerAttribute))
            }
            (Ownership::Record, None) => by_record.unwrap_or_default(),
        })
    }

    /// Counts what of an inode is not on the disk.
    fn count(&self, target: Target<'_>, stat: &Stat, meaning: &Meaning) -> io::Result<()> {
        if let Some(substitute) = meaning.owner_by {
            let Owner { uid, gid } = meaning.stat.owner;
            let what = || format!("the owner {uid}:{gid} is not that on disk");
            self.substitute(substitute, target, what)?;
        }
        if meaning.stat.kind != stat.kind {
            let what = || "an empty file stands for a device".to_owned();
            self.substitute(Substitute::Placeholder, target, what)?;
        }
        Ok(())
    }

    fn meant_xattrs(
        &self,
        target: Target<'_>,
        emulated: &Emulated,
        mut xattrs: Vec<Xattr>,
    ) -> io::Result<Vec<Xattr>> {
        if self.options.ownership == Ownership::Record {
            xattrs.retain(|xattr| *xattr.name != *OWNER_ATTRIBUTE);
        } else if xattrs.iter().any(|xattr| *xattr.name == *OWNER_ATTRIBUTE) {
            let name = OWNER_ATTRIBUTE.escape_ascii();
            log::warn!("suspicious filesystem: saw special rootless xattr {name}");
        }
        for kept in &emulated.xattrs {
            if xattrs.iter().any(|xattr| xattr.name == kept.name) {
                continue;
            }
            if self.options.view == View::Image {
                let what = || format!("the attribute {} is not on disk", kept.name.escape_ascii());
                self.substitute(Substitute::AttributeRecord, target, what)?;
            }
            xattrs.push(kept.clone());
        }
        xattrs.sort_unstable();
        Ok(xattrs)
    }
}
