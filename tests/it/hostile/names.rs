// SPDX-License-Identifier: Apache-2.0
//! Names and links that lead, or seem to lead, out of the root filesystem.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::archive::{Archive, flag, set_link};
use super::arena::Answer::{Either, Refuse, Succeed};
use super::arena::{Arena, Attack, Limits, base, each};

fn nothing_escaped(arena: &Arena) {
    for name in ["bundle/escape", "escape", "bundle/config.json/escape"] {
        assert!(!arena.path(name).exists(), "{name}");
    }
}

#[test]
fn names_that_climb() {
    each(|_| {
        let file = |name: &str| Archive::new().file(name, "x");
        vec![
            Attack::new("relative", Either, [file("../escape")]).then(nothing_escaped),
            Attack::new("deep", Either, [file("a/b/../../../../escape")]).then(nothing_escaped),
            Attack::new("absolute", Either, [file("/escape")]).then(nothing_escaped),
            Attack::new("in a directory", Either, [Archive::new().dir("..").dir("../x")])
                .then(|arena| assert!(!arena.path("bundle/x").exists())),
            Attack::new(
                "GNU long name",
                Either,
                [Archive::new()
                    .long(flag::LONG_NAME, &format!("{}escape", "../".repeat(60)))
                    .file("short", "x")],
            )
            .then(nothing_escaped),
            Attack::new(
                "the bundle's files",
                Either,
                [file("../config.json").file("../umoci.json", "x").dir("../rootfs")],
            )
            .then(|arena| {
                assert_ne!(std::fs::read(arena.path("bundle/umoci.json")).unwrap(), b"x");
            }),
            Attack::new(
                "dots and slashes",
                Succeed,
                [file("./a").file("b//c", "c").file(".//d/./e", "e").dir("f/.")],
            )
            .then(|arena| {
                for (name, text) in [("a", "x"), ("b/c", "c"), ("d/e", "e")] {
                    assert_eq!(arena.text(name), text);
                }
                assert!(arena.metadata("f").is_dir());
            }),
        ]
    });
}

#[test]
fn the_root_itself() {
    each(|outside| {
        vec![
            Attack::new("a link", Refuse, [Archive::new().symlink(".", outside)]),
            Attack::new("a link with a slash", Refuse, [Archive::new().symlink("./", outside)]),
            Attack::new("a hard link", Refuse, [base().link("/", "etc/passwd")]),
            Attack::new("a file", Either, [Archive::new().file("/", "x")])
                .then(|arena| assert!(arena.metadata("").is_dir())),
            Attack::new("a device", Refuse, [Archive::new().device(".", 1, 3)]),
        ]
    });
}

#[test]
fn writing_through_links() {
    each(|outside| {
        let link = || Archive::new().symlink("link", outside);
        let climb = format!("{}{outside}", "../".repeat(12));
        vec![
            Attack::new("absolute", Either, [link().file("link/canary", "x")]),
            Attack::new("a new file", Either, [link().file("link/new", "x")]),
            Attack::new(
                "relative",
                Either,
                [Archive::new().symlink("link", &climb).file("link/canary", "x")],
            ),
            Attack::new(
                "chain",
                Either,
                [Archive::new().symlink("a", "b").symlink("b", outside).file("a/canary", "x")],
            ),
            Attack::new(
                "loop",
                Refuse,
                [Archive::new().symlink("a", "b").symlink("b", "a").file("a/x", "x")],
            ),
            Attack::new(
                "from the layer below",
                Either,
                [link(), Archive::new().file("link/canary", "x")],
            ),
            Attack::new(
                "swapped between two writes",
                Either,
                [Archive::new()
                    .dir("d")
                    .file("d/a", "x")
                    .symlink("d", outside)
                    .file("d/canary", "x")],
            ),
            Attack::new(
                "swapped for the root",
                Either,
                [Archive::new().dir("d").file("d/a", "x").symlink("d", "/").file("d/escape", "x")],
            )
            .then(nothing_escaped),
            Attack::new(
                "to a directory inside",
                Succeed,
                [base().symlink("e", "/etc").file("e/inside", "x")],
            )
            .then(|arena| assert_eq!(arena.text("etc/inside"), "x")),
            Attack::new(
                "the file itself",
                Succeed,
                [Archive::new()
                    .symlink("canary", &format!("{outside}/canary"))
                    .file("canary", "mine")],
            )
            .then(|arena| assert_eq!(arena.text("canary"), "mine")),
        ]
    });
}

#[test]
fn hard_links() {
    each(|outside| {
        let canary = format!("{outside}/canary");
        let up = format!("{}{canary}", "../".repeat(12));
        vec![
            Attack::new("absolute", Refuse, [Archive::new().link("steal", &canary)]),
            Attack::new("relative", Refuse, [Archive::new().link("steal", &up)]),
            Attack::new(
                "through a linked directory",
                Refuse,
                [Archive::new().symlink("l", outside).link("steal", "l/canary")],
            ),
            Attack::new(
                "in an extended header",
                Refuse,
                [Archive::new()
                    .pax(&[("linkpath", canary.as_bytes())])
                    .link("steal", "etc/passwd")],
            ),
            Attack::new(
                "a directory that became a link",
                Refuse,
                [base(), Archive::new().symlink("etc", outside).link("steal", "etc/passwd")],
            ),
            Attack::new("to itself", Either, [Archive::new().link("a", "a")]),
            Attack::new("to itself, existing", Either, [base().link("etc/passwd", "etc/passwd")]),
            Attack::new("to a directory", Refuse, [base().link("a", "etc")]),
            Attack::new("to nothing", Refuse, [Archive::new().link("a", "b").link("b", "a")]),
            Attack::new(
                "a link to a link outside is a link",
                Either,
                [Archive::new().symlink("l", &canary).link("m", "l").file("m", "x")],
            ),
            Attack::new(
                "a file of the same name is another inode",
                Succeed,
                [Archive::new().file("a", "A").link("b", "a").file("b", "B")],
            )
            .then(|arena| {
                assert_eq!((arena.text("a"), arena.text("b")), ("A".into(), "B".into()));
                assert_ne!(arena.metadata("a").ino(), arena.metadata("b").ino());
            }),
        ]
    });
}

#[test]
fn one_name_twice() {
    each(|outside| {
        let link = || Archive::new().symlink("d", outside);
        vec![
            Attack::new("link, then directory", Succeed, [link().dir_with_mode("d", 0o777)]).then(
                |arena| {
                    assert!(arena.metadata("d").is_dir());
                    assert_eq!(arena.metadata("d").mode() & 0o7777, 0o777);
                },
            ),
            Attack::new("link, then pipe", Succeed, [link().member("d", flag::FIFO, |_| {}, b"")])
                .then(|arena| assert!(arena.metadata("d").file_type().is_fifo())),
            Attack::new("link, then device", Succeed, [link().device("d", 1, 3)])
                .then(|arena| assert!(arena.metadata("d").file_type().is_char_device())),
            Attack::new(
                "link, then hard link",
                Succeed,
                [base().symlink("d", outside).link("d", "etc/passwd")],
            )
            .then(|arena| assert!(arena.metadata("d").is_file())),
            Attack::new(
                "directory, then file",
                Succeed,
                [base(), Archive::new().file("etc", "now a file")],
            )
            .then(|arena| assert_eq!(arena.text("etc"), "now a file")),
            Attack::new(
                "directory, twice",
                Either,
                [Archive::new()
                    .dir_with_mode("d", 0o700)
                    .file("d/x", "x")
                    .dir_with_mode("d", 0o751)],
            )
            .then(|arena| {
                assert_eq!(arena.metadata("d").mode() & 0o7777, 0o751);
                assert_eq!(arena.text("d/x"), "x");
            }),
            Attack::new(
                "file, then what is below it",
                Either,
                [Archive::new().file("d", "x").file("d/x", "y")],
            ),
        ]
    });
}

#[test]
fn long_and_broken_names() {
    each(|_| {
        let components = |count: usize, length: usize| vec!["p".repeat(length); count].join("/");
        let pax = |key: &str, value: &str| Archive::new().pax(&[(key, value.as_bytes())]);
        vec![
            Attack::new(
                "a link longer than a path can be",
                Refuse,
                [pax("linkpath", &"t".repeat(5000)).symlink("l", "x")],
            ),
            Attack::new(
                "a path longer than a path can be",
                Either,
                [pax("path", &components(50, 100)).file("x", "x")],
            ),
            Attack::new(
                "a component longer than a name can be",
                Refuse,
                [pax("path", &components(1, 300)).file("x", "x")],
            ),
            Attack::new(
                "very many components",
                Either,
                [pax("path", &components(30_000, 1)).file("x", "x")],
            ),
            Attack::new("NUL", Refuse, [pax("path", "a\0b").file("x", "x")]),
            Attack::new("NUL in a link", Refuse, [pax("linkpath", "a\0b").symlink("x", "y")]),
            Attack::new("an empty name", Refuse, [Archive::new().file("", "x")]),
            Attack::new(
                "an empty link",
                Refuse,
                [Archive::new().member("l", flag::SYMLINK, |header| set_link(header, ""), b"")],
            ),
        ]
    });
}

/// Names that would confuse terminals, shells and manifests come through unchanged.
#[test]
fn special_bytes() {
    if !crate::harness::needs_root() {
        return;
    }
    let arena = Arena::new();
    let names: [&[u8]; 9] = [
        b"new\nline",
        b"tab\t",
        b"\xff\xfe",
        b"back\\slash",
        b"\\x41",
        b"100%",
        b" ",
        b"*[?]#",
        b"\x1b[31m",
    ];
    let mut archive = Archive::new();
    for name in names {
        archive = archive
            .pax(&[("path", name)])
            .file("x", "x")
            .pax(&[("linkpath", name)])
            .symlink(&format!("l{}", name.len()), "x");
    }
    arena.tag("bad", arena.image(&[super::arena::Layer::plain(archive.end())]));
    assert!(arena.unpack_bad("special bytes", Succeed, Limits::default()));
    for name in names {
        let path = arena.path("bundle/rootfs").join(OsStr::from_bytes(name));
        assert_eq!(std::fs::read(path).unwrap(), b"x");
    }
    let words = ["repack", "--image=img:again", "--no-history", "bundle"];
    arena.sandbox.umoci(&words).succeeds_silently();
    let layers = |tag| arena.sandbox.manifest("img", tag).1["layers"].clone();
    assert_eq!(layers("again"), layers("bad"));
}

/// Paths so deep that the names of the directories above them take far more room than the layer.
#[test]
fn deep_paths() {
    each(|_| {
        let mut archive = Archive::new();
        for number in 0..40 {
            let path = format!("{number}/{}", vec!["d".repeat(30); 1000].join("/"));
            archive = archive.pax(&[("path", path.as_bytes())]).file("x", "x");
        }
        vec![Attack::new("30 KiB in 1000 components", Refuse, [archive]).within(15, 150)]
    });
}

/// Links that wait for targets that never come.
#[test]
fn links_that_wait() {
    each(|_| {
        let mut archive = Archive::new();
        let target = vec!["t".repeat(100); 600].join("/");
        for number in 0..2000 {
            let name = number.to_string();
            archive = archive.pax(&[("linkpath", target.as_bytes())]).link(&name, "x");
        }
        vec![Attack::new("to 60 KiB each", Refuse, [archive]).within(15, 150)]
    });
}
