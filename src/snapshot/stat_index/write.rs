// SPDX-License-Identifier: Apache-2.0
//! Writing a stat index while a tree is walked.

use std::io::Write;

use super::{Fingerprint, MAGIC, NO_NAME, VERSION};
use crate::error::{Context, Result};
use crate::rootfs::{FileTime, Stat, Xattr};
use crate::snapshot::contents::Summed;
use crate::snapshot::packed::{
    code_of, put, put_bytes, put_owner, put_signed, put_time, put_xattrs,
};
use crate::snapshot::walk::Listing;

/// Writes an index, a block per directory.
pub(in crate::snapshot) struct StatIndexWriter<W> {
    out: Summed<W>,
    block: Vec<u8>,
    device: u64,
    taken: FileTime,
}

impl<W: Write> StatIndexWriter<W> {
    /// Starts an index of the tree whose root `stat` and `xattrs` describe.
    /// From `taken` on, by the clock of its filesystem, changes may go unseen.
    pub(in crate::snapshot) fn new(
        out: W,
        taken: FileTime,
        stat: &Stat,
        xattrs: &[Xattr],
    ) -> Result<Self> {
        let mut head = MAGIC.to_vec();
        put(VERSION, &mut head);
        put(stat.identity.dev, &mut head);
        put(stat.mode.into(), &mut head);
        put_owner(stat.owner, &mut head);
        put_signed(stat.mtime.seconds, &mut head);
        put_xattrs(xattrs, &mut head);
        let mut out = Summed::new(out);
        out.write_all(&head).context(WRITE)?;
        Ok(Self { out, block: Vec::new(), device: stat.identity.dev, taken })
    }

    /// Writes what is in a directory, or a part of that.
    pub(in crate::snapshot) fn names(&mut self, listing: &Listing) -> Result<()> {
        self.block.clear();
        if listing.is_first {
            put_bytes(listing.place.path.as_bytes(), &mut self.block);
        }
        for child in &listing.children {
            put_bytes(&child.name, &mut self.block);
            self.fingerprint(&child.stat);
        }
        if listing.is_last {
            put_bytes(NO_NAME, &mut self.block);
        }
        self.out.write_all(&self.block).context(WRITE)
    }

    fn fingerprint(&mut self, stat: &Stat) {
        let settled = stat.ctime < self.taken && stat.mtime < self.taken;
        if !settled || stat.identity.dev != self.device {
            self.block.push(0);
            return;
        }
        let Fingerprint { kind, mode, owner, size, nlink, ino, mtime, ctime } =
            Fingerprint::of(stat);
        let block = &mut self.block;
        block.push(code_of(kind));
        put(mode.into(), block);
        put_owner(owner, block);
        for number in [size, nlink, ino] {
            put(number, block);
        }
        put_time(mtime, block);
        put_time(ctime, block);
    }

    /// Ends the index of the tree that the manifest with this sum describes.
    pub(in crate::snapshot) fn finish(mut self, manifest: &[u8; 32]) -> Result<W> {
        self.out.write_all(manifest).context(WRITE)?;
        let (mut out, sum) = self.out.finish();
        out.write_all(&sum).and_then(|()| out.flush()).context(WRITE)?;
        Ok(out)
    }
}

const WRITE: &str = "write stat index";
