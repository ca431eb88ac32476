// SPDX-License-Identifier: Apache-2.0
//! Whether the owners on disk of a bundle's tree mean what they meant where it
//! was unpacked: they are numbers, which in another user namespace are others,
//! and which somebody may have changed for the whole tree.

use std::path::Path;

use super::metadata::BundleMetadata;
use super::record::{self, Witness};
use super::staging::{BundleDir, ROOTFS};
use super::stat_index_name;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::idmap::Owner;
use crate::rootfs::is_in_user_namespace;
use crate::sys;

/// Refuses a bundle of which a layer would have other owners than those that were meant.
///
/// # Errors
/// [`ErrorKind::ForeignOwner`]; also when its record is none.
pub(super) fn check(bundle: &BundleDir, metadata: &BundleMetadata) -> Result<()> {
    let witness = record::witness(bundle)?;
    if let Some(Witness { then, now, .. }) = witness
        && then != now
    {
        return Err(elsewhere(then, now));
    }
    let was_in_namespace = witness.is_some_and(|witness| witness.in_namespace);
    if is_in_user_namespace() && !was_in_namespace && is_own(bundle, metadata)? {
        return Err(Error::new(
            ErrorKind::ForeignOwner,
            "the bundle was unpacked outside of this user namespace, \
             in which the owners on disk mean something else",
        ));
    }
    if sys::is_root() { Ok(()) } else { check_root(bundle, metadata) }
}

/// Whether this crate has unpacked it, which leaves word of a namespace where there is one.
fn is_own(bundle: &BundleDir, metadata: &BundleMetadata) -> Result<bool> {
    bundle.has(&stat_index_name(&metadata.from.target().digest))
}

/// Who is not the system's administrator can have unpacked it only with a root that is his own.
fn check_root(bundle: &BundleDir, metadata: &BundleMetadata) -> Result<()> {
    let then = metadata.maps.to_host(Owner::default())?;
    let root = sys::lstat(&bundle.dir, Path::new(ROOTFS)).at("stat", bundle.path.join(ROOTFS))?;
    let (uid, gid) = root.owner();
    let now = Owner { uid, gid };
    if then == now { Ok(()) } else { Err(elsewhere(then, now)) }
}

fn elsewhere(then: Owner, now: Owner) -> Error {
    let message = format!(
        "the owners on disk are not those of the unpack: \
         what belonged to {}:{} then belongs to {}:{} here",
        then.uid, then.gid, now.uid, now.gid
    );
    Error::new(ErrorKind::ForeignOwner, message)
}
