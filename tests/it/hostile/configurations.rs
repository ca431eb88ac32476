// SPDX-License-Identifier: Apache-2.0
//! Configurations whose values end up in the bundle's, and account files of
//! the image that are looked into for it.

use serde_json::{Value, json};

use super::archive::Archive;
use super::arena::Answer::{self, Either, Refuse, Succeed};
use super::arena::{Arena, Layer, Limits, base};
use crate::harness::needs_root;

/// Unpacks an image with this configuration; `None` where it was refused.
#[track_caller]
fn unpack(name: &str, answer: Answer, layer: fn(&str) -> Archive, config: Value) -> Option<Arena> {
    if !needs_root() {
        return None;
    }
    let arena = Arena::new();
    let (manifest, mut document) = arena.parts(&[Layer::plain(layer(&arena.outside()).end())]);
    document["config"] = config;
    arena.tag("bad", arena.join(manifest, &document));
    arena.unpack_bad(name, answer, Limits { seconds: 8, memory: 400 << 20 }).then_some(arena)
}

fn user(arena: &Arena) -> Value {
    arena.sandbox.json("bundle/config.json")["process"]["user"].clone()
}

#[test]
fn account_files_elsewhere() {
    let outsider = || json!({ "User": "outsider" });
    unpack(
        "a link to the host",
        Refuse,
        |outside| Archive::new().dir("etc").symlink("etc/passwd", &format!("{outside}/passwd")),
        outsider(),
    );
    unpack(
        "a directory of the host",
        Refuse,
        |outside| Archive::new().symlink("etc", outside),
        outsider(),
    );
    unpack(
        "the host's own",
        Refuse,
        |_| Archive::new().symlink("etc", "../../../../../../../../etc"),
        json!({ "User": "nobody" }),
    );
    unpack(
        "a loop",
        Refuse,
        |_| Archive::new().dir("etc").symlink("etc/passwd", "passwd"),
        outsider(),
    );
    unpack("a directory", Refuse, |_| Archive::new().dir("etc").dir("etc/passwd"), outsider());
    let arena = unpack(
        "a link inside",
        Succeed,
        |_| {
            Archive::new()
                .dir("store")
                .file("store/passwd", "app:x:7:8::/:\n")
                .dir("etc")
                .symlink("etc/passwd", "/store/passwd")
        },
        json!({ "User": "app" }),
    );
    if let Some(arena) = arena {
        assert_eq!((&user(&arena)["uid"], &user(&arena)["gid"]), (&json!(7), &json!(8)));
    }
}

#[test]
fn account_files_that_are_none() {
    let root = || json!({ "User": "app" });
    unpack(
        "an endless device",
        Either,
        |_| Archive::new().dir("etc").device("etc/passwd", 1, 5),
        root(),
    );
    unpack(
        "a pipe",
        Either,
        |_| Archive::new().dir("etc").member("etc/passwd", b'6', |_| {}, b""),
        root(),
    );
    unpack(
        "groups from a pipe",
        Either,
        |_| base().member("etc/group", b'6', |_| {}, b""),
        json!({ "User": "root:app" }),
    );
    unpack(
        "one endless line",
        Either,
        |_| Archive::new().dir("etc").file("etc/passwd", &"x".repeat(64 << 20)),
        root(),
    );
    unpack(
        "ids out of range",
        Either,
        |_| Archive::new().dir("etc").file("etc/passwd", "app:x:4294967296:-1::/:\n"),
        root(),
    );
    unpack(
        "binary",
        Either,
        |_| Archive::new().dir("etc").file("etc/passwd", "\0\0:::\n:\n\u{ff}\n"),
        root(),
    );
}

#[test]
fn values() {
    let values = [
        json!({ "Env": ["NOEQUALS", "=x", "A=\u{0}", ""] }),
        json!({ "WorkingDir": "relative/../../.." }),
        json!({ "WorkingDir": "\u{0}" }),
        json!({ "Volumes": { "../..": {}, "": {}, "/": {}, "a\u{0}": {}, "/proc": {} } }),
        json!({ "ExposedPorts": { "../..": {}, "99999999/tcp": {} } }),
        json!({ "Entrypoint": null, "Cmd": [""] }),
        json!({ "StopSignal": "\u{1b}[2J" }),
        json!({ "Labels": { "": "", "org.opencontainers.image.ref.name": "good" } }),
        json!({ "Env": null, "Labels": null, "Volumes": null, "User": "" }),
        json!({ "Env": vec!["A=1"; 50_000] }),
    ];
    for value in values {
        let text = value.to_string();
        unpack(&text[..text.len().min(60)], Either, |_| base(), value);
    }
    for value in [
        json!([]),
        json!("x"),
        json!({ "Env": "A=1" }),
        json!({ "User": 0 }),
        json!({ "Cmd": [1] }),
    ] {
        unpack(&value.to_string(), Refuse, |_| base(), value);
    }
}

#[test]
fn users() {
    let long = "u".repeat(1 << 20);
    for name in [
        long.as_str(),
        "0:0:0",
        "-1",
        "4294967295",
        "4294967296",
        "99999999999999999999",
        "\0",
        "no\nbody",
        "nobody:",
        ":x",
    ] {
        let answer = if name.len() < 10 { Either } else { Refuse };
        if let Some(arena) =
            unpack(&name[..name.len().min(30)], answer, |_| base(), json!({ "User": name }))
        {
            assert!(
                user(&arena)["uid"].as_u64().is_some_and(|uid| uid < u64::from(u32::MAX)),
                "{name:?}"
            );
        }
    }
}
