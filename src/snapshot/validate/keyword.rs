// SPDX-License-Identifier: Apache-2.0
//! [`Keyword`]: what can be checked of a file, under the names that mtree
//! gives it, and its value on disk as a manifest would write it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::rootfs::{Dir, FsOps, Kind, Name, Stat, is_host_label};
use crate::snapshot::mtree::type_name;
use crate::snapshot::vis;

/// Something that a manifest can say of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keyword {
    /// `type`
    Type,
    /// `size`, of whatever type
    Size,
    /// `mode`
    Mode,
    /// `uid`
    Uid,
    /// `gid`
    Gid,
    /// `link`, the target of a symbolic link
    Link,
    /// `nlink`
    Nlink,
    /// `time`, to the nanosecond
    Time,
    /// `tar_time`, in whole seconds
    TarTime,
    /// `sha256digest`
    Sha256,
    /// `sha384digest`
    Sha384,
    /// `sha512digest`
    Sha512,
    /// `xattr`, which stands for all attributes of a regular file or directory
    Xattr,
}

/// All keywords with their names; the first of several is the one that is shown.
const NAMES: [(Keyword, &[&str]); 13] = [
    (Keyword::Type, &["type"]),
    (Keyword::Size, &["size"]),
    (Keyword::Mode, &["mode"]),
    (Keyword::Uid, &["uid"]),
    (Keyword::Gid, &["gid"]),
    (Keyword::Link, &["link"]),
    (Keyword::Nlink, &["nlink"]),
    (Keyword::Time, &["time"]),
    (Keyword::TarTime, &["tar_time"]),
    (Keyword::Sha256, &["sha256digest", "sha256"]),
    (Keyword::Sha384, &["sha384digest", "sha384"]),
    (Keyword::Sha512, &["sha512digest", "sha512"]),
    (Keyword::Xattr, &["xattr", "xattrs"]),
];

/// Keywords of other programs.
const UNSUPPORTED: [&str; 16] = [
    "cksum",
    "device",
    "flags",
    "gname",
    "ignore",
    "md5",
    "md5digest",
    "nochange",
    "optional",
    "ripemd160digest",
    "rmd160",
    "rmd160digest",
    "sha1",
    "sha1digest",
    "uname",
    "inode",
];

impl Keyword {
    /// Those that manifests of bundles have.
    pub const OF_BUNDLES: [Self; 10] = [
        Self::Size,
        Self::Type,
        Self::Uid,
        Self::Gid,
        Self::Mode,
        Self::Link,
        Self::Nlink,
        Self::TarTime,
        Self::Sha256,
        Self::Xattr,
    ];

    /// The keyword of a name, or of one of its synonyms.
    ///
    /// # Errors
    /// When it is unknown or cannot be checked.
    pub fn named(name: &str) -> Result<Self> {
        // Each attribute has a keyword of its own.
        let name =
            if name.starts_with("xattr.") || name.starts_with("xattrs.") { "xattr" } else { name };
        if let Some((keyword, _)) = NAMES.iter().find(|(_, names)| names.contains(&name)) {
            return Ok(*keyword);
        }
        if UNSUPPORTED.contains(&name) {
            return Err(Error::unsupported(format!("keyword {name:?} cannot be checked")));
        }
        Err(Error::invalid(format!("unknown keyword {name:?}")))
    }

    /// The names that a manifest may use.
    pub(super) fn names(self) -> &'static [&'static str] {
        NAMES.iter().find(|(keyword, _)| *keyword == self).map_or(&[], |(_, names)| *names)
    }

    /// Whether two values say the same, though perhaps in other words.
    pub(super) fn says_the_same(self, one: &[u8], other: &[u8]) -> bool {
        if one == other {
            return true;
        }
        let text = |value| std::str::from_utf8(value).ok();
        let (Some(one), Some(other)) = (text(one), text(other)) else { return false };
        let equal = |read: fn(&str) -> Option<u64>| read(one).is_some() && read(one) == read(other);
        match self {
            Self::Mode => equal(|value| u64::from_str_radix(value, 8).ok()),
            Self::Size | Self::Uid | Self::Gid | Self::Nlink => equal(|value| value.parse().ok()),
            Self::Time | Self::TarTime => time(one).is_some() && time(one) == time(other),
            Self::Link => {
                let decode = |value: &str| vis::decode(value.as_bytes()).ok();
                decode(one).is_some() && decode(one) == decode(other)
            }
            Self::Sha256 | Self::Sha384 | Self::Sha512 => one.eq_ignore_ascii_case(other),
            Self::Type | Self::Xattr => false,
        }
    }

    /// The value of a file, `None` where its type has none. Attributes have several, see [`OnDisk::attributes`].
    pub(super) fn value(self, file: &OnDisk<'_>) -> Result<Option<Vec<u8>>> {
        let stat = file.stat;
        let text = match self {
            Self::Type => type_name(stat.kind).to_owned(),
            Self::Size => stat.size.to_string(),
            Self::Mode if stat.mode == 0 => "0".to_owned(),
            Self::Mode => format!("0{:o}", stat.mode),
            Self::Uid => stat.owner.uid.to_string(),
            Self::Gid => stat.owner.gid.to_string(),
            Self::Nlink => stat.nlink.to_string(),
            Self::Time => format!("{}.{:09}", stat.mtime.seconds, stat.mtime.nanoseconds),
            Self::TarTime => format!("{}.000000000", stat.mtime.seconds),
            Self::Link => return file.target(),
            Self::Sha256 => return file.digest::<Sha256>(),
            Self::Sha384 => return file.digest::<Sha384>(),
            Self::Sha512 => return file.digest::<Sha512>(),
            Self::Xattr => return Ok(None),
        };
        Ok(Some(text.into()))
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names().first().copied().unwrap_or_default())
    }
}

/// The seconds and what follows the dot, without zeros at its end.
fn time(value: &str) -> Option<(i64, &str)> {
    let (seconds, rest) = value.split_once('.').unwrap_or((value, ""));
    Some((seconds.parse().ok()?, rest.trim_end_matches('0')))
}

/// The whole seconds of a time.
pub(super) fn whole_seconds(value: &[u8]) -> Option<i64> {
    time(std::str::from_utf8(value).ok()?).map(|(seconds, _)| seconds)
}

/// Names and values of extended attributes.
pub(super) type Attributes = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// A file that is compared with what a manifest says.
pub(super) struct OnDisk<'a> {
    pub(super) fs: &'a dyn FsOps,
    pub(super) stat: &'a Stat,
    /// The directory it is in and its name there; of the root itself and no name.
    pub(super) dir: &'a Dir,
    pub(super) name: Option<Name<'a>>,
    pub(super) progress: &'a Progress,
}

impl OnDisk<'_> {
    fn target(&self) -> Result<Option<Vec<u8>>> {
        let (Kind::Symlink, Some(name)) = (self.stat.kind, self.name) else { return Ok(None) };
        let mut encoded = Vec::new();
        vis::encode(&self.fs.read_link(self.dir, name)?, &mut encoded);
        Ok(Some(encoded))
    }

    fn digest<D: Digest>(&self) -> Result<Option<Vec<u8>>> {
        let (Kind::File, Some(name)) = (self.stat.kind, self.name) else { return Ok(None) };
        let mut file = self.fs.open_file(self.dir, name)?;
        let mut hash = D::new();
        let mut buffer = vec![0; 128 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hash.update(buffer.get(..count).unwrap_or_default());
                    self.progress.add_bytes(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let digits =
            hash.finalize().iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect();
        Ok(Some(digits))
    }

    /// The extended attributes of a regular file or directory, but for the host's own labels.
    pub(super) fn attributes(&self) -> Result<Attributes> {
        let xattrs = match (self.stat.kind, self.name) {
            (Kind::File | Kind::Dir, Some(name)) => self.fs.xattrs(self.dir, name)?,
            (Kind::Dir, None) => self.fs.dir_xattrs(self.dir)?,
            _ => Vec::new(),
        };
        let image = xattrs.into_iter().filter(|xattr| !is_host_label(&xattr.name));
        Ok(image.map(|xattr| (xattr.name, xattr.value)).collect())
    }
}
