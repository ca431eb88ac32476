// SPDX-License-Identifier: Apache-2.0
//! What grows with the entries of an image: by the difference between few and many.

use std::fs::File;
use std::io::{self, BufWriter, Read};

use super::peak;
use crate::harness::{Sandbox, needs_root, peer, set_times};

/// What an entry may take at most, in bytes.
const MOST_PER_ENTRY: u64 = 300;
const FEW: u64 = 5_000;
const MANY: u64 = 20_000;
/// The bytes of the last file, which fills all buffers, however few entries there are.
const FILLING: u64 = 20 << 20;
const FILES_PER_DIRECTORY: u64 = 100;

/// What there are many of.
#[derive(Debug, Clone, Copy)]
enum Many {
    /// Directories with files in them.
    Directories,
    /// Files in one directory.
    Files,
    /// Empty directories in one directory.
    Subdirectories,
}

impl Many {
    /// The path of an entry, and whether it is a file.
    fn entry(self, number: u64) -> (String, bool) {
        match self {
            Self::Directories => {
                let (directory, file) =
                    (number / (1 + FILES_PER_DIRECTORY), number % (1 + FILES_PER_DIRECTORY));
                let path = format!("top/directory-{directory:06}");
                if file == 0 { (path, false) } else { (format!("{path}/file-{file:06}"), true) }
            }
            Self::Files => (format!("top/file-{number:06}"), true),
            Self::Subdirectories => (format!("top/directory-{number:06}"), false),
        }
    }

    /// Writes a layer of so many of them.
    fn write(self, count: u64, output: File) {
        let mut tar = tar::Builder::new(BufWriter::new(output));
        append_directory(&mut tar, "top");
        for (path, is_file) in (0..count).map(|number| self.entry(number)) {
            if is_file {
                append(&mut tar, &path, path.as_bytes(), path.len() as u64);
            } else {
                append_directory(&mut tar, &path);
            }
        }
        append(&mut tar, "top/last", io::repeat(0).take(FILLING), FILLING);
        tar.into_inner().unwrap().into_inner().unwrap();
    }
}

fn append(tar: &mut tar::Builder<BufWriter<File>>, path: &str, body: impl Read, size: u64) {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(size);
    tar.append_data(&mut header, path, body).unwrap();
}

fn append_directory(tar: &mut tar::Builder<BufWriter<File>>, path: &str) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    tar.append_data(&mut header, path, io::empty()).unwrap();
}

/// The commands that have to do with each entry. They do not compress: what that takes is the
/// same for any number of entries, and it takes long.
const COMMANDS: [(&str, &[&str]); 6] = [
    ("raw add-layer", &["--image=img", "--tag=many", "--compress=none", "layer.tar"]),
    ("unpack", &["--image=img:many", "bundle"]),
    ("insert", &["--image=img", "--tag=inserted", "--compress=none", "bundle/rootfs", "/tree"]),
    ("repack", &["--image=img:same", "bundle"]),
    ("repack", &["--image=img:touched", "--compress=none", "bundle"]),
    ("repack", &["--image=img:new", "--compress=none", "--refresh-bundle", "bundle"]),
];
/// Before which of them all is touched.
const TOUCHED: usize = 4;

/// The peaks of all commands.
fn peaks(many: Many, count: u64) -> Vec<u64> {
    let sandbox = Sandbox::with_image();
    many.write(count, File::create(sandbox.path("layer.tar")).unwrap());
    let each = COMMANDS.iter().enumerate().map(|(at, (command, arguments))| {
        if at == TOUCHED {
            set_times(&sandbox.path("bundle/rootfs"), 1_000_000_000);
        }
        let words: Vec<&str> = command.split(' ').chain(arguments.iter().copied()).collect();
        peak(&sandbox, &words).unwrap()
    });
    each.collect()
}

#[track_caller]
fn grow_little(many: Many) {
    if !needs_root() || peer("time").is_none() {
        return;
    }
    let (few, many_of_them) = (peaks(many, FEW), peaks(many, MANY));
    let growth = few.iter().zip(&many_of_them).zip(COMMANDS);
    let growth: Vec<_> = growth
        .map(|((few, many), (command, words))| {
            (many.saturating_sub(*few) / (MANY - FEW), format!("{command} {}", words.join(" ")))
        })
        .collect();
    let is_little = growth.iter().all(|(bytes, _)| *bytes <= MOST_PER_ENTRY);
    assert!(is_little, "bytes for each entry of many {many:?}: {growth:#?}");
}

#[test]
fn files_in_many_directories() {
    grow_little(Many::Directories);
}

#[test]
fn many_files_in_a_directory() {
    grow_little(Many::Files);
}

#[test]
fn many_directories_in_a_directory() {
    grow_little(Many::Subdirectories);
}
