// SPDX-License-Identifier: Apache-2.0
//! Whose the members of a layer are: [`Owners`], and [`OwnerCheck`], which
//! finds owners that no layer can name before one is begun.

use std::collections::BTreeSet;
use std::path::Path;

use super::dirs::OpenDirs;
use crate::error::{Context, Error, Result};
use crate::idmap::{IdMap, IdMaps, Owner};
use crate::rootfs::{FsOps, Kind, Name, RootPath, Stat};

/// Who owns the members of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// Whom the maps make of the owners on disk.
    Mapped(IdMaps),
    /// Whom the filesystem names: it knows the owners in the image
    /// ([`Ownership::Record`](crate::rootfs::Ownership::Record)).
    OfImage,
}

impl Default for Owners {
    fn default() -> Self {
        Self::Mapped(IdMaps::default())
    }
}

impl Owners {
    /// The owner in the image of what belongs to `owner` in the tree.
    ///
    /// # Errors
    /// When a map lacks an id.
    pub(super) fn in_image(&self, owner: Owner) -> Result<Owner> {
        match self {
            Self::Mapped(maps) => maps.to_container(owner).context("map header"),
            Self::OfImage => Ok(owner),
        }
    }

    /// Whether a user of this machine, by id, is root in the image: without privileges, in
    /// whatever user namespace the image is worked on.
    pub(super) fn is_root(&self, id: u32) -> bool {
        match self {
            Self::Mapped(maps) => maps.uid.to_host(0).is_ok_and(|root| root == id),
            Self::OfImage => true,
        }
    }

    /// The maps, if there may be owners that they lack.
    fn lacking(&self) -> Option<&IdMaps> {
        match self {
            Self::Mapped(maps) if !maps.is_identity() => Some(maps),
            _ => None,
        }
    }
}

/// Whose ids are to be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Those in an image.
    Container,
    /// Those on disk.
    Host,
}

impl Side {
    fn map(self, map: &IdMap, id: u32) -> Result<u32> {
        match self {
            Self::Container => map.to_host(id),
            Self::Host => map.to_container(id),
        }
    }

    fn map_owner(self, maps: &IdMaps, owner: Owner) -> Result<Owner> {
        match self {
            Self::Container => maps.to_host(owner),
            Self::Host => maps.to_container(owner).context("map header"),
        }
    }
}

/// The owners that id maps lack. All are looked at before the first is told, so that whoever
/// makes the maps need not meet one after the other.
#[derive(Debug)]
pub(crate) struct Unmapped {
    side: Side,
    first: Option<Error>,
    count: u64,
    uids: Ids,
    gids: Ids,
}

/// How many ids are told one by one.
const LISTED: usize = 5;
/// How many ids are counted: an image may have any number of them.
const COUNTED: usize = 10_000;

/// Some ids: the first of them that were met, and how far all reach.
#[derive(Debug, Clone, Default)]
struct Ids {
    met: BTreeSet<u32>,
    span: Option<(u32, u32)>,
}

impl Ids {
    fn add(&mut self, id: u32) {
        let (low, high) = self.span.unwrap_or((id, id));
        self.span = Some((low.min(id), high.max(id)));
        // With one more it is known that there are more than are counted.
        if self.met.len() <= COUNTED {
            self.met.insert(id);
        }
    }

    fn and(mut self, other: Self) -> Self {
        let ends = other.span.into_iter().flat_map(|(low, high)| [low, high]);
        ends.chain(other.met).for_each(|id| self.add(id));
        self
    }

    fn is_empty(&self) -> bool {
        self.span.is_none()
    }

    /// Which ones they are, called `name`; each of them if they are few.
    fn told(&self, name: &str) -> Option<String> {
        let (low, high) = self.span?;
        Some(match self.met.len() {
            1 => format!("{name} {low}"),
            count if count <= LISTED => {
                let ids: Vec<_> = self.met.iter().map(u32::to_string).collect();
                format!("{name}s {}", ids.join(", "))
            }
            count if count <= COUNTED => format!("{count} {name}s between {low} and {high}"),
            _ => format!("more than {COUNTED} {name}s between {low} and {high}"),
        })
    }
}

impl Unmapped {
    /// None so far.
    pub(crate) fn new(side: Side) -> Self {
        Self { side, first: None, count: 0, uids: Ids::default(), gids: Ids::default() }
    }

    /// Looks at the owner of an object, which the error is to name.
    pub(crate) fn look(&mut self, maps: &IdMaps, owner: Owner, named: impl FnOnce(Error) -> Error) {
        let Err(error) = self.side.map_owner(maps, owner) else { return };
        for (map, id, ids) in
            [(&maps.uid, owner.uid, &mut self.uids), (&maps.gid, owner.gid, &mut self.gids)]
        {
            if self.side.map(map, id).is_err() {
                ids.add(id);
            }
        }
        self.count += 1;
        self.first.get_or_insert_with(|| named(error));
    }

    /// Takes those together that were found in two places, of which `other` comes later.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            side: self.side,
            first: self.first.or(other.first),
            count: self.count + other.count,
            uids: self.uids.and(other.uids),
            gids: self.gids.and(other.gids),
        }
    }

    /// Ends in an error if there is any: it names the first object and its id, and says how many
    /// there are, and which ids.
    pub(crate) fn refuse(self) -> Result<()> {
        let lacking = self.lacking();
        let Some(mut error) = self.first else { return Ok(()) };
        let objects = match self.side {
            Side::Container => "entries",
            Side::Host => "objects",
        };
        if self.count > 1 {
            let count = self.count;
            error = error.context(format!("{count} {objects} have owners outside of the maps"));
        }
        // One that lacks a single id says so itself.
        let is_told = self.count == 1 && (self.uids.is_empty() || self.gids.is_empty());
        Err(if is_told { error } else { error.context(format!("the maps lack {lacking}")) })
    }

    fn lacking(&self) -> String {
        let side = match self.side {
            Side::Container => "container",
            Side::Host => "host",
        };
        let ids = [("uid", &self.uids), ("gid", &self.gids)].into_iter();
        let told = ids.filter_map(|(name, ids)| ids.told(&format!("{side} {name}")));
        told.collect::<Vec<_>>().join(" and ")
    }
}

/// Looks at objects that are to become members, and remembers those whose owner the maps lack.
#[derive(Debug)]
pub struct OwnerCheck<'a> {
    fs: &'a dyn FsOps,
    owners: &'a Owners,
    place: &'a Path,
    open: OpenDirs,
    unmapped: Unmapped,
}

impl<'a> OwnerCheck<'a> {
    /// Checks what `fs` holds.
    pub fn new(fs: &'a dyn FsOps, owners: &'a Owners) -> Self {
        let (place, unmapped) = (Path::new(""), Unmapped::new(Side::Host));
        Self { fs, owners, place, open: OpenDirs::default(), unmapped }
    }

    /// Calls the root of the tree this in errors.
    #[must_use]
    pub fn with_place(mut self, place: &'a Path) -> Self {
        self.place = place;
        self
    }

    /// Looks at the objects at these paths.
    ///
    /// # Errors
    /// When something cannot be looked at, and as [`OwnerCheck::all_below`].
    pub fn each<'p>(mut self, paths: impl Iterator<Item = &'p RootPath>) -> Result<()> {
        if let Some(maps) = self.owners.lacking() {
            for path in paths {
                self.look(maps, path)?;
            }
        }
        self.unmapped.refuse()
    }

    /// Looks at the object at a path and all that is below it.
    ///
    /// # Errors
    /// When an owner is outside of the maps: it names the first such object and its id, and
    /// says how many there are, and which ids.
    pub fn all_below(mut self, path: &RootPath) -> Result<()> {
        let Some(maps) = self.owners.lacking() else { return Ok(()) };
        let mut pending = vec![path.clone()];
        while let Some(path) = pending.pop() {
            if self.look(maps, &path)? != Kind::Dir {
                continue;
            }
            let dir = self.open.get(self.fs, &path)?;
            let names = self.fs.read_dir(&dir);
            let names = names.with_context(|| format!("list {:?}", path.below(self.place)))?;
            for name in names.iter().rev() {
                pending.push(path.join(Name::new(name)?));
            }
        }
        self.unmapped.refuse()
    }

    fn look(&mut self, maps: &IdMaps, path: &RootPath) -> Result<Kind> {
        let adding = || format!("could not add file {:?}", path.below(self.place));
        let stat = self.stat(path).with_context(adding)?;
        self.unmapped.look(maps, stat.owner, |error| error.context(adding()));
        Ok(stat.kind)
    }

    fn stat(&mut self, path: &RootPath) -> Result<Stat> {
        let Some((parent, name)) = path.split() else {
            let root = self.open.get(self.fs, path)?;
            return Ok(self.fs.stat_dir(&root)?);
        };
        let dir = self.open.get(self.fs, &parent)?;
        Ok(self.fs.stat(&dir, name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_ids_are_told_one_by_one_and_many_are_counted() {
        let told = |ids: &[u32]| {
            let (mut one, mut other) = (Ids::default(), Ids::default());
            ids.iter().step_by(2).for_each(|id| one.add(*id));
            ids.iter().skip(1).step_by(2).for_each(|id| other.add(*id));
            one.and(other).told("uid")
        };
        for (ids, expected) in [
            (&[][..], None),
            (&[7, 7, 7], Some("uid 7")),
            (&[9, 7, 7], Some("uids 7, 9")),
            (&[5, 4, 3, 2_000_000, 1], Some("uids 1, 3, 4, 5, 2000000")),
            (&[6, 5, 4, 3, 2_000_000, 1], Some("6 uids between 1 and 2000000")),
        ] {
            assert_eq!(told(ids).as_deref(), expected);
        }
        let all: Vec<u32> = (1..=20_000).collect();
        let counted = "10000 uids between 1 and 10000";
        assert_eq!(told(&all[..10_000]).as_deref(), Some(counted));
        let more = "more than 10000 uids between 1 and 20000";
        assert_eq!(told(&all).as_deref(), Some(more));
    }
}
