// SPDX-License-Identifier: Apache-2.0
//! Tar streams: read in pieces of any size they are the same, what is read can
//! be written and reads the same, and where another reader goes along to the
//! end it has seen the same members.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use umoci::Result;
use umoci::layer::{Entry, EntryKind, Members};

use crate::driver::Target;

pub(crate) const TARGET: Target =
    Target { name: "members", run, words: WORDS, mend: |input| checksums(input) };

pub(super) const WORDS: &[&[u8]] = &[
    b"ustar\x0000",
    b"ustar  \0",
    b"0000644\0",
    b"0000000\0",
    b"00000000010\0",
    b"\x80\0\0\0\0\0\0\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"../",
    b"/",
    b"./",
    b"././@LongLink",
    b".wh.",
    b".wh..wh..opq",
    b"\0",
    b"11 path=ab\n",
    b"12 path=a/b\n",
    b"10 size=1\n",
    b"17 linkpath=/etc\n",
    b"13 GNU.sparse",
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"6",
    b"7",
    b"x",
    b"g",
    b"L",
    b"K",
    b"S",
    b"22 GNU.sparse.major=1\n",
    b"19 SCHILY.xattr.u=x\n",
];

const BLOCK: usize = 512;

/// Makes the checksums right of all that looks like a header.
pub(super) fn checksums(input: &mut [u8]) {
    for block in input.chunks_exact_mut(BLOCK) {
        let looks_like_one = block[257..262] == *b"ustar"
            || block[148..155].iter().all(|byte| matches!(byte, b'0'..=b'7' | b' ' | 0));
        if looks_like_one && block.iter().any(|byte| *byte != 0) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

fn run(input: &[u8]) -> String {
    let whole = read(input);
    let small = read(Pieces { bytes: input, given: 0, size: 1 });
    assert_eq!(whole, small, "in pieces it is something else");
    match &whole.1 {
        None => {
            for (entry, _) in &whole.0 {
                can_be_written(entry);
            }
            compare_with_other(input, &whole.0);
            whole.0.iter().take(12).map(|(entry, _)| kind(entry)).collect()
        }
        Some(error) => error.clone(),
    }
}

type Contents = BTreeMap<u64, Vec<u8>>;

/// The members with their contents, and the error if the stream does not end well.
fn read(input: impl BufRead) -> (Vec<(Entry, Contents)>, Option<String>) {
    let mut members = Members::new(input);
    let mut found = Vec::new();
    loop {
        let entry = match members.next_member() {
            Ok(Some(entry)) => entry,
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error.to_string())),
        };
        match contents(&mut members) {
            Ok(contents) => found.push((entry, contents)),
            Err(error) => return (found, Some(error.to_string())),
        }
    }
}

/// The regions of a body. Those that touch are one.
fn contents(members: &mut Members<impl BufRead>) -> Result<Contents> {
    let mut regions = Contents::new();
    while let Some(chunk) = members.body()? {
        assert!(!chunk.bytes.is_empty());
        let count = chunk.bytes.len();
        match regions.last_entry() {
            Some(mut last) if last.key() + last.get().len() as u64 == chunk.offset => {
                last.get_mut().extend_from_slice(chunk.bytes);
            }
            _ => {
                regions.insert(chunk.offset, chunk.bytes.to_vec());
            }
        }
        members.consume(count);
    }
    Ok(regions)
}

fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        EntryKind::File { .. } => "file ",
        EntryKind::Dir => "dir ",
        EntryKind::Symlink { .. } => "symlink ",
        EntryKind::Hardlink { .. } => "link ",
        EntryKind::CharDevice(_) => "char ",
        EntryKind::BlockDevice(_) => "block ",
        EntryKind::Fifo => "fifo ",
    }
}

fn can_be_written(entry: &Entry) {
    // Not everything can: a file's name with a slash at its end, for one.
    let Ok(mut bytes) = entry.encode() else { return };
    if let EntryKind::File { size } = entry.kind {
        if size > 1 << 20 {
            return;
        }
        bytes.resize(bytes.len() + usize::try_from(size).unwrap().next_multiple_of(BLOCK), 0);
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    let again = Members::new(&bytes[..]).next_member().unwrap().unwrap();
    assert_eq!(again, *entry);
}

/// The crate `tar` has rules of its own for what is odd. It is asked about plain streams only.
fn compare_with_other(input: &[u8], members: &[(Entry, Contents)]) {
    let is_plain = |block: &[u8]| {
        block.iter().all(|byte| *byte == 0)
            || block[257..265] == *b"ustar\x0000" && block[156].is_ascii_digit()
    };
    let mut headers = input.chunks_exact(BLOCK);
    if !headers.next().is_some_and(is_plain) || !input.len().is_multiple_of(BLOCK) {
        return;
    }
    let mut archive = tar::Archive::new(input);
    let mut others = archive.entries().unwrap();
    for (at, (entry, contents)) in members.iter().enumerate() {
        // Where the other does not go on, nothing can be said.
        let Some(Ok(mut other)) = others.next() else { return };
        if !is_plain(other.header().as_bytes()) || other.header().entry_type().is_contiguous() {
            return;
        }
        assert_eq!(other.path_bytes().as_ref(), entry.path, "member {at}");
        let mut bytes = Vec::new();
        if other.read_to_end(&mut bytes).is_err() {
            return;
        }
        if let EntryKind::File { size } = entry.kind {
            assert_eq!(size, bytes.len() as u64, "member {at}");
            let own = contents.get(&0).cloned().unwrap_or_default();
            assert!(own == bytes, "contents of member {at}");
        }
        if let Ok(mode) = other.header().mode() {
            assert_eq!(mode & 0o7777, entry.mode, "member {at}");
        }
    }
}

/// A reader that gives its input in small pieces of growing size.
struct Pieces<'a> {
    bytes: &'a [u8],
    given: usize,
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.given == 0 {
            self.given = self.size.min(self.bytes.len());
            self.size = self.size % 700 + 1;
        }
        Ok(&self.bytes[..self.given])
    }

    fn consume(&mut self, count: usize) {
        assert!(count <= self.given, "more was consumed than there was");
        self.bytes = &self.bytes[count..];
        self.given -= count;
    }
}
