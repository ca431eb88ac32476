// SPDX-License-Identifier: Apache-2.0
//! The names of a layer, compared with each other and with those of the layers above and below.
//!
//! Names are kept as numbers, of which two are the same by accident once in ten million layers
//! of a million members. Nobody can make that more often: they depend on a secret.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rootfs::{Name, RootPath};

/// How many names of a layer are compared with each other; they take some 36 MiB.
pub(super) const MOST_NAMES: usize = 1 << 20;
/// How many bytes names and links of all layers take that are kept to be compared.
const ROOM: usize = 64 << 20;
/// How many hard links of a layer to names that it lacks are kept.
const MOST_LINKS: usize = 1000;
/// How long such a name is at most.
const MOST_BYTES: usize = 4096;

/// What a member is, as the last bits of its name's number have it.
const OTHER: u64 = 0;
/// A directory in directories of the same layer: no link can lead elsewhere there.
const ROOTED: u64 = 1;
const SYMLINK: u64 = 2;
/// A directory in one that the layer lacks, or has as something else.
const LOOSE: u64 = 3;
const SORTS: u64 = 3;

/// What of a name was there before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Never,
    AsDirectory,
    OtherThings,
}

/// What a member is, as far as it matters for its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Dir,
    Symlink,
    Other,
}

/// What all layers share: the secret, and the room that is left.
#[derive(Default)]
pub(super) struct Shared {
    state: RandomState,
    taken: AtomicUsize,
}

impl Shared {
    /// Takes room; without any nothing is compared, whoever was first.
    fn take(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn has_room(&self) -> bool {
        self.taken.load(Ordering::Relaxed) <= ROOM
    }

    pub(super) fn number(&self, path: &[u8]) -> u64 {
        self.state.hash_one(path) & !SORTS
    }

    /// The number of a name without its directory.
    pub(super) fn last(&self, path: &RootPath) -> u64 {
        self.state.hash_one((path.name().map(Name::as_bytes), "last"))
    }
}

/// A hard link to a name that its layer lacks.
#[derive(Debug)]
pub(super) struct Link {
    /// The link, as it is shown.
    pub(super) member: String,
    pub(super) target: RootPath,
}

/// The names of a layer while it is read.
pub(super) struct Names<'a> {
    shared: &'a Shared,
    seen: HashSet<u64>,
    loose: HashSet<u64>,
    links: Vec<Link>,
    lost_links: bool,
}

impl<'a> Names<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        let (seen, loose) = (HashSet::new(), HashSet::new());
        Self { shared, seen, loose, links: Vec::new(), lost_links: false }
    }

    /// Whether all names are known.
    pub(super) fn is_complete(&self) -> bool {
        self.seen.len() < MOST_NAMES
    }

    pub(super) fn add(&mut self, path: &RootPath, sort: Sort) -> Seen {
        if !self.is_complete() {
            return Seen::Never;
        }
        let number = self.shared.number(path.as_bytes());
        let was = |sort| self.seen.contains(&(number | sort));
        let seen = match (was(ROOTED) || was(LOOSE), was(SYMLINK) || was(OTHER)) {
            (false, false) => Seen::Never,
            (true, false) if sort == Sort::Dir => Seen::AsDirectory,
            _ => Seen::OtherThings,
        };
        let is_rooted = path.parent().is_none_or(|parent| self.is_rooted(&parent));
        if !is_rooted {
            self.loose.insert(self.shared.last(path));
        }
        self.seen.insert(match sort {
            Sort::Dir if is_rooted => number | ROOTED,
            Sort::Dir => number | LOOSE,
            Sort::Symlink => number | SYMLINK,
            Sort::Other => number | OTHER,
        });
        seen
    }

    fn is_rooted(&self, dir: &RootPath) -> bool {
        dir.is_root() || self.seen.contains(&(self.shared.number(dir.as_bytes()) | ROOTED))
    }

    fn has(&self, path: &RootPath) -> bool {
        let number = self.shared.number(path.as_bytes());
        (OTHER..=LOOSE).any(|sort| self.seen.contains(&(number | sort)))
    }

    /// Keeps a hard link whose target the layer may lack.
    pub(super) fn link(&mut self, member: impl FnOnce() -> String, target: RootPath) {
        if self.has(&target) {
            return;
        }
        if self.links.len() >= MOST_LINKS {
            let links = std::mem::take(&mut self.links);
            self.links = links.into_iter().filter(|link| !self.has(&link.target)).collect();
        }
        if self.links.len() < MOST_LINKS && target.as_bytes().len() <= MOST_BYTES {
            self.links.push(Link { member: member(), target });
        } else {
            self.lost_links = true;
        }
    }

    /// What is compared with other layers.
    pub(super) fn finish(mut self) -> Outline {
        let links = std::mem::take(&mut self.links);
        let links: Vec<Link> = links.into_iter().filter(|link| !self.has(&link.target)).collect();
        let is_complete = self.is_complete();
        let outline = Outline {
            names: sorted(self.seen),
            loose: sorted(self.loose),
            links,
            is_complete,
            lost_links: self.lost_links,
        };
        self.shared.take(outline.size());
        if self.shared.has_room() { outline } else { outline.without_names() }
    }
}

fn sorted(numbers: HashSet<u64>) -> Vec<u64> {
    let mut sorted: Vec<u64> = numbers.into_iter().collect();
    sorted.sort_unstable();
    sorted
}

/// The names of a layer when it has been read. Without any, nothing is known of a layer.
#[derive(Debug, Default)]
pub(super) struct Outline {
    names: Vec<u64>,
    loose: Vec<u64>,
    /// Hard links to what the layer lacks.
    pub(super) links: Vec<Link>,
    /// Whether there are more of these.
    pub(super) lost_links: bool,
    is_complete: bool,
}

impl Outline {
    fn size(&self) -> usize {
        let links = self.links.iter().map(|link| link.member.len() + link.target.as_bytes().len());
        links.sum::<usize>() + 8 * (self.names.len() + self.loose.len())
    }

    /// Nothing but whether there are links that would have to be compared.
    fn without_names(self) -> Self {
        let lost_links = self.lost_links || !self.links.is_empty();
        Self { lost_links, ..Self::default() }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(super) fn has(&self, number: u64) -> bool {
        let at = self.names.partition_point(|name| *name < number);
        self.names.get(at).is_some_and(|name| name & !SORTS == number)
    }

    pub(super) fn has_symlink(&self, number: u64) -> bool {
        self.names.binary_search(&(number | SYMLINK)).is_ok()
    }

    /// Whether there is such a name in a directory that may be another one than it says.
    pub(super) fn has_loose(&self, last: u64) -> bool {
        self.loose.binary_search(&last).is_ok()
    }
}
