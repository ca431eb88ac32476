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

/// The key of star's size of a file with its holes.
const REAL_SIZE: &[u8] = b"SCHILY.realsize";

/// The longest name of an extended attribute that Linux knows.
const XATTR_NAME: usize = 255;

/// One `LENGTH KEY=VALUE\n`.
type Record<'a> = (&'a [u8], &'a [u8]);

/// What an extended header says of the next member. An empty value says nothing; of what tells
/// members apart it is refused, as some readers take it for a value.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<i128>,
    /// What star calls the size of a file with its holes.
    pub(super) real_size: Option<i128>,
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
        if value.is_empty() && matches!(key, b"path" | b"linkpath" | b"size" | REAL_SIZE) {
            return Err(invalid(&format!("empty extended header {}", key.escape_ascii())));
        }
        match key {
            b"path" => self.path = text(key, value)?,
            b"linkpath" => self.link = text(key, value)?,
            b"size" => self.size = parsed(key, value, number::decimal)?,
            REAL_SIZE => self.real_size = parsed(key, value, number::decimal)?,
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
    Ok(Some(value.to_vec()))
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

    /// Well-formed records.
    fn body(records: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest..rest + 9).find(|length| rest + length.to_string().len() == *length);
            body.extend(format!("{} ", length.unwrap()).as_bytes());
            body.extend([key, &b"="[..], value, b"\n"].concat());
        }
        body
    }

    fn read_one(key: &[u8], value: &[u8]) -> Result<Pax> {
        read(&body(&[(key, value)]))
    }

    #[test]
    fn the_last_record_of_a_key_counts() {
        let body = body(&[
            (b"path", b"a"),
            (b"path", b"b"),
            (b"uid", b"12"),
            (b"gid", b"1"),
            (b"gid", b""),
            (b"comment", b"\n9 uid=1\n"),
        ]);
        let pax = read(&body).unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"b"[..]));
        assert_eq!((pax.uid, pax.gid), (Some(12), None));
    }

    #[test]
    fn values_may_hold_any_byte() {
        let mut pax = read_one(b"SCHILY.xattr.user.x", b"\n\0=\xff").unwrap();
        let xattrs = pax.take_xattrs();
        assert_eq!(xattrs.len(), 1);
        assert_eq!((&*xattrs[0].name, &*xattrs[0].value), (&b"user.x"[..], &b"\n\0=\xff"[..]));
        assert!(read_one(b"SCHILY.xattr.user.x", b"").unwrap().take_xattrs().is_empty());
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
            b"8 path=a\n",
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
        for (key, value) in [
            (&b"path"[..], &b"a\0b"[..]),
            (b"linkpath", b"a\0b"),
            (b"path", b""),
            (b"linkpath", b""),
            (b"size", b""),
            (b"SCHILY.realsize", b""),
            (b"SCHILY.realsize", b"x"),
            (b"size", b"0x"),
            (b"size", b" 1"),
            (b"mtime", b"\0"),
            (b"uid", b"1.5"),
            (b"SCHILY.xattr.", b"x"),
            (b"GNU.sparse.major", b"one"),
            (b"GNU.sparse.map", b"1,2,x"),
            (b"GNU.sparse.numbytes", b"1"),
        ] {
            let error = read_one(key, value).unwrap_err();
            assert!(error.to_string().contains("invalid tar header"), "{error}");
        }
        let error = read_one(b"SCHILY.xattr.user.x", &[b'v'; 101]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(read_one(&[XATTR_PREFIX, &[b'n'; 256]].concat(), b"v").is_err());
    }

    #[test]
    fn global_headers_may_not_rename() {
        assert!(
            check_global(&body(&[(b"comment", b"x"), (b"mtime", b"1"), (b"path", b"")])).is_ok()
        );
        for key in [&b"path"[..], b"linkpath", b"size", b"GNU.sparse.map"] {
            let error = check_global(&body(&[(key, b"1")])).unwrap_err().to_string();
            assert!(error.contains("global extended header sets"), "{error}");
        }
        assert!(check_global(b"x").is_err());
    }
}
