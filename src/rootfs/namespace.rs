// SPDX-License-Identifier: Apache-2.0
//! The user namespace of this process (`user_namespaces(7)`): which owners of
//! the system have a number in it.

use std::fs::read_to_string;
use std::ops::RangeInclusive;

use crate::error::{Error, ErrorKind, Result};
use crate::idmap::Owner;

/// The map of a namespace that has all ids as they are.
const ALL: [&str; 3] = ["0", "0", "4294967295"];
/// What an id is shown as that a namespace lacks, unless the system says otherwise.
const NOBODY: u32 = 65_534;

/// Whether owners are seen through the id map of a user namespace.
pub(crate) fn is_in_user_namespace() -> bool {
    let map = read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.is_empty() && !is_all(&map)
}

fn is_all(map: &str) -> bool {
    map.split_ascii_whitespace().eq(ALL)
}

/// What the ids that the namespace lacks are shown as; `None` where nothing is lacking, or where
/// it may as well be somebody who is there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Namespace {
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Namespace {
    /// Asks the system.
    pub(super) fn read() -> Self {
        let read = |kind: char| {
            let map = read_to_string(format!("/proc/self/{kind}id_map")).unwrap_or_default();
            let shown = read_to_string(format!("/proc/sys/kernel/overflow{kind}id"));
            stranger(&map, shown.ok().and_then(|id| id.trim().parse().ok()).unwrap_or(NOBODY))
        };
        Self { uid: read('u'), gid: read('g') }
    }

    /// An owner on disk, if the namespace has it: a layer with the id that is shown in its place
    /// would give the file to somebody else.
    ///
    /// # Errors
    /// [`ErrorKind::ForeignOwner`].
    pub(super) fn known(self, owner: Owner) -> Result<Owner> {
        if !self.hides(owner) {
            return Ok(owner);
        }
        let Owner { uid, gid } = owner;
        let message =
            format!("its owner is not in this user namespace, which shows {uid}:{gid} instead");
        Err(Error::new(ErrorKind::ForeignOwner, message))
    }

    /// Whether an owner is shown in place of another, of whom nothing is known.
    fn hides(self, owner: Owner) -> bool {
        self.uid == Some(owner.uid) || self.gid == Some(owner.gid)
    }
}

/// The ids that can be given to files in a user namespace; all where that is not known.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenIds {
    uids: Vec<RangeInclusive<u32>>,
    gids: Vec<RangeInclusive<u32>>,
}

impl GivenIds {
    /// Asks the system.
    pub(super) fn read() -> Self {
        let read = |kind: char| {
            let map = read_to_string(format!("/proc/self/{kind}id_map")).unwrap_or_default();
            ranges(&map).unwrap_or_default()
        };
        Self { uids: read('u'), gids: read('g') }
    }

    /// Whether a file may be given to an owner.
    pub(super) fn has(&self, owner: Owner) -> bool {
        let has = |ranges: &[RangeInclusive<u32>], id: u32| {
            ranges.is_empty() || ranges.iter().any(|range| range.contains(&id))
        };
        has(&self.uids, owner.uid) && has(&self.gids, owner.gid)
    }
}

/// The ids of a namespace in a map of the kernel's, if it can be understood.
fn ranges(map: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let range = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let (first, _, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let first = first.ok()?;
        Some(first..=first.checked_add(count.ok()?.checked_sub(1)?)?)
    };
    map.lines().map(range).collect()
}

fn stranger(map: &str, shown: u32) -> Option<u32> {
    let has = |known: Vec<RangeInclusive<u32>>| known.iter().any(|range| range.contains(&shown));
    let is_known = map.is_empty() || is_all(map) || ranges(map).is_none_or(has);
    (!is_known).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_those_whom_no_range_has() {
        for (map, shown) in [
            ("", None),
            ("         0          0 4294967295\n", None),
            ("0 1000 1\n", Some(NOBODY)),
            ("0 1000 1\n1 100000 65533\n", Some(NOBODY)),
            ("0 1000 1\n1 100000 65534\n", None),
            ("65534 65534 1\n", None),
            ("65535 65535 1\n", Some(NOBODY)),
            ("nonsense\n", None),
        ] {
            assert_eq!(stranger(map, NOBODY), shown, "{map:?}");
        }
        let namespace = Namespace { uid: Some(NOBODY), gid: None };
        assert!(namespace.hides(Owner { uid: NOBODY, gid: 0 }));
        assert!(!namespace.hides(Owner { uid: 0, gid: NOBODY }));
    }
    #[test]
    fn files_are_given_to_those_whom_the_map_has() {
        let given = |map: &str| {
            let ids = GivenIds { uids: ranges(map).unwrap_or_default(), gids: Vec::new() };
            [0, 1, 9, 10, 4_294_967_294].map(|uid| ids.has(Owner { uid, gid: 7 }))
        };
        let all = [true; 5];
        for (map, expected) in [
            ("", all),
            ("nonsense\n", all),
            ("0 0 0\n", all),
            ("         0          0 4294967295\n", all),
            ("0 1000 1\n", [true, false, false, false, false]),
            ("0 1000 1\n1 100000 9\n", [true, true, true, false, false]),
        ] {
            assert_eq!(given(map), expected, "{map:?}");
        }
    }
}
