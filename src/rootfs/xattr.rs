// SPDX-License-Identifier: Apache-2.0
//! Extended attributes of a root filesystem: reading, clearing and setting
//! them, and what happens where a filesystem has none.

use std::io;

use nix::errno::Errno;

use super::metadata::Xattr;
use super::sys::XattrTarget;
use crate::error::Error;

/// Whether an attribute is the host's own label of the inode, which no image
/// sets, removes or carries away.
pub fn is_host_label(name: &[u8]) -> bool {
    matches!(
        name,
        b"security.selinux" | b"system.nfs4_acl" | b"system.nfs4_dacl" | b"system.nfs4_sacl"
    )
}

/// Sets an attribute; its name is in the error. `Unsupported` is one that the
/// filesystem does not take.
pub(super) fn set(target: XattrTarget<'_>, xattr: &Xattr) -> io::Result<()> {
    target.set(&xattr.name, &xattr.value).map_err(|error| named(xattr, error))
}

/// An error that says which attribute could not be set.
pub(super) fn named(xattr: &Xattr, error: io::Error) -> io::Error {
    let (name, kind) = (xattr.name.escape_ascii(), error.kind());
    io::Error::new(kind, format!("set extended attribute {name}: {}", Error::from(error)))
}

/// Reads one attribute; `None` where the inode or the filesystem has none.
pub(super) fn read(target: XattrTarget<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    match target.get(name) {
        Err(error) if is(&error, &[Errno::ENODATA, Errno::EOPNOTSUPP]) => Ok(None),
        result => result,
    }
}

/// Reads all attributes, sorted by name. None where the filesystem has none; those that the
/// system keeps to itself are left out.
pub(super) fn read_all(target: XattrTarget<'_>) -> io::Result<Vec<Xattr>> {
    read_possible(target).map(|(xattrs, _)| xattrs)
}

/// Names of attributes.
pub(super) type Names = Vec<Box<[u8]>>;

/// As [`read_all`], for an image: without the host's labels. Gives the names of all that are
/// left out, too.
pub(super) fn read_for_image(target: XattrTarget<'_>) -> io::Result<(Vec<Xattr>, Names)> {
    let (mut xattrs, mut withheld) = read_possible(target)?;
    let labels = xattrs.extract_if(.., |xattr| is_host_label(&xattr.name));
    withheld.extend(labels.map(|xattr| xattr.name));
    Ok((xattrs, withheld))
}

fn read_possible(target: XattrTarget<'_>) -> io::Result<(Vec<Xattr>, Names)> {
    let (mut xattrs, mut withheld) = (Vec::new(), Vec::new());
    for name in list(target)? {
        match read(target, &name) {
            Ok(Some(value)) => xattrs.push(Xattr { name, value: value.into() }),
            Ok(None) => {}
            Err(error) if is_withheld(&name, &error) => withheld.push(name),
            Err(error) => return Err(error),
        }
    }
    xattrs.sort_unstable();
    Ok((xattrs, withheld))
}

/// Whether the system keeps an attribute to itself: the caller may not read it, or it is a
/// capability for a root that the caller's user namespace does not know. That of a user's
/// attribute is closed together with the file, which its owner can open.
fn is_withheld(name: &[u8], error: &io::Error) -> bool {
    !name.starts_with(b"user.") && is(error, &[Errno::EACCES, Errno::EPERM, Errno::EOVERFLOW])
}

/// Removes all attributes but the host's labels.
pub(super) fn clear(target: XattrTarget<'_>) -> io::Result<()> {
    let refusals = [Errno::EPERM, Errno::EACCES, Errno::EOPNOTSUPP, Errno::ENODATA];
    for name in list(target)?.iter().filter(|name| !is_host_label(name)) {
        match target.remove(name) {
            // What the system itself put there and keeps is not ours to fail on.
            Err(error) if is(&error, &refusals) => {}
            result => result?,
        }
    }
    Ok(())
}

fn list(target: XattrTarget<'_>) -> io::Result<Names> {
    match target.list() {
        Err(error) if is(&error, &[Errno::EOPNOTSUPP]) => Ok(Vec::new()),
        result => result,
    }
}

fn is(error: &io::Error, codes: &[Errno]) -> bool {
    codes.iter().any(|code| error.raw_os_error() == Some(*code as i32))
}
