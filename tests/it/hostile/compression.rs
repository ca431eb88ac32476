// SPDX-License-Identifier: Apache-2.0
//! Compressed streams that are cut, followed by junk, of another kind than
//! they say, or that grow without measure.

use std::io::Write;

use flate2::write::GzEncoder;

use super::archive::Archive;
use super::arena::Answer::{Either, Refuse, Succeed};
use super::arena::{Attack, Layer, each};

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn tar() -> Vec<u8> {
    let text = (0..20_000).map(|number| number.to_string()).collect::<Vec<_>>().join("\n");
    Archive::new().file("first", "x").file("second", &text).end()
}

fn of(name: &'static str, answer: super::arena::Answer, blob: Vec<u8>, suffix: &str) -> Attack {
    let attack = Attack::of(name, answer, vec![Layer::compressed(blob, suffix, &tar())]);
    attack.then(|arena| assert!(arena.text("second").ends_with("\n19999")))
}

#[test]
fn streams() {
    each(|_| {
        let tar = tar();
        let (one, two) = tar.split_at(tar.len() / 3);
        let cut = |mut bytes: Vec<u8>, count: usize| {
            bytes.truncate(bytes.len() - count);
            bytes
        };
        let flipped = |mut bytes: Vec<u8>| {
            let at = bytes.len() - 6;
            bytes[at] ^= 1;
            bytes
        };
        let skippable = [&b"\x50\x2a\x4d\x18\x04\x00\x00\x00note"[..], &zstd(one), &zstd(two)];
        // A single segment whose contents are to have 2^40 bytes: its window is as large.
        let bomb = b"\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x00";
        vec![
            of("gzip, cut", Refuse, cut(gzip(&tar), 2000), "gzip"),
            of("gzip, its end cut", Refuse, cut(gzip(&tar), 4), "gzip"),
            of("gzip, wrong checksum", Refuse, flipped(gzip(&tar)), "gzip"),
            of("gzip, two members", Succeed, [gzip(one), gzip(two)].concat(), "gzip"),
            of("gzip and junk", Either, [&gzip(&tar)[..], b"junk junk"].concat(), "gzip"),
            of("gzip, empty", Refuse, Vec::new(), "gzip"),
            of("gzip that is plain", Refuse, tar.clone(), "gzip"),
            of("gzip that is zstd", Refuse, zstd(&tar), "gzip"),
            of("lz4", Refuse, tar.clone(), "lz4"),
            of("two suffixes", Refuse, gzip(&tar), "gzip+gzip"),
            of("zstd, cut", Refuse, cut(zstd(&tar), 2000), "zstd"),
            of("zstd, two frames and a note", Succeed, skippable.concat(), "zstd"),
            of("zstd and junk", Either, [&zstd(&tar)[..], b"junk junk"].concat(), "zstd"),
            of("zstd of 2^40 bytes", Refuse, bomb.to_vec(), "zstd").within(15, 512),
        ]
    });
}

/// Many bytes of few: what they are not written for takes neither disk nor memory.
#[test]
fn zeros_behind_the_end() {
    each(|_| {
        let mut tar = Archive::new().file("f", "x").end();
        tar.resize(256 << 20, 0);
        let layer = Layer::compressed(gzip(&tar), "gzip", &tar);
        vec![Attack::of("256 MiB", Either, vec![layer]).within(60, 300).then(|arena| {
            let size = walkdir::WalkDir::new(arena.path("bundle"))
                .into_iter()
                .map(|entry| {
                    std::os::unix::fs::MetadataExt::blocks(&entry.unwrap().metadata().unwrap())
                })
                .sum::<u64>();
            assert!(size * 512 < 16 << 20);
        })]
    });
}
