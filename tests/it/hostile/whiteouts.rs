// SPDX-License-Identifier: Apache-2.0
//! Whiteouts that mean more than one name in one directory.

use super::archive::Archive;
use super::arena::Answer::{Either, Refuse, Succeed};
use super::arena::{Attack, base, each};

#[test]
fn whiteouts_of_no_name() {
    each(|_| {
        let upper = |name: &str| [base(), Archive::new().file(name, "")];
        vec![
            Attack::new("the parent of the root", Refuse, upper(".wh...")),
            Attack::new("the root, from below", Refuse, upper("etc/.wh...")),
            Attack::new("the directory itself", Refuse, upper("etc/.wh..")),
            Attack::new("the root itself", Refuse, upper(".wh..")),
            Attack::new("nothing", Refuse, upper(".wh.")),
            Attack::new("nothing, below", Refuse, upper("etc/.wh.")),
        ]
    });
}

#[test]
fn whiteouts_through_links() {
    each(|outside| {
        let linked = |name: &str| [base().symlink("l", outside), Archive::new().file(name, "")];
        vec![
            Attack::new("a file", Either, linked("l/.wh.canary")),
            Attack::new("a directory", Either, linked("l/.wh.dir")),
            Attack::new("all", Either, linked("l/.wh..wh..opq")),
            Attack::new("up", Either, linked("l/../.wh.outside")),
            Attack::new("the link", Succeed, linked(".wh.l")).then(|arena| {
                assert!(!arena.has("l"));
                assert!(arena.has("etc/passwd"));
            }),
            Attack::new(
                "the link to a directory inside",
                Succeed,
                [
                    base().symlink("l", "etc").symlink("m", "etc/passwd"),
                    Archive::new().file(".wh.l", "").file(".wh.m", ""),
                ],
            )
            .then(|arena| {
                assert!(!arena.has("l") && !arena.has("m"));
                assert!(arena.has("etc/passwd"));
            }),
        ]
    });
}

#[test]
fn whiteouts_and_their_own_layer() {
    each(|_| {
        let upper = |archive: Archive| [base(), archive];
        vec![
            Attack::new(
                "opaque, last",
                Succeed,
                upper(Archive::new().dir("etc").file("etc/new", "x").file("etc/.wh..wh..opq", "")),
            )
            .then(|arena| {
                assert_eq!(arena.text("etc/new"), "x");
                assert!(!arena.has("etc/passwd") && !arena.has("etc/.wh..wh..opq"));
            }),
            Attack::new(
                "of a directory that comes anew",
                Succeed,
                upper(Archive::new().dir("etc").file("etc/new", "x").file(".wh.etc", "")),
            )
            .then(|arena| {
                assert_eq!(arena.text("etc/new"), "x");
                assert!(!arena.has("etc/passwd"));
            }),
            Attack::new(
                "opaque root",
                Succeed,
                upper(Archive::new().file("new", "x").file(".wh..wh..opq", "")),
            )
            .then(|arena| {
                assert_eq!(arena.text("new"), "x");
                assert!(!arena.has("etc"));
            }),
            Attack::new(
                "of what is not there",
                Succeed,
                upper(
                    Archive::new()
                        .file(".wh.no", "")
                        .file("no/such/.wh.x", "")
                        .file("etc/.wh.y", ""),
                ),
            )
            .then(|arena| assert!(arena.has("etc/passwd"))),
        ]
    });
}
