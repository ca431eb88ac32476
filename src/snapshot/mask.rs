// SPDX-License-Identifier: Apache-2.0
//! [`Masks`]: parts of a tree whose changes no layer is to hold.

use std::collections::HashSet;

use super::diff::DiffEntry;
use crate::error::{Context, Result};
use crate::rootfs::RootPath;

/// Paths whose changes, and those of all below them, are left out.
///
/// A path is taken as it is written: no globs, no links. A mask of the root
/// itself masks nothing.
#[derive(Debug, Clone, Default)]
pub struct Masks {
    paths: HashSet<RootPath>,
}

impl Masks {
    /// Makes masks from an image's volumes and from what the user asks for.
    pub fn new<P: AsRef<[u8]>>(paths: impl IntoIterator<Item = P>) -> Result<Self> {
        let mut masks = HashSet::new();
        for path in paths {
            masks.insert(RootPath::clean(path).context("invalid mask")?);
        }
        masks.remove(&RootPath::root());
        Ok(Self { paths: masks })
    }

    /// Whether a path is masked.
    pub fn cover(&self, path: &RootPath) -> bool {
        if self.paths.is_empty() {
            return false;
        }
        let mut ancestor = Some(path.clone());
        while let Some(path) = ancestor {
            if self.paths.contains(&path) {
                return true;
            }
            ancestor = path.parent();
        }
        false
    }

    /// Leaves out the changes that are masked.
    pub fn apply(&self, diffs: &mut Vec<DiffEntry>) {
        diffs.retain(|diff| !self.cover(&diff.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Change;

    fn kept(masks: &[&str], paths: &[&str]) -> Vec<String> {
        let diff = |path: &&str| DiffEntry {
            path: RootPath::clean(path).unwrap(),
            change: Change::Deleted,
            size: 0,
        };
        let mut diffs = paths.iter().map(diff).collect();
        Masks::new(masks).unwrap().apply(&mut diffs);
        diffs.iter().map(|diff| diff.path.to_string()).collect()
    }

    #[test]
    fn covers_a_path_and_what_is_below() {
        for mask in ["d", "/d", "/d/", "x/../d", "./d"] {
            assert_eq!(kept(&[mask], &[".", "d", "d/a/b", "d-x", "e/d"]), [".", "d-x", "e/d"]);
        }
        assert_eq!(kept(&["a/b", "c"], &["a", "a/b/c", "a/bc", "c"]), ["a", "a/bc"]);
    }

    #[test]
    fn the_root_is_no_mask() {
        for mask in ["", "/", ".", "..", "d/.."] {
            assert_eq!(kept(&[mask], &[".", "d"]), [".", "d"]);
        }
        assert!(Masks::new(["a\0b"]).is_err());
    }
}
