// SPDX-License-Identifier: Apache-2.0
//! Lists as JSON, for programs. What the specification has a name for is called so; the other
//! members have names of small letters. What is not known is null.

use serde::Serialize;

use super::{IndexEntry, Summary};
use crate::error::Result;
use crate::oci::{Entry, Platform, Timestamp, json};

/// The version of the form. Members are added without a new one.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct List<T> {
    version: u32,
    entries: Vec<T>,
}

fn list<T: Serialize>(entries: impl Iterator<Item = T>) -> Result<Vec<u8>> {
    json::to_bytes(&List { version: VERSION, entries: entries.collect() })
}

/// Summaries as JSON, in a form that later versions only add to.
pub fn summaries_to_json(summaries: &[Summary]) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Element<'a> {
        tag: Option<&'a str>,
        full_name: Option<&'a str>,
        digest: String,
        descriptor: &'a Entry,
        platforms: &'a [Platform],
        size: u64,
        created: Option<&'a Timestamp>,
        problem: Option<&'a str>,
    }
    list(summaries.iter().map(|summary| Element {
        tag: summary.tag(),
        full_name: summary.full_name(),
        digest: summary.entry.digest(),
        descriptor: &summary.entry,
        platforms: &summary.platforms,
        size: summary.size,
        created: summary.created.as_ref(),
        problem: summary.problem.as_deref(),
    }))
}

/// What is in an index as JSON, in a form that later versions only add to.
pub fn entries_to_json(entries: &[IndexEntry]) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Element<'a> {
        depth: usize,
        digest: String,
        descriptor: &'a Entry,
        platform: Option<&'a Platform>,
        size: Option<u64>,
        about: Option<&'a str>,
        missing: bool,
        problem: Option<&'a str>,
    }
    list(entries.iter().map(|entry| Element {
        depth: entry.depth,
        digest: entry.entry.digest(),
        descriptor: &entry.entry,
        platform: entry.platform.as_ref(),
        size: entry.size,
        about: entry.about.as_deref(),
        missing: entry.is_missing,
        problem: entry.problem.as_deref(),
    }))
}
