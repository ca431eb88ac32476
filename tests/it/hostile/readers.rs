// SPDX-License-Identifier: Apache-2.0
//! Other readers of tar beside this one, on archives of every dialect that a
//! generator mixes from a seed: what is accepted here reads the same there.

use std::path::{Path, PathBuf};

use umoci::layer::{EntryKind, Members};

use super::mixture::{Seed, archive};
use crate::harness::{Sandbox, is_slow, peer};

/// What all readers tell of a member: its type, its name without a `/` at the end, where it leads
/// to, how long it is, and whose.
type Line = (char, String, String, u64, (u32, u32));

/// What this program's reader sees; `None` where it refuses.
fn ours(archive: &[u8]) -> Option<Vec<Line>> {
    let mut members = Members::new(archive);
    let mut lines = Vec::new();
    while let Some(entry) = members.next_member().ok()? {
        while let Some(chunk) = members.body().ok()? {
            let count = chunk.bytes.len();
            members.consume(count);
        }
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
    Some(lines)
}

fn plain(name: &str) -> String {
    name.trim_end_matches('/').to_owned()
}

/// Reads all archives of a directory; says `=` and the name of each, and `!` where it was refused.
const PYTHON: &str = r#"
import os, sys, tarfile
letters = {tarfile.REGTYPE: "-", tarfile.AREGTYPE: "-", tarfile.CONTTYPE: "-", tarfile.GNUTYPE_SPARSE: "-",
           tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h", tarfile.CHRTYPE: "c", tarfile.FIFOTYPE: "p"}
for name in sys.argv[1:]:
    print("=", name, sep="\t")
    try:
        for member in tarfile.open(name, "r:"):
            letter = letters.get(member.type, "?")
            size = member.size if letter == "-" else 0
            link = member.linkname if letter in "lh" else ""
            print(letter, member.uid, member.gid, size, member.name, link, sep="\t")
    except tarfile.TarError:
        print("!")
"#;

/// A reader beside this one: a program that lists an archive, and how its lines are read.
struct Reader {
    program: PathBuf,
    words: &'static [&'static str],
    line: fn(&str) -> Option<Line>,
}

fn readers() -> Option<[Reader; 2]> {
    let words = &["--list", "--verbose", "--numeric-owner", "--full-time", "--file"];
    let gnu = Reader { program: peer("tar")?, words, line: gnu_line };
    let words = &["--list", "--verbose", "--numeric-owner", "--file"];
    Some([gnu, Reader { program: peer("bsdtar")?, words, line: bsd_line }])
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
fn theirs(sandbox: &Sandbox, reader: &Reader, name: &str) -> Option<Vec<Line>> {
    let run = sandbox.peer(&reader.program, &[reader.words, &[name]].concat());
    let lines = read_lines(&run.stdout(), reader.line);
    (run.status() == Some(0)).then_some(lines)
}

fn read_lines(text: &str, line: fn(&str) -> Option<Line>) -> Vec<Line> {
    text.lines().map(|text| line(text).unwrap_or_else(|| panic!("{text:?}"))).collect()
}

/// What Python sees of many archives at once.
fn pythons(sandbox: &Sandbox, python: &Path, names: &[String]) -> Vec<Option<Vec<Line>>> {
    let words: Vec<_> =
        ["-c", PYTHON].into_iter().chain(names.iter().map(String::as_str)).collect();
    let text = sandbox.peer(python, &words).succeeds();
    let archives = text.split("=\t").skip(1).map(|archive| archive.split_once('\n').unwrap().1);
    archives.map(|lines| (!lines.contains('!')).then(|| read_lines(lines, python_line))).collect()
}

#[test]
fn what_is_accepted_reads_the_same_elsewhere() {
    let (Some(readers), Some(python)) = (readers(), peer("python3")) else { return };
    let sandbox = Sandbox::new();
    let (mut accepted, mut names, mut refused) = (Vec::new(), Vec::new(), 0);
    for seed in 0..if is_slow() { 5000 } else { 300 } {
        let archive = archive(&mut Seed(seed));
        let Some(ours) = ours(&archive) else {
            refused += 1;
            continue;
        };
        let name = format!("{seed}.tar");
        std::fs::write(sandbox.path(&name), &archive).unwrap();
        for reader in &readers {
            if let Some(theirs) = theirs(&sandbox, reader, &name) {
                assert_eq!(ours, theirs, "seed {seed}: {:?}", reader.program);
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
        }
    }
    // Neither is the whole truth.
    assert!(accepted.len() > 50 && refused > 50, "{} accepted, {refused} refused", accepted.len());
}
