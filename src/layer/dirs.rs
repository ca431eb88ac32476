// SPDX-License-Identifier: Apache-2.0
//! [`OpenDirs`]: directories of a tree that stay open, since paths mostly come
//! grouped by directory.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use crate::rootfs::{Dir, FsOps, RootPath};

/// How many directories stay open.
const KEPT_OPEN: usize = 8;

/// The directories that were used last, the latest first.
#[derive(Debug, Default)]
pub(super) struct OpenDirs(VecDeque<(RootPath, Rc<Dir>)>);

impl OpenDirs {
    /// Gives an open directory, opening it unless it is one of the latest.
    pub(super) fn get(&mut self, fs: &dyn FsOps, path: &RootPath) -> io::Result<Rc<Dir>> {
        if let Some(at) = self.0.iter().position(|(open, _)| open == path) {
            self.0.swap(0, at);
        } else {
            self.0.push_front((path.clone(), Rc::new(fs.open_dir(path)?)));
            self.0.truncate(KEPT_OPEN);
        }
        let latest = self.0.front().map(|(_, dir)| dir.clone());
        latest.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}
