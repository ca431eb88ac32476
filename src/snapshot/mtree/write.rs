// SPDX-License-Identifier: Apache-2.0
//! [`MtreeWriter`]: a manifest, written name by name while a tree is walked.

use std::io::{self, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;

use super::keywords::type_name;
use crate::error::{Context, Result};
use crate::rootfs::{Kind, Owner};
use crate::snapshot::entry::{SnapshotEntry, name_of};
use crate::snapshot::vis;

/// Where a line is folded. Readers that go line by line with a 64 KiB buffer
/// refuse a longer one, and the attributes of one file can take more.
const FOLD: usize = 32 << 10;

/// The values that a `/set` line gives besides the owner.
const USUAL_MODE: u32 = 0o664;

/// The comment at the head of a manifest. Nothing reads it but people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MtreeHeader {
    /// Who took the manifest.
    pub user: String,
    /// On which host.
    pub machine: String,
    /// Of which directory.
    pub tree: String,
    /// When, as people write it (`Sat Nov 21 08:00:29 2026`).
    pub date: String,
}

/// Writes a manifest.
///
/// For every directory call [`enter`](Self::enter), then [`leaf`](Self::leaf)
/// for what is not a directory in it, then do its directories, then
/// [`leave`](Self::leave).
#[derive(Debug)]
pub struct MtreeWriter<W> {
    out: W,
    line: Vec<u8>,
    /// The owner of the last `/set` line.
    set: Option<Owner>,
}

impl<W: Write> MtreeWriter<W> {
    /// Starts a manifest with its head.
    pub fn new(out: W, header: &MtreeHeader) -> Result<Self> {
        let mut writer = Self { out, line: Vec::with_capacity(256), set: None };
        let keywords = "size,type,uid,gid,mode,link,nlink,tar_time,sha256digest,xattr";
        for (label, text) in [
            ("user:", header.user.as_str()),
            ("machine:", &header.machine),
            ("tree:", &header.tree),
            ("date:", &header.date),
            ("keywords:", keywords),
        ] {
            writer.line.extend_from_slice(format!("#{label:>15} ").as_bytes());
            vis::encode_controls(text.as_bytes(), &mut writer.line);
            writer.end_line()?;
        }
        Ok(writer)
    }

    /// Writes a directory and makes it the current one.
    pub fn enter(&mut self, entry: &SnapshotEntry) -> Result<()> {
        self.end_line()?;
        self.line.extend_from_slice(b"# ");
        // Encoded, so that a newline in a name cannot start a line of its own.
        self.path_words(entry);
        self.end_line()?;
        if self.set != Some(entry.owner) {
            self.set = Some(entry.owner);
            let Owner { uid, gid } = entry.owner;
            write!(self.line, "/set type=file nlink=1 mode=0{USUAL_MODE:o} uid={uid} gid={gid}")?;
            self.end_line()?;
        }
        self.entry(entry)
    }

    /// Writes anything but a directory.
    pub fn leaf(&mut self, entry: &SnapshotEntry) -> Result<()> {
        self.line.extend_from_slice(b"    ");
        self.entry(entry)
    }

    /// Leaves the current directory.
    pub fn leave(&mut self) -> Result<()> {
        self.line.extend_from_slice(b"..");
        self.end_line()
    }

    /// Ends the manifest and gives back what it was written to.
    pub fn finish(mut self) -> Result<W> {
        self.out.flush().context("write mtree")?;
        Ok(self.out)
    }

    fn path_words(&mut self, entry: &SnapshotEntry) {
        if entry.path.is_root() {
            self.line.push(b'.');
        } else {
            vis::encode(entry.path.as_bytes(), &mut self.line);
        }
    }

    fn entry(&mut self, entry: &SnapshotEntry) -> Result<()> {
        let name = if entry.path.is_root() { b"." } else { name_of(&entry.path) };
        vis::encode(name, &mut self.line);
        self.keywords(entry)?;
        for xattr in &entry.xattrs {
            self.line.extend_from_slice(b" xattr.");
            xattr_name(&xattr.name, &mut self.line);
            self.line.push(b'=');
            self.line.extend_from_slice(STANDARD.encode(&xattr.value).as_bytes());
        }
        self.end_line()
    }

    /// All keywords but the attributes, less those that `/set` gives already.
    fn keywords(&mut self, entry: &SnapshotEntry) -> io::Result<()> {
        let line = &mut self.line;
        let set = self.set.unwrap_or_default();
        line.extend_from_slice(b" size=");
        number(entry.size, 10, line);
        if entry.kind != Kind::File {
            write!(line, " type={}", type_name(entry.kind))?;
        }
        if entry.owner.uid != set.uid {
            write!(line, " uid={}", entry.owner.uid)?;
        }
        if entry.owner.gid != set.gid {
            write!(line, " gid={}", entry.owner.gid)?;
        }
        if entry.mode != USUAL_MODE {
            line.extend_from_slice(b" mode=0");
            if entry.mode != 0 {
                number(entry.mode.into(), 8, line);
            }
        }
        if let Some(target) = &entry.target {
            line.extend_from_slice(b" link=");
            vis::encode(target, line);
        }
        if entry.nlink != 1 {
            write!(line, " nlink={}", entry.nlink)?;
        }
        line.extend_from_slice(if entry.mtime < 0 { b" tar_time=-" } else { b" tar_time=" });
        number(entry.mtime.unsigned_abs(), 10, line);
        line.extend_from_slice(b".000000000");
        if let Some(digest) = &entry.digest {
            line.extend_from_slice(b" sha256digest=");
            hex(digest, line);
        }
        Ok(())
    }

    /// Writes the line out, folded with a backslash where it is very long:
    /// every reader of the format takes that, and no reader takes any length.
    fn end_line(&mut self) -> Result<()> {
        let mut rest = self.line.as_slice();
        while rest.len() > FOLD {
            // Two backslashes at the end of a line would be one of the text.
            let kept = rest[..FOLD].iter().rposition(|byte| *byte != b'\\').unwrap_or(FOLD - 1) + 1;
            let (head, tail) = rest.split_at(kept);
            self.out.write_all(head).and_then(|()| self.out.write_all(b"\\\n")).context(WRITE)?;
            rest = tail;
        }
        self.out.write_all(rest).and_then(|()| self.out.write_all(b"\n")).context(WRITE)?;
        self.line.clear();
        Ok(())
    }
}

const WRITE: &str = "write mtree";

/// An equals sign in the name is escaped, since a reader looks for the first
/// one. No layer can carry such an attribute.
fn xattr_name(name: &[u8], line: &mut Vec<u8>) {
    for (at, part) in name.split(|byte| *byte == b'=').enumerate() {
        if at > 0 {
            vis::escape(b'=', line);
        }
        vis::encode(part, line);
    }
}

fn hex(bytes: &[u8; 32], line: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (byte, pair) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
    }
    line.extend_from_slice(&text);
}

/// Writes a number. The general way takes several times as long, and every line has three.
fn number(mut number: u64, base: u64, line: &mut Vec<u8>) {
    /// As many as the largest number has in octal.
    const MOST: usize = 22;
    let mut digits = [b'0'; MOST];
    let mut start = MOST;
    loop {
        start -= 1;
        digits[start] += u8::try_from(number % base).unwrap_or_default();
        number /= base;
        if number == 0 {
            return line.extend_from_slice(&digits[start..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{directory, file, write};
    use super::*;
    use crate::rootfs::{RootPath, Xattr};
    use crate::snapshot::Snapshot;

    const GOLDEN: &str = "\
#          user: root
#       machine: vm
#          tree: b3/rootfs\\012x
#          date: Sat Nov 21 08:00:29 2026
#      keywords: size,type,uid,gid,mode,link,nlink,tar_time,sha256digest,xattr

# .
/set type=file nlink=1 mode=0664 uid=0 gid=0
. size=4096 type=dir mode=0755 nlink=3 tar_time=0.000000000
    f size=6 mode=04755 nlink=2 tar_time=-1.000000000 sha256digest=0101010101010101010101010101010101010101010101010101010101010101 xattr.user.a\\075\\040=MQ== xattr.user.b=
    l size=1 type=link mode=0777 link=x\\040y\\052 tar_time=1700000000.000000000

# d\\012foo\\040bar
/set type=file nlink=1 mode=0664 uid=5 gid=6
d\\012foo\\040bar size=4096 type=dir mode=0755 nlink=2 tar_time=1700000000.000000000
    x\\040y size=8 uid=0 tar_time=1700000000.000000000
    z size=0 gid=0 mode=0 tar_time=1700000000.000000000
..

# e
/set type=file nlink=1 mode=0664 uid=0 gid=0
e size=4096 type=dir mode=0755 nlink=2 tar_time=1700000000.000000000
..
..
";

    fn xattr(name: &str, value: &str) -> Xattr {
        Xattr { name: name.as_bytes().into(), value: value.as_bytes().into() }
    }

    fn tree() -> Vec<SnapshotEntry> {
        let owner = Owner { uid: 5, gid: 6 };
        let link = SnapshotEntry {
            kind: Kind::Symlink,
            mode: 0o777,
            size: 1,
            target: Some(b"x y*"[..].into()),
            digest: None,
            ..file("l")
        };
        let special = SnapshotEntry {
            mode: 0o4755,
            size: 6,
            nlink: 2,
            mtime: -1,
            digest: Some([1; 32]),
            xattrs: [xattr("user.a= ", "1"), xattr("user.b", "")].into(),
            ..file("f")
        };
        let x = SnapshotEntry {
            size: 8,
            mode: 0o664,
            digest: None,
            owner: Owner { uid: 0, ..owner },
            ..file("d\nfoo bar/x y")
        };
        let z = SnapshotEntry {
            mode: 0,
            digest: None,
            owner: Owner { gid: 0, ..owner },
            ..file("d\nfoo bar/z")
        };
        vec![
            SnapshotEntry { nlink: 3, mtime: 0, ..directory(".") },
            special,
            link,
            SnapshotEntry { owner, ..directory("d\nfoo bar") },
            x,
            z,
            directory("e"),
        ]
    }

    #[test]
    fn writes_numbers() {
        for value in [0, 7, 8, 9, 10, 0o7777, u64::MAX] {
            let mut text = Vec::new();
            number(value, 10, &mut text);
            text.push(b' ');
            number(value, 8, &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), format!("{value} {value:o}"));
        }
    }

    #[test]
    fn writes_the_known_form() {
        let text = |text: &str| text.to_owned();
        let header = MtreeHeader {
            user: text("root"),
            machine: text("vm"),
            tree: text("b3/rootfs\nx"),
            date: text("Sat Nov 21 08:00:29 2026"),
        };
        let head = MtreeWriter::new(Vec::new(), &header).unwrap().finish().unwrap();
        let body = write(&Snapshot::new(tree()));
        let body = body.splitn(6, |byte| *byte == b'\n').last().unwrap();
        let whole = String::from_utf8([&head, body].concat()).unwrap();
        assert_eq!(whole, GOLDEN);
    }

    #[test]
    fn folds_long_lines_where_no_escape_is_torn() {
        let xattrs = ["user.a", "user.b"].map(|name| xattr(name, &"v".repeat(65_536)));
        let entry = SnapshotEntry {
            path: RootPath::clean("\\".repeat(FOLD)).unwrap(),
            xattrs: xattrs.into(),
            ..file("x")
        };
        let snapshot = Snapshot::new(vec![directory("."), entry]);
        let text = write(&snapshot);
        assert!(text.split(|byte| *byte == b'\n').all(|line| line.len() <= FOLD + 1));
        assert_eq!(super::super::read_mtree(&text[..]).unwrap(), snapshot);
    }
}
