// SPDX-License-Identifier: Apache-2.0
//! Users and groups of an image: its `etc/passwd` and `etc/group`, and the
//! lookup of `user[:group]` in them (image-spec `config.md`, "User").
//!
//! The files are the image's, so they are found inside of its root filesystem
//! only, must be regular, and are read up to [`MAX_SIZE`].

use std::io::{self, Read};
use std::num::{IntErrorKind, ParseIntError};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::quote::{excerpt, quote, quote_if_needed};
use crate::rootfs::{FsOps, Kind, RootPath, resolve};

/// The most bytes that `etc/passwd` or `etc/group` may have.
pub const MAX_SIZE: u64 = 10 << 20;
/// The most bytes that a user specification may have; names have 32 by custom.
const MAX_SPEC: usize = 4096;
/// The highest id that a user specification may give as a number.
const MAX_ID: i64 = i32::MAX as i64;

/// Who a process runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The user id inside the container.
    pub uid: u32,
    /// The group id inside the container.
    pub gid: u32,
    /// The ids of further groups, in the order of `etc/group`.
    pub additional_gids: Vec<u32>,
    /// The home directory, where the user is known and has one.
    pub home: Option<String>,
}

impl User {
    /// Reads a specification of numbers without any rootfs; names become root, with a warning.
    ///
    /// # Errors
    /// When a number is no valid id.
    pub fn without_rootfs(spec: &str) -> Result<Self> {
        match Accounts::default().find(spec) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                log::warn!(
                    "could not parse user spec {} without a rootfs -- defaulting to root:root",
                    quote(&*excerpt(spec))
                );
                Ok(Self::default())
            }
            result => result,
        }
    }
}

/// What an image knows of users and groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Takes the contents of `etc/passwd` and `etc/group`; empty stands for a missing file.
    pub fn new(passwd: &[u8], group: &[u8]) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self { passwd: text(passwd), group: text(group) }
    }

    /// Reads the files of a root filesystem.
    ///
    /// # Errors
    /// When one of them is there, but is not a regular file that can be read,
    /// or is over [`MAX_SIZE`].
    pub fn read(fs: &dyn FsOps) -> Result<Self> {
        let read = |path: &str| {
            read_file(fs, &RootPath::clean(path)?)
                .with_context(|| format!("read {path} of the rootfs"))
        };
        Ok(Self::new(&read("etc/passwd")?, &read("etc/group")?))
    }

    /// Finds whom `user[:group]` means; further colons and what follows are ignored.
    ///
    /// A number is only ever taken as an id. Without a group, the user's own
    /// group counts, and all groups that list the user are additional ones.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a name that no line has.
    pub fn find(&self, spec: &str) -> Result<User> {
        self.lookup(spec)
            .with_context(|| format!("cannot parse user spec: {}", quote(&*excerpt(spec))))
    }

    fn lookup(&self, spec: &str) -> Result<User> {
        if spec.len() > MAX_SPEC {
            let message = format!("it has {} bytes, more than {MAX_SPEC}", spec.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let mut parts = spec.split(':');
        let wanted = Wanted::new(parts.next().unwrap_or_default());
        let group = Wanted::new(parts.next().unwrap_or_default());
        let (mut user, name) = self.user(&wanted)?;
        match group {
            Wanted::Anyone => {
                // NOTE(compat): a user without a name is a member of no group.
                if let Some(name) = name.filter(|name| !name.is_empty()) {
                    user.additional_gids = self.groups_of(name)?;
                }
            }
            group => user.gid = self.gid(&group)?,
        }
        Ok(user)
    }

    /// The user and the name found, if any line has it.
    fn user(&self, wanted: &Wanted<'_>) -> Result<(User, Option<&str>)> {
        let found = self.passwd_lines().find(|line| match *wanted {
            Wanted::Anyone => line.uid() == 0,
            Wanted::Id(id) => line.uid() == id,
            Wanted::Name(name) => line.name() == name,
        });
        match (found, wanted) {
            (Some(line), _) => {
                let home = Some(line.field(5)).filter(|home| !home.is_empty());
                let user = User {
                    uid: known_id(line.uid())?,
                    gid: known_id(line.number(3))?,
                    additional_gids: Vec::new(),
                    home: home.map(str::to_owned),
                };
                Ok((user, Some(line.name())))
            }
            (None, Wanted::Anyone) => Ok((User::default(), None)),
            (None, Wanted::Id(id)) => Ok((User { uid: given_id(*id)?, ..User::default() }, None)),
            (None, Wanted::Name(name)) => Err(missing("user", name, "passwd")),
        }
    }

    fn gid(&self, wanted: &Wanted<'_>) -> Result<u32> {
        let found = self.group_lines().find(|line| match *wanted {
            Wanted::Anyone => false,
            Wanted::Id(id) => line.gid() == id,
            Wanted::Name(name) => line.name() == name,
        });
        match (found, wanted) {
            (Some(line), _) => known_id(line.gid()),
            (None, Wanted::Anyone) => Ok(0),
            (None, Wanted::Id(id)) => given_id(*id),
            (None, Wanted::Name(name)) => Err(missing("group", name, "group")),
        }
    }

    fn groups_of(&self, user: &str) -> Result<Vec<u32>> {
        self.group_lines()
            .filter(|line| line.field(3).split(',').any(|member| member == user))
            .map(|line| known_id(line.gid()))
            .collect()
    }

    /// Lines that start with `#` are users like any other.
    fn passwd_lines(&self) -> impl Iterator<Item = Line<'_>> {
        lines(&self.passwd)
    }

    fn group_lines(&self) -> impl Iterator<Item = Line<'_>> {
        lines(&self.group).filter(|line| !line.0.starts_with('#'))
    }
}

/// One part of a user specification.
#[derive(Debug, Clone, Copy)]
enum Wanted<'a> {
    Anyone,
    Id(i64),
    Name(&'a str),
}

impl<'a> Wanted<'a> {
    fn new(text: &'a str) -> Self {
        match text.parse() {
            _ if text.is_empty() => Self::Anyone,
            Ok(id) => Self::Id(id),
            Err(_) => Self::Name(text),
        }
    }
}

/// A line of either file: fields between colons.
#[derive(Debug, Clone, Copy)]
struct Line<'a>(&'a str);

impl<'a> Line<'a> {
    fn field(self, index: usize) -> &'a str {
        self.0.split(':').nth(index).unwrap_or_default()
    }

    fn name(self) -> &'a str {
        self.field(0)
    }

    /// NOTE(compat): what is not a number counts as 0. One that is too large must not.
    fn number(self, index: usize) -> i64 {
        self.field(index).parse().unwrap_or_else(|error: ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => i64::MAX,
            _ => 0,
        })
    }

    fn uid(self) -> i64 {
        self.number(2)
    }

    fn gid(self) -> i64 {
        self.number(2)
    }
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).map(Line)
}

/// Checks an id that stands in a file of the image. The last 32-bit id means "no id" to the kernel.
fn known_id(id: i64) -> Result<u32> {
    match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Error::invalid(format!("the image's entry has the invalid id {id}"))),
    }
}

/// Checks an id that only the specification gives.
fn given_id(id: i64) -> Result<u32> {
    let message = || format!("uids and gids must be in range 0-{MAX_ID}");
    u32::try_from(id).ok().filter(|_| id <= MAX_ID).ok_or_else(|| Error::invalid(message()))
}

fn missing(what: &str, name: &str, file: &str) -> Error {
    let name = quote_if_needed(&*excerpt(name));
    let message = format!("unable to find {what} {name}: no matching entries in {file} file");
    Error::new(ErrorKind::NotFound, message)
}

/// Reads a small file, following links inside the root. A missing one is empty.
fn read_file(fs: &dyn FsOps, path: &RootPath) -> Result<Vec<u8>> {
    match open_file(fs, path) {
        Ok(file) => read_capped(file),
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn open_file(fs: &dyn FsOps, path: &RootPath) -> io::Result<std::fs::File> {
    let path = resolve(fs, path)?;
    let not_regular = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
    let (parent, name) = path.split().ok_or_else(not_regular)?;
    let dir = fs.open_dir(&parent)?;
    // Opening a device can already do something; so what it is comes first.
    if fs.stat(&dir, name)?.kind != Kind::File {
        return Err(not_regular());
    }
    fs.open_file(&dir, name)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read_capped(file: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SIZE {
        let message = format!("the file is larger than {MAX_SIZE} bytes");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::rootfs::{Device, Name, Native};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\n  bob:x:1000:1001::/home/bob:\n\
        #c:x:7:8::/c:\nhomeless:x:5:5:::\nbad:x:many:-:::\nold:x:4294967294:4294967294::/:\n\
        none:x:4294967295:0::/:\nnegative:x:-2:0::/:\nbob:x:1:1::/second:\n1002:x:1003:1003::/n:\n:x:9:9::/e:\n\
        huge:x:99999999999999999999:0::/:";
    const GROUP: &str = "root:x:0:root\nwheel:x:10:root,bob\n#g:x:11:bob\nbobs:x:1001:alice,bob\n\
        wide:x:-1:eve\nempty:x:12:\n";

    fn accounts() -> Accounts {
        Accounts::new(PASSWD.as_bytes(), GROUP.as_bytes())
    }

    fn check(spec: &str, uid: u32, gid: u32, additional: &[u32], home: Option<&str>) {
        let expected =
            User { uid, gid, additional_gids: additional.into(), home: home.map(str::to_owned) };
        assert_eq!(accounts().find(spec).unwrap(), expected, "{spec:?}");
    }

    #[test]
    fn finds_users() {
        check("", 0, 0, &[0, 10], Some("/root"));
        check("root", 0, 0, &[0, 10], Some("/root"));
        check("1000", 1000, 1001, &[10, 1001], Some("/home/bob"));
        check("bob", 1000, 1001, &[10, 1001], Some("/home/bob"));
        check("bob:", 1000, 1001, &[10, 1001], Some("/home/bob"));
        check("bob:wheel:more", 1000, 10, &[], Some("/home/bob"));
        check(":wheel", 0, 10, &[], Some("/root"));
        check("5555", 5555, 0, &[], None);
        check("5555:6666", 5555, 6666, &[], None);
        check("+5555", 5555, 0, &[], None);
        check("#c", 7, 8, &[], Some("/c"));
        check("homeless", 5, 5, &[], None);
        check("bad", 0, 0, &[], None);
        check("old", 4_294_967_294, 4_294_967_294, &[], Some("/"));
        check("1002", 1002, 0, &[], None);
        check("9", 9, 9, &[], Some("/e"));
    }

    #[test]
    fn knows_numbers_without_files() {
        let find = |spec| Accounts::default().find(spec).map(|user| (user.uid, user.gid));
        assert_eq!(find("").unwrap(), (0, 0));
        assert_eq!(find("3:4").unwrap(), (3, 4));
        assert_eq!(User::without_rootfs("3:4").unwrap().gid, 4);
        assert_eq!(User::without_rootfs("bob").unwrap(), User::default());
        assert_eq!(User::without_rootfs("3:wheel").unwrap(), User::default());
        assert!(User::without_rootfs("-1").is_err());
    }

    #[test]
    fn says_what_is_wrong() {
        let long = "x".repeat(1 << 20);
        for (spec, expected) in [
            (
                "nobody",
                "cannot parse user spec: \"nobody\": unable to find user nobody: no matching entries in passwd file",
            ),
            ("bob:nogrp", "unable to find group nogrp: no matching entries in group file"),
            ("bob:#g", "no matching entries in group file"),
            (
                "\u{1b}[2J",
                "cannot parse user spec: \"\\x1b[2J\": unable to find user \"\\x1b[2J\":",
            ),
            ("99999999999999999999", "unable to find user 99999999999999999999:"),
            ("-1", "uids and gids must be in range 0-2147483647"),
            ("2147483648", "uids and gids must be in range 0-2147483647"),
            ("0:2147483648", "uids and gids must be in range 0-2147483647"),
            ("none", "invalid id 4294967295"),
            ("negative", "invalid id -2"),
            ("bob:wide", "invalid id -1"),
            ("huge", "invalid id"),
            (&long, "1048576 bytes"),
        ] {
            let error = accounts().find(spec).unwrap_err().to_string();
            assert!(error.contains(expected) && error.len() < 300, "{error}");
        }
    }

    fn read(root: &Path) -> Result<Accounts> {
        Accounts::read(&Native::open(root).unwrap())
    }

    #[test]
    fn stays_inside_the_rootfs() {
        let host = tempfile::tempdir().unwrap();
        std::fs::write(host.path().join("passwd"), "host:x:1:1::/:\n").unwrap();
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        assert_eq!(read(root.path()).unwrap(), Accounts::default());

        std::fs::create_dir_all(at("nix/store")).unwrap();
        std::fs::create_dir(at("etc")).unwrap();
        std::fs::write(at("nix/store/passwd"), "in:x:1:1::/:\n").unwrap();
        symlink("/nix/store/passwd", at("etc/passwd")).unwrap();
        symlink("../../../../../../nix/store/passwd", at("etc/group")).unwrap();
        assert_eq!(read(root.path()).unwrap(), Accounts::new(b"in:x:1:1::/:\n", b"in:x:1:1::/:\n"));

        std::fs::remove_file(at("etc/passwd")).unwrap();
        symlink(host.path().join("passwd"), at("etc/passwd")).unwrap();
        assert_eq!(read(root.path()).unwrap().passwd, "");
        assert_eq!(
            read(root.path()).unwrap().find("host").unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn reads_only_regular_files_of_sane_size() {
        let root = tempfile::tempdir().unwrap();
        let passwd = root.path().join("etc/passwd");
        std::fs::create_dir_all(&passwd).unwrap();
        let error = read(root.path()).unwrap_err().to_string();
        assert_eq!(error, "read etc/passwd of the rootfs: not a regular file");

        std::fs::remove_dir(&passwd).unwrap();
        let file = std::fs::File::create(&passwd).unwrap();
        file.set_len(MAX_SIZE).unwrap();
        assert!(read(root.path()).is_ok());
        file.set_len(MAX_SIZE + 1).unwrap();
        assert_eq!(read(root.path()).unwrap_err().kind(), ErrorKind::Limit);

        std::fs::remove_file(&passwd).unwrap();
        let fs = Native::open(root.path()).unwrap();
        let dir = fs.open_dir(&RootPath::clean("etc").unwrap()).unwrap();
        let name = Name::new(b"passwd").unwrap();
        fs.create_node(&dir, name, Kind::Fifo, Device::default()).unwrap();
        assert!(read(root.path()).is_err(), "a pipe that nobody writes to");

        std::fs::remove_file(&passwd).unwrap();
        symlink("/etc/passwd", &passwd).unwrap();
        assert!(read(root.path()).is_err(), "a link to itself");
    }
}
