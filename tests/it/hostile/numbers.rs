// SPDX-License-Identifier: Apache-2.0
//! Numbers that the kernel or the clock cannot hold. They are refused, never cut.

use std::os::unix::fs::MetadataExt;

use tar::Header;

use super::archive::{Archive, flag};
use super::arena::Answer::{Either, Refuse, Succeed};
use super::arena::{Arena, Attack, Layer, Limits, each};
use crate::harness::needs_root;

/// A number in the base-256 form of GNU.
fn base_256(field: &mut [u8], number: i128) {
    let bytes = number.to_be_bytes();
    let length = field.len();
    for (at, byte) in field.iter_mut().enumerate() {
        let from_end = length - at;
        *byte = if from_end <= 16 { bytes[16 - from_end] } else { u8::from(number < 0) * 0xff };
    }
    field[0] = if number < 0 { 0xff } else { 0x80 };
}

fn edited(flag: u8, edit: impl FnOnce(&mut [u8; 512])) -> [Archive; 1] {
    [Archive::new().with(Header::new_gnu(), "x", flag, |header| edit(header.as_mut_bytes()), b"")]
}

fn pax(key: &str, value: &str) -> [Archive; 1] {
    [Archive::new().pax(&[(key, value.as_bytes())]).file("x", "x")]
}

#[test]
fn sizes() {
    each(|_| {
        let sized = |size: i128| edited(flag::FILE, |bytes| base_256(&mut bytes[124..136], size));
        vec![
            Attack::new("-1", Refuse, sized(-1)),
            Attack::new("2^62", Refuse, sized(1 << 62)),
            Attack::new("2^80", Refuse, sized(1 << 80)),
            Attack::new(
                "8 GiB less 1 of 1 KiB",
                Refuse,
                [Archive::new().member(
                    "x",
                    flag::FILE,
                    |header| header.set_size((8 << 30) - 1),
                    &[b'x'; 1024],
                )],
            ),
            Attack::new(
                "garbage",
                Refuse,
                edited(flag::FILE, |bytes| {
                    bytes[124..136].copy_from_slice(b"12garbage89\0");
                }),
            ),
        ]
    });
}

#[test]
fn ids_and_devices() {
    each(|_| {
        let uid = |id: i128| edited(flag::FILE, |bytes| base_256(&mut bytes[108..116], id));
        let device = |major: i128, minor: i128| {
            edited(flag::CHAR, |bytes| {
                base_256(&mut bytes[329..337], major);
                base_256(&mut bytes[337..345], minor);
            })
        };
        vec![
            Attack::new("uid -1 of 32 bits", Refuse, uid(u32::MAX.into())),
            Attack::new("uid -1", Refuse, uid(-1)),
            Attack::new("uid 2^32", Refuse, uid(1 << 32)),
            Attack::new("gid -1 of 32 bits", Refuse, pax("gid", "4294967295")),
            Attack::new("gid 2^32", Refuse, pax("gid", "4294967296")),
            Attack::new("uid 2^40", Refuse, pax("uid", "1099511627776")),
            Attack::new("the last uid", Succeed, pax("uid", "4294967294"))
                .then(|arena| assert_eq!(arena.metadata("x").uid(), u32::MAX - 1)),
            Attack::new("major 2^32 + 1", Refuse, device((1 << 32) + 1, 1)),
            Attack::new("minor 2^32", Refuse, device(1, 1 << 32)),
            Attack::new("negative major", Refuse, device(-1, 1)),
            Attack::new("major 4096", Refuse, device(4096, 1)),
        ]
    });
}

#[test]
fn times_and_modes() {
    each(|_| {
        let time = |time: i128| edited(flag::FILE, |bytes| base_256(&mut bytes[136..148], time));
        vec![
            Attack::new("10^18 seconds", Either, time(1_000_000_000_000_000_000)),
            Attack::new("2^62 seconds", Either, time(1 << 62)),
            Attack::new("2^64 seconds", Either, time(1 << 64)),
            Attack::new("before the epoch", Either, time(-1)),
            Attack::new("an extended time of letters", Refuse, pax("mtime", "now")),
            Attack::new("an extended time without end", Refuse, pax("mtime", &"9".repeat(400))),
            Attack::new(
                "a mode with a type",
                Succeed,
                [Archive::new().member(
                    "x",
                    flag::FILE,
                    |header| header.set_mode(0o0_120_000 | 0o7777),
                    b"",
                )],
            )
            .then(|arena| {
                assert!(arena.metadata("x").is_file());
                assert_eq!(arena.metadata("x").mode() & 0o7777, 0o7777);
            }),
        ]
    });
}

#[test]
fn ids_outside_the_map() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    let archive = Archive::new().member("x", flag::FILE, |header| header.set_uid(5000), b"");
    arena.tag("bad", arena.image(&[Layer::plain(archive.end())]));
    let flags = ["--uid-map=0:100000:1000", "--gid-map=0:100000:1000"];
    arena.unpack_with("unmapped", Refuse, Limits::default(), &flags);
}
