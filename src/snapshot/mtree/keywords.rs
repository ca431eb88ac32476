// SPDX-License-Identifier: Apache-2.0
//! The `keyword=value` words of a manifest's line.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;

use crate::error::{Error, Result};
use crate::rootfs::{Kind, Owner, RootPath, Xattr};
use crate::snapshot::entry::SnapshotEntry;
use crate::snapshot::vis;

const TYPES: [(Kind, &str); 7] = [
    (Kind::File, "file"),
    (Kind::Dir, "dir"),
    (Kind::Symlink, "link"),
    (Kind::CharDevice, "char"),
    (Kind::BlockDevice, "block"),
    (Kind::Fifo, "fifo"),
    (Kind::Socket, "socket"),
];

/// The value of the keyword `type`.
pub(crate) fn type_name(kind: Kind) -> &'static str {
    TYPES.iter().find(|(one, _)| *one == kind).map_or("file", |(_, name)| name)
}

/// What may stand on a `/set` line: short values, so that repeating them
/// thousands of times costs nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Defaults {
    kind: Option<Kind>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mode: Option<u32>,
    nlink: Option<u64>,
    mtime: Option<i64>,
}

impl Defaults {
    /// Takes one word of a `/set` line.
    pub(super) fn set(&mut self, word: &[u8]) -> Result<()> {
        let (keyword, value) = split(word);
        if self.take(keyword, value)? == Taken::No && is_own(keyword) {
            let keyword = keyword.escape_ascii();
            return Err(Error::unsupported(format!("{keyword} is set for many names")));
        }
        Ok(())
    }

    /// Takes one word of an `/unset` line.
    pub(super) fn unset(&mut self, word: &[u8]) {
        match word {
            b"all" => *self = Self::default(),
            b"type" => self.kind = None,
            b"size" => self.size = None,
            b"uid" => self.uid = None,
            b"gid" => self.gid = None,
            b"mode" => self.mode = None,
            b"nlink" => self.nlink = None,
            b"time" | b"tar_time" => self.mtime = None,
            _ => {}
        }
    }

    fn take(&mut self, keyword: &[u8], value: &[u8]) -> Result<Taken> {
        let bad = || malformed(keyword, value);
        match keyword {
            b"type" => self.kind = Some(parse_type(value).ok_or_else(bad)?),
            b"size" => self.size = Some(parse(value).ok_or_else(bad)?),
            b"uid" => self.uid = Some(parse(value).ok_or_else(bad)?),
            b"gid" => self.gid = Some(parse(value).ok_or_else(bad)?),
            b"mode" => self.mode = Some(parse_mode(value).ok_or_else(bad)?),
            b"nlink" => self.nlink = Some(parse(value).ok_or_else(bad)?),
            b"time" | b"tar_time" => self.mtime = Some(parse_time(value).ok_or_else(bad)?),
            _ => return Ok(Taken::No),
        }
        Ok(Taken::Yes)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Yes,
    No,
}

/// All that a line says of one name, with the defaults it started from.
#[derive(Debug)]
pub(super) struct Keywords {
    values: Defaults,
    target: Option<Box<[u8]>>,
    digest: Option<[u8; 32]>,
    xattrs: Vec<Xattr>,
}

impl Keywords {
    /// Reads the words after the name. Keywords that no snapshot has are left out.
    pub(super) fn read<'a>(
        defaults: Defaults,
        words: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self> {
        let mut keywords =
            Self { values: defaults, target: None, digest: None, xattrs: Vec::new() };
        for word in words {
            keywords.take(word)?;
        }
        Ok(keywords)
    }

    /// What the name is, if the line or its defaults tell.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.values.kind
    }

    /// Makes the entry; `None` when there is not enough to compare a file on disk with.
    pub(super) fn into_entry(mut self, path: RootPath) -> Option<SnapshotEntry> {
        let Defaults { kind, size, uid, gid, mode, nlink, mtime } = self.values;
        let kind = kind?;
        // Stable, and the later of two with the same name counts.
        self.xattrs.reverse();
        self.xattrs.sort_by(|one, other| one.name.cmp(&other.name));
        self.xattrs.dedup_by(|one, other| one.name == other.name);
        Some(SnapshotEntry {
            path,
            kind,
            mode: mode?,
            owner: Owner { uid: uid?, gid: gid? },
            // The BSD tools give sizes of regular files only.
            size: if kind == Kind::File { size? } else { size.unwrap_or(0) },
            nlink: nlink.unwrap_or(1),
            mtime: mtime?,
            target: if kind == Kind::Symlink { Some(self.target?) } else { None },
            digest: if kind == Kind::File { self.digest } else { None },
            xattrs: self.xattrs.into(),
        })
    }

    fn take(&mut self, word: &[u8]) -> Result<()> {
        let (keyword, value) = split(word);
        if self.values.take(keyword, value)? == Taken::Yes {
            return Ok(());
        }
        match keyword {
            b"link" => self.target = Some(vis::decode(value)?.into()),
            b"sha256digest" | b"sha256" => {
                let digest = parse_digest(value).ok_or_else(|| malformed(keyword, value))?;
                self.digest = Some(digest);
            }
            _ => {
                if let Some(rest) = xattr_word(word) {
                    self.xattrs.push(parse_xattr(rest).ok_or_else(|| malformed(keyword, value))?);
                }
            }
        }
        Ok(())
    }
}

fn malformed(keyword: &[u8], value: &[u8]) -> Error {
    let shown = value.get(..64).unwrap_or(value);
    let (keyword, shown) = (keyword.escape_ascii(), shown.escape_ascii());
    Error::invalid(format!("keyword {keyword} has the malformed value \"{shown}\""))
}

/// Whether a keyword describes a single name.
fn is_own(keyword: &[u8]) -> bool {
    matches!(keyword, b"link" | b"sha256digest" | b"sha256") || xattr_word(keyword).is_some()
}

/// What follows the prefix of the keywords of extended attributes.
pub(in crate::snapshot) fn xattr_word(word: &[u8]) -> Option<&[u8]> {
    word.strip_prefix(b"xattr.").or_else(|| word.strip_prefix(b"xattrs."))
}

/// Takes a word apart at its first `=`.
pub(in crate::snapshot) fn split(word: &[u8]) -> (&[u8], &[u8]) {
    match word.iter().position(|byte| *byte == b'=') {
        Some(at) => (&word[..at], &word[at + 1..]),
        None => (word, b""),
    }
}

/// A name and a value. Other tools write an equals sign of the name as it is,
/// so the border is the first one that base64 follows.
pub(in crate::snapshot) fn parse_xattr(word: &[u8]) -> Option<Xattr> {
    let borders = word.iter().enumerate().filter(|(_, byte)| **byte == b'=');
    // A value has at most two signs of padding; a name has at most 255 bytes.
    for (at, _) in borders.take(256 + 2) {
        if let Ok(value) = STANDARD.decode(&word[at + 1..]) {
            let name = vis::decode(&word[..at]).ok()?;
            return Some(Xattr { name: name.into(), value: value.into() });
        }
    }
    None
}

fn parse<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    let plain = value.first().is_some_and(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| plain)?.parse().ok()
}

/// The type that a value of the keyword `type` stands for.
pub(crate) fn parse_type(value: &[u8]) -> Option<Kind> {
    TYPES.iter().find(|(_, name)| name.as_bytes() == value).map(|(kind, _)| *kind)
}

fn parse_mode(value: &[u8]) -> Option<u32> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mode = u32::from_str_radix(std::str::from_utf8(value).ok()?, 8).ok()?;
    (mode <= 0o7777).then_some(mode)
}

/// The whole seconds of `SECONDS.NANOSECONDS`; before 1970 the latter still count forward.
fn parse_time(value: &[u8]) -> Option<i64> {
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let (seconds, rest) = (parts.next()?, parts.next().unwrap_or(b"0"));
    let (sign, digits) = match seconds.strip_prefix(b"-") {
        Some(digits) => ("-", digits),
        None => ("", seconds),
    };
    if digits.is_empty() || !digits.iter().chain(rest).all(u8::is_ascii_digit) {
        return None;
    }
    format!("{sign}{}", std::str::from_utf8(digits).ok()?).parse().ok()
}

fn parse_digest(value: &[u8]) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if value.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(value.chunks(2)) {
        for digit in pair {
            let digit = char::from(*digit).to_digit(16)?;
            *byte = *byte << 4 | u8::try_from(digit).ok()?;
        }
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Keywords> {
        Keywords::read(Defaults::default(), words.split(' ').map(str::as_bytes))
    }

    #[test]
    fn refuses_malformed_values() {
        for words in [
            "type=",
            "type=door",
            "size=-1",
            "size=18446744073709551616",
            "uid=+1",
            "uid=4294967296",
            "gid=x",
            "mode=8",
            "mode=10000",
            "mode=u=rwx",
            "mode=",
            "nlink=",
            "time=",
            "time=x",
            "time=1.x",
            "tar_time=-",
            "time=+1",
            "time=9223372036854775808",
            "sha256digest=00",
            "link=\\q",
            "xattr.user.a=%",
            "xattr.user.a",
        ] {
            assert!(read(words).is_err(), "{words}");
        }
        let long = format!("sha256={}", "g".repeat(64));
        assert!(read(&long).is_err());
    }

    #[test]
    fn leaves_out_what_it_does_not_know() {
        let words = "uname=root flags=none optional device=native,1,3 cksum=x type=char mode=0 \
                     uid=1 gid=2 time=5.25";
        let entry = read(words).unwrap().into_entry(RootPath::root()).unwrap();
        assert_eq!((entry.kind, entry.mtime, entry.nlink), (Kind::CharDevice, 5, 1));
    }

    #[test]
    fn finds_the_border_of_attribute_names() {
        for (word, name, value) in [
            ("user.a=MQ==", &b"user.a"[..], &b"1"[..]),
            ("user.sp\\040=x=", b"user.sp =x", b""),
            ("user.a\\075b=", b"user.a=b", b""),
        ] {
            let xattr = parse_xattr(word.as_bytes()).unwrap();
            assert_eq!((&*xattr.name, &*xattr.value), (name, value), "{word}");
        }
    }

    #[test]
    fn the_later_word_counts() {
        let words =
            "type=file size=1 size=2 uid=0 gid=0 mode=0 time=1 xattr.b=MQ== xattr.a= xattr.b=";
        let entry = read(words).unwrap().into_entry(RootPath::root()).unwrap();
        assert_eq!(entry.size, 2);
        let xattrs: Vec<_> = entry.xattrs.iter().map(|one| (&*one.name, &*one.value)).collect();
        assert_eq!(xattrs, [(&b"a"[..], &b""[..]), (b"b", b"")]);
    }

    #[test]
    fn long_values_are_not_set_for_many_names() {
        for word in ["link=x", "xattr.user.a=MQ==", "sha256digest=00"] {
            assert!(Defaults::default().set(word.as_bytes()).is_err(), "{word}");
        }
        assert!(Defaults::default().set(b"uname=root").is_ok());
    }
}
