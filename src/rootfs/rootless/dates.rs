// SPDX-License-Identifier: Apache-2.0
//! [`Dates`]: which dates a filesystem holds. In the place of any other it takes the nearest of
//! them, without a word.

use std::fs::File;
use std::io;

use super::super::metadata::FileTime;
use super::super::ops::FsOps;
use super::super::sys;
use super::Rootless;
use super::census::Substitute;
use super::target::Target;

/// Dates that are further away than most filesystems go. Kernels before 5.4 do not keep to the
/// limits but drop what is above 32 or 34 bits, which of these leaves the limits as well.
const LONG_AGO: i64 = i32::MIN as i64 - (12 << 32);
const FAR_AHEAD: i64 = i32::MAX as i64 + (55 << 32);

/// What is no loss: some filesystems keep every other second only.
const TOLERANCE: u64 = 2;

/// The first and the last date that a filesystem holds, in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dates {
    first: i64,
    last: i64,
}

impl Default for Dates {
    /// All there are.
    fn default() -> Self {
        Self { first: i64::MIN, last: i64::MAX }
    }
}

impl Dates {
    /// Tries it with a file on that filesystem.
    pub(super) fn probe(file: &File) -> io::Result<Self> {
        let all = Self::default();
        let nearest = |seconds, if_held| {
            let time = FileTime { seconds, nanoseconds: 0 };
            sys::set_times_fd(file, time, time)?;
            let held = sys::stat_fd(file)?.mtime.seconds;
            io::Result::Ok(if held == seconds { if_held } else { held })
        };
        Ok(Self { first: nearest(LONG_AGO, all.first)?, last: nearest(FAR_AHEAD, all.last)? })
    }

    /// What the filesystem takes in the place of a date, where it is another one.
    fn instead_of(self, date: i64) -> Option<i64> {
        let nearest = date.max(self.first).min(self.last);
        (nearest.abs_diff(date) > TOLERANCE).then_some(nearest)
    }
}

impl<F: FsOps> Rootless<F> {
    /// Whether an inode gets another time of change than this, which is told.
    pub(super) fn has_other_date(&self, target: Target<'_>, mtime: FileTime) -> io::Result<bool> {
        let date = mtime.seconds;
        let Some(nearest) = self.abilities.dates.instead_of(date) else { return Ok(false) };
        let why = "the filesystem holds none that is nearer";
        let what = || format!("the date @{date} becomes @{nearest}: {why}");
        self.substitute(Substitute::NearestDate, target, what)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_becomes_the_nearest_but_for_a_moment() {
        let dates = Dates { first: 0, last: 1000 };
        for (date, nearest) in [
            (i64::MIN, Some(0)),
            (-3, Some(0)),
            (-2, None),
            (500, None),
            (1002, None),
            (1003, Some(1000)),
            (i64::MAX, Some(1000)),
        ] {
            assert_eq!(dates.instead_of(date), nearest, "{date}");
            assert_eq!(Dates::default().instead_of(date), None, "{date}");
        }
    }

    /// As older kernels do, where times have 32 or 34 bits from 1901 on.
    #[test]
    fn dates_that_are_cut_are_the_limits() {
        let first = i64::from(i32::MIN);
        for bits in [32, 34] {
            let cut = |date: i64| (date - first).rem_euclid(1 << bits) + first;
            assert_eq!(cut(LONG_AGO), first);
            assert_eq!(cut(FAR_AHEAD), first + (1 << bits) - 1);
        }
    }
}
