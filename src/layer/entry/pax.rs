// SPDX-License-Identifier: Apache-2.0
//! PAX extended headers (POSIX.1-2001, "pax"): records, and what they say of
//! the next member. A record that is not well-formed spoils the archive.

use std::collections::BTreeMap;

use super::header::invalid;
use super::number;
use super::sparse::SparseRecords;
use crate::error::{Error, ErrorKind, Result};
use crate::rootfs::{FileTime, Xattr};

/// What the key of an extended attribute's record starts with.
pub(super) const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// The longest name of an extended attribute that Linux knows.
const XATTR_NAME: usize = 255;

/// One `LENGTH KEY=VALUE\n`.
type Record<'a> = (&'a [u8], &'a [u8]);

/// What an extended header says of the next member. An empty value says nothing.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<i128>,
    pub(super) uid: Option<i128>,
    pub(super) gid: Option<i128>,
    pub(super) mtime: Option<FileTime>,
    pub(super) atime: Option<FileTime>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) sparse: SparseRecords,
}

impl Pax {
    /// Reads the body of a header for one member.
    pub(super) fn new(body: &[u8], longest_xattr: usize) -> Result<Self> {
        let mut pax = Self::default();
        for record in records(body) {
            let (key, value) = record?;
            pax.set(key, value, longest_xattr)?;
        }
        Ok(pax)
    }

    fn set(&mut self, key: &[u8], value: &[u8], longest_xattr: usize) -> Result<()> {
        match key {
            b"path" => self.path = text(key, value)?,
            b"linkpath" => self.link = text(key, value)?,
            b"size" => self.size = parsed(key, value, number::decimal)?,
            b"uid" => self.uid = parsed(key, value, number::decimal)?,
            b"gid" => self.gid = parsed(key, value, number::decimal)?,
            b"mtime" => self.mtime = parsed(key, value, number::time)?,
            b"atime" => self.atime = parsed(key, value, number::time)?,
            _ => {
                if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
                    self.set_xattr(name, value, longest_xattr)?;
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(name, value)?;
                }
            }
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: &[u8], value: &[u8], longest: usize) -> Result<()> {
        if name.is_empty() || name.len() > XATTR_NAME {
            let length = name.len();
            return Err(invalid(&format!("name of an extended attribute has {length} bytes")));
        }
        if value.len() > longest {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "extended attribute \"{}\" has {} bytes, more than the limit of {longest}",
                    name.escape_ascii(),
                    value.len()
                ),
            ));
        }
        if value.is_empty() {
            self.xattrs.remove(name);
        } else {
            self.xattrs.insert(name.to_vec(), value.to_vec());
        }
        Ok(())
    }

    /// The extended attributes, sorted by name.
    pub(super) fn take_xattrs(&mut self) -> Vec<Xattr> {
        let xattrs = std::mem::take(&mut self.xattrs).into_iter();
        xattrs.map(|(name, value)| Xattr { name: name.into(), value: value.into() }).collect()
    }
}

/// Checks the body of a header for all members that follow. None of its
/// records is applied; those that would change which bytes are which member
/// are refused, lest other readers see another archive.
pub(super) fn check_global(body: &[u8]) -> Result<()> {
    for record in records(body) {
        let (key, value) = record?;
        let structural =
            matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.");
        if structural && !value.is_empty() {
            let key = key.escape_ascii();
            return Err(invalid(&format!("global extended header sets {key}")));
        }
    }
    Ok(())
}

fn text(key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
    if value.contains(&0) {
        return Err(invalid(&format!("NUL byte in extended header {}", key.escape_ascii())));
    }
    Ok(Some(value.to_vec()).filter(|value| !value.is_empty()))
}

fn parsed<T>(key: &[u8], value: &[u8], parse: fn(&[u8]) -> Option<T>) -> Result<Option<T>> {
    if value.is_empty() {
        return Ok(None);
    }
    let parsed = parse(value);
    if parsed.is_none() {
        return Err(invalid(&format!(
            "extended header {}=\"{}\"",
            key.escape_ascii(),
            value.get(..40).unwrap_or(value).escape_ascii()
        )));
    }
    Ok(parsed)
}

fn records(body: &[u8]) -> impl Iterator<Item = Result<Record<'_>>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((record, behind)) = split_record(rest) else {
            rest = &[];
            return Some(Err(invalid("malformed extended header")));
        };
        rest = behind;
        Some(Ok(record))
    })
}

/// Splits the first record off; `None` when it is not one.
fn split_record(body: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let blank = body.iter().position(|byte| *byte == b' ')?;
    let digits = &body[..blank];
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length = usize::try_from(number::decimal(digits)?).ok()?;
    let (record, behind) = body.split_at_checked(length)?;
    let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    if key.is_empty() || key.contains(&0) {
        return None;
    }
    Some(((key, value), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<Pax> {
        Pax::new(body, 100)
    }

    #[test]
    fn the_last_record_of_a_key_counts() {
        let pax = read(b"10 path=a\n10 path=b\n9 uid=12\n9 gid=1\n\n").map(|_| ());
        assert!(pax.is_err(), "9 gid=1 ends in two newlines");
        let pax = read(b"10 path=a\n10 path=b\n10 uid=12\n8 gid=1\n8 gid=\n").map(|_| ());
        assert!(pax.is_err(), "8 gid= is a byte short");
        let pax = read(b"10 path=a\n10 path=b\n10 uid=12\n9 gid=1\n8 gid=\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"b"[..]));
        assert_eq!((pax.uid, pax.gid), (Some(12), None));
    }

    #[test]
    fn values_may_hold_any_byte() {
        let mut pax = read(b"26 SCHILY.xattr.user.x=\n\0=\xff\n").unwrap();
        let xattrs = pax.take_xattrs();
        assert_eq!(xattrs.len(), 1);
        assert_eq!((&*xattrs[0].name, &*xattrs[0].value), (&b"user.x"[..], &b"\n\0=\xff"[..]));
        assert!(read(b"24 SCHILY.xattr.user.x=\n").unwrap().take_xattrs().is_empty());
    }

    #[test]
    fn malformed_records_are_refused() {
        for body in [
            &b"x path=a\n"[..],
            b"10path=a\n",
            b" 10 path=a\n",
            b"0 path=a\n",
            b"-1 path=a\n",
            b"+10 path=a\n",
            b"11 path=a\n",
            b"9 path=a\n",
            b"10 path=ab",
            b"8 path\n\n",
            b"5 =a\n",
            b"11 pa\0th=a\n",
            b"999999999999999999999 path=a\n",
            b"10 path=a\n\0\0",
            b"10",
        ] {
            let error = read(body).unwrap_err().to_string();
            assert!(error.contains("invalid tar header"), "{}: {error}", body.escape_ascii());
        }
    }

    #[test]
    fn values_are_checked() {
        for body in [
            &b"12 path=a\0b\n"[..],
            b"16 linkpath=a\0b\n",
            b"11 size=0x\n",
            b"12 size= 1 \n",
            b"11 mtime=\0\n",
            b"11 uid=1.5\n",
            b"18 SCHILY.xattr.=x\n",
        ] {
            assert!(read(body).is_err(), "{}", body.escape_ascii());
        }
        let long = [&b"126 SCHILY.xattr.user.x="[..], &[b'v'; 101], b"\n"].concat();
        assert_eq!(read(&long).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn global_headers_may_not_rename() {
        assert!(check_global(b"13 comment=x\n11 mtime=1\n").is_ok());
        for body in [&b"10 path=a\n"[..], b"14 linkpath=a\n", b"10 size=1\n", b"x"] {
            assert!(check_global(body).is_err(), "{}", body.escape_ascii());
        }
    }
}
