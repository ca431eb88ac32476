// SPDX-License-Identifier: Apache-2.0
//! Tests of the reader and the encoder: against each other, against archives
//! that other programs make, and with what should be refused.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use tar::Header;

use super::header::BLOCK;
use super::*;
use crate::ErrorKind;

/// A member with its contents, holes filled.
type Whole = (Entry, Vec<u8>);

fn read(archive: &[u8]) -> Result<Vec<Whole>> {
    // A buffer that is no multiple of a block cuts blocks and bodies everywhere.
    read_from(Members::new(BufReader::with_capacity(700, archive)))
}

fn read_from<R: std::io::BufRead>(mut members: Members<R>) -> Result<Vec<Whole>> {
    let mut all = Vec::new();
    while let Some(entry) = members.next_member()? {
        let mut contents = Vec::new();
        while let Some(chunk) = members.body()? {
            contents.resize(usize::try_from(chunk.offset).unwrap(), 0);
            contents.extend_from_slice(chunk.bytes);
            let count = chunk.bytes.len();
            members.consume(count);
        }
        if let EntryKind::File { size } = entry.kind {
            contents.resize(usize::try_from(size).unwrap(), 0);
        }
        all.push((entry, contents));
    }
    Ok(all)
}

fn refused(archive: &[u8]) -> String {
    let error = read(archive).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported | ErrorKind::Limit),
        "{error:?}"
    );
    error.to_string()
}

fn names(archive: &[u8]) -> Vec<String> {
    let all = read(archive).unwrap();
    all.iter().map(|(entry, _)| entry.path.escape_ascii().to_string()).collect()
}

fn file(path: &str, size: u64) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind: EntryKind::File { size },
        mode: 0o644,
        owner: Owner { uid: 1, gid: 2 },
        mtime: FileTime { seconds: 1_700_000_000, nanoseconds: 0 },
        atime: None,
        xattrs: Vec::new(),
    }
}

/// Fills up to a whole block.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// A header block of the ustar format, as `change` wants it.
fn block(name: &str, typeflag: u8, size: usize, change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkflag = [typeflag];
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    change(&mut header);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A header block and a body behind it.
fn member(name: &str, typeflag: u8, body: &[u8]) -> Vec<u8> {
    [block(name, typeflag, body.len(), |_| ()), padded(body)].concat()
}

fn plain(name: &str, body: &[u8]) -> Vec<u8> {
    member(name, b'0', body)
}

/// An extended header with these records.
fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    member("PaxHeaders.0/x", b'x', &records_of(records))
}

fn records_of(records: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest..rest + 9).find(|length| rest + length.to_string().len() == *length);
        let length = length.unwrap();
        body.extend(format!("{length} {key}={value}\n").as_bytes());
    }
    body
}

fn archive(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 2 * BLOCK]].concat()
}

// The encoder.

/// Which fields of a header hold what.
fn fields(block: &[u8]) -> (&[u8], &[u8], &[u8]) {
    (header::until_nul(&block[..100]), header::until_nul(&block[345..500]), &block[156..157])
}

#[test]
fn names_are_split_at_the_last_slash_that_serves() {
    let name = |directory: usize, base: usize| {
        format!("{}/{}", "d".repeat(directory), "b".repeat(base)).into_bytes()
    };
    for (path, plain) in [
        (name(10, 89), true),
        (name(10, 90), true),
        (name(1, 100), true),
        (name(155, 100), true),
        (name(156, 100), false),
        (name(155, 101), false),
        (b"x".repeat(101), false),
        (format!("/{}", "x".repeat(100)).into_bytes(), false),
        (format!("{}/é", "d".repeat(100)).into_bytes(), false),
    ] {
        let entry = Entry { path: path.clone(), ..file("", 0) };
        let blocks = entry.encode().unwrap();
        assert_eq!(blocks.len() == BLOCK, plain, "{}", path.escape_ascii());
        assert_eq!(read(&archive(&[blocks])).unwrap()[0].0.path, path);
    }
    let path = [&b"a".repeat(60)[..], b"/", &b"b".repeat(60), b"/", &b"c".repeat(30)].concat();
    let blocks = Entry { path: path.clone(), ..file("", 0) }.encode().unwrap();
    let (name, prefix, _) = fields(&blocks);
    assert_eq!((prefix, name), (&path[..121], &path[122..]));
}

#[test]
fn extended_headers_are_named_after_their_member() {
    let xattrs = vec![Xattr { name: (*b"user.x").into(), value: (*b"v").into() }];
    for (path, kind, name) in [
        ("a/b", EntryKind::File { size: 0 }, "a/PaxHeaders.0/b"),
        ("b", EntryKind::File { size: 0 }, "PaxHeaders.0/b"),
        ("a/d/", EntryKind::Dir, "a/d/PaxHeaders.0"),
        (".", EntryKind::Dir, "PaxHeaders.0"),
        ("/", EntryKind::Dir, "/PaxHeaders.0"),
        ("../x", EntryKind::Fifo, "../PaxHeaders.0/x"),
        ("é/ü", EntryKind::Fifo, "/PaxHeaders.0/"),
    ] {
        let entry =
            Entry { path: path.as_bytes().to_vec(), kind, xattrs: xattrs.clone(), ..file("", 0) };
        let blocks = entry.encode().unwrap();
        let name = name.trim_end_matches('/');
        assert_eq!(fields(&blocks), (name.as_bytes(), &b""[..], &b"x"[..]), "{path}");
        assert_eq!(blocks.len(), 3 * BLOCK);
    }
}

#[test]
fn records_are_sorted_and_numbers_that_do_not_fit_are_zero() {
    let entry = Entry {
        path: "\u{e9}".repeat(2).into_bytes(),
        kind: EntryKind::File { size: 1 << 33 },
        owner: Owner { uid: 2_097_152, gid: 2_097_151 },
        mtime: FileTime { seconds: -1, nanoseconds: 0 },
        xattrs: vec![Xattr { name: (*b"user.x").into(), value: (*b"v").into() }],
        ..file("", 0)
    };
    let blocks = entry.encode().unwrap();
    let body = header::until_nul(&blocks[BLOCK..2 * BLOCK]);
    let expected =
        "25 SCHILY.xattr.user.x=v\n12 mtime=-1\n13 path=éé\n19 size=8589934592\n15 uid=2097152\n";
    assert_eq!(body.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
    let main = &blocks[2 * BLOCK..];
    assert_eq!(&main[..8], &[0; 8], "the name has no ASCII");
    assert_eq!(&main[108..148], b"0000000\x007777777\x0000000000000\x0000000000000\0".as_slice());
}

#[test]
fn what_the_format_cannot_hold_is_refused() {
    let xattr = |name: &[u8]| vec![Xattr { name: name.into(), value: (*b"v").into() }];
    for entry in [
        Entry { xattrs: xattr(b"user.a=b"), ..file("x", 0) },
        Entry { path: b"a\0b".to_vec(), ..file("x", 0) },
        Entry { kind: EntryKind::Symlink { target: b"a\0".to_vec() }, ..file("x", 0) },
        file("x/", 0),
        file("x", 1 << 63),
        Entry { mode: 0o10_000, ..file("x", 0) },
        Entry { kind: EntryKind::CharDevice(Device { major: 4096, minor: 0 }), ..file("x", 0) },
    ] {
        assert!(entry.encode().is_err(), "{entry:?}");
    }
    let error = Entry { xattrs: xattr(b"user.a=b"), ..file("x", 0) }.encode().unwrap_err();
    assert!(error.to_string().contains("invalid PAX record"), "{error}");
    let empty = vec![Xattr { name: (*b"user.x").into(), value: [].into() }];
    let entry = Entry { xattrs: empty, ..file("x", 0) };
    assert_eq!(entry.encode().unwrap(), file("x", 0).encode().unwrap());
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let text = || proptest::collection::vec(1_u8.., 0..300);
    let device =
        || (0_u32..4096, 0_u32..1 << 20).prop_map(|(major, minor)| Device { major, minor });
    let kind = prop_oneof![
        (0..=i64::MAX.unsigned_abs()).prop_map(|size| EntryKind::File { size }),
        Just(EntryKind::Dir),
        text().prop_map(|target| EntryKind::Symlink { target }),
        text().prop_map(|target| EntryKind::Hardlink { target }),
        device().prop_map(EntryKind::CharDevice),
        device().prop_map(EntryKind::BlockDevice),
        Just(EntryKind::Fifo),
    ];
    let time = || {
        (any::<i64>(), 0_u32..1_000_000_000, any::<bool>(), any::<bool>()).prop_map(
            |(seconds, nanoseconds, near, whole)| FileTime {
                // The last second is not said in full with a fraction.
                seconds: if near { seconds % (1 << 34) } else { seconds.max(i64::MIN + 2) },
                nanoseconds: if whole { 0 } else { nanoseconds },
            },
        )
    };
    let xattrs = proptest::collection::btree_map(
        proptest::collection::vec((1_u8..).prop_filter("separator", |byte| *byte != b'='), 1..40),
        proptest::collection::vec(any::<u8>(), 1..80),
        0..4,
    );
    let id = || prop_oneof![0..u32::MAX, 0_u32..3_000_000];
    let owner = (id(), id()).prop_map(|(uid, gid)| Owner { uid, gid });
    let path = prop_oneof![text(), "[a-c/]{0,300}".prop_map(String::into_bytes)];
    (path, kind, 0_u32..0o10_000, owner, time(), proptest::option::of(time()), xattrs).prop_map(
        |(mut path, kind, mode, owner, mtime, atime, xattrs)| {
            if !matches!(
                kind,
                EntryKind::Dir | EntryKind::Symlink { .. } | EntryKind::Hardlink { .. }
            ) {
                path.push(b'x');
            }
            let xattrs = xattrs.into_iter();
            let xattrs =
                xattrs.map(|(name, value)| Xattr { name: name.into(), value: value.into() });
            Entry { path, kind, mode, owner, mtime, atime, xattrs: xattrs.collect() }
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_again(entry in any_entry()) {
        let blocks = entry.encode().unwrap();
        prop_assert_eq!(blocks.len() % BLOCK, 0);
        let mut members = Members::new(&blocks[..]);
        prop_assert_eq!(members.next_member().unwrap(), Some(entry));
    }

    #[test]
    fn damage_never_panics(
        entries in proptest::collection::vec(any_entry(), 1..4),
        at in any::<proptest::sample::Index>(),
        with in any::<[u8; 12]>(),
        seal: bool,
    ) {
        let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.encode().unwrap()).collect();
        bytes.resize(bytes.len() + 4096, b'7');
        let at = at.index(bytes.len() - with.len());
        bytes[at..at + with.len()].copy_from_slice(&with);
        if seal {
            let block = at / BLOCK * BLOCK;
            let mut header = Header::new_old();
            header.as_mut_bytes().copy_from_slice(&bytes[block..block + BLOCK]);
            header.set_cksum();
            bytes[block..block + BLOCK].copy_from_slice(header.as_bytes());
        }
        let mut members = Members::new(&bytes[..]);
        while let Ok(Some(_)) = members.next_member() {}
    }
}

// The reader, with archives made by hand.

#[test]
fn an_archive_ends_with_zeros_or_its_input() {
    for end in [0, BLOCK, 2 * BLOCK, 20 * BLOCK] {
        assert_eq!(names(&[plain("a", b"x"), vec![0; end]].concat()), ["a"]);
        assert_eq!(names(&vec![0; end]), [""; 0]);
    }
    // Without the padding of the last body, and without the body of a directory.
    assert_eq!(names(&plain("a", b"x")[..=BLOCK]), ["a"]);
    let smuggled = [archive(&[plain("a", b"x")]), plain("smuggled", b"y")].concat();
    assert_eq!(names(&smuggled), ["a"]);
    let one_block = [plain("a", b"x"), vec![0; BLOCK], plain("b", b"y")].concat();
    assert!(refused(&one_block).contains("invalid tar header"));
}

#[test]
fn truncated_archives_are_refused() {
    let whole = [pax(&[("mtime", "1")]), plain("a", &[7; 600])].concat();
    for end in [1, 511, 513, 1023, 1024, 1500, 1536, 1537, 1536 + 599] {
        assert_eq!(refused(&whole[..end]), "unexpected EOF", "{end}");
    }
    let ended = [pax(&[("mtime", "1")]), vec![0; 2 * BLOCK]].concat();
    assert_eq!(refused(&ended), "unexpected EOF");
    let huge = block("a", b'0', 8 << 30, |header| header.as_old_mut().size = *b"77777777777\0");
    assert_eq!(refused(&[huge, vec![1; 1024]].concat()), "unexpected EOF");
}

#[test]
fn garbage_is_no_header() {
    for garbage in [[b'x'; BLOCK], [0xff; BLOCK]] {
        assert!(refused(&garbage).contains("invalid tar header"));
    }
    let mut flipped = plain("a", b"x");
    flipped[3] ^= 1;
    assert!(refused(&flipped).contains("invalid tar header"));
}

#[test]
fn signed_checksums_are_known() {
    let mut header = block("caf\u{e9}", b'0', 0, |_| ());
    let sum: i64 = header
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { i64::from(byte.cast_signed()) })
        .sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(names(&header), ["caf\\xc3\\xa9"]);
}

#[test]
fn the_formats_have_their_own_fields() {
    let v7 = block("a", b'0', 0, |header| header.as_mut_bytes()[257..265].fill(0));
    assert_eq!(names(&v7), ["a"]);
    let ustar = |version: &'static [u8; 2]| {
        block("a", b'0', 0, |header| {
            header.as_mut_bytes()[345..348].copy_from_slice(b"p/q");
            header.as_mut_bytes()[263..265].copy_from_slice(version);
        })
    };
    assert_eq!(names(&ustar(b"00")), ["p/q/a"]);
    assert_eq!(names(&ustar(b"  ")), ["p/q/a"]);
    let star = block("a", b'0', 0, |header| {
        header.as_mut_bytes()[345..475].fill(b'p');
        header.as_mut_bytes()[476..488].copy_from_slice(b"00000000007\0");
        header.as_mut_bytes()[488..500].copy_from_slice(b"00000000010 ");
        header.as_mut_bytes()[508..].copy_from_slice(b"tar\0");
    });
    let (entry, _) = read(&star).unwrap().remove(0);
    assert_eq!(entry.path, [&[b'p'; 130][..], b"/a"].concat());
    assert_eq!(entry.atime, Some(FileTime { seconds: 7, nanoseconds: 0 }));
    let gnu = |prefix: &'static [u8]| {
        block("a", b'0', 0, |header| {
            header.as_mut_bytes()[257..265].copy_from_slice(b"ustar  \0");
            header.as_mut_bytes()[345..345 + prefix.len()].copy_from_slice(prefix);
        })
    };
    let (entry, _) = read(&gnu(b"00000000007\0")).unwrap().remove(0);
    assert_eq!(entry.path, b"a");
    assert_eq!(entry.atime, Some(FileTime { seconds: 7, nanoseconds: 0 }));
}

/// Some readers know a prefix by the beginning of the magic, some by all of it, some take any.
#[test]
fn a_prefix_that_is_not_one_to_all_is_refused() {
    for (magic, prefix, trailer) in [
        (&[0; 8], &b"prefix"[..], &[0; 4]),
        (b"ustar 00", b"prefix", &[0; 4]),
        (b"ustar  \0", b"some/prefix", &[0; 4]),
        (b"ustar  \0", b"\0\0\0\0\0\0\0\0\0\0\0\0prefix", &[0; 4]),
        (b"ustar\x0000", &[b'p'; 131], b"tar\0"),
    ] {
        let block = block("a", b'0', 0, |header| {
            let bytes = header.as_mut_bytes();
            bytes[257..265].copy_from_slice(magic);
            bytes[345..345 + prefix.len()].copy_from_slice(prefix);
            bytes[508..].copy_from_slice(trailer);
        });
        let message = refused(&archive(&[block]));
        assert!(message.contains("prefix of a name in a format that has none"), "{message}");
    }
}

/// Of two the first counts for some readers, the last for others.
#[test]
fn repeated_headers_are_refused() {
    let long = |flag, text: &str| member("././@LongLink", flag, format!("{text}\0").as_bytes());
    let link = block("l", b'2', 0, |_| ());
    let global = member("g", b'g', &records_of(&[("comment", "x")]));
    for (header, other) in [
        (pax(&[("path", "one")]), pax(&[("mtime", "1")])),
        (long(b'L', "one"), long(b'L', "one")),
        (long(b'K', "one"), long(b'K', "two")),
    ] {
        let parts = [header, global.clone(), other, link.clone()];
        let message = refused(&archive(&parts));
        assert!(message.contains("two extended headers of one kind"), "{message}");
    }
    let parts = [long(b'L', "n"), pax(&[("path", "n")]), long(b'K', "t"), global, link];
    assert_eq!(names(&archive(&parts)), ["n"]);
}

#[test]
fn empty_names_and_other_real_sizes_are_refused() {
    for records in [[("path", "")], [("linkpath", "")], [("size", "")], [("SCHILY.realsize", "2")]]
    {
        let parts = [pax(&records), plain("a", b"x"), plain("b", b"")];
        assert!(refused(&archive(&parts)).contains("invalid tar header"), "{records:?}");
    }
    let empty = [member("././@LongLink", b'L', b"\0"), plain("a", b"")];
    assert!(refused(&archive(&empty)).contains("empty long name"));
    let same = [("SCHILY.realsize", "1"), ("SCHILY.xattr.user.a", "")];
    assert_eq!(names(&archive(&[pax(&same), plain("a", b"x")])), ["a"]);
}

#[test]
fn typeflags_say_what_has_a_body() {
    for (typeflag, name, kind) in [
        (b'0', "f", EntryKind::File { size: 3 }),
        (b'7', "f", EntryKind::File { size: 3 }),
        (0, "f", EntryKind::File { size: 3 }),
    ] {
        let all = read(&archive(&[member(name, typeflag, b"abc"), plain("after", b"")])).unwrap();
        assert_eq!((&all[0].0.kind, &all[0].1[..]), (&kind, &b"abc"[..]), "{typeflag}");
        assert_eq!(all[1].0.path, b"after");
    }
    for (typeflag, name, size, kind) in [
        (0, "d/", 0, EntryKind::Dir),
        // The size says 700, but the next header follows at once.
        (b'5', "d", 700, EntryKind::Dir),
        (b'6', "p", 0, EntryKind::Fifo),
        (b'1', "l", 0, EntryKind::Hardlink { target: vec![] }),
        (b'2', "l", 0, EntryKind::Symlink { target: vec![] }),
        (b'3', "c", 0, EntryKind::CharDevice(Device::default())),
        (b'4', "b", 0, EntryKind::BlockDevice(Device::default())),
    ] {
        let header = |size| {
            block(name, typeflag, size, |header| {
                header.set_device_major(0).unwrap();
                header.set_device_minor(0).unwrap();
            })
        };
        let all = read(&archive(&[header(size), plain("after", b"")])).unwrap();
        assert_eq!(all[0].0.kind, kind, "{typeflag}");
        assert_eq!(all[1].0.path, b"after");
        if typeflag != b'5' {
            // Some readers skip a body here, others do not.
            let message = refused(&archive(&[header(700), plain("after", b"")]));
            assert!(message.contains("size of what is not a regular file"), "{message}");
            let sized = [pax(&[("size", "700")]), header(0)];
            assert!(refused(&archive(&sized)).contains("size of what is not"), "{typeflag}");
        }
    }
    for typeflag in [b'0', b'7', b'S'] {
        // To some readers it is a directory.
        let message = refused(&archive(&[member("f/", typeflag, b"abc")]));
        assert!(message.contains("regular file with the name of a directory"), "{message}");
    }
    // Only one of its two names says that it is a directory.
    let renamed = archive(&[pax(&[("path", "d")]), member("d/", 0, b"")]);
    assert!(refused(&renamed).contains("headers differ on whether it is a directory"));
    for typeflag in *b"MVDNXA8s\x01\xff" {
        let message = refused(&member("some/name", typeflag, b""));
        let expected = format!("some/name: unknown typeflag '\\x{typeflag:02x}'");
        assert_eq!(message, expected);
    }
}

#[test]
fn the_extended_size_is_the_size() {
    let inner = archive(&[plain("smuggled", b"bad")]);
    for stated in [0, 512, 5000] {
        let header = block("payload", b'0', stated, |_| ());
        let size = inner.len().to_string();
        let parts = [pax(&[("size", &size)]), header, inner.clone(), plain("after", b"x")];
        let all = read(&archive(&parts)).unwrap();
        assert_eq!(all.len(), 2, "{stated}");
        assert!(all[0].1 == inner);
        assert_eq!(all[1].0.path, b"after");
    }
    // Some readers skip a body here, others do not.
    for kind in *b"123456" {
        let bodiless = block("d", kind, 0, |_| ());
        let parts = [pax(&[("size", "512")]), bodiless, plain("after", b"")];
        assert!(refused(&archive(&parts)).contains("size of what is not a regular file"));
    }
}

#[test]
fn extended_headers_are_for_the_member_not_for_each_other() {
    let long = "n".repeat(150);
    let name = member("././@LongLink", b'L', format!("{long}\0").as_bytes());
    let header = block("short", b'0', 0, |_| ());
    let parts = [pax(&[("size", "600")]), name, header, padded(&[7; 600]), plain("after", b"")];
    let all = read(&archive(&parts)).unwrap();
    assert_eq!(all[0].0.path, long.as_bytes());
    assert_eq!(all[0].1, [7; 600]);
    assert_eq!((&all[1].0.path[..], all.len()), (&b"after"[..], 2));
}

#[test]
fn records_replace_fields() {
    let records = [
        ("path", "p\u{e9}"),
        ("uid", "4294967294"),
        ("gid", "7"),
        ("mtime", "-1.5"),
        ("atime", "3"),
        ("ctime", "nonsense"),
        ("SCHILY.xattr.user.b", "2"),
        ("SCHILY.xattr.user.a", "1"),
        ("LIBARCHIVE.xattr.user.c", "Mw=="),
    ];
    let (entry, _) = read(&archive(&[pax(&records), plain("x", b"")])).unwrap().remove(0);
    assert_eq!(entry.path, "p\u{e9}".as_bytes());
    assert_eq!(entry.owner, Owner { uid: u32::MAX - 1, gid: 7 });
    assert_eq!(entry.mtime, FileTime { seconds: -2, nanoseconds: 500_000_000 });
    assert_eq!(entry.atime, Some(FileTime { seconds: 3, nanoseconds: 0 }));
    assert_eq!(format!("{:?}", entry.xattrs), "[user.a=1, user.b=2]");
    let link = [pax(&[("linkpath", "elsewhere")]), block("l", b'2', 0, |_| ())].concat();
    let (entry, _) = read(&archive(&[link])).unwrap().remove(0);
    assert_eq!(entry.kind, EntryKind::Symlink { target: b"elsewhere".to_vec() });
}

#[test]
fn two_names_for_one_member_are_refused() {
    let long = |name: &str| member("././@LongLink", b'L', format!("{name}\0").as_bytes());
    let with = |path| archive(&[long("one"), pax(&[("path", path)]), plain("x", b"")]);
    assert_eq!(names(&with("one")), ["one"]);
    assert!(refused(&with("two")).contains("invalid tar header"));
}

#[test]
fn global_headers_are_skipped() {
    let global = |records: &[(&str, &str)]| member("g", b'g', &records_of(records));
    let parts = [global(&[("comment", "x"), ("uid", "5")]), plain("a", b"")];
    let (entry, _) = read(&archive(&parts)).unwrap().remove(0);
    assert_eq!((&entry.path[..], entry.owner.uid), (&b"a"[..], 0));
    for record in [("path", "b"), ("linkpath", "b"), ("size", "1")] {
        assert!(refused(&archive(&[global(&[record]), plain("a", b"")])).contains("global"));
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let octal = |change: fn(&mut Header)| archive(&[block("a", b'0', 0, change)]);
    for archive in [
        octal(|header| header.as_old_mut().size = *b"-0000000001\0"),
        octal(|header| header.as_old_mut().size = [0xff; 12]),
        octal(|header| header.as_old_mut().size = [0xbf; 12]),
        octal(|header| header.as_old_mut().size = *b"size unknown"),
        octal(|header| header.as_old_mut().uid = [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        octal(|header| header.as_old_mut().uid = [0x80, 0, 0, 1, 0, 0, 0, 0]),
        octal(|header| header.as_old_mut().gid = [0xff; 8]),
        octal(|header| header.as_old_mut().mode = [0xff; 8]),
        octal(|header| header.as_old_mut().mtime = [0xbf; 12]),
        archive(&[pax(&[("uid", "4294967295")]), plain("a", b"")]),
        archive(&[pax(&[("uid", "-1")]), plain("a", b"")]),
        archive(&[pax(&[("gid", "4294967296")]), plain("a", b"")]),
        archive(&[pax(&[("size", "-1")]), plain("a", b"")]),
        archive(&[pax(&[("size", "9223372036854775808")]), plain("a", b"")]),
        archive(&[pax(&[("mtime", "9223372036854775808")]), plain("a", b"")]),
        archive(&[pax(&[("path", "a\0b")]), plain("a", b"")]),
    ] {
        assert!(refused(&archive).contains("invalid tar header"));
    }
    let mode = octal(|header| header.as_old_mut().mode = *b"0106755\0");
    assert_eq!(read(&mode).unwrap()[0].0.mode, 0o6755);
    let late = archive(&[pax(&[("mtime", "4611686018427387904")]), plain("a", b"")]);
    assert_eq!(read(&late).unwrap()[0].0.mtime.seconds, 1 << 62);
}

#[test]
fn device_numbers_are_not_cut() {
    let device = |major: [u8; 8], minor: [u8; 8]| {
        block("c", b'3', 0, |header| {
            let ustar = header.as_ustar_mut().unwrap();
            (ustar.dev_major, ustar.dev_minor) = (major, minor);
        })
    };
    let fine = read(&device(*b"0007777\0", *b"3777777\0")).unwrap();
    assert_eq!(fine[0].0.kind, EntryKind::CharDevice(Device { major: 4095, minor: 0o3_777_777 }));
    for (major, minor) in [
        ([0x80, 0, 0, 1, 0, 0, 0, 1], *b"0000000\0"),
        (*b"0000001\0", [0x80, 0, 0, 1, 0, 0, 0, 1]),
        ([0xff; 8], *b"0000000\0"),
        (*b"0010000\0", *b"0000000\0"),
        (*b"0000001\0", *b"4000000\0"),
    ] {
        assert!(refused(&device(major, minor)).contains("c: invalid tar header: device number"));
    }
}

#[test]
fn a_member_may_only_ask_for_so_much() {
    let limit = |archive: &[u8]| {
        let error = read(archive).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    };
    limit(&block("././@LongLink", b'L', 64 << 20, |_| ()));
    limit(&vec![member("x", b'g', &records_of(&[("comment", "x")])); 65].concat());
    limit(&vec![member("x", b'g', &records_of(&[("comment", &"x".repeat(600_000))])); 2].concat());
    let name = member("././@LongLink", b'L', &vec![b'n'; 70_000]);
    limit(&archive(&[name, plain("a", b"")]));
    let value = "v".repeat(65_537);
    limit(&archive(&[pax(&[("SCHILY.xattr.user.x", &value)]), plain("a", b"")]));
    let most = archive(&[pax(&[("SCHILY.xattr.user.x", &value[1..])]), plain("a", b"")]);
    assert_eq!(read(&most).unwrap().len(), 1);
    let members = Members::new(&most[..])
        .with_limits(MemberLimits { metadata: 1000, ..MemberLimits::default() });
    assert_eq!(read_from(members).unwrap_err().kind(), ErrorKind::Limit);
}

// Sparse files.

fn old_sparse(regions: &[(u64, u64)], real: u64, body: &[u8]) -> Vec<u8> {
    let number =
        |value: u64| -> [u8; 12] { format!("{value:011o}\0").as_bytes().try_into().unwrap() };
    let header = block("s", b'S', body.len(), |header| {
        header.as_mut_bytes()[257..265].copy_from_slice(b"ustar  \0");
        let gnu = header.as_gnu_mut().unwrap();
        gnu.realsize = number(real);
        gnu.isextended = [u8::from(regions.len() > 4)];
        for (slot, (offset, len)) in gnu.sparse.iter_mut().zip(regions) {
            (slot.offset, slot.numbytes) = (number(*offset), number(*len));
        }
    });
    let mut extensions = Vec::new();
    let rest: Vec<_> = regions.iter().skip(4).collect();
    for (index, part) in rest.chunks(21).enumerate() {
        let mut extension = tar::GnuExtSparseHeader::new();
        extension.isextended = [u8::from(rest.len() > (index + 1) * 21)];
        for (slot, (offset, len)) in extension.sparse.iter_mut().zip(part) {
            (slot.offset, slot.numbytes) = (number(*offset), number(*len));
        }
        extensions.extend_from_slice(extension.as_bytes());
    }
    [header, extensions, padded(body)].concat()
}

fn pax_sparse(records: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    [pax(records), plain("GNUSparseFile.0/s", body)].concat()
}

#[test]
fn sparse_files_have_holes_in_every_format() {
    let in_body = [padded(b"2\n2\n3\n8\n0\n"), b"abc".to_vec()].concat();
    for (name, archive) in [
        ("s", old_sparse(&[(2, 3), (8, 0)], 8, b"abc")),
        (
            "GNUSparseFile.0/s",
            pax_sparse(
                &[
                    ("GNU.sparse.size", "8"),
                    ("GNU.sparse.numblocks", "2"),
                    ("GNU.sparse.offset", "2"),
                    ("GNU.sparse.numbytes", "3"),
                    ("GNU.sparse.offset", "8"),
                    ("GNU.sparse.numbytes", "0"),
                ],
                b"abc",
            ),
        ),
        (
            "s",
            pax_sparse(
                &[
                    ("GNU.sparse.size", "8"),
                    ("GNU.sparse.numblocks", "2"),
                    ("GNU.sparse.name", "s"),
                    ("GNU.sparse.map", "2,3,8,0"),
                ],
                b"abc",
            ),
        ),
        (
            "s",
            pax_sparse(
                &[
                    ("GNU.sparse.major", "1"),
                    ("GNU.sparse.minor", "0"),
                    ("GNU.sparse.name", "s"),
                    ("GNU.sparse.realsize", "8"),
                ],
                &in_body,
            ),
        ),
    ] {
        let all = read(&[archive, plain("after", b"x")].concat()).unwrap();
        let (entry, contents) = &all[0];
        assert_eq!(entry.path, name.as_bytes());
        assert_eq!(entry.kind, EntryKind::File { size: 8 });
        assert_eq!(contents, b"\0\0abc\0\0\0");
        assert_eq!(all[1].0.path, b"after");
    }
}

#[test]
fn old_sparse_files_may_have_many_regions() {
    let regions: Vec<(u64, u64)> = (0..70).map(|index| (index * 10, 1)).collect();
    let all = read(&[old_sparse(&regions, 1000, &[7; 70]), plain("after", b"x")].concat()).unwrap();
    assert_eq!(all[0].1.len(), 1000);
    assert_eq!(all[0].1.iter().map(|byte| u32::from(*byte)).sum::<u32>(), 7 * 70);
    assert_eq!((all[0].1[690], &all[1].0.path[..]), (7, &b"after"[..]));
}

#[test]
fn holes_are_not_read() {
    let archive = old_sparse(&[(0, 2), (1 << 30, 2)], (1 << 30) + 2, b"abcd");
    let mut members = Members::new(&archive[..]);
    members.next_member().unwrap().unwrap();
    assert_eq!(members.body().unwrap(), Some(Chunk { offset: 0, bytes: b"ab" }));
    members.consume(1);
    assert_eq!(members.body().unwrap(), Some(Chunk { offset: 1, bytes: b"b" }));
    members.consume(1);
    assert_eq!(members.body().unwrap(), Some(Chunk { offset: 1 << 30, bytes: b"cd" }));
    members.consume(2);
    assert_eq!(members.body().unwrap(), None);
}

#[test]
fn bad_maps_are_refused() {
    let map = |map: &str, blocks: &str, size: &str| {
        let records =
            [("GNU.sparse.size", size), ("GNU.sparse.numblocks", blocks), ("GNU.sparse.map", map)];
        pax_sparse(&records, b"abc")
    };
    assert!(read(&map("2,3", "1", "8")).is_ok());
    let in_body = |body: &[u8]| {
        let records =
            [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "8")];
        pax_sparse(&records, body)
    };
    assert!(read(&in_body(&padded(b"0\n"))).is_ok());
    for archive in [
        map("2,3", "2", "8"),
        map("2,3,4", "1", "8"),
        map("2,2", "1", "8"),
        map("6,3", "1", "8"),
        map("4,1,2,2", "2", "8"),
        map("-1,3", "1", "8"),
        map("2,3", "1", "-8"),
        old_sparse(&[(2, 3)], 4, b"abc"),
        old_sparse(&[(2, 2), (3, 1)], 9, b"abc"),
        in_body(b"0\n"),
        in_body(&padded(b"1\n0\n")),
        in_body(&padded(b"1\n0\n4\n")),
        in_body(&padded(b"x\n")),
        in_body(b""),
        [pax(&[("GNU.sparse.name", "other")]), plain("a", b"")].concat(),
        [
            pax(&[("GNU.sparse.size", "8"), ("GNU.sparse.numblocks", "0")]),
            block("d", b'5', 0, |_| ()),
        ]
        .concat(),
        [
            pax(&[("GNU.sparse.size", "8"), ("GNU.sparse.numblocks", "0")]),
            old_sparse(&[(2, 3)], 9, b"abc"),
        ]
        .concat(),
    ] {
        assert!(refused(&archive).contains("invalid tar header"), "{}", refused(&archive));
    }
    let unknown = [("GNU.sparse.major", "2"), ("GNU.sparse.minor", "0")];
    assert!(refused(&pax_sparse(&unknown, b"")).contains("unsupported"));
    for archive in [
        in_body(&padded(b"10001\n")),
        old_sparse(&vec![(1, 0); 10_005], 9, b""),
        map(&vec!["0,0"; 10_001].join(","), "10001", "8"),
    ] {
        assert_eq!(read(&archive).unwrap_err().kind(), ErrorKind::Limit);
    }
}

// Other programs.

fn installed(program: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// A tree whose names need every trick of the formats.
fn tree(directory: &Path, long: bool) {
    let long = if long { 130 } else { 20 };
    let file = |name: &str, contents: &[u8]| {
        let path = directory.join(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    };
    file("plain", b"contents");
    file("empty", b"");
    file("exact", &[7; 512]);
    file(&"l".repeat(long), b"long name");
    fs::create_dir(directory.join("d")).unwrap();
    file(&format!("d/{}", "l".repeat(long)), &[9; 1000]);
    symlink("t".repeat(long), directory.join("link")).unwrap();
    fs::hard_link(directory.join("plain"), directory.join("z-hard")).unwrap();
    let odd = OsStr::from_bytes(b"sp ace\nand \xc3\xa9");
    fs::write(directory.join(odd), b"odd").unwrap();
    let sparse = fs::File::create(directory.join("sparse")).unwrap();
    sparse.write_all_at(b"middle", 1 << 20).unwrap();
    sparse.write_all_at(b"end", 3 << 20).unwrap();
    sparse.set_len(4 << 20).unwrap();
}

fn check_tree(directory: &Path, all: &[Whole]) {
    let mut linked = 0;
    for (entry, contents) in all {
        let path = entry.path.strip_prefix(b"./").unwrap_or(&entry.path);
        let on_disk = directory.join(OsStr::from_bytes(path));
        let metadata = fs::symlink_metadata(&on_disk).unwrap();
        match &entry.kind {
            EntryKind::File { size } => {
                assert_eq!(*size, metadata.len());
                assert!(*contents == fs::read(&on_disk).unwrap(), "{on_disk:?}");
            }
            EntryKind::Dir => assert!(metadata.is_dir()),
            EntryKind::Symlink { target } => {
                assert_eq!(fs::read_link(&on_disk).unwrap().as_os_str().as_bytes(), target);
                continue;
            }
            EntryKind::Hardlink { .. } => linked += 1,
            _ => panic!("{entry:?}"),
        }
        assert_eq!(entry.mode, metadata.permissions().mode() & 0o7777);
        let modified = metadata.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(entry.mtime.seconds, i64::try_from(modified.as_secs()).unwrap());
    }
    assert_eq!((all.len(), linked), (11, 1));
}

#[test]
fn archives_of_other_programs_are_read() {
    let cases: &[(&str, &[&str])] = &[
        ("tar", &["--format=v7"]),
        ("tar", &["--format=oldgnu"]),
        ("tar", &["--format=oldgnu", "--sparse"]),
        ("tar", &["--format=gnu"]),
        ("tar", &["--format=gnu", "--sparse"]),
        ("tar", &["--format=ustar"]),
        ("tar", &["--format=posix"]),
        ("tar", &["--format=posix", "--sparse"]),
        ("tar", &["--format=posix", "--sparse", "--sparse-version=0.0"]),
        ("tar", &["--format=posix", "--sparse", "--sparse-version=0.1"]),
        ("tar", &["--format=posix", "--sparse", "--hole-detection=raw"]),
        ("tar", &["--format=posix", "--pax-option=globexthdr.name=g,comment=x"]),
        ("bsdtar", &["--format=ustar"]),
        ("bsdtar", &["--format=gnutar"]),
        ("bsdtar", &["--format=pax"]),
        ("bsdtar", &["--format=v7"]),
    ];
    for (program, arguments) in cases.iter().filter(|(program, _)| installed(program)) {
        let long = !arguments
            .iter()
            .any(|argument| argument.ends_with("v7") || argument.ends_with("ustar"));
        let directory = tempfile::tempdir().unwrap();
        tree(directory.path(), long);
        let mut command = Command::new(program);
        command.args(*arguments).arg("-cf-").arg("-C").arg(directory.path()).arg(".");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        let all =
            read(&output.stdout).unwrap_or_else(|error| panic!("{program} {arguments:?}: {error}"));
        check_tree(directory.path(), &all);
    }
}

#[test]
fn other_programs_read_what_is_encoded() {
    let mut entries = vec![
        file("plain", 3),
        Entry { path: b"d/".to_vec(), kind: EntryKind::Dir, mode: 0o1777, ..file("", 0) },
        file(&format!("{}/{}", "d".repeat(120), "b".repeat(90)), 3),
        file(&"b".repeat(400), 3),
        file("caf\u{e9}", 3),
        Entry { owner: Owner { uid: 4_000_000_000, gid: 3_000_000 }, ..file("ids", 3) },
        Entry { mtime: FileTime { seconds: -5, nanoseconds: 0 }, ..file("old", 3) },
        Entry { mtime: FileTime { seconds: 1 << 35, nanoseconds: 0 }, ..file("late", 3) },
        Entry { kind: EntryKind::Symlink { target: b"t".repeat(300) }, ..file("s", 0) },
        Entry { kind: EntryKind::Hardlink { target: b"plain".to_vec() }, ..file("h", 0) },
        Entry { kind: EntryKind::CharDevice(Device { major: 1, minor: 3 }), ..file("c", 0) },
        Entry { kind: EntryKind::Fifo, ..file("p", 0) },
    ];
    entries[0].xattrs = vec![Xattr { name: (*b"user.x").into(), value: (*b"\0\n=").into() }];
    let mut parts = Vec::new();
    for entry in &entries {
        parts.push(entry.encode().unwrap());
        if let EntryKind::File { .. } = entry.kind {
            parts.push(padded(b"abc"));
        }
    }
    let archive = archive(&parts);
    let listed = |entry: &Entry| {
        let (kind, target, size) = match &entry.kind {
            EntryKind::File { size } => ("0", &[][..], *size),
            EntryKind::Hardlink { target } => ("1", &target[..], 0),
            EntryKind::Symlink { target } => ("2", &target[..], 0),
            EntryKind::CharDevice(_) => ("3", &[][..], 0),
            EntryKind::BlockDevice(_) => ("4", &[][..], 0),
            EntryKind::Dir => ("5", &[][..], 0),
            EntryKind::Fifo => ("6", &[][..], 0),
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let name = text(&entry.path);
        let (mode, owner, mtime) = (entry.mode, entry.owner, entry.mtime.seconds);
        let (uid, gid, target) = (owner.uid, owner.gid, text(target));
        let name = name.trim_end_matches('/');
        format!("{name} {kind} {mode:o} {uid} {gid} {size} {mtime} {target}\n")
    };
    let script = "import sys,tarfile\nfor m in tarfile.open(sys.argv[1], errorlevel=2):\n sys.stdout.buffer.write(f'{m.name} {m.type.decode()} {m.mode:o} {m.uid} {m.gid} {m.size} {int(m.mtime)} {m.linkname}\\n'.encode())";
    let mut stored = tempfile::NamedTempFile::new().unwrap();
    stored.write_all(&archive).unwrap();
    if installed("python3") {
        let output =
            Command::new("python3").args(["-c", script]).arg(stored.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let expected: String = entries.iter().map(listed).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
    for program in ["tar", "bsdtar"].into_iter().filter(|program| installed(program)) {
        let output = Command::new(program)
            .arg("-tf")
            .arg(stored.path())
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{program}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), entries.len());
    }
}
