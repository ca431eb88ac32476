// SPDX-License-Identifier: Apache-2.0
//! [`FilledFiles`]: what is known of the files that were filled, in as little memory as it takes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::BodyId;
use crate::idmap::Owner;
use crate::rootfs::{Device, FileTime, Identity, Kind, Stat};

/// What is known of a file that was filled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filled {
    /// The SHA-256 of its contents.
    pub(crate) digest: [u8; 32],
    state: State,
}

/// What a file with a single name was when it was finished. There are as many of these as there
/// are files, so the times are taken apart: whole ones have gaps.
#[derive(Debug, Clone, Copy)]
struct State {
    mode: u32,
    owner: Owner,
    size: u64,
    identity: Identity,
    seconds: [i64; 3],
    nanoseconds: [u32; 3],
}

impl Filled {
    pub(super) fn new(digest: [u8; 32], stat: &Stat) -> Self {
        let Stat { mode, owner, size, identity, .. } = *stat;
        let times = [stat.atime, stat.mtime, stat.ctime];
        let seconds = times.map(|time| time.seconds);
        let nanoseconds = times.map(|time| time.nanoseconds);
        Self { digest, state: State { mode, owner, size, identity, seconds, nanoseconds } }
    }

    /// What it was when it was finished.
    pub(crate) fn stat(&self) -> Stat {
        let State { mode, owner, size, identity, seconds, nanoseconds } = self.state;
        let [atime, mtime, ctime] = [0, 1, 2].map(|which: usize| FileTime {
            seconds: seconds[which],
            nanoseconds: nanoseconds[which],
        });
        let (kind, nlink, device) = (Kind::File, 1, Device::default());
        Stat { kind, mode, owner, size, nlink, identity, device, atime, mtime, ctime }
    }
}

/// What is known of the files that were filled, by number. Threads fill and ask at the same time.
#[derive(Debug, Default)]
pub(crate) struct FilledFiles(Mutex<BTreeMap<BodyId, Files>>);

/// Files with consecutive numbers.
#[derive(Debug)]
struct Files {
    files: Box<[Filled]>,
    /// How many of them are still of use.
    wanted: usize,
}

impl FilledFiles {
    /// What is known of a file, if digests were asked for.
    pub(crate) fn get(&self, id: BodyId) -> Option<Filled> {
        let all = self.lock();
        let (first, of) = all.range(..=id).next_back()?;
        of.files.get(usize::try_from(id.get() - first.get()).ok()?).copied()
    }

    /// Says, once, that nobody will ask for a file any more. With the last of those that were
    /// filled together they go; what has not been filled yet stays.
    pub(crate) fn forget(&self, id: BodyId) {
        let mut all = self.lock();
        let Some((first, of)) = all.range_mut(..=id).next_back() else { return };
        if usize::try_from(id.get() - first.get()).is_ok_and(|at| at < of.files.len()) {
            of.wanted = of.wanted.saturating_sub(1);
            let first = (of.wanted == 0).then_some(*first);
            first.and_then(|first| all.remove(&first));
        }
    }

    pub(super) fn add(&self, first: BodyId, files: Vec<Filled>) {
        if !files.is_empty() {
            let wanted = files.len();
            self.lock().insert(first, Files { files: files.into(), wanted });
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<BodyId, Files>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(ino: u64) -> Stat {
        let time = |seconds| FileTime { seconds, nanoseconds: 9 };
        Stat {
            kind: Kind::File,
            mode: 0o4755,
            owner: Owner { uid: 1, gid: 2 },
            size: 3,
            nlink: 1,
            identity: Identity { dev: 4, ino },
            device: Device::default(),
            atime: time(5),
            mtime: time(6),
            ctime: time(7),
        }
    }

    fn id(number: u32) -> BodyId {
        BodyId::new(number).unwrap()
    }

    #[test]
    fn is_small_and_gives_back_what_it_got() {
        assert!(size_of::<Filled>() <= 104);
        assert_eq!(Filled::new([8; 32], &stat(9)).stat(), stat(9));
    }

    #[test]
    fn goes_when_all_that_were_filled_together_are_of_no_use() {
        let all = FilledFiles::default();
        let files = |count| (0..count).map(|ino| Filled::new([8; 32], &stat(ino))).collect();
        all.forget(id(4));
        all.add(id(4), files(3));
        all.add(id(1), files(2));
        let inode = |number| all.get(id(number)).map(|file| file.stat().identity.ino);
        let inodes = || [1, 2, 3, 4, 5, 6, 7].map(inode);
        assert_eq!(inodes(), [Some(0), Some(1), None, Some(0), Some(1), Some(2), None]);
        all.forget(id(3));
        all.forget(id(5));
        all.forget(id(4));
        assert_eq!(inode(6), Some(2));
        all.forget(id(6));
        assert_eq!(inodes(), [Some(0), Some(1), None, None, None, None, None]);
    }
}
