// SPDX-License-Identifier: Apache-2.0
//! The system calls of a command that change files, with all their bytes, as
//! strace tells them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::Sandbox;

/// The calls that change files or say which file is meant. Those that nothing here makes are
/// among them, so that the model of the disk can object when that changes.
const TRACED: &str = "trace=openat,openat2,open,creat,close,dup,dup2,dup3,fcntl,\
    write,writev,pwrite64,pwritev,lseek,ftruncate,truncate,fallocate,copy_file_range,sendfile,\
    mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat,\
    fsync,fdatasync,sync,syncfs,sync_file_range";

/// A call that has succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) result: i64,
}

/// An argument: text, or a number or names of flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    Bytes(Vec<u8>),
    Word(String),
}

impl Call {
    /// A descriptor, or another number; `None` for the working directory.
    pub(super) fn number(&self, at: usize) -> Option<i64> {
        self.word(at).parse().ok()
    }

    pub(super) fn word(&self, at: usize) -> &str {
        match &self.arguments[at] {
            Argument::Word(word) => word,
            Argument::Bytes(_) => panic!("{self:?} has text at {at}"),
        }
    }

    pub(super) fn bytes(&self, at: usize) -> &[u8] {
        match &self.arguments[at] {
            Argument::Bytes(bytes) => bytes,
            Argument::Word(_) => panic!("{self:?} has no text at {at}"),
        }
    }
}

/// Runs a command that succeeds, and tells its calls.
pub(super) fn record(sandbox: &Sandbox, strace: &Path, words: &[&str]) -> Vec<Call> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_str().unwrap();
    // All text in hexadecimal, and none of it cut off.
    let traced = ["-f", "-qq", "-xx", "-s", "16777216", "--seccomp-bpf", "-e", "signal=none"];
    let traced = [&traced[..], &["-e", TRACED, "-o", path, env!("CARGO_BIN_EXE_umoci")]].concat();
    sandbox.peer(strace, &[&traced, words].concat()).succeeds();
    parse(&std::fs::read_to_string(log.path()).unwrap())
}

/// Reads what strace wrote. A call that others came into the middle of counts when it ended.
fn parse(text: &str) -> Vec<Call> {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (thread, rest) = line.split_once(char::is_whitespace).unwrap();
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, start);
        } else if let Some(end) = rest.strip_prefix("<... ") {
            let (_, end) = end.split_once(" resumed>").unwrap();
            calls.extend(parse_call(&format!("{}{end}", begun.remove(thread).unwrap())));
        } else {
            calls.extend(parse_call(rest));
        }
    }
    calls
}

/// Reads `name(arguments) = result`; `None` for a call that failed, and what is no call.
fn parse_call(line: &str) -> Option<Call> {
    let (call, result) = line.rsplit_once(" = ")?;
    let result = result.split_whitespace().next()?;
    let result = match result.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => result.parse().ok()?,
    };
    let (name, arguments) = call.trim_end().strip_suffix(')')?.split_once('(')?;
    let arguments = arguments.split(", ").map(parse_argument).collect();
    (result >= 0).then(|| Call { name: name.to_owned(), arguments, result })
}

fn parse_argument(text: &str) -> Argument {
    let Some(hex) = text.strip_prefix('"') else { return Argument::Word(text.to_owned()) };
    let hex = hex.strip_suffix('"').unwrap_or_else(|| panic!("{text:?} was cut off"));
    let byte = |hex| u8::from_str_radix(hex, 16).unwrap();
    Argument::Bytes(hex.split("\\x").skip(1).map(byte).collect())
}

#[test]
fn reads_what_strace_writes() {
    let text = "7  openat(AT_FDCWD, \"\\x61\\x2f\", O_RDONLY|O_CLOEXEC) = 3\n\
                8  write(3, \"\\x0a\", 1 <unfinished ...>\n\
                7  openat(3, \"\\x62\", O_RDONLY) = -1 ENOENT (No such file or directory)\n\
                8  <... write resumed>)               = 1\n\
                7  +++ exited with 0 +++\n";
    let [open, write] = &parse(text)[..] else { panic!("{:?}", parse(text)) };
    assert_eq!((open.name.as_str(), open.number(0), open.bytes(1)), ("openat", None, &b"a/"[..]));
    assert_eq!(
        (write.name.as_str(), write.number(0), write.bytes(1)),
        ("write", Some(3), &b"\n"[..])
    );
    assert_eq!((open.result, write.result), (3, 1));
}
