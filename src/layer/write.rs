// SPDX-License-Identifier: Apache-2.0
//! [`LayerWriter`], which makes the tar stream of a layer out of members. It
//! decides what a layer may hold and how times and hard links look in it; the
//! order of members is its caller's.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};

use super::entry::{Entry, EntryKind, member_name};
use super::whiteout::{OPAQUE_MARKER, WHITEOUT_PREFIX};
use crate::error::{Context, Error, Result};
use crate::rootfs::{FileTime, Identity, Kind, Name, Owner, RootPath, Stat};

/// How much of a body is read at once.
const BUFFER: usize = 128 << 10;

/// The size of a tar block.
const BLOCK: usize = 512;

/// How a layer is written.
#[derive(Debug, Clone, Default)]
pub struct LayerOptions {
    /// The latest time, in seconds since the epoch, that a member may have;
    /// later ones are set to it (`SOURCE_DATE_EPOCH`).
    pub latest: Option<i64>,
}

/// Writes the members of a layer.
pub struct LayerWriter<W> {
    output: W,
    options: LayerOptions,
    /// The name under which an inode was written first.
    names: HashMap<Identity, Vec<u8>>,
    buffer: Vec<u8>,
}

impl<W> fmt::Debug for LayerWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerWriter").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<W: Write> LayerWriter<W> {
    /// Writes to `output`.
    pub fn new(output: W, options: LayerOptions) -> Self {
        Self { output, options, names: HashMap::new(), buffer: Vec::new() }
    }

    /// Turns a member into a hard link when an earlier one was the same inode,
    /// else remembers its name. To be called before [`LayerWriter::add`], in the order of members.
    pub fn link(&mut self, entry: &mut Entry, stat: &Stat) {
        if stat.nlink < 2 || stat.kind == Kind::Dir {
            return;
        }
        if let Some(target) = self.names.get(&stat.identity) {
            entry.kind = EntryKind::Hardlink { target: target.clone() };
        } else {
            self.names.insert(stat.identity, entry.path.clone());
        }
    }

    /// Writes a member; a regular file with exactly as many bytes of `body` as
    /// its size says. Its times are cut to whole seconds, and that of the last read is left out.
    ///
    /// # Errors
    /// When the name is a whiteout's, when `body` has more or fewer bytes, or
    /// when the format cannot hold the member ([`Entry::encode`]).
    pub fn add(&mut self, entry: &Entry, body: Option<&mut dyn Read>) -> Result<()> {
        let shown = || entry.path.escape_ascii().to_string();
        refuse_whiteout(&entry.path)?;
        let seconds = entry.mtime.seconds.min(self.options.latest.unwrap_or(i64::MAX));
        let mtime = FileTime { seconds, nanoseconds: 0 };
        let header = if entry.mtime == mtime && entry.atime.is_none() {
            entry.encode()?
        } else {
            Entry { mtime, atime: None, ..entry.clone() }.encode()?
        };
        self.output.write_all(&header)?;
        match (&entry.kind, body) {
            (EntryKind::File { size: 0 }, None) => Ok(()),
            (EntryKind::File { size }, Some(body)) => self.copy(*size, body).with_context(shown),
            (EntryKind::File { .. }, None) => {
                Err(Error::invalid(format!("{}: no body for a file with one", shown())))
            }
            _ => Ok(()),
        }
    }

    /// Writes that `path` is gone.
    ///
    /// # Errors
    /// For the root, and for a name that is a whiteout's itself.
    pub fn whiteout(&mut self, path: &RootPath) -> Result<()> {
        let Some((directory, name)) = path.split() else {
            return Err(Error::invalid("the root cannot be removed by a whiteout"));
        };
        refuse_whiteout(path.as_bytes())?;
        self.marker(&directory, &[WHITEOUT_PREFIX, name.as_bytes()].concat())
    }

    /// Writes that all lower children of the directory `path` are gone.
    pub fn opaque(&mut self, path: &RootPath) -> Result<()> {
        refuse_whiteout(path.as_bytes())?;
        self.marker(path, OPAQUE_MARKER)
    }

    /// Ends the archive and gives back the output.
    pub fn finish(mut self) -> Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        Ok(self.output)
    }

    fn marker(&mut self, directory: &RootPath, name: &[u8]) -> Result<()> {
        let entry = Entry {
            path: member_name(&directory.join(Name::new(name)?), Kind::File),
            kind: EntryKind::File { size: 0 },
            mode: 0,
            owner: Owner::default(),
            mtime: FileTime::EPOCH,
            atime: None,
            xattrs: Vec::new(),
        };
        Ok(self.output.write_all(&entry.encode()?)?)
    }

    /// Copies a body and fills its last block.
    fn copy(&mut self, size: u64, body: &mut dyn Read) -> Result<()> {
        self.buffer.resize(BUFFER, 0);
        let mut left = size;
        while left > 0 {
            // One more than is due, to see without another call that it has become longer.
            let most = usize::try_from(left.saturating_add(1)).unwrap_or(BUFFER).min(BUFFER);
            let count = match body.read(&mut self.buffer[..most]) {
                Ok(0) => return Err(Error::invalid(changed(size, "shorter"))),
                Ok(count) => count.min(most),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            left = left
                .checked_sub(count as u64)
                .ok_or_else(|| Error::invalid(changed(size, "longer")))?;
            self.output.write_all(&self.buffer[..count])?;
        }
        let padding = usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or_default();
        Ok(self.output.write_all(&[0; BLOCK][..padding])?)
    }
}

fn changed(size: u64, how: &str) -> String {
    format!("file has become {how} than its {size} bytes while it was read")
}

/// Refuses a member whose name would be read as a whiteout.
fn refuse_whiteout(path: &[u8]) -> Result<()> {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let name = path[..end].rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if name.starts_with(WHITEOUT_PREFIX) {
        let path = path.escape_ascii();
        return Err(Error::invalid(format!("invalid path has whiteout prefix \".wh.\": {path}")));
    }
    Ok(())
}
