// SPDX-License-Identifier: Apache-2.0
//! Dialects of tar, headers that disagree with each other, and archives that
//! end too early or too late. Two readers must never see two archives.

use std::os::unix::fs::MetadataExt;

use tar::Header;

use super::archive::{Archive, flag, set_link};
use super::arena::Answer::{Either, Refuse, Succeed};
use super::arena::{Arena, Attack, Layer, each};

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn old_and_foreign_formats() {
    each(|_| {
        let long = "d/".repeat(70);
        vec![
            Attack::new(
                "v7",
                Succeed,
                [Archive::new().with(Header::new_old(), "v7", 0, |_| {}, b"x").with(
                    Header::new_old(),
                    "dir/",
                    0,
                    |_| {},
                    b"",
                )],
            )
            .then(|arena| {
                assert_eq!(arena.text("v7"), "x");
                assert!(arena.metadata("dir").is_dir());
            }),
            Attack::new(
                "GNU long name and link",
                Succeed,
                [Archive::new()
                    .long(flag::LONG_NAME, &format!("{long}file"))
                    .with(Header::new_gnu(), "short", flag::FILE, |_| {}, b"x")
                    .long(flag::LONG_LINK, &format!("{long}file"))
                    .with(Header::new_gnu(), "same", flag::LINK, |_| {}, b"")],
            )
            .then(|arena| {
                let file = arena.metadata(&format!("{}file", "d/".repeat(70)));
                assert_eq!(file.ino(), arena.metadata("same").ino());
            }),
            Attack::new(
                "star",
                Succeed,
                [Archive::new().member(
                    "name",
                    flag::FILE,
                    |header| {
                        let bytes = header.as_mut_bytes();
                        bytes[345..348].copy_from_slice(b"pre");
                        // The times that only this format has, and its trailer.
                        bytes[476..488].copy_from_slice(b"07346545000 ");
                        bytes[488..500].copy_from_slice(b"07346545000 ");
                        bytes[508..512].copy_from_slice(b"tar\0");
                    },
                    b"x",
                )],
            )
            .then(|arena| assert_eq!(arena.text("pre/name"), "x")),
            Attack::new(
                "contiguous, and NUL as a type",
                Either,
                [Archive::new().member("seven", b'7', |_| {}, b"7").member("nul", 0, |_| {}, b"0")],
            )
            .then(|arena| {
                assert_eq!((arena.text("seven"), arena.text("nul")), ("7".into(), "0".into()));
            }),
            Attack::new(
                "an unknown type",
                Either,
                [Archive::new().member("u", b'Z', |_| {}, b"x")],
            ),
        ]
    });
}

#[test]
fn the_end_of_the_archive() {
    each(|_| {
        let cut = |count: usize| {
            let mut tar = Archive::new().file("file", "contents").file("second", "x").open_end();
            tar.truncate(count);
            vec![Layer::plain(tar)]
        };
        let member = || Archive::new().file("file", "contents");
        let smuggled = member().raw(&[0; 1024]).file("smuggled", "x").end();
        vec![
            Attack::of("cut in a header", Refuse, cut(1024 + 300)),
            Attack::of("cut in the first header", Refuse, cut(100)),
            Attack::of("cut in a body", Refuse, cut(512 + 3)),
            Attack::of("no end", Either, vec![Layer::plain(member().open_end())])
                .then(|arena| assert_eq!(arena.text("file"), "contents")),
            Attack::of("no padding", Either, cut(512 + 8))
                .then(|arena| assert_eq!(arena.text("file"), "contents")),
            Attack::of("behind the end", Either, vec![Layer::plain(smuggled)])
                .then(|arena| assert!(!arena.has("smuggled"))),
            Attack::of(
                "behind one block of zeros",
                Either,
                vec![Layer::plain(member().raw(&[0; 512]).file("smuggled", "x").end())],
            )
            .then(|arena| assert!(!arena.has("smuggled"))),
            Attack::of(
                "a wrong checksum",
                Refuse,
                vec![Layer::plain({
                    let mut tar = member().end();
                    tar[0] ^= 1;
                    tar
                })],
            ),
            Attack::of(
                "extended header of nothing",
                Refuse,
                vec![Layer::plain(member().pax(&[("path", b"x")]).end())],
            ),
        ]
    });
}

fn no_smuggling(arena: &Arena) {
    for name in ["smuggled", "file_b", "file_a"] {
        assert!(!arena.has(name), "{name}");
    }
}

/// Who believes the size in the fixed header takes the body for members.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn two_sizes() {
    each(|_| {
        let inner = Archive::new().file("smuggled", "x").end();
        let size = inner.len().to_string();
        let nothing = |header: &mut Header| header.set_size(0);
        let too_much = |header: &mut Header| header.set_size(512);
        vec![
            Attack::new(
                "extended size over none",
                Succeed,
                [Archive::new()
                    .pax(&[("size", size.as_bytes())])
                    .member("payload", flag::FILE, nothing, &inner)
                    .file("after", "x")],
            )
            .then(|arena| {
                no_smuggling(arena);
                assert_eq!(arena.metadata("payload").size(), 2048);
                assert!(arena.has("after"));
            }),
            Attack::new(
                "extended size over another",
                Succeed,
                [Archive::new()
                    .pax(&[("size", size.as_bytes())])
                    .member("payload", flag::FILE, too_much, &inner)
                    .file("after", "x")],
            )
            .then(|arena| {
                no_smuggling(arena);
                assert_eq!(arena.metadata("payload").size(), 2048);
                assert!(arena.has("after"));
            }),
            Attack::new(
                "extended size before a long name",
                Succeed,
                [Archive::new()
                    .pax(&[("size", size.as_bytes())])
                    .long(flag::LONG_NAME, "longname.txt")
                    .member("short", flag::FILE, nothing, &inner)
                    .file("file_c", "x")],
            )
            .then(|arena| {
                no_smuggling(arena);
                assert_eq!(arena.metadata("longname.txt").size(), 2048);
                assert!(arena.has("file_c"));
            }),
            Attack::new(
                "a directory with a size",
                Either,
                [Archive::new()
                    .member("d", flag::DIR, |header| header.set_size(512), &[])
                    .file("smuggled", "")],
            ),
            Attack::new(
                "a link with a size",
                Either,
                [Archive::new()
                    .file("f", "x")
                    .member(
                        "l",
                        flag::LINK,
                        |header| {
                            set_link(header, "f");
                            header.set_size(512);
                        },
                        &[],
                    )
                    .file("after", "x")],
            ),
        ]
    });
}

#[test]
fn extended_headers() {
    each(|_| {
        let malformed = |body: &[u8]| [Archive::new().pax_body(body).file("x", "x")];
        let global = |records: &[(&str, &[u8])]| {
            [Archive::new().global(records).file("a", "x").file("b", "x")]
        };
        let mut many = Archive::new();
        for _ in 0..5000 {
            many = many.pax(&[("comment", b"x")]);
        }
        let long = "n".repeat(64 << 20);
        vec![
            Attack::new("no number", Refuse, malformed(b"xx path=a\n")),
            Attack::new("zero", Refuse, malformed(b"0 path=a\n")),
            Attack::new("no line feed", Refuse, malformed(b"9 path=aa")),
            Attack::new("negative", Refuse, malformed(b"-9 path=a\n")),
            Attack::new("too long", Refuse, malformed(b"99 path=a\n")),
            Attack::new(
                "too long for a number",
                Refuse,
                malformed(b"99999999999999999999 path=a\n"),
            ),
            Attack::new("too short", Refuse, malformed(b"5 path=a\n")),
            Attack::new("no equals sign", Refuse, malformed(b"7 path\n")),
            Attack::new("a sign", Refuse, malformed(b"+9 path=a\n")),
            Attack::new(
                "a size of letters",
                Refuse,
                [Archive::new().pax(&[("size", b"1x")]).file("x", "x")],
            ),
            Attack::new(
                "a negative size",
                Refuse,
                [Archive::new().pax(&[("size", b"-1")]).file("x", "x")],
            ),
            Attack::new("global path", Either, global(&[("path", b"renamed")]))
                .then(|arena| assert!(arena.has("a") && arena.has("b") && !arena.has("renamed"))),
            Attack::new("global size", Either, global(&[("size", b"512")]))
                .then(|arena| assert!(arena.has("a") && arena.has("b"))),
            Attack::new("global comment", Succeed, global(&[("comment", b"a commit")]))
                .then(|arena| assert!(arena.has("a") && arena.has("b"))),
            Attack::new("5000 of them", Either, [many.file("x", "x")]).within(15, 300),
            Attack::new(
                "a name of 64 MiB",
                Refuse,
                [Archive::new().long(flag::LONG_NAME, &long).file("x", "x")],
            )
            .within(20, 300),
            Attack::new(
                "a record of 64 MiB",
                Refuse,
                [Archive::new().pax(&[("comment", long.as_bytes())]).file("x", "x")],
            )
            .within(20, 300),
        ]
    });
}

fn old_sparse(real_size: &str, regions: &[(&str, &str)], body: &[u8]) -> Archive {
    let edit = |header: &mut Header| {
        let bytes = header.as_mut_bytes();
        for (at, (offset, length)) in regions.iter().enumerate() {
            let at = 386 + 24 * at;
            bytes[at..at + offset.len()].copy_from_slice(offset.as_bytes());
            bytes[at + 12..at + 12 + length.len()].copy_from_slice(length.as_bytes());
        }
        bytes[483..483 + real_size.len()].copy_from_slice(real_size.as_bytes());
    };
    Archive::new().with(Header::new_gnu(), "sparse", b'S', edit, body)
}

pub(super) fn pax_sparse(name: &str, real_size: &str, map: &str, data: &[u8]) -> Archive {
    let mut body = map.as_bytes().to_vec();
    body.resize(body.len().next_multiple_of(512), 0);
    body.extend_from_slice(data);
    Archive::new()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", name.as_bytes()),
            ("GNU.sparse.realsize", real_size.as_bytes()),
        ])
        .member("GNUSparseFile.0/x", flag::FILE, |_| {}, &body)
}

#[test]
fn sparse_files() {
    each(|_| {
        vec![
            Attack::new(
                "old",
                Either,
                [old_sparse("00000004000", &[("00000002000", "00000001000")], &[b'x'; 512])],
            )
            .then(|arena| {
                assert_eq!(arena.metadata("sparse").size(), 2048);
                let text = arena.text("sparse");
                assert_eq!(text.trim_matches('\0'), "x".repeat(512));
            }),
            Attack::new(
                "beyond the size",
                Refuse,
                [old_sparse("00000000010", &[("00000002000", "00000001000")], &[b'x'; 512])],
            ),
            Attack::new(
                "overlapping",
                Refuse,
                [old_sparse(
                    "00000004000",
                    &[("0000000", "00001000"), ("0000100", "00001000")],
                    &[b'x'; 1024],
                )],
            ),
            Attack::new(
                "more than is there",
                Refuse,
                [old_sparse("00000004000", &[("00000002000", "00000002000")], &[b'x'; 512])],
            ),
            Attack::new(
                "a name that climbs",
                Either,
                [pax_sparse("../../escape", "1024", "1\n0\n512\n", &[b'x'; 512])],
            )
            .then(|arena| assert!(!arena.path("escape").exists())),
            Attack::new(
                "a map without an end",
                Refuse,
                [pax_sparse("s", "1024", "9999999\n0\n512\n", &[b'x'; 512])],
            ),
            Attack::new(
                "negative numbers",
                Refuse,
                [pax_sparse("s", "1024", "1\n-1\n512\n", &[b'x'; 512])],
            ),
            Attack::new(
                "1 GiB of nothing",
                Either,
                [pax_sparse("s", "1073741824", "1\n1073741820\n4\n", b"xxxx")],
            )
            .within(60, 300)
            .then(|arena| {
                assert_eq!(arena.metadata("s").size(), 1 << 30);
                assert!(arena.metadata("s").blocks() * 512 <= 64 << 20);
            }),
        ]
    });
}

/// A file whose size costs its author nothing, and its reader hours.
#[test]
fn sparse_files_without_measure() {
    each(|_| {
        let huge = |size: &str| [pax_sparse("s", size, "1\n0\n4\n", b"xxxx")];
        vec![
            Attack::new("15 TiB", Refuse, huge("16492674416640")).within(60, 300),
            Attack::new("4 EiB", Refuse, huge("4611686018427387904")).within(60, 300),
            Attack::new("2^63", Refuse, huge("9223372036854775808")),
        ]
    });
}
