// SPDX-License-Identifier: Apache-2.0
//! Layers that are cut off, wherever it may be. What is complete before the
//! cut is an archive without an end; anything else is refused.

use tar::Header;
use umoci::layer::Members;

use super::archive::{Archive, flag};
use super::arena::Answer::{Refuse, Succeed};
use super::arena::{Attack, Layer, each};
use super::compression::{gzip, zstd};

/// The beginnings of an archive with headers of every kind: before and after each member.
fn beginnings() -> Vec<Archive> {
    let long = "long/".repeat(30);
    let long = long.as_str();
    let steps: [&dyn Fn(Archive) -> Archive; 8] = [
        &|tar| tar.file("file", &"x".repeat(700)),
        &|tar| tar.dir("directory"),
        &|tar| tar.symlink("symlink", "file"),
        &|tar| tar.link("link", "file"),
        &|tar| tar.pax(&[("linkpath", long.as_bytes()), ("uid", b"5")]).symlink("second", "x"),
        &|tar| {
            let tar = tar.long(flag::LONG_NAME, &long[1..]).long(flag::LONG_LINK, long);
            tar.with(Header::new_gnu(), "x", flag::SYMLINK, |_| {}, b"")
        },
        &|tar| tar.global(&[("comment", b"x")]).file("empty", ""),
        &sparse,
    ];
    let mut beginnings = vec![Archive::new()];
    for step in steps {
        let next = step(beginnings.last().unwrap().clone());
        beginnings.push(next);
    }
    beginnings
}

fn sparse(tar: Archive) -> Archive {
    let records = [
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"sparse"),
        ("GNU.sparse.realsize", b"9"),
    ];
    let mut body = b"1\n0\n3\n".to_vec();
    body.resize(512, 0);
    tar.pax(&records).member("x", flag::FILE, |_| {}, &[&body[..], b"abc"].concat())
}

/// For each number of members how many bytes are enough for them, and how many are all of
/// them: what fills the last block of a body may be missing. And the whole.
fn borders() -> (Vec<(usize, usize)>, Vec<u8>) {
    const FILLED: [(usize, usize); 2] = [(1, 1024 - 700), (8, 512 - 3)];
    let beginnings = beginnings();
    let whole = beginnings.last().unwrap().clone().open_end();
    let all = beginnings.into_iter().map(|tar| tar.open_end().len()).enumerate();
    let filled = |at| FILLED.iter().find(|(of, _)| *of == at).map_or(0, |(_, bytes)| *bytes);
    (all.map(|(at, all)| (all - filled(at), all)).collect(), whole)
}

fn count(bytes: &[u8]) -> Option<usize> {
    let mut members = Members::new(bytes);
    let mut count = 0;
    while members.next_member().ok()?.is_some() {
        count += 1;
    }
    Some(count)
}

#[test]
fn at_every_byte() {
    let (borders, whole) = borders();
    for cut in 0..whole.len() {
        let complete = borders.iter().position(|(enough, all)| (*enough..=*all).contains(&cut));
        assert_eq!(count(&whole[..cut]), complete, "cut at {cut}");
    }
    // Without the blocks of zeros at the end, with one, and with both.
    for zeros in [0, 512, 1024] {
        assert_eq!(count(&[&whole[..], &vec![0; zeros]].concat()), Some(8), "{zeros}");
    }
    assert_eq!(count(&[&whole[..], &[0; 100]].concat()), None);
}

#[test]
fn at_blocks_and_between() {
    each(|_| {
        let (borders, whole) = borders();
        let cuts = (0..whole.len()).step_by(512).flat_map(|cut| [cut, cut + 300]).step_by(3);
        let attack = |cut| {
            let complete = borders.iter().any(|(enough, all)| (*enough..=*all).contains(&cut));
            let answer = if complete { Succeed } else { Refuse };
            Attack::of("cut", answer, vec![Layer::plain(whole[..cut].to_vec())])
        };
        cuts.map(attack).collect()
    });
}

#[test]
fn compressed() {
    each(|_| {
        let whole = beginnings().pop().unwrap().end();
        let mut attacks = Vec::new();
        for (blob, suffix) in [(gzip(&whole), "gzip"), (zstd(&whole), "zstd")] {
            // All of it but the last byte is too little, too.
            for cut in (0..blob.len()).step_by(blob.len() / 12).chain([blob.len() - 1]) {
                let layer = Layer::compressed(blob[..cut].to_vec(), suffix, &whole);
                attacks.push(Attack::of(suffix, Refuse, vec![layer]));
            }
        }
        attacks
    });
}
