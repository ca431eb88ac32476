// SPDX-License-Identifier: Apache-2.0
//! Why something is out of reach even for root of a user namespace.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use super::super::metadata::Stat;
use super::super::namespace::Namespace;
use super::super::path::RootPath;
use super::super::sys::{self, Open};

/// The error of a call, or if what was in its way belongs to somebody who is not in the user
/// namespace, that: nobody there has any right to it.
pub(super) fn told(error: io::Error, obstacle: impl FnOnce() -> io::Result<Stat>) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    match obstacle().map(|stat| Namespace::read().known(stat.owner)) {
        Ok(Err(stranger)) => stranger.into(),
        _ => error,
    }
}

/// The last directory on a path that can be got at.
pub(super) fn last_dir(root: &File, path: &RootPath) -> io::Result<Stat> {
    let mut dir = OwnedFd::from(root.try_clone()?);
    for name in path.components() {
        match sys::open_at(&dir, name.as_os_str(), Open::Place) {
            Ok(next) => dir = next,
            Err(_) => break,
        }
    }
    sys::stat_fd(&dir)
}
