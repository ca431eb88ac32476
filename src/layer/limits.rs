// SPDX-License-Identifier: Apache-2.0
//! [`Limits`]: what the layers of one image may take, all together. They are
//! for images that mean harm; what a single member may ask for is bounded by
//! [`MemberLimits`](super::MemberLimits).

use crate::error::{Bound, Error, Result};

/// What the layers of one image may take, all together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of all layers once they are decompressed; the holes of sparse files may have
    /// as many again. `None` is for what suits the image: 64 GiB, or 100 times the size of its
    /// compressed layers where that is more. Only streams that were made to grow reach it.
    pub unpacked_size: Option<u64>,
    /// The members of all layers, whiteouts included.
    pub entries: u64,
    /// The components of a member's name.
    pub path_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { unpacked_size: None, entries: 20_000_000, path_depth: 1024 }
    }
}

impl Limits {
    /// What any image may have unpacked, however small it is compressed.
    const UNPACKED: u64 = 64 << 30;
    /// How many times its size an image may grow beyond that.
    const GROWTH: u64 = 100;

    /// The limits for layers that have `size` bytes as they are stored.
    #[must_use]
    pub fn for_stored(&self, size: u64) -> Self {
        let suitable = size.saturating_mul(Self::GROWTH).max(Self::UNPACKED);
        Self { unpacked_size: Some(self.unpacked_size.unwrap_or(suitable)), ..self.clone() }
    }

    /// Refuses more bytes than there may be.
    pub(crate) fn check_size(&self, bytes: u64) -> Result<()> {
        let most = self.unpacked_size.unwrap_or(Self::UNPACKED);
        require(bytes <= most, Bound::UnpackedSize, || {
            format!("unpacked, it is larger than the limit of {most} bytes")
        })
    }

    /// Refuses more bytes of holes than there may be.
    pub(crate) fn check_holes(&self, bytes: u64) -> Result<()> {
        let most = self.unpacked_size.unwrap_or(Self::UNPACKED);
        require(bytes <= most, Bound::UnpackedSize, || {
            format!("holes of sparse files are larger than the limit of {most} bytes")
        })
    }

    /// Refuses more members than there may be.
    pub(crate) fn check_entries(&self, count: u64) -> Result<()> {
        let most = self.entries;
        require(count <= most, Bound::Entries, || format!("more than the limit of {most} entries"))
    }

    /// Refuses a path of more components than it may have.
    pub(crate) fn check_depth(&self, components: usize) -> Result<()> {
        let most = self.path_depth;
        require(components <= most, Bound::PathDepth, || {
            format!("path is deeper than the limit of {most} directories")
        })
    }
}

fn require(holds: bool, bound: Bound, message: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::over(bound, message())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_suits_the_image() {
        let of = |limits: Limits, stored| limits.for_stored(stored).unpacked_size.unwrap();
        assert_eq!(of(Limits::default(), 0), 64 << 30);
        assert_eq!(of(Limits::default(), 600 << 20), 64 << 30);
        assert_eq!(of(Limits::default(), 10 << 30), 1000 << 30);
        assert_eq!(of(Limits::default(), u64::MAX), u64::MAX);
        assert_eq!(of(Limits { unpacked_size: Some(5), ..Limits::default() }, 10 << 30), 5);
    }

    #[test]
    fn each_limit_is_the_most_that_may_be() {
        let limits = Limits { unpacked_size: Some(3), entries: 3, path_depth: 3 };
        for (bound, within, over) in [
            (Bound::UnpackedSize, limits.check_size(3), limits.check_size(4)),
            (Bound::UnpackedSize, limits.check_holes(3), limits.check_holes(4)),
            (Bound::Entries, limits.check_entries(3), limits.check_entries(4)),
            (Bound::PathDepth, limits.check_depth(3), limits.check_depth(4)),
        ] {
            assert!(within.is_ok());
            let error = over.unwrap_err();
            assert_eq!(error.bound(), Some(bound));
            assert!(error.to_string().contains("limit of 3"), "{error}");
        }
    }
}
