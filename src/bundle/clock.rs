// SPDX-License-Identifier: Apache-2.0
//! The clock by which the filesystem of a bundle says when a file was changed. It is read from a
//! file that is written to.

use std::fs::{File, FileTimes};
use std::io::{Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use crate::error::{Context, Result};
use crate::rootfs::FileTime;

/// Waits for the next tick and gives the time then. What was changed before is earlier, what is
/// changed after it is not. `None` when the clock ticks too seldom to wait for it.
pub(super) fn tick(probe: &File) -> Result<Option<FileTime>> {
    /// Most clocks tick every 4 or 10 ms.
    const ATTEMPTS: u32 = 20;
    let start = now(probe)?;
    for _ in 0..ATTEMPTS {
        let time = now(probe)?;
        if time > start {
            return Ok(Some(time));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(None)
}

/// The time that a capture which starts now is to have: what is older then, and stays so, has
/// not been changed since. Where times do not tell that, nothing is older.
pub(super) fn taken(probe: &File) -> Result<FileTime> {
    const NEVER: FileTime = FileTime { seconds: i64::MIN, nanoseconds: 0 };
    let time = match tick(probe)? {
        Some(time) => time,
        None => now(probe)?,
    };
    Ok(if tells_changes(probe, time)? { time } else { NEVER })
}

/// Whether the ctime of a file is when it was changed. Over SFTP and on FAT, where nothing is
/// kept but mtimes, it is what anybody has set those to.
fn tells_changes(probe: &File, time: FileTime) -> Result<bool> {
    let long_ago = SystemTime::UNIX_EPOCH;
    // Some filesystems in user space set either both or none.
    let times = FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
    let is_set = probe.set_times(times).is_ok();
    let metadata = probe.metadata().context("read the clock")?;
    Ok(is_set && file_time(metadata.ctime(), metadata.ctime_nsec()) >= time)
}

/// The time by the clock of the filesystem that holds an empty file.
fn now(mut probe: &File) -> Result<FileTime> {
    probe.write_all(b"\0").and_then(|()| probe.set_len(0)).context("read the clock")?;
    probe.rewind().context("read the clock")?;
    let metadata = probe.metadata().context("read the clock")?;
    Ok(file_time(metadata.mtime(), metadata.mtime_nsec()))
}

fn file_time(seconds: i64, nanoseconds: i64) -> FileTime {
    FileTime { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or_default() }
}
