// SPDX-License-Identifier: Apache-2.0
//! [`LayerWriter`], which makes the tar stream of a layer out of members.

use std::io::{Read, Write};

use super::entry::Entry;
use crate::error::Result;
use crate::rootfs::{RootPath, Stat};

/// How a layer is written.
#[derive(Debug, Clone, Default)]
pub struct LayerOptions {
    /// The latest time, in seconds since the epoch, that a member may have;
    /// later ones are set to it (`SOURCE_DATE_EPOCH`).
    pub latest: Option<i64>,
}

/// Writes the members of a layer.
#[derive(Debug)]
pub struct LayerWriter<W> {
    output: W,
}

impl<W: Write> LayerWriter<W> {
    /// Writes to `output`.
    pub fn new(output: W, _options: LayerOptions) -> Self {
        Self { output }
    }

    /// Turns a member into a hard link when an earlier one was the same inode,
    /// else remembers its name. To be called before [`LayerWriter::add`], in the order of members.
    pub fn link(&mut self, _entry: &mut Entry, _stat: &Stat) {
        unimplemented!()
    }

    /// Writes a member; a regular file with exactly as many bytes of `body` as its size says.
    pub fn add(&mut self, _entry: &Entry, _body: Option<&mut dyn Read>) -> Result<()> {
        unimplemented!()
    }

    /// Writes that `path` is gone.
    pub fn whiteout(&mut self, _path: &RootPath) -> Result<()> {
        unimplemented!()
    }

    /// Writes that all lower children of the directory `path` are gone.
    pub fn opaque(&mut self, _path: &RootPath) -> Result<()> {
        unimplemented!()
    }

    /// Ends the archive and gives back the output.
    pub fn finish(self) -> Result<W> {
        Ok(self.output)
    }
}
