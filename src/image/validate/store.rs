// SPDX-License-Identifier: Apache-2.0
//! The layout itself (image-spec `image-layout.md`): its marker, its index, and the names
//! among its blobs.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};

use serde_json::Value;

use super::code::Code;
use super::document;
use super::fields::{self, Fields, Need};
use super::finding::{Findings, Place};
use crate::layout::LayoutFiles;
use crate::oci::json::MAX_INDEX_SIZE;
use crate::oci::{Algorithm, Digest};
use crate::quote::quote;

const VERSION: &str = "1.0.0";

/// The most bytes that the file `oci-layout` may have.
const MAX_MARKER_SIZE: u64 = 64 << 10;

/// Checks the file `oci-layout`.
pub(super) fn marker(files: &LayoutFiles, findings: &mut Findings) {
    let place = Place::file(LayoutFiles::MARKER);
    let bytes = match files.file(LayoutFiles::MARKER).and_then(|file| read(file, MAX_MARKER_SIZE)) {
        Ok(bytes) => bytes,
        Err(error) => return findings.add(Code::LayoutFile, &place, error.to_string()),
    };
    let Some(members) = fields::parse(&bytes, &place, findings) else { return };
    let mut fields = Fields { members: &members, place, findings };
    if let Some(version) = fields.string("imageLayoutVersion", Need::Required)
        && version != VERSION
    {
        fields.add(Code::LayoutVersion, format!("the version is {}", quote(version)));
    }
}

/// Checks `index.json`, as far as it is `wanted`.
pub(super) fn index(
    files: &LayoutFiles,
    wanted: &dyn Fn(&Value) -> bool,
    findings: &mut Findings,
) -> Option<document::Index> {
    let place = Place::file(LayoutFiles::INDEX);
    let bytes = match files.file(LayoutFiles::INDEX).and_then(|file| read(file, MAX_INDEX_SIZE)) {
        Ok(bytes) => bytes,
        Err(error) => {
            findings.add(Code::IndexFile, &place, error.to_string());
            return None;
        }
    };
    let members = fields::parse(&bytes, &place, findings)?;
    Some(document::index(&mut Fields { members: &members, place, findings }, None, wanted))
}

fn read(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Checks that there is a directory of blobs.
pub(super) fn blobs(files: &LayoutFiles, findings: &mut Findings) -> Option<Vec<OsString>> {
    match files.algorithms() {
        Ok(names) => Some(names),
        Err(error) => {
            findings.add(Code::LayoutBlobs, &Place::file(LayoutFiles::BLOBS), error.to_string());
            None
        }
    }
}

/// All blobs of registered algorithms. What has no name of a blob is noted.
pub(super) fn list(
    files: &LayoutFiles,
    algorithms: &[OsString],
    findings: &mut Findings,
) -> Vec<Digest> {
    let mut digests = Vec::new();
    for name in algorithms {
        let place = Place::file(format!("{}/{}", LayoutFiles::BLOBS, shown(name)));
        let algorithm = name.to_str().and_then(|name| name.parse::<Algorithm>().ok());
        let Some(algorithm) = algorithm else {
            findings.add(Code::BlobName, &place, "not the name of a registered algorithm");
            continue;
        };
        let names = files.blobs(name).unwrap_or_else(|error| {
            findings.add(Code::LayoutBlobs, &place, error.to_string());
            Vec::new()
        });
        for name in names {
            let digest = name.to_str().map(|hex| format!("{}:{hex}", algorithm.as_str()));
            match digest.and_then(|digest| digest.parse().ok()) {
                Some(digest) => digests.push(digest),
                None => {
                    let place = Place::file(format!("{}/{}", place.file, shown(&name)));
                    findings.add(Code::BlobName, &place, "not the name of a blob");
                }
            }
        }
    }
    digests
}

/// Notes blobs that nothing refers to, and gives them.
pub(super) fn orphans(
    blobs: Vec<Digest>,
    reachable: &HashSet<Digest>,
    findings: &mut Findings,
) -> Vec<Digest> {
    let orphans: Vec<Digest> =
        blobs.into_iter().filter(|digest| !reachable.contains(digest)).collect();
    for digest in &orphans {
        findings.add(Code::BlobOrphaned, &Place::blob(digest), "nothing refers to the blob");
    }
    orphans
}

/// A file's name, which may be any bytes.
fn shown(name: &OsStr) -> String {
    name.as_encoded_bytes().escape_ascii().to_string()
}
