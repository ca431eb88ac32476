// SPDX-License-Identifier: Apache-2.0
//! Whole layouts, validated and converted. Nothing outside is ever touched; what is in order stays
//! so in the other format, and converted again it does not change.
//!
//! An input is a text of blobs, the last of which is the index. In it `%d0` is the digest of the
//! first blob, `%s0` its size, and `%p0` the digest of what it was before compression, so that
//! changed blobs are still found.

use std::cell::RefCell;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use umoci::image::validate::{Report, ValidateOptions, validate};
use umoci::image::{ConvertOptions, Loss, convert};
use umoci::layer::Limits;
use umoci::layer::compress::{Compression, Encoder, EncoderOptions};
use umoci::layout::Layout;
use umoci::oci::media_type::Family;
use umoci::oci::{Algorithm, Descriptor, Digest};

use crate::driver::Target;

pub(crate) const TARGET: Target =
    Target { name: "layouts", run, words: WORDS, mend: super::as_it_is };

const WORDS: &[&[u8]] = &[
    SEPARATOR,
    b"%zstd\n",
    b"%gzip\n",
    b"%tar\n",
    b"0 a\n",
    b"1 a b\n",
    b"5 a/\n",
    b"\"%d0\"",
    b"\"%d1\"",
    b"\"%d2\"",
    b"\"%p0\"",
    b"%s0",
    b"%s1",
    b"\"application/vnd.oci.image.index.v1+json\"",
    b"\"application/vnd.oci.image.manifest.v1+json\"",
    b"\"application/vnd.oci.image.config.v1+json\"",
    b"\"application/vnd.oci.image.layer.v1.tar+zstd\"",
    b"\"application/vnd.docker.distribution.manifest.list.v2+json\"",
    b"\"application/vnd.docker.distribution.manifest.v2+json\"",
    b"\"application/vnd.docker.image.rootfs.diff.tar.gzip\"",
    b"\"application/vnd.oci.empty.v1+json\"",
    b"\"data\":\"e30=\",",
    b"\"urls\":[\"u\"],",
    b"\"annotations\":{\"a\":\"b\"},",
    b"\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"},",
    b"\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"},",
    b"null",
    b"{}",
    b"[]",
    b"\"../../outside\"",
];

const SEPARATOR: &[u8] = b"\n====\n";
const OUTSIDE: &str = "outside";

fn run(input: &[u8]) -> String {
    thread_local!(static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) });
    PLACE.with_borrow_mut(|place| place.get_or_insert_with(Place::new).check(input))
}

/// A directory with a layout, and something that is none of its business.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        // All that is stored is synced, which takes no time in memory.
        let top = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        fs::write(top.path().join(OUTSIDE), OUTSIDE).unwrap();
        Self(top)
    }

    fn layout(&self) -> PathBuf {
        self.0.path().join("img")
    }

    fn check(&self, input: &[u8]) -> String {
        let mut answer = Vec::new();
        for family in [Family::Docker, Family::Oci] {
            self.write(input);
            let report = self.validate();
            answer.extend(report.findings.iter().map(|found| found.code.to_string()));
            answer.push(self.convert(family, report.is_valid()));
            self.look_around();
        }
        answer.join(" ")
    }

    /// Writes a layout anew.
    fn write(&self, input: &[u8]) {
        let _ = fs::remove_dir_all(self.layout());
        let blobs = self.layout().join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(self.layout().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let mut known: Vec<Known> = Vec::new();
        let parts = split(input);
        for (number, part) in parts.iter().enumerate() {
            let (plain, blob) = expand(&fill(part, &known));
            if number + 1 == parts.len() {
                fs::write(self.layout().join("index.json"), blob).unwrap();
                break;
            }
            let of = |bytes: &[u8]| Digest::of(Algorithm::Sha256, bytes);
            let digest = of(&blob);
            fs::write(blobs.join(digest.hex()), &blob).unwrap();
            known.push(Known {
                digest: digest.to_string(),
                size: blob.len().to_string(),
                plain: of(&plain).to_string(),
            });
        }
    }

    /// What is found does not depend on the number of threads.
    fn validate(&self) -> Report {
        let [one, other] = [1, 3].map(|threads| {
            let limits = Limits { unpacked_size: Some(64 << 10), entries: 100, path_depth: 20 };
            let threads = NonZeroUsize::new(threads);
            let options = ValidateOptions { limits, threads, ..ValidateOptions::default() };
            validate(self.layout(), &options).unwrap()
        });
        assert_eq!(one, other);
        one
    }

    fn convert(&self, family: Family, was_valid: bool) -> String {
        let layout = match Layout::open(self.layout()) {
            Ok(layout) => layout,
            Err(error) => return error.to_string(),
        };
        let entries = match layout.index() {
            Ok(index) => index.manifests,
            Err(error) => return error.to_string(),
        };
        let mut answer = Vec::new();
        for (number, entry) in entries.iter().take(3).enumerate() {
            let new = match converted(&layout, entry, family) {
                Ok(new) => new,
                Err(error) => {
                    answer.push(error);
                    continue;
                }
            };
            assert_eq!(converted(&layout, &new, family).as_ref(), Ok(&new), "it changes again");
            let tag = format!("new{number}").parse().unwrap();
            layout.writer().unwrap().tag(&tag, new).unwrap();
            answer.push("converted".to_owned());
        }
        let report = self.validate();
        assert!(!was_valid || report.is_valid(), "{:#?}", report.findings);
        answer.join(" ")
    }

    /// Nothing is beside the layout but what was there, and nothing is left in it.
    fn look_around(&self) {
        assert_eq!(names(self.0.path()), ["img", OUTSIDE]);
        assert_eq!(fs::read_to_string(self.0.path().join(OUTSIDE)).unwrap(), OUTSIDE);
        assert_eq!(names(&self.layout()), ["blobs", "index.json", "oci-layout"]);
    }
}

fn converted(layout: &Layout, entry: &Descriptor, family: Family) -> Result<Descriptor, String> {
    let options = ConvertOptions {
        loss: Loss::Accept,
        encoder: EncoderOptions { threads: NonZeroUsize::new(1) },
        limits: Limits { unpacked_size: Some(64 << 10), ..Limits::default() },
        ..ConvertOptions::default()
    };
    let writer = layout.writer().unwrap();
    let converted = convert(&writer, entry, family, &options);
    converted.map(|converted| converted.descriptor).map_err(|error| {
        let error = error.to_string();
        assert!(!error.contains("internal error"), "{error}");
        error
    })
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What is known of a blob.
struct Known {
    digest: String,
    size: String,
    plain: String,
}

fn split(mut input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some(at) = input.windows(SEPARATOR.len()).position(|bytes| bytes == SEPARATOR) {
        parts.push(&input[..at]);
        input = &input[at + SEPARATOR.len()..];
    }
    parts.push(input);
    parts
}

/// Puts digests and sizes in the place of their names.
fn fill(part: &[u8], known: &[Known]) -> Vec<u8> {
    let mut filled = Vec::new();
    let mut rest = part;
    while let Some((first, behind)) = rest.split_first() {
        let value = match behind {
            [sort @ (b'd' | b's' | b'p'), number @ b'0'..=b'9', ..] if *first == b'%' => {
                known.get(usize::from(number - b'0')).map(|known| match sort {
                    b'd' => &known.digest,
                    b's' => &known.size,
                    _ => &known.plain,
                })
            }
            _ => None,
        };
        match value {
            Some(value) => {
                filled.extend_from_slice(value.as_bytes());
                rest = &behind[2..];
            }
            None => {
                filled.push(*first);
                rest = behind;
            }
        }
    }
    filled
}

/// The plain bytes of a blob, and those that are stored.
fn expand(part: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (compression, part) = match (part.strip_prefix(b"%zstd\n"), part.strip_prefix(b"%gzip\n")) {
        (Some(part), _) => (Compression::Zstd, part),
        (_, Some(part)) => (Compression::Gzip, part),
        _ => (Compression::None, part),
    };
    let plain = part.strip_prefix(b"%tar\n").map_or_else(|| part.to_vec(), archive);
    let options = EncoderOptions { threads: NonZeroUsize::new(1) };
    let mut encoder = Encoder::new(Vec::new(), compression, &options).unwrap();
    std::io::Write::write_all(&mut encoder, &plain).unwrap();
    (plain, encoder.finish().unwrap())
}

/// An archive of lines, each of which is a type, a name and the target of a link.
fn archive(lines: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(200) {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let mut word = || words.next().unwrap_or_default();
        let (flag, name, link) = (word(), word(), word());
        let mut header = tar::Header::new_ustar();
        let bytes = header.as_mut_bytes();
        for (at, word) in [(0, name), (157, link)] {
            let word = &word[..word.len().min(100)];
            bytes[at..at + word.len()].copy_from_slice(word);
        }
        bytes[156] = flag.first().copied().unwrap_or_default();
        header.set_mode(0o644);
        header.set_size(0);
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}
