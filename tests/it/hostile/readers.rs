// SPDX-License-Identifier: Apache-2.0
//! Other readers of tar beside this one, on archives of every dialect that a
//! generator mixes from a seed: what is accepted here reads the same there.

use std::path::{Path, PathBuf};

use umoci::layer::{EntryKind, Members};
use umoci::oci::{Algorithm, Digest};

use super::mixture::{Seed, archive};
use crate::harness::{Sandbox, is_slow, peer};

/// What all readers tell of a member: its type, its name without a `/` at the end, where it leads
/// to, how long it is, and whose.
type Line = (char, String, String, u64, (u32, u32));

/// The sum of the contents of all files, one after another. Zeros are left out: not every program
/// writes the hole at the end of a file to its output.
type Sum = Digest;

fn sum(contents: &[u8]) -> Sum {
    let bytes: Vec<u8> = contents.iter().copied().filter(|byte| *byte != 0).collect();
    Digest::of(Algorithm::Sha256, &bytes)
}

/// What this program's reader sees; `None` where it refuses.
fn ours(archive: &[u8]) -> Option<(Vec<Line>, Sum)> {
    let mut members = Members::new(archive);
    let (mut lines, mut all) = (Vec::new(), Vec::new());
    while let Some(entry) = members.next_member().ok()? {
        let mut contents = Vec::new();
        while let Some(chunk) = members.body().ok()? {
            contents.resize(usize::try_from(chunk.offset).unwrap(), 0);
            contents.extend_from_slice(chunk.bytes);
            let count = chunk.bytes.len();
            members.consume(count);
        }
        if let EntryKind::File { size } = entry.kind {
            contents.resize(usize::try_from(size).unwrap(), 0);
        }
        all.append(&mut contents);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (kind, target, size) = match &entry.kind {
            EntryKind::File { size } => ('-', String::new(), *size),
            EntryKind::Dir => ('d', String::new(), 0),
            EntryKind::Symlink { target } => ('l', text(target), 0),
            EntryKind::Hardlink { target } => ('h', text(target), 0),
            EntryKind::CharDevice(_) => ('c', String::new(), 0),
            EntryKind::BlockDevice(_) => ('b', String::new(), 0),
            EntryKind::Fifo => ('p', String::new(), 0),
        };
        let owner = (entry.owner.uid, entry.owner.gid);
        lines.push((kind, plain(&text(&entry.path)), target, size, owner));
    }
    Some((lines, sum(&all)))
}

fn plain(name: &str) -> String {
    name.trim_end_matches('/').to_owned()
}

/// Reads all archives of a directory; says `=` and the name of each, and `!` where it was refused.
const PYTHON: &str = r#"
import hashlib, os, sys, tarfile
letters = {tarfile.REGTYPE: "-", tarfile.AREGTYPE: "-", tarfile.CONTTYPE: "-", tarfile.GNUTYPE_SPARSE: "-",
           tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h", tarfile.CHRTYPE: "c", tarfile.FIFOTYPE: "p"}
for name in sys.argv[1:]:
    print("=", name, sep="\t")
    try:
        archive, contents = tarfile.open(name, "r:"), hashlib.sha256()
        for member in archive:
            letter = letters.get(member.type, "?")
            size = member.size if letter == "-" else 0
            link = member.linkname if letter in "lh" else ""
            print(letter, member.uid, member.gid, size, member.name, link, sep="\t")
            if letter == "-":
                contents.update(archive.extractfile(member).read().replace(bytes(1), bytes()))
        print("~", contents.hexdigest(), sep="")
    except tarfile.TarError:
        print("!")
"#;

/// A reader beside this one: a program that lists an archive, and how its lines are read.
struct Reader {
    program: PathBuf,
    words: &'static [&'static str],
    contents: &'static [&'static str],
    line: fn(&str) -> Option<Line>,
}

fn readers() -> Option<[Reader; 2]> {
    let contents = &["--extract", "--to-stdout", "--file"];
    let words = &["--list", "--verbose", "--numeric-owner", "--full-time", "--file"];
    let gnu = Reader { program: peer("tar")?, words, contents, line: gnu_line };
    let words = &["--list", "--verbose", "--numeric-owner", "--file"];
    Some([gnu, Reader { program: peer("bsdtar")?, words, contents, line: bsd_line }])
}

/// `-rw-r--r-- 0/0  12 2001-09-09 01:46:40 name link to target`
fn gnu_line(line: &str) -> Option<Line> {
    let mut fields = line.split_ascii_whitespace();
    let kind = fields.next()?.chars().next()?;
    let (uid, gid) = fields.next()?.split_once('/')?;
    let size = fields.next()?;
    let rest: Vec<_> = fields.skip(2).collect();
    line_of(kind, (uid, gid), size, &rest.join(" "))
}

/// `-rw-r--r--  0 0      0          12 Sep  9  2001 name link to target`
fn bsd_line(line: &str) -> Option<Line> {
    let mut fields = line.split_ascii_whitespace();
    let kind = fields.next()?.chars().next()?;
    let (uid, gid, size) = (fields.nth(1)?, fields.next()?, fields.next()?);
    let rest: Vec<_> = fields.skip(3).collect();
    line_of(kind, (uid, gid), size, &rest.join(" "))
}

fn line_of(kind: char, (uid, gid): (&str, &str), size: &str, rest: &str) -> Option<Line> {
    let link = [(" -> ", 'l'), (" link to ", 'h')];
    let found = link.iter().find_map(|(word, kind)| Some((*kind, rest.split_once(word)?)));
    let (kind, (name, target)) =
        found.unwrap_or((if kind == 'C' { '-' } else { kind }, (rest, "")));
    let size = if kind == '-' { size.parse().ok()? } else { 0 };
    Some((kind, plain(name), target.to_owned(), size, (uid.parse().ok()?, gid.parse().ok()?)))
}

fn python_line(line: &str) -> Option<Line> {
    let fields: Vec<_> = line.split('\t').collect();
    let [kind, uid, gid, size, name, target] = fields[..] else { return None };
    let kind = kind.chars().next()?;
    Some((
        kind,
        plain(name),
        target.to_owned(),
        size.parse().ok()?,
        (uid.parse().ok()?, gid.parse().ok()?),
    ))
}

/// What another reader sees; `None` where it refuses.
fn theirs(sandbox: &Sandbox, reader: &Reader, name: &str) -> Option<(Vec<Line>, Sum)> {
    let run = sandbox.peer(&reader.program, &[reader.words, &[name]].concat());
    if run.status() != Some(0) {
        return None;
    }
    let contents = sandbox.peer(&reader.program, &[reader.contents, &[name]].concat());
    let sum = sum(contents.stdout().as_bytes());
    Some((read_lines(&run.stdout(), reader.line), sum))
}

fn read_lines(text: &str, line: fn(&str) -> Option<Line>) -> Vec<Line> {
    text.lines().map(|text| line(text).unwrap_or_else(|| panic!("{text:?}"))).collect()
}

/// What Python sees of many archives at once.
fn pythons(sandbox: &Sandbox, python: &Path, names: &[String]) -> Vec<Option<(Vec<Line>, Sum)>> {
    let words: Vec<_> =
        ["-c", PYTHON].into_iter().chain(names.iter().map(String::as_str)).collect();
    let text = sandbox.peer(python, &words).succeeds();
    let archives = text.split("=\t").skip(1).map(|archive| archive.split_once('\n').unwrap().1);
    let read = |text: &str| {
        let (lines, sum) = text.trim_end().rsplit_once('~')?;
        Some((read_lines(lines, python_line), format!("sha256:{sum}").parse().unwrap()))
    };
    archives.map(read).collect()
}

#[test]
fn what_is_accepted_reads_the_same_elsewhere() {
    let (Some(readers), Some(python)) = (readers(), peer("python3")) else { return };
    let sandbox = Sandbox::new();
    let (mut accepted, mut names, mut refused) = (Vec::new(), Vec::new(), 0);
    let mut compared = [0; 3];
    let count = if is_slow() { 5000 } else { 600 };
    for seed in 0..count {
        let archive = archive(&mut Seed(seed));
        let Some(ours) = ours(&archive) else {
            refused += 1;
            continue;
        };
        let name = format!("{seed}.tar");
        std::fs::write(sandbox.path(&name), &archive).unwrap();
        for (reader, compared) in readers.iter().zip(&mut compared) {
            if let Some(theirs) = theirs(&sandbox, reader, &name) {
                assert_eq!(ours, theirs, "seed {seed}: {:?}", reader.program);
                *compared += 1;
            }
        }
        names.push(name);
        accepted.push(ours);
    }
    for ((ours, theirs), name) in
        accepted.iter().zip(pythons(&sandbox, &python, &names)).zip(&names)
    {
        if let Some(theirs) = theirs {
            assert_eq!(*ours, theirs, "{name}: Python");
            compared[2] += 1;
        }
    }
    // Neither is the whole truth, and no reader just refuses.
    assert!(accepted.len() > 50 && refused > 50, "{} accepted, {refused} refused", accepted.len());
    assert!(compared.iter().all(|compared| *compared > 40), "{compared:?} really compared");
}
