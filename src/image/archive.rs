// SPDX-License-Identifier: Apache-2.0
//! [`add_archive`]: a layer that is there already, as a stream: a tar archive,
//! or bytes in another format that only others understand.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};

use super::editor::ImageEditor;
use super::new_layer::{CompressionChoice, LayerOptions};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::layer::compress::Compression;
use crate::layer::entry::{Ending, shown};
use crate::layer::{Entry, EntryKind, Members, Whiteout, check_lengths, classify};
use crate::oci::Descriptor;
use crate::progress::Progress;
use crate::rootfs::RootPath;

/// How much is read at once.
const BUFFER: usize = 256 << 10;
/// How many of the first bytes are kept, to tell what it is that is no archive.
const HEAD: usize = 16;
/// The size of a tar block.
const BLOCK: u64 = 512;
/// What the end of an archive is filled up to.
const RECORD: u64 = 10_240;

/// What a stream that becomes a layer holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Contents {
    /// An uncompressed tar archive. It is stored byte for byte before it is compressed.
    #[default]
    Tar,
    /// Another format, described by the media type alone. It is stored as it is: the diff id
    /// is the digest of the blob.
    Opaque,
}

/// Adds a layer whose bytes come from `stream`, which is read once.
///
/// A tar archive is looked through while it passes. One without a single byte, or of one record of
/// zeros, is valid and holds nothing. What follows the archive's end belongs to the layer, though
/// no tool unpacks it. Members are counted, too.
///
/// # Errors
/// When what should be a tar archive is damaged, is compressed or is something else
/// ([`ErrorKind::Format`]), or has a member that cannot be unpacked whatever the layers below
/// hold: a name that no file can have, a whiteout of nothing, a hard link to itself. Whether a
/// hard link's target is there is not looked at. The editor is then as it was.
pub fn add_archive(
    editor: &mut ImageEditor<'_>,
    stream: &mut dyn Read,
    contents: Contents,
    options: &LayerOptions,
) -> Result<Descriptor> {
    match contents {
        Contents::Tar => {
            let progress = &options.progress;
            editor.add_layer(options, |output| pass_archive(stream, output, progress))
        }
        Contents::Opaque => {
            let compression = CompressionChoice::Fixed(Compression::None);
            let options = LayerOptions { compression, ..options.clone() };
            editor.add_layer(&options, |output| {
                io::copy(&mut BufReader::with_capacity(BUFFER, stream), output)?;
                Ok(())
            })
        }
    }
}

/// Copies an archive and looks through its members on the way.
fn pass_archive(stream: &mut dyn Read, output: &mut dyn Write, progress: &Progress) -> Result<()> {
    let tee = Tee { input: stream, output, head: Vec::new(), count: 0 };
    let mut members = Members::new(BufReader::with_capacity(BUFFER, tee));
    let mut count: u64 = 0;
    loop {
        let next = members.next_member();
        let next = next.map_err(|error| reason(error, count, &members.input().get_ref().head))?;
        // With the next one, or the end, the body of the last one has passed.
        progress.add_entries(count.min(1));
        let Some(entry) = next else { break };
        check_member(&entry).with_context(|| format!("member {}", shown(&entry.path)))?;
        count = count.saturating_add(1);
    }
    let ending = members.ending();
    let mut rest = members.into_inner();
    let has_rest = drain(&mut rest)?;
    if count == 0 {
        return check_empty(has_rest, rest.get_ref().count);
    }
    if has_rest {
        log::warn!("the archive is followed by other bytes, which no tool will unpack");
    }
    if ending != Some(Ending::Marked) {
        log::warn!("the archive just ends: part of it may be missing");
    }
    Ok(())
}

/// Refuses a member that cannot be unpacked, whatever is there already.
fn check_member(entry: &Entry) -> Result<()> {
    let path = RootPath::clean(&entry.path)?;
    let Some((parent, name)) = path.split() else {
        if entry.kind == EntryKind::Dir {
            return Ok(());
        }
        return Err(Error::invalid("the root is not a directory"));
    };
    match (classify(name)?, &entry.kind) {
        (Whiteout::Removed(_) | Whiteout::Opaque, _) => check_lengths(parent.as_bytes()),
        (Whiteout::Plain, EntryKind::Hardlink { target }) => {
            check_lengths(path.as_bytes())?;
            check_target(&path, &RootPath::clean(target)?)
        }
        (Whiteout::Plain, _) => check_lengths(path.as_bytes()),
    }
}

fn check_target(path: &RootPath, target: &RootPath) -> Result<()> {
    if target == path {
        return Err(Error::invalid("hard link to itself"));
    }
    if target.is_root() {
        return Err(Error::invalid("hard link to a directory"));
    }
    check_lengths(target.as_bytes())
}

/// Judges a stream of `length` bytes without a member: some filesystem images begin as the end
/// of an archive does, and what was never written is zeros too.
fn check_empty(has_rest: bool, length: u64) -> Result<()> {
    if has_rest {
        return Err(not_an_archive("it begins with zeros, and other bytes follow"));
    }
    if length > RECORD || !length.is_multiple_of(BLOCK) {
        return Err(not_an_archive(format_args!("it is nothing but {length} zeros")));
    }
    log::warn!("the archive is empty: the new layer changes nothing");
    Ok(())
}

/// Reads what is left and tells whether it is anything but zeros.
fn drain(rest: &mut impl BufRead) -> Result<bool> {
    let mut found = false;
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() {
            return Ok(found);
        }
        found |= bytes.iter().any(|byte| *byte != 0);
        let count = bytes.len();
        rest.consume(count);
    }
}

fn not_an_archive(why: impl Display) -> Error {
    Error::new(ErrorKind::Format, format!("not a tar archive: {why}"))
}

/// What to say of a stream in which something is wrong behind `members` good members.
fn reason(error: Error, members: u64, head: &[u8]) -> Error {
    if members > 0 || error.io_error().is_some() || error.kind() != ErrorKind::Invalid {
        return error.context(format!("read archive, behind {members} good members"));
    }
    match compression_of(head) {
        Some(name) => Error::new(
            ErrorKind::Format,
            format!(
                "the archive is compressed ({name}): only uncompressed tar archives can be added"
            ),
        ),
        None => not_an_archive(error),
    }
}

/// The name of the compression whose first bytes are these, if any that is common.
///
/// ```
/// assert_eq!(umoci::image::compression_of(b"\x1f\x8b\x08\0"), Some("gzip"));
/// ```
pub fn compression_of(head: &[u8]) -> Option<&'static str> {
    const FORMATS: [(&[u8], &str); 9] = [
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"LZIP", "lzip"),
        (b"\x1f\x9d", "compress"),
        (b"\x5d\0\0", "lzma"),
        (b"PK\x03\x04", "zip"),
    ];
    FORMATS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name)
}

/// A reader that writes all it has read to somewhere else.
struct Tee<'a> {
    input: &'a mut dyn Read,
    output: &'a mut dyn Write,
    head: Vec<u8>,
    count: u64,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            match self.input.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        self.output.write_all(bytes)?;
        let missing = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        self.count = self.count.saturating_add(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(bytes: &[u8]) -> Result<Vec<u8>, String> {
        /// Gives a byte at a time, and is interrupted now and then.
        struct Slow<'a>(&'a [u8], bool);
        impl Read for Slow<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let most = buffer.len().min(100);
                self.0.read(&mut buffer[..most])
            }
        }
        let mut output = Vec::new();
        let progress = Progress::default();
        pass_archive(&mut Slow(bytes, false), &mut output, &progress)
            .map_err(|error| error.to_string())?;
        Ok(output)
    }

    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, body) in [("BZh-is-a-name", &b"x"[..]), ("b", &[7; 3000])] {
            let mut header = tar::Header::new_ustar();
            header.set_size(body.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, body).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn archives_pass_byte_for_byte() {
        let whole = archive();
        let padded = [&whole[..], &[0; 9216]].concat();
        let followed = [&whole[..], b"more"].concat();
        for bytes in [&[][..], &[0; 1024], &whole, &whole[..whole.len() - 1024], &padded, &followed]
        {
            assert_eq!(pass(bytes).unwrap(), bytes);
        }
    }

    #[test]
    fn what_has_no_member_is_an_archive_only_if_it_is_an_end() {
        for length in [0, 512, 1024, 10_240] {
            assert_eq!(pass(&vec![0; length]).unwrap().len(), length);
        }
        let filesystem = |at: usize| {
            let mut bytes = vec![0; 20_480];
            bytes[at] = 0xe2;
            bytes
        };
        for bytes in [vec![0; 10_752], vec![0; 1 << 20], vec![0; 1025], filesystem(1024)] {
            let error = pass(&bytes).unwrap_err();
            assert!(error.starts_with("not a tar archive: it "), "{error}");
        }
        for bytes in [vec![0; 1], vec![0; 513], filesystem(600), filesystem(0)] {
            let error = pass(&bytes).unwrap_err();
            assert!(error.starts_with("not a tar archive: "), "{error}");
        }
    }

    #[test]
    fn what_is_no_archive_is_named() {
        for (bytes, name) in [
            (&b"\x1f\x8b\x08\0"[..], "compressed (gzip)"),
            (b"\x28\xb5\x2f\xfd\x24\0", "compressed (zstd)"),
            (b"\xfd7zXZ\0\0", "compressed (xz)"),
            (b"BZh91AY", "compressed (bzip2)"),
            (b"hello", "not a tar archive: "),
            (b"hsqs", "not a tar archive: "),
        ] {
            for length in [bytes.len(), 600] {
                let mut bytes = bytes.to_vec();
                bytes.resize(length, b'x');
                let error = pass(&bytes).unwrap_err();
                assert!(error.contains(name), "{error}");
            }
        }
    }

    #[test]
    fn a_member_counts_when_its_body_has_passed() {
        /// Notes how many members are done whenever bytes come out.
        struct Watched<'a>(&'a Progress, Vec<u64>);
        impl Write for Watched<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1.push(self.0.state().entries);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut builder = tar::Builder::new(Vec::new());
        for (name, size) in [("large", 10 * BUFFER), ("small", 1)] {
            let mut header = tar::Header::new_ustar();
            header.set_size(size as u64);
            builder.append_data(&mut header, name, &*vec![7; size]).unwrap();
        }
        let archive = builder.into_inner().unwrap();
        let progress = Progress::default();
        let mut output = Watched(&progress, Vec::new());
        pass_archive(&mut &*archive, &mut output, &progress).unwrap();
        assert!(output.1.len() > 10 && output.1.iter().all(|seen| *seen == 0), "{:?}", output.1);
        assert_eq!(progress.state().entries, 2);
    }

    #[test]
    fn a_damaged_archive_says_how_far_it_was_good() {
        let mut bytes = archive();
        let error = pass(&bytes[..2000]).unwrap_err();
        assert!(error.contains("behind 2 good members") && error.contains("EOF"), "{error}");
        bytes[1024 + 3] ^= 1;
        assert!(pass(&bytes).unwrap_err().contains("behind 1 good members"));
    }
}
