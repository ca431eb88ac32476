// SPDX-License-Identifier: Apache-2.0
//! Paths as directories list them. Where upper and lower case are the same, members may write the
//! path of one inode in several ways; what is noted by path is noted by this one.

use crate::error::Result;
use crate::rootfs::{Dir, FsOps, Name, RootPath};

/// The path of what a name means in an open directory, whose path is `parent`.
pub(super) fn path_in(
    fs: &dyn FsOps,
    parent: &RootPath,
    dir: &Dir,
    name: Name<'_>,
) -> Result<RootPath> {
    match fs.namesake(dir, name)? {
        None => Ok(parent.join(name)),
        Some(namesake) => Ok(parent.join(Name::new(&namesake)?)),
    }
}

/// The path of a directory. `is_listed` says of some paths that they are as they are listed.
pub(super) fn path(
    fs: &dyn FsOps,
    path: RootPath,
    is_listed: impl Fn(&RootPath) -> bool,
) -> Result<RootPath> {
    let mut listed = path;
    let mut names = Vec::new();
    while !is_listed(&listed)
        && let Some((above, name)) = listed.split()
    {
        names.push(Box::<[u8]>::from(name.as_bytes()));
        listed = above;
    }
    if names.is_empty() {
        return Ok(listed);
    }
    let mut dir = fs.open_dir(&listed)?;
    for name in names.iter().rev() {
        let name = Name::new(name)?;
        listed = path_in(fs, &listed, &dir, name)?;
        dir = fs.open_child(&dir, name)?;
    }
    Ok(listed)
}
