// SPDX-License-Identifier: Apache-2.0
//! Extended attributes: kept where they may be, refused where they cannot be.

use super::archive::Archive;
use super::arena::Answer::{Either, Refuse, Succeed};
use super::arena::{Arena, Attack, each};

fn xattr(name: &str, value: &[u8]) -> Archive {
    Archive::new().pax(&[(&format!("SCHILY.xattr.{name}"), value)])
}

fn value(arena: &Arena, path: &str, name: &str) -> Option<Vec<u8>> {
    xattr::get(arena.rootfs(path), name).unwrap()
}

/// `cap_net_raw=ep`, version 2.
const CAPABILITY: &[u8] =
    b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";

#[test]
fn attributes() {
    each(|_| {
        let long = "n".repeat(300);
        vec![
            Attack::new("user", Succeed, [xattr("user.note", b"x\0y").file("f", "x")])
                .then(|arena| assert_eq!(value(arena, "f", "user.note").unwrap(), b"x\0y")),
            Attack::new(
                "capability",
                Succeed,
                [xattr("security.capability", CAPABILITY).member(
                    "f",
                    b'0',
                    |header| {
                        header.set_uid(1000);
                        header.set_mode(0o755);
                    },
                    b"x",
                )],
            )
            .then(|arena| {
                assert_eq!(value(arena, "f", "security.capability").unwrap(), CAPABILITY);
            }),
            Attack::new(
                "overlay",
                Succeed,
                [xattr("trusted.overlay.opaque", b"y")
                    .dir("dir")
                    .pax(&[("SCHILY.xattr.trusted.overlay.redirect", b"/etc")])
                    .dir("r")],
            )
            .then(|arena| assert!(arena.has("dir") && arena.has("r"))),
            Attack::new(
                "a name of 300 bytes",
                Either,
                [xattr(&format!("user.{long}"), b"x").file("f", "x")],
            ),
            Attack::new(
                "a value of 1 MiB",
                Refuse,
                [xattr("user.big", &vec![b'x'; 1 << 20]).file("f", "x")],
            ),
            Attack::new("user, of a link", Either, [xattr("user.note", b"x").symlink("l", "/etc")]),
            Attack::new("no namespace", Either, [xattr("note", b"x").file("f", "x")]),
            Attack::new("NUL in a name", Refuse, [xattr("user.a\0b", b"x").file("f", "x")]),
        ]
    });
}
