// SPDX-License-Identifier: Apache-2.0
//! `.umoci-aside`: which permission bits of a bundle's tree have stepped aside
//! at the moment, one inode per line. Whoever opens the bundle next puts back
//! what somebody who was killed has left so.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::emulation::Terms;
use super::staging::{BundleDir, Use};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::rootfs::{Aside, FileTime, Identity, Reminder, View};
use crate::sys;

/// The name of the file in a bundle.
const FILE_NAME: &str = ".umoci-aside";
/// The most bytes that the file may have: far more than what one path can need.
const MAX_SIZE: u64 = 1 << 20;

/// The file, which is there only while something is noted.
#[derive(Debug)]
pub(super) struct AsideFile {
    bundle: BundleDir,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    file: Option<File>,
    /// How many bytes are about what is not put back yet, of an earlier process or of this one.
    kept: u64,
}

impl AsideFile {
    /// The file of a bundle whose tree is as it should be: what an earlier process has left
    /// aside is put back.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] when that is needed and others use the bundle.
    pub(super) fn restored(bundle: &BundleDir) -> Result<Arc<Self>> {
        let own = Arc::new(Self { bundle: bundle.share()?, notes: Mutex::default() });
        let path = bundle.path.join(FILE_NAME);
        if let Some(text) = own.read().at("read", &path)? {
            bundle.lock(Use::Alone)?;
            own.restore(&text).at("put back the permission bits that are noted in", &path)?;
        }
        Ok(own)
    }

    fn restore(self: &Arc<Self>, text: &[u8]) -> Result<()> {
        log::info!("putting back permission bits that an interrupted command left aside");
        let (asides, length) = parse(text);
        self.with(|notes| notes.kept = length);
        let terms = Terms { reminder: Some(self.clone()), ..Terms::default() };
        terms.open_bundle(&self.bundle, View::Disk)?.put_back(&asides)?;
        self.with(|notes| *notes = Notes::default());
        self.bundle.remove(Path::new(FILE_NAME))
    }

    fn read(&self) -> Result<Option<Vec<u8>>> {
        let file = match sys::open_regular(&self.bundle.dir, Path::new(FILE_NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut text = Vec::new();
        file.take(MAX_SIZE + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_SIZE {
            return Err(Error::new(ErrorKind::Limit, format!("larger than {MAX_SIZE} bytes")));
        }
        Ok(Some(text))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Notes) -> T) -> T {
        work(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens the file when it is needed. Who makes permission bits step aside is alone.
    fn begin(&self, kept: u64) -> Result<File> {
        self.bundle.lock(Use::Alone)?;
        let file = sys::append_file(&self.bundle.dir, Path::new(FILE_NAME))?;
        file.set_len(kept)?;
        Ok(file)
    }
}

impl Reminder for AsideFile {
    fn add(&self, aside: &Aside) -> io::Result<()> {
        let add = |notes: &mut Notes| -> Result<()> {
            let mut file = match &notes.file {
                Some(file) => file,
                None => notes.file.insert(self.begin(notes.kept)?),
            };
            Ok(file.write_all(line(aside).as_bytes())?)
        };
        let path = self.bundle.path.join(FILE_NAME);
        Ok(self.with(add).at("note permission bits in", path)?)
    }

    fn clear(&self) -> io::Result<()> {
        self.with(|notes| match &notes.file {
            Some(file) => file.set_len(notes.kept),
            None => Ok(()),
        })
    }

    fn keep(&self) -> io::Result<()> {
        self.with(|notes| {
            if let Some(file) = &notes.file {
                notes.kept = file.metadata()?.len();
            }
            Ok(())
        })
    }
}

impl Drop for AsideFile {
    fn drop(&mut self) {
        let is_empty = |file: &File| file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if self.with(|notes| notes.file.as_ref().is_some_and(is_empty)) {
            // An empty one says nothing to anybody.
            let _ = self.bundle.remove(Path::new(FILE_NAME));
        }
    }
}

/// Device, inode, time of birth (`-` if unknown), permission bits before and meanwhile.
fn line(aside: &Aside) -> String {
    let Aside { identity: Identity { dev, ino }, born, mode, meanwhile } = aside;
    let born = born.map(|FileTime { seconds, nanoseconds }| format!("{seconds}.{nanoseconds}"));
    let born = born.as_deref().unwrap_or("-");
    format!("{dev} {ino} {born} {mode:o} {meanwhile:o}\n")
}

/// Reads the lines, and tells how long all whole ones are. The last one may not have been written
/// to its end: nothing was made to step aside after that.
fn parse(text: &[u8]) -> (Vec<Aside>, u64) {
    let length = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = text[..length].split(|byte| *byte == b'\n');
    (lines.filter_map(parse_line).collect(), length as u64)
}

/// What is no such line nobody of this program's kind has written.
fn parse_line(line: &[u8]) -> Option<Aside> {
    let fields: Vec<&str> = std::str::from_utf8(line).ok()?.split(' ').collect();
    let [dev, ino, born, mode, meanwhile] = fields[..] else { return None };
    let born = match born.split_once('.') {
        Some((seconds, nanoseconds)) => Some(FileTime {
            seconds: seconds.parse().ok()?,
            nanoseconds: nanoseconds.parse().ok()?,
        }),
        None if born == "-" => None,
        None => return None,
    };
    let bits = |text| u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    Some(Aside {
        identity: Identity { dev: dev.parse().ok()?, ino: ino.parse().ok()? },
        born,
        mode: bits(mode)?,
        meanwhile: bits(meanwhile)?,
    })
}
