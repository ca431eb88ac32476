// SPDX-License-Identifier: Apache-2.0
//! [`Moved`]: the note in a private directory of what has been moved out of it,
//! by which that is found again when its process was killed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::emulation::remove_below;
use crate::error::{Context, Result};
use crate::sys;

/// In a private directory: what has been moved out of it, with device and inode.
const MOVED: &str = "moved";
/// The most bytes of [`MOVED`] that are read.
const MAX_MOVED: u64 = 64 << 10;

/// What has been moved out of a private directory into the bundle.
#[derive(Debug, Default)]
pub(super) struct Moved(Vec<(PathBuf, u64, u64)>);

impl Moved {
    /// Notes an object before it is moved, so that a kill in between leaves no doubt.
    pub(super) fn add(&mut self, dir: &File, name: &Path, identity: (u64, u64)) -> Result<()> {
        let mut note = sys::append_file(dir, Path::new(MOVED)).context("note what is moved")?;
        let (dev, ino) = identity;
        let mut line = format!("{dev} {ino} ").into_bytes();
        line.extend_from_slice(name.as_os_str().as_bytes());
        line.push(b'\n');
        note.write_all(&line).context("note what is moved")?;
        self.0.push((name.to_owned(), dev, ino));
        Ok(())
    }

    pub(super) fn read(dir: &File) -> Result<Self> {
        let file = match sys::open_regular(dir, Path::new(MOVED)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_MOVED).read_to_end(&mut bytes)?;
        Ok(Self(bytes.split_inclusive(|byte| *byte == b'\n').filter_map(parse_line).collect()))
    }

    pub(super) fn remove(&self, bundle: &File) -> Result<()> {
        for moved in self.0.iter().rev().filter(|moved| is_there(bundle, moved)) {
            remove_below(bundle, &moved.0)?;
        }
        Ok(())
    }
}

/// One whole line of [`MOVED`]; names with a `/` are nobody's.
fn parse_line(line: &[u8]) -> Option<(PathBuf, u64, u64)> {
    let line = line.strip_suffix(b"\n")?;
    let mut fields = line.splitn(3, |byte| *byte == b' ');
    let number = |field: Option<&[u8]>| std::str::from_utf8(field?).ok()?.parse().ok();
    let (dev, ino) = (number(fields.next())?, number(fields.next())?);
    let name = crate::rootfs::Name::new(fields.next()?).ok()?;
    Some((PathBuf::from(name.as_os_str()), dev, ino))
}

fn is_there(bundle: &File, (name, dev, ino): &(PathBuf, u64, u64)) -> bool {
    sys::lstat(bundle, name).is_ok_and(|what| what.identity() == (*dev, *ino))
}
