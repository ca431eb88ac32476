// SPDX-License-Identifier: Apache-2.0
//! [`LayerWriter`], which makes the tar stream of a layer out of members. It
//! decides what a layer may hold and how times and hard links look in it; the
//! order of members is its caller's.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use super::entry::{Entry, EntryKind, member_name};
use super::whiteout::{OPAQUE_MARKER, WHITEOUT_PREFIX};
use crate::error::{Context, Error, Result};
use crate::progress::Progress;
use crate::rootfs::{FileTime, Identity, Kind, Name, Owner, RootPath, Stat};

/// How much of a body is read at once.
const BUFFER: usize = 128 << 10;

/// The size of a tar block.
const BLOCK: usize = 512;

/// How many bytes of a path that is refused are shown.
const MAX_SHOWN: usize = 1024;
/// The most bytes of a file's name (`NAME_MAX`).
const MAX_NAME: usize = 255;

/// How a layer is written.
#[derive(Debug, Clone, Default)]
pub struct LayerOptions {
    /// The latest time, in seconds since the epoch, that a member may have;
    /// later ones are set to it (`SOURCE_DATE_EPOCH`).
    pub latest: Option<i64>,
    /// Where members are counted.
    pub progress: Arc<Progress>,
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
    /// When no file can have the name, when a component of it is a whiteout's, when `body` has
    /// more or fewer bytes, or when the format cannot hold the member ([`Entry::encode`]).
    pub fn add(&mut self, entry: &Entry, body: Option<&mut dyn Read>) -> Result<()> {
        let shown = || entry.path.escape_ascii().to_string();
        check_name(&entry.path)?;
        let seconds = entry.mtime.seconds.min(self.options.latest.unwrap_or(i64::MAX));
        let mtime = FileTime { seconds, nanoseconds: 0 };
        let header = if entry.mtime == mtime && entry.atime.is_none() {
            entry.encode()?
        } else {
            Entry { mtime, atime: None, ..entry.clone() }.encode()?
        };
        self.output.write_all(&header)?;
        match (&entry.kind, body) {
            (EntryKind::File { size: 0 }, None) => {}
            (EntryKind::File { size }, Some(body)) => {
                self.copy(*size, body).with_context(shown)?;
            }
            (EntryKind::File { .. }, None) => {
                return Err(Error::invalid(format!("{}: no body for a file with one", shown())));
            }
            _ => {}
        }
        self.options.progress.add_entries(1);
        Ok(())
    }

    /// Writes that `path` is gone.
    ///
    /// # Errors
    /// For the root, for a name that is a whiteout's itself or leads through one, and for one
    /// that no file can have.
    pub fn whiteout(&mut self, path: &RootPath) -> Result<()> {
        let Some((directory, name)) = path.split() else {
            return Err(Error::invalid("the root cannot be removed by a whiteout"));
        };
        check_name(path.as_bytes())?;
        self.marker(&directory, &[WHITEOUT_PREFIX, name.as_bytes()].concat())
    }

    /// Writes that all lower children of the directory `path` are gone.
    pub fn opaque(&mut self, path: &RootPath) -> Result<()> {
        check_name(path.as_bytes())?;
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
        self.output.write_all(&entry.encode()?)?;
        self.options.progress.add_entries(1);
        Ok(())
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

/// How many bytes a layer has whose members have bodies of these sizes. Those that need more than
/// a plain header take more.
pub(crate) fn expected_size(bodies: impl Iterator<Item = u64>) -> u64 {
    const HEADER: u64 = BLOCK as u64;
    const END: u64 = 2 * HEADER;
    let member = |body: u64| {
        body.checked_next_multiple_of(HEADER).unwrap_or(u64::MAX).saturating_add(HEADER)
    };
    bodies.map(member).fold(END, u64::saturating_add)
}

fn changed(size: u64, how: &str) -> String {
    format!("file has become {how} than its {size} bytes while it was read")
}

/// Refuses a member whose name no file can have, or would be read as a whiteout's, its own or
/// that of a directory it is in.
fn check_name(path: &[u8]) -> Result<()> {
    if path.split(|byte| *byte == b'/').any(|name| name.starts_with(WHITEOUT_PREFIX)) {
        let shown = shown(path);
        let message = format!("invalid path has whiteout prefix \".wh.\": {shown}");
        return Err(Error::invalid(message));
    }
    check_lengths(path)
}

/// The beginning of a path, which may be of any length.
fn shown(path: &[u8]) -> std::slice::EscapeAscii<'_> {
    path.get(..MAX_SHOWN).unwrap_or(path).escape_ascii()
}

/// Refuses a path with a name that no file can have, since it is too long.
pub(crate) fn check_lengths(path: &[u8]) -> Result<()> {
    if path.split(|byte| *byte == b'/').any(|name| name.len() > MAX_NAME) {
        let shown = shown(path);
        let message = format!("invalid path has a name over {MAX_NAME} bytes: {shown}");
        return Err(Error::invalid(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Chunk, Members};
    use crate::oci::{Algorithm, Digest};
    use crate::rootfs::{Device, Xattr};

    fn path(path: &str) -> RootPath {
        RootPath::clean(path).unwrap()
    }

    fn stat(kind: Kind, mode: u32, size: u64, ino: u64) -> Stat {
        let mtime = FileTime { seconds: 859_293_600, nanoseconds: 999_999_999 };
        Stat {
            kind,
            mode,
            owner: Owner::default(),
            size,
            nlink: if ino == 0 { 1 } else { 2 },
            identity: Identity { dev: 1, ino },
            device: Device::default(),
            atime: mtime,
            mtime,
            ctime: mtime,
        }
    }

    fn writer(options: LayerOptions) -> LayerWriter<Vec<u8>> {
        LayerWriter::new(Vec::new(), options)
    }

    fn sha256(bytes: &[u8]) -> String {
        Digest::of(Algorithm::Sha256, bytes).hex().to_owned()
    }

    /// Adds an inode as a walk of a tree does.
    fn add(writer: &mut LayerWriter<Vec<u8>>, name: &str, stat: &Stat, data: &[u8]) -> Result<()> {
        let mut entry = Entry::from_stat(&path(name), stat, data.to_vec(), Vec::new())?;
        writer.link(&mut entry, stat);
        let mut body = data;
        writer.add(&entry, Some(&mut body))
    }

    #[test]
    fn a_layer_is_the_same_as_ever() {
        let dir = stat(Kind::Dir, 0o755, 4096, 0);
        let link = stat(Kind::Symlink, 0o777, 9, 0);
        let bash = stat(Kind::File, 0o755, 16, 7);
        let script = b"#!/usr/bin/true\n";
        let mut writer = writer(LayerOptions::default());
        for (name, stat, data) in [
            (".", dir, &b""[..]),
            ("bin", link, b"/usr/bin"),
            ("etc", dir, b""),
            ("run", link, b"/var/run"),
            ("usr", dir, b""),
            ("usr/bin", dir, b""),
            ("usr/bin/ash", bash, script),
            ("usr/bin/bash", bash, script),
            ("usr/bin/sh", bash, script),
            ("var", stat(Kind::Dir, 0, 4096, 0), b""),
            ("var/run", dir, b""),
            ("var/run/test.fifo", stat(Kind::Fifo, 0o644, 0, 0), b""),
        ] {
            add(&mut writer, name, &stat, data).unwrap();
        }
        let layer = writer.finish().unwrap();
        assert_eq!(layer.len(), 7680);
        let expected = "b30a031a2b1c4616735cf8dd5d08ddebcbbff91e1d6b9fc740a2fec18af57b27";
        assert_eq!(sha256(&layer), expected);
    }

    #[test]
    fn whiteouts_are_the_same_as_ever() {
        let mut one = writer(LayerOptions::default());
        one.whiteout(&path("etc/x")).unwrap();
        let layer = one.finish().unwrap();
        assert_eq!(layer.len(), 1536);
        let expected = "52a9bb6b244e63c4448ae78d9786c22191fa7674e2a7f9ebd597295d698d19be";
        assert_eq!(sha256(&layer), expected);

        let mut opaque = writer(LayerOptions { latest: Some(0), ..LayerOptions::default() });
        opaque.opaque(&path("opt")).unwrap();
        add(&mut opaque, "opt", &stat(Kind::Dir, 0o755, 40, 0), b"").unwrap();
        let layer = opaque.finish().unwrap();
        assert_eq!(layer.len(), 2048);
        let expected = "c8210dff53485502d04a18e64c6c58bc4867f57721615b3c4ed6d36846f2336c";
        assert_eq!(sha256(&layer), expected);
    }

    #[test]
    fn names_of_whiteouts_are_refused() {
        let mut writer = writer(LayerOptions::default());
        for name in [".wh.x", "a/.wh..wh..opq", "a/.wh.", ".wh.a/b", "a/.wh.b/c/d"] {
            let file = stat(Kind::File, 0o644, 0, 0);
            let dir = stat(Kind::Dir, 0o755, 0, 0);
            for result in [
                add(&mut writer, name, &file, b""),
                add(&mut writer, name, &dir, b""),
                writer.whiteout(&path(name)),
                writer.opaque(&path(name)),
            ] {
                let error = result.unwrap_err().to_string();
                let expected = format!("invalid path has whiteout prefix \".wh.\": {name}");
                assert!(error.starts_with(&expected), "{error}");
            }
        }
        assert!(writer.whiteout(&RootPath::root()).is_err());
        assert!(writer.opaque(&RootPath::root()).is_ok());
    }

    #[test]
    fn names_that_no_file_can_have_are_refused() {
        let mut writer = writer(LayerOptions::default());
        let file = stat(Kind::File, 0o644, 0, 0);
        let (most, more) = ("n".repeat(255), "n".repeat(256));
        add(&mut writer, &format!("{most}/{most}"), &file, b"").unwrap();
        for name in [more.clone(), format!("{more}/a"), format!("a/{more}/b")] {
            for result in [
                add(&mut writer, &name, &file, b""),
                writer.whiteout(&path(&name)),
                writer.opaque(&path(&name)),
            ] {
                let error = result.unwrap_err().to_string();
                assert!(error.starts_with("invalid path has a name over 255 bytes: "), "{error}");
            }
        }
        // A member is no file: with the prefix, a name of 255 bytes has 259.
        writer.whiteout(&path(&format!("{most}/{most}"))).unwrap();
    }

    #[test]
    fn a_body_has_the_size_that_was_said() {
        for (said, data) in [(3, &b"ab"[..]), (3, b"abcd"), (1, b""), (512, &[7; 513])] {
            let mut writer = writer(LayerOptions::default());
            let error = add(&mut writer, "f", &stat(Kind::File, 0o644, said, 0), data).unwrap_err();
            let how = if data.len() as u64 > said { "longer" } else { "shorter" };
            assert!(error.to_string().starts_with("f: file has become "), "{error}");
            assert!(error.to_string().contains(how), "{error}");
        }
        let mut writer = writer(LayerOptions::default());
        let stat = stat(Kind::File, 0o644, 3, 0);
        let entry = Entry::from_stat(&path("f"), &stat, Vec::new(), Vec::new()).unwrap();
        assert!(writer.add(&entry, None).is_err());
    }

    /// Whoever looks while a large file is packed sees that it is not done.
    #[test]
    fn a_member_counts_when_its_body_is_written() {
        /// Notes how many members are done whenever it is read.
        struct Watched(Arc<Progress>, Vec<u64>, u64);
        impl Read for Watched {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.1.push(self.0.state().entries);
                let count = usize::try_from(self.2).unwrap().min(buffer.len());
                self.2 -= count as u64;
                buffer[..count].fill(7);
                Ok(count)
            }
        }
        let progress = Arc::new(Progress::default());
        let options = LayerOptions { progress: progress.clone(), ..LayerOptions::default() };
        let mut writer = writer(options);
        for (done, size) in [(0, 10 * BUFFER as u64), (1, 1)] {
            let stat = stat(Kind::File, 0o644, size, 0);
            let entry = Entry::from_stat(&path("f"), &stat, Vec::new(), Vec::new()).unwrap();
            let mut body = Watched(progress.clone(), Vec::new(), size);
            writer.add(&entry, Some(&mut body)).unwrap();
            assert!(body.1.iter().all(|seen| *seen == done), "{:?}", body.1);
            assert_eq!(progress.state().entries, done + 1);
        }
    }

    #[test]
    fn times_are_cut_and_clamped() {
        let at = |latest, seconds| {
            let mut writer = writer(LayerOptions { latest, ..LayerOptions::default() });
            let mtime = FileTime { seconds, nanoseconds: 500_000_000 };
            let stat = Stat { mtime, ..stat(Kind::Fifo, 0o644, 0, 0) };
            add(&mut writer, "p", &stat, b"").unwrap();
            let layer = writer.finish().unwrap();
            let entry = Members::new(&layer[..]).next_member().unwrap().unwrap();
            assert_eq!((entry.mtime.nanoseconds, entry.atime), (0, None));
            entry.mtime.seconds
        };
        assert_eq!(at(None, -1), -1, "half a second before the epoch");
        assert_eq!(at(None, 5), 5);
        assert_eq!(at(Some(4), 5), 4);
        assert_eq!(at(Some(6), 5), 5);
        assert_eq!(at(Some(-9), 5), -9);
    }

    #[test]
    fn hard_links_need_one_inode_on_one_device() {
        let file = stat(Kind::File, 0o644, 1, 7);
        let elsewhere = Stat { identity: Identity { dev: 2, ino: 7 }, ..file };
        let alone = Stat { nlink: 1, ..file };
        let dir = Stat { nlink: 5, ..stat(Kind::Dir, 0o755, 1, 7) };
        let mut writer = writer(LayerOptions::default());
        for (name, stat) in
            [("a", file), ("b", elsewhere), ("c", alone), ("d", dir), ("e", file), ("f", dir)]
        {
            add(&mut writer, name, &stat, b"x").unwrap();
        }
        let layer = writer.finish().unwrap();
        let mut members = Members::new(&layer[..]);
        let mut links = Vec::new();
        while let Some(entry) = members.next_member().unwrap() {
            if let EntryKind::Hardlink { target } = entry.kind {
                assert_eq!(members.body().unwrap(), None);
                links.push((entry.path, target));
            } else if let EntryKind::File { .. } = entry.kind {
                assert_eq!(members.body().unwrap(), Some(Chunk { offset: 0, bytes: b"x" }));
            }
        }
        assert_eq!(links, [(b"e".to_vec(), b"a".to_vec())]);
    }

    #[test]
    fn sockets_have_no_place_in_a_layer() {
        let socket = stat(Kind::Socket, 0o644, 0, 0);
        let error = Entry::from_stat(&path("s"), &socket, Vec::new(), Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "s: sockets not supported");
    }

    #[test]
    fn extended_attributes_are_written() {
        let stat = stat(Kind::File, 0o644, 0, 0);
        let xattrs = vec![Xattr { name: (*b"user.x").into(), value: (*b"v").into() }];
        let entry = Entry::from_stat(&path("f"), &stat, Vec::new(), xattrs.clone()).unwrap();
        let mut writer = writer(LayerOptions::default());
        writer.add(&entry, None).unwrap();
        let layer = writer.finish().unwrap();
        let entry = Members::new(&layer[..]).next_member().unwrap().unwrap();
        assert_eq!(entry.xattrs, xattrs);
    }
}
