// SPDX-License-Identifier: Apache-2.0
//! Extended headers: the input is the body of one, before a plain file. The
//! member is what a simple second reader of such bodies says, or it is refused.

use std::collections::BTreeMap;

use umoci::layer::{Entry, EntryKind, Members};

use crate::driver::Target;

pub(crate) const TARGET: Target = Target {
    name: "pax",
    run,
    words: &[
        b"path=",
        b"linkpath=",
        b"size=",
        b"uid=",
        b"gid=",
        b"mtime=",
        b"atime=",
        b"uname=",
        b"hdrcharset=",
        b"SCHILY.xattr.",
        b"LIBARCHIVE.xattr.",
        b"GNU.sparse.major=1",
        b"GNU.sparse.name=",
        b"GNU.sparse.map=",
        b"SCHILY.dev=",
        b"=",
        b"\n",
        b" ",
        b"\0",
        b"-1",
        b"1.5",
        b"-0.5",
        b"99999999999999999999",
        b"../a",
    ],
    mend: lengths,
};

/// How many of the words are keys.
const KEYS: usize = 15;

/// Makes the lengths of most records right.
fn lengths(input: &mut Vec<u8>) {
    let mut mended = Vec::new();
    for (at, line) in input.split(|byte| *byte == b'\n').enumerate() {
        let Some(cut) = line.iter().position(|byte| *byte == b' ') else { continue };
        // A record may have a newline in it, and one in many shall be wrong.
        if at == 0 && input.len().is_multiple_of(13) {
            mended.extend_from_slice(line);
        } else {
            mended.extend_from_slice(&record(&line[cut + 1..]));
        }
    }
    *input = mended;
}

fn record(text: &[u8]) -> Vec<u8> {
    let mut length = text.len() + 3;
    while length.to_string().len() + text.len() + 2 != length {
        length = length.to_string().len() + text.len() + 2;
    }
    [length.to_string().as_bytes(), b" ", text, b"\n"].concat()
}

fn run(input: &[u8]) -> String {
    let mut stream = header("pax", b'x', input.len());
    stream.extend_from_slice(input);
    stream.resize(stream.len().next_multiple_of(512), 0);
    stream.extend(header("plain", b'0', 5));
    stream.extend_from_slice(b"hello");
    // Enough for a body of some other size.
    stream.resize(stream.len() + 8192, 0);
    let read = Members::new(&stream[..]).next_member();
    match (read, records(input)) {
        (Ok(member), Some(records)) => {
            compare(&member.unwrap(), &records);
            // Which of the keys that mean something there are.
            let meaning = |word: &&&[u8]| {
                let key = word.strip_suffix(b"=").unwrap_or(word);
                records.keys().any(|found| found.starts_with(key))
            };
            let keys = TARGET.words[..KEYS].iter().filter(meaning);
            keys.map(|key| key.escape_ascii().to_string().replace(['.', '=', '_'], " ")).collect()
        }
        (Ok(_), None) => panic!("{} is no extended header", input.escape_ascii()),
        (Err(error), _) => error.to_string(),
    }
}

fn header(name: &str, kind: u8, size: usize) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(9);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// The records `LENGTH KEY=VALUE\n` of an extended header. The last one of a key counts, and an
/// empty value takes back what came before.
fn records(mut body: &[u8]) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut records = BTreeMap::new();
    while !body.is_empty() {
        let digits = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length: usize = std::str::from_utf8(&body[..digits]).ok()?.parse().ok()?;
        if length > body.len() || length <= digits + 1 {
            return None;
        }
        let (record, rest) = body.split_at(length);
        let record = record[digits..].strip_prefix(b" ")?.strip_suffix(b"\n")?;
        let cut = record.iter().position(|byte| *byte == b'=')?;
        records.insert(record[..cut].to_vec(), record[cut + 1..].to_vec());
        body = rest;
    }
    records.retain(|_, value| !value.is_empty());
    Some(records)
}

fn compare(member: &Entry, records: &BTreeMap<Vec<u8>, Vec<u8>>) {
    let text = |key: &str| records.get(key.as_bytes());
    // A sparse file has its name and its size from other records.
    if records.keys().any(|key| key.starts_with(b"GNU.sparse.")) {
        return;
    }
    assert_eq!(member.path, *text("path").unwrap_or(&b"plain".to_vec()));
    let number = |key: &str, plain: u64| match text(key) {
        Some(value) => {
            // Signed, since -0 is 0 to every reader.
            let number: i128 = std::str::from_utf8(value).unwrap().trim().parse().unwrap();
            u64::try_from(number).unwrap()
        }
        None => plain,
    };
    if let EntryKind::File { size } = member.kind {
        assert_eq!(size, number("size", 5));
    }
    assert_eq!(u64::from(member.owner.uid), number("uid", 7));
    assert_eq!(u64::from(member.owner.gid), number("gid", 8));
    if text("mtime").is_none() {
        assert_eq!((member.mtime.seconds, member.mtime.nanoseconds), (9, 0));
    }
    assert!(member.mtime.nanoseconds < 1_000_000_000);
    for xattr in &member.xattrs {
        let key = [b"SCHILY.xattr.", &xattr.name[..]].concat();
        let other = [b"LIBARCHIVE.xattr.", &xattr.name[..]].concat();
        assert!(
            records.get(&key).is_some_and(|value| **value == *xattr.value)
                || records.contains_key(&other)
        );
    }
}
