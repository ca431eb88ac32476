// SPDX-License-Identifier: Apache-2.0
//! Archives in which the dialects of tar are mixed, from a seed: members whose
//! headers agree, say more than they should, or contradict each other.

use tar::Header;

use super::archive::{Archive, flag, set_link};

/// Numbers that look random and are the same every time.
pub(super) struct Seed(pub(super) u64);

impl Seed {
    fn below(&mut self, most: usize) -> usize {
        // Knuth's MMIX; the upper bits are the good ones.
        const FACTOR: u64 = 6_364_136_223_846_793_005;
        self.0 = self.0.wrapping_mul(FACTOR).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// An archive of a few members.
pub(super) fn archive(seed: &mut Seed) -> Vec<u8> {
    let mut archive = Archive::new().file("first", "1");
    for number in 0..=seed.below(4) {
        archive = if seed.once_in(8) {
            pax_sparse(archive, seed, number)
        } else {
            Member::new(seed, number).put(archive, seed)
        };
    }
    let archive = archive.file("last", "2");
    match seed.below(12) {
        0 => archive.open_end(),
        1 => archive.raw(&[0; 1024]).file("smuggled", "x").end(),
        2 => archive.raw(&[0; 512]).file("smuggled", "x").end(),
        _ => archive.end(),
    }
}

/// One member, and the headers that come before its own.
struct Member {
    kind: u8,
    name: String,
    target: String,
    body: Vec<u8>,
    /// What its own header says, which may be wrong.
    size: u64,
    records: Vec<(&'static str, String)>,
    /// What is where some dialects have a prefix of the name.
    prefix: Option<&'static str>,
    /// Long names and links of GNU.
    long: Archive,
}

impl Member {
    fn new(seed: &mut Seed, number: usize) -> Self {
        const KINDS: &[u8] = b"000\x007512612S5V";
        let kind = seed.one_of(KINDS);
        let inner = Archive::new().file("smuggled", "x").end();
        let body = match kind {
            b'0' | 0 | b'7' => seed.one_of(&[&b""[..], b"short", &[b'x'; 512], &inner]),
            b'S' => &[b's'; 512],
            _ => b"",
        };
        let long_target = "t".repeat(seed.one_of(&[99, 100, 101, 150]));
        let mut member = Self {
            kind,
            name: name(seed, number),
            target: if seed.once_in(3) { long_target } else { "first".to_owned() },
            size: body.len() as u64,
            body: body.to_vec(),
            records: Vec::new(),
            prefix: seed.once_in(12).then_some("else/where"),
            long: Archive::new(),
        };
        member.rename(seed);
        member.lead(seed);
        member.measure(seed);
        member.describe(seed);
        member
    }

    /// Says the name once more, or the second half of it.
    fn rename(&mut self, seed: &mut Seed) {
        if self.name.len() <= 100 && !seed.once_in(4) {
            return;
        }
        if seed.once_in(12) {
            self.records.push(("path", String::new()));
        }
        let with = seed.below(4);
        if with != 1 {
            self.records.push(("path", self.name.clone()));
        }
        if with <= 1 {
            let name = if seed.once_in(6) { "another" } else { &self.name };
            self.long = std::mem::take(&mut self.long).long(flag::LONG_NAME, name);
        }
    }

    fn lead(&mut self, seed: &mut Seed) {
        if !self.is_link() || self.target.len() <= 100 {
            return;
        }
        if seed.once_in(3) {
            self.long = std::mem::take(&mut self.long).long(flag::LONG_LINK, &self.target);
        } else {
            self.records.push(("linkpath", self.target.clone()));
        }
    }

    /// The size in the header may be another one than that which counts, or that of nothing.
    fn measure(&mut self, seed: &mut Seed) {
        if self.body.is_empty() {
            let is_own = seed.once_in(6);
            if is_own {
                self.size = 512;
            }
            let is_extended = !is_own && seed.once_in(6);
            if is_extended {
                self.records.push(("size", seed.one_of(&["0", "512", ""]).to_owned()));
            }
        } else if self.kind != b'S' && seed.once_in(3) {
            self.records.push(("size", self.size.to_string()));
            self.size = seed.one_of(&[0, 512, 3, self.size]);
        }
        if seed.once_in(10) {
            let wrong = self.body.len() + seed.one_of(&[0, 0, 512]);
            self.records.push(("SCHILY.realsize", wrong.to_string()));
        }
    }

    fn describe(&mut self, seed: &mut Seed) {
        for (key, value) in [
            ("uid", "70000"),
            ("uid", "3000000"),
            ("mtime", "1000000000.5"),
            ("comment", "x"),
            ("gid", ""),
        ] {
            if seed.once_in(6) {
                self.records.push((key, value.to_owned()));
            }
        }
    }

    fn is_link(&self) -> bool {
        matches!(self.kind, flag::SYMLINK | flag::LINK)
    }

    /// Writes the member, its headers in some order, in some dialect.
    fn put(&self, mut archive: Archive, seed: &mut Seed) -> Archive {
        if seed.once_in(8) {
            archive = archive.global(&[(seed.one_of(&["comment", "path", "size"]), b"7")]);
        }
        let records: Vec<_> =
            self.records.iter().map(|(key, value)| (*key, value.as_bytes())).collect();
        let pax = if records.is_empty() { Archive::new() } else { Archive::new().pax(&records) };
        let (mut pax, mut long) = (pax.open_end(), self.long.clone().open_end());
        if seed.once_in(12) {
            pax = [pax, Archive::new().pax(&[("comment", b"again")]).open_end()].concat();
        }
        if seed.once_in(12) {
            let flag = if self.is_link() { flag::LONG_LINK } else { flag::LONG_NAME };
            long = [long, Archive::new().long(flag, "again").open_end()].concat();
        }
        archive = if seed.once_in(3) {
            archive.raw(&long).raw(&pax)
        } else {
            archive.raw(&pax).raw(&long)
        };
        let mut short = self.name.clone();
        short.truncate(100);
        let dialect = if self.kind == b'S' { Dialect::Gnu } else { seed.one_of(DIALECTS) };
        let edit = |header: &mut Header| self.edit(header, dialect);
        archive.with(dialect.header(), &short, self.kind, edit, &self.body)
    }

    fn edit(&self, header: &mut Header, dialect: Dialect) {
        header.set_size(self.size);
        if self.is_link() {
            set_link(header, &self.target[..self.target.len().min(100)]);
        }
        dialect.edit(header.as_mut_bytes());
        if let Some(prefix) = self.prefix {
            header.as_mut_bytes()[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
        }
        if self.kind == b'S' {
            let bytes = header.as_mut_bytes();
            bytes[386..397].copy_from_slice(b"00000001000");
            bytes[398..409].copy_from_slice(b"00000001000");
            bytes[483..494].copy_from_slice(b"00000004000");
        }
    }
}

#[derive(Clone, Copy)]
enum Dialect {
    V7,
    Ustar,
    Prefixed,
    Gnu,
    Star,
    /// Which some take for ustar, and some for the oldest one.
    Almost,
}

const DIALECTS: &[Dialect] =
    &[Dialect::V7, Dialect::Ustar, Dialect::Prefixed, Dialect::Gnu, Dialect::Star, Dialect::Almost];

impl Dialect {
    fn header(self) -> Header {
        match self {
            Self::V7 => Header::new_old(),
            Self::Ustar | Self::Prefixed | Self::Star | Self::Almost => Header::new_ustar(),
            Self::Gnu => Header::new_gnu(),
        }
    }

    /// What only this dialect has.
    fn edit(self, bytes: &mut [u8; 512]) {
        match self {
            Self::V7 | Self::Ustar | Self::Gnu => {}
            Self::Almost => bytes[257..265].copy_from_slice(b"ustar 00"),
            Self::Prefixed => bytes[345..351].copy_from_slice(b"prefix"),
            Self::Star => {
                bytes[345..350].copy_from_slice(b"start");
                bytes[476..488].copy_from_slice(b"07346545000 ");
                bytes[488..500].copy_from_slice(b"07346545000 ");
                bytes[508..512].copy_from_slice(b"tar\0");
            }
        }
    }
}

/// A name that is told apart from others by its number, and may be long.
fn name(seed: &mut Seed, number: usize) -> String {
    match seed.below(6) {
        0 => format!("{}n{number}", "directory/".repeat(seed.one_of(&[1, 9, 10, 15, 30]))),
        1 => format!("{}{number}", "n".repeat(seed.one_of(&[98, 99, 100, 101, 200]))),
        2 => format!("./n{number}"),
        3 => format!("n{number}/"),
        _ => format!("n{number}"),
    }
}

/// A sparse file of 2048 bytes in one of the three ways of PAX, and in some that are none.
fn pax_sparse(archive: Archive, seed: &mut Seed, number: usize) -> Archive {
    let (name, data) = (format!("sparse{number}"), [b's'; 512]);
    let size = seed.one_of(&[&b"2048"[..], b"2048", b"2048", b"100"]);
    let map = seed.one_of(&[&b"512,512"[..], b"512,512", b"512,512", b"512,513", b"512"]);
    let old = [("GNU.sparse.size", size), ("GNU.sparse.numblocks", b"1")];
    let named = [("GNU.sparse.name", name.as_bytes())];
    let elsewhere = "GNUSparseFile.1/x";
    match seed.below(3) {
        0 => {
            let pairs = [("GNU.sparse.offset", &b"512"[..]), ("GNU.sparse.numbytes", b"512")];
            archive.pax(&[old, pairs].concat()).member(&name, flag::FILE, |_| {}, &data)
        }
        1 => {
            let records = [&old[..], &named, &[("GNU.sparse.map", map)]].concat();
            archive.pax(&records).member(elsewhere, flag::FILE, |_| {}, &data)
        }
        _ => {
            let version = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0")];
            let records = [&version[..], &named, &[("GNU.sparse.realsize", size)]].concat();
            let mut body = b"1\n512\n512\n".to_vec();
            body.resize(512, 0);
            body.extend_from_slice(&data);
            archive.pax(&records).member(elsewhere, flag::FILE, |_| {}, &body)
        }
    }
}
