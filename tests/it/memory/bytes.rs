// SPDX-License-Identifier: Apache-2.0
//! What does not grow with the bytes of an image: the same peak for a large file and a larger one.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use super::peak;
use crate::harness::{Sandbox, needs_root, peer, set_times};

/// The sizes of the files, in bytes.
const LARGE: u64 = 64 << 20;
const LARGER: u64 = 192 << 20;
/// By how much peaks may differ: what chance has over how threads meet, in bytes.
const CHANCE: u64 = 2_000_000;

/// Of how many bytes the first are noise, which fills what compression has, and the rest zeros,
/// which take little time.
const PERIOD: u64 = 8 << 20;
const NOISE: u64 = 512 << 10;

/// The commands that have to do with each byte.
const COMMANDS: [&[&str]; 7] = [
    &["raw", "add-layer", "--image=img", "--tag=large", "--compress=zstd", "layer.tar"],
    &["raw", "unpack", "--image=img:large", "rootfs"],
    &["unpack", "--image=img:large", "bundle"],
    &["insert", "--image=img", "--tag=inserted", "--compress=none", "rootfs/file", "/file"],
    &["repack", "--image=img:gzip", "--compress=gzip", "bundle"],
    &["repack", "--image=img:zstd", "--compress=zstd", "bundle"],
    &["repack", "--image=img:none", "--compress=none", "bundle"],
];

/// Writes a layer of one file.
fn write(size: u64, output: File) {
    let mut noise = vec![0; usize::try_from(NOISE).unwrap()];
    File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    let mut output = BufWriter::new(output);
    let mut header = tar::Header::new_ustar();
    header.set_path("file").unwrap();
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    output.write_all(header.as_bytes()).unwrap();
    for _ in 0..size / PERIOD {
        output.write_all(&noise).unwrap();
        io::copy(&mut io::repeat(0).take(PERIOD - NOISE), &mut output).unwrap();
    }
    output.write_all(&[0; 1024]).unwrap();
    output.into_inner().unwrap();
}

/// The peaks of all commands.
fn peaks(size: u64) -> Vec<u64> {
    let sandbox = Sandbox::with_image();
    write(size, File::create(sandbox.path("layer.tar")).unwrap());
    let each = COMMANDS.iter().map(|words| {
        if words[0] == "repack" {
            set_times(&sandbox.path("bundle/rootfs"), 1_000_000_000);
        }
        peak(&sandbox, words).unwrap()
    });
    each.collect()
}

#[test]
fn a_larger_file_takes_no_more() {
    if !needs_root() || peer("time").is_none() {
        return;
    }
    let (large, larger) = (peaks(LARGE), peaks(LARGER));
    let peaks: Vec<_> = COMMANDS.iter().zip(large.iter().zip(&larger)).collect();
    let is_flat = peaks.iter().all(|(_, (large, larger))| **larger <= **large + CHANCE);
    assert!(is_flat, "{peaks:#?}");
}
