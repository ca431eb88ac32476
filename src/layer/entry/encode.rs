// SPDX-License-Identifier: Apache-2.0
//! The header blocks of a member: ustar where everything fits, else an
//! extended PAX header before it. The bytes are those that other OCI tools
//! write for the same member, so that equal trees give equal diff ids.

use std::collections::BTreeMap;

use tar::Header;

use super::header::BLOCK;
use super::pax::XATTR_PREFIX;
use super::{Entry, EntryKind};
use crate::error::{Error, Result};
use crate::rootfs::{Device, FileTime};

/// The bytes that a header block has for a name and for its prefix.
const NAME: usize = 100;
const PREFIX: usize = 155;

/// The records of an extended header, sorted by key.
type Records = BTreeMap<Vec<u8>, Vec<u8>>;

impl Entry {
    /// The header blocks of this member, to be followed by the body of a
    /// regular file and zeros up to a whole block.
    ///
    /// Extended attributes with an empty value are left out with a warning, since
    /// the format cannot hold them.
    ///
    /// # Errors
    /// For what the format cannot hold: NUL bytes in names, `=` in the name of an
    /// extended attribute, a name that ends with `/` and is not a directory's,
    /// and numbers out of range.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let encoding = Encoding::new(self);
        encoding.check().map_err(|error| error.context(self.path.escape_ascii().to_string()))?;
        let mut blocks = Vec::with_capacity(3 * BLOCK);
        if encoding.needs_records {
            encoding.extended(&mut blocks)?;
        }
        blocks.extend_from_slice(encoding.main().as_bytes());
        Ok(blocks)
    }
}

/// A member on its way into header blocks.
struct Encoding<'a> {
    entry: &'a Entry,
    typeflag: u8,
    link: &'a [u8],
    size: u64,
    device: Device,
    /// What an extended header would say, if there is one.
    records: Records,
    /// Whether there is one, because a plain block cannot hold it all.
    needs_records: bool,
}

impl<'a> Encoding<'a> {
    fn new(entry: &'a Entry) -> Self {
        let none = Device::default();
        let (typeflag, link, size, device) = match &entry.kind {
            EntryKind::File { size } => (b'0', &[][..], *size, none),
            EntryKind::Hardlink { target } => (b'1', &target[..], 0, none),
            EntryKind::Symlink { target } => (b'2', &target[..], 0, none),
            EntryKind::CharDevice(device) => (b'3', &[][..], 0, *device),
            EntryKind::BlockDevice(device) => (b'4', &[][..], 0, *device),
            EntryKind::Dir => (b'5', &[][..], 0, none),
            EntryKind::Fifo => (b'6', &[][..], 0, none),
        };
        let records = Records::new();
        let mut encoding =
            Self { entry, typeflag, link, size, device, records, needs_records: false };
        encoding.note_names();
        encoding.note_numbers();
        encoding.note_xattrs();
        encoding
    }

    fn check(&self) -> Result<()> {
        if self.entry.path.contains(&0) || self.link.contains(&0) {
            return Err(Error::invalid("name with a NUL byte"));
        }
        if matches!(self.typeflag, b'0' | b'3' | b'4' | b'6') && self.entry.path.ends_with(b"/") {
            return Err(Error::invalid("filename may not have trailing slash"));
        }
        let fits = self.entry.mode <= 0o7777
            && self.device.major < 1 << 12
            && self.device.minor < 1 << 20
            && i64::try_from(self.size).is_ok();
        if fits { Ok(()) } else { Err(Error::invalid("mode, device or size out of range")) }
    }

    fn note(&mut self, key: &[u8], value: Vec<u8>) {
        self.records.insert(key.to_vec(), value);
    }

    fn note_names(&mut self) {
        let (path, link) = (&self.entry.path, self.link);
        if path.len() > NAME || !path.is_ascii() {
            self.needs_records |= split(path).is_none();
            self.note(b"path", path.clone());
        }
        if link.len() > NAME || !link.is_ascii() {
            self.needs_records = true;
            self.note(b"linkpath", link.to_vec());
        }
    }

    fn note_numbers(&mut self) {
        let owner = self.entry.owner;
        for (key, value, width) in [
            (&b"uid"[..], u64::from(owner.uid), 8),
            (b"gid", u64::from(owner.gid), 8),
            (b"size", self.size, 12),
        ] {
            if !fits(value, width) {
                self.needs_records = true;
                self.note(key, value.to_string().into_bytes());
            }
        }
        let mtime = self.entry.mtime;
        if mtime.nanoseconds != 0 || !u64::try_from(mtime.seconds).is_ok_and(|s| fits(s, 12)) {
            self.needs_records = true;
            self.note(b"mtime", decimal_time(mtime));
        }
        if let Some(atime) = self.entry.atime {
            self.needs_records = true;
            self.note(b"atime", decimal_time(atime));
        }
    }

    fn note_xattrs(&mut self) {
        for xattr in &self.entry.xattrs {
            if xattr.value.is_empty() {
                log::warn!(
                    "xattr{{{}}} ignoring empty-valued xattr \"{}\": disallowed by PAX standard",
                    self.entry.path.escape_ascii(),
                    xattr.name.escape_ascii()
                );
                continue;
            }
            self.needs_records = true;
            self.note(&[XATTR_PREFIX, &xattr.name].concat(), xattr.value.to_vec());
        }
    }

    /// Puts the extended header into `blocks`.
    fn extended(&self, blocks: &mut Vec<u8>) -> Result<()> {
        let mut body = Vec::new();
        for (key, value) in &self.records {
            if key.contains(&b'=') || key.contains(&0) {
                let (path, key) = (self.entry.path.escape_ascii(), key.escape_ascii());
                let message =
                    format!("{path}: cannot encode header: invalid PAX record: \"{key}\"");
                return Err(Error::invalid(message));
            }
            push_record(&mut body, key, value);
        }
        let mut name = extended_name(&self.entry.path);
        name.retain(|byte| byte.is_ascii() && *byte != 0);
        name.truncate(NAME);
        let end = name.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let mut header = Header::new_ustar();
        let fields = header.as_old_mut();
        put_text(&mut fields.name, &name[..end]);
        put_octal(&mut fields.size, body.len() as u64);
        for field in [&mut fields.mode, &mut fields.uid, &mut fields.gid] {
            put_octal(field, 0);
        }
        put_octal(&mut fields.mtime, 0);
        fields.linkflag = [b'x'];
        seal(&mut header);
        blocks.extend_from_slice(header.as_bytes());
        blocks.extend_from_slice(&body);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    /// The member's own block.
    fn main(&self) -> Header {
        let mut header = Header::new_ustar();
        let entry = self.entry;
        let (prefix, name) = match split(&entry.path) {
            Some(parts) if !self.needs_records => parts,
            _ => (&[][..], &entry.path[..]),
        };
        let fields = header.as_old_mut();
        put_text(&mut fields.name, &ascii(name));
        put_text(&mut fields.linkname, &ascii(self.link));
        put_octal(&mut fields.mode, u64::from(entry.mode));
        put_octal(&mut fields.uid, u64::from(entry.owner.uid));
        put_octal(&mut fields.gid, u64::from(entry.owner.gid));
        put_octal(&mut fields.size, self.size);
        put_octal(&mut fields.mtime, u64::try_from(entry.mtime.seconds).unwrap_or(0));
        fields.linkflag = [self.typeflag];
        if let Some(fields) = header.as_ustar_mut() {
            put_octal(&mut fields.dev_major, u64::from(self.device.major));
            put_octal(&mut fields.dev_minor, u64::from(self.device.minor));
            put_text(&mut fields.prefix, prefix);
        }
        seal(&mut header);
        header
    }
}

/// Splits a name that is too long for a block's field at the last `/` that leaves two parts that fit.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= NAME || !path.is_ascii() {
        return None;
    }
    // A `/` at the very end belongs to the name.
    let search = path.len().saturating_sub(usize::from(path.ends_with(b"/"))).min(PREFIX + 1);
    let at = path.get(..search)?.iter().rposition(|byte| *byte == b'/')?;
    let (prefix, name) = (&path[..at], &path[at + 1..]);
    let fits = !prefix.is_empty() && !name.is_empty() && name.len() <= NAME;
    fits.then_some((prefix, name))
}

/// The name of an extended header: `PaxHeaders.0` put before the last component.
fn extended_name(path: &[u8]) -> Vec<u8> {
    let cut = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (directory, name) = path.split_at(cut);
    clean(&[directory, b"/PaxHeaders.0/", name].concat(), path.starts_with(b"/"))
}

/// Normalises a path lexically; a relative one keeps the `..` it begins with.
fn clean(path: &[u8], absolute: bool) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    if absolute { [b"/", &joined[..]].concat() } else { joined }
}

fn ascii(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(u8::is_ascii).collect()
}

/// Whether a number fits into a field of octal digits and a NUL.
fn fits(value: u64, width: u32) -> bool {
    value < 1 << (3 * (width - 1))
}

/// Writes what fits of a text; one that does not fit is said in a record.
fn put_text(field: &mut [u8], text: &[u8]) {
    let count = text.len().min(field.len());
    field.fill(0);
    field[..count].copy_from_slice(&text[..count]);
    if text.len() > field.len() && field.ends_with(b"/") {
        // A reader of blocks alone would take a cut name with `/` for a directory's.
        let end = field.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        if let Some(slash) = field.get_mut(end) {
            *slash = 0;
        }
    }
}

/// Writes octal digits and a NUL; what does not fit is said in a record, and 0 here.
fn put_octal(field: &mut [u8], value: u64) {
    let width = field.len() - 1;
    let value =
        if u32::try_from(field.len()).is_ok_and(|len| fits(value, len)) { value } else { 0 };
    field[..width].copy_from_slice(format!("{value:0width$o}").as_bytes());
    field[width] = 0;
}

/// Writes the checksum: six digits, NUL, blank.
fn seal(header: &mut Header) {
    header.as_old_mut().cksum = [b' '; 8];
    let sum: u64 = header.as_bytes().iter().map(|byte| u64::from(*byte)).sum();
    put_octal(&mut header.as_old_mut().cksum[..7], sum);
}

/// Writes `LENGTH KEY=VALUE\n`, where the length counts itself.
fn push_record(body: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    length = rest + length.to_string().len();
    body.extend_from_slice(format!("{length} ").as_bytes());
    body.extend_from_slice(key);
    body.push(b'=');
    body.extend_from_slice(value);
    body.push(b'\n');
}

/// Seconds with as much of a fraction as there is.
fn decimal_time(time: FileTime) -> Vec<u8> {
    let FileTime { seconds, nanoseconds } = time;
    if nanoseconds == 0 {
        return seconds.to_string().into_bytes();
    }
    let text = if seconds < 0 {
        // The fraction counts away from zero in the text, and up in the value.
        format!(
            "-{}.{:09}",
            (seconds + 1).unsigned_abs(),
            1_000_000_000_u32.saturating_sub(nanoseconds)
        )
    } else {
        format!("{seconds}.{nanoseconds:09}")
    };
    text.trim_end_matches('0').as_bytes().to_vec()
}
