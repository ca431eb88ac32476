// SPDX-License-Identifier: Apache-2.0
//! What is fuzzed, and what has to hold of each answer.

pub(crate) mod accounts;
pub(crate) mod aside;
mod bundle;
pub(crate) mod compression;
pub(crate) mod documents;
pub(crate) mod grammar;
pub(crate) mod idmaps;
pub(crate) mod layouts;
pub(crate) mod members;
pub(crate) mod metadata;
pub(crate) mod mtree;
pub(crate) mod pax;
pub(crate) mod record;
pub(crate) mod references;
pub(crate) mod stat_index;
pub(crate) mod tree;

/// Nothing has to be mended.
fn as_it_is(_: &mut Vec<u8>) {}

/// Words of JSON documents.
const JSON: &[&[u8]] = &[
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\"\"",
    b"\"a\":",
    b"\"a\":1,",
    b",",
    b"1e400",
    b"-0",
    b"1.5",
    b"\\ud800",
    b"\\u0000",
    b"\xef\xbb\xbf",
    b"\"schemaVersion\":2,",
    b"\"mediaType\":",
    b"\"config\":",
    b"\"layers\":[",
    b"\"manifests\":[",
    b"\"annotations\":{",
    b"\"digest\":",
    b"\"size\":",
    b"\"data\":\"e30=\",",
    b"\"platform\":{\"os\":\"linux\"},",
    b"\"subject\":",
    b"\"artifactType\":\"a/b\",",
    b"\"history\":[",
    b"\"rootfs\":",
    b"\"diff_ids\":[",
    b"\"empty_layer\":true,",
    b"\"created\":\"2020-01-01T00:00:00.5+01:00\",",
    b"\"Env\":[",
    b"\"Volumes\":{",
    b"\"LAYERS\":[",
    b"\"urls\":[",
    b"\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
    b"\"application/vnd.oci.image.manifest.v1+json\"",
];
