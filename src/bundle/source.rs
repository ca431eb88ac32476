// SPDX-License-Identifier: Apache-2.0
//! [`emulated_at`]: what the record of a bundle says, for those who take files out of its tree.

use std::path::{Path, PathBuf};

use super::emulation::Terms;
use super::metadata::{self, Privileges};
use super::record;
use super::repack::Bundle;
use super::staging::ROOTFS;
use crate::error::{Context, Result};
use crate::rootfs::{Emulated, Identity, View, open_own_dir};

/// What is remembered of the inodes of the bundle that `source` is in the root filesystem of;
/// nothing if it is in none, or in one that was made with other privileges.
///
/// # Errors
/// When the record cannot be read, and as [`Bundle::check_ids`].
pub fn emulated_at(source: &Path, privileges: Privileges) -> Result<Vec<(Identity, Emulated)>> {
    let Some(path) = bundle_around(source) else { return Ok(Vec::new()) };
    let bundle = Bundle::open(&path).with_context(|| format!("open bundle {path:?}"))?;
    if bundle.metadata.privileges != privileges {
        return Ok(Vec::new());
    }
    bundle.check_ids()?;
    let root = open_own_dir(&bundle.dir.dir, Path::new(ROOTFS)).at("open", path.join(ROOTFS))?;
    let fs = Terms { privileges, ..Terms::default() }.open(root, View::Disk)?;
    record::load(&bundle.dir, &fs)?;
    Ok(fs.all_emulated())
}

/// The bundle with a record that a path leads into, wherever links on the way lead to; the last
/// name is no such link.
fn bundle_around(source: &Path) -> Option<PathBuf> {
    let place = match (source.parent(), source.file_name()) {
        (Some(parent), Some(name)) => {
            let above = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            as_far_as_possible(above)?.join(name)
        }
        _ => as_far_as_possible(source)?,
    };
    let has = |dir: &Path, name| dir.join(name).symlink_metadata().is_ok_and(|of| of.is_file());
    let roots =
        place.ancestors().filter(|path| path.file_name().is_some_and(|name| name == ROOTFS));
    let mut bundles = roots.filter_map(Path::parent);
    let found = bundles.find(|dir| has(dir, metadata::FILE_NAME) && has(dir, record::FILE_NAME));
    found.map(Path::to_owned)
}

/// A path without links, but for what is behind a directory that is closed to its owner.
fn as_far_as_possible(path: &Path) -> Option<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Some(as_far_as_possible(path.parent()?)?.join(path.file_name()?))
        }
        found => found.ok(),
    }
}
