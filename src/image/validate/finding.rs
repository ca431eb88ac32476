// SPDX-License-Identifier: Apache-2.0
//! One [`Finding`]: what was found, and the [`Place`] where.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::code::{Code, Severity};
use crate::oci::Digest;

/// How many findings of one severity are kept of one file. The rest is only counted, so that
/// an image cannot make a report of any size.
const KEPT_PER_FILE: usize = 100;

/// Something that is not as it should be, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub code: Code,
    /// Where it is.
    pub place: Place,
    /// What exactly; text from images is in it only in quotes.
    pub message: String,
}

impl Finding {
    pub(super) fn new(code: Code, place: &Place, message: impl Into<String>) -> Self {
        Self { code, place: place.clone(), message: message.into() }
    }
}

/// `error: blob-digest: blobs/sha256/…#/layers/0: …`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, place, message } = self;
        write!(f, "{}: {code}: {place}: {message}", code.severity())
    }
}

/// A place in a layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Place {
    /// The file, from the layout's directory: `index.json`, `blobs/sha256/…`.
    pub file: String,
    /// Where in the document that it is: a JSON pointer (RFC 6901), empty for the whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pointer: String,
    /// Which member of the layer that it is; what is not ASCII is escaped. Empty for the whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub member: String,
}

impl Place {
    pub(super) fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), pointer: String::new(), member: String::new() }
    }

    pub(super) fn blob(digest: &Digest) -> Self {
        Self::file(format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex()))
    }

    /// A member or element of what is here.
    pub(super) fn at(&self, step: impl fmt::Display) -> Self {
        let step = step.to_string().replace('~', "~0").replace('/', "~1");
        Self { pointer: format!("{}/{step}", self.pointer), ..self.clone() }
    }

    pub(super) fn member(&self, name: impl Into<String>) -> Self {
        Self { member: name.into(), ..self.clone() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if !self.pointer.is_empty() {
            write!(f, "#{}", self.pointer)?;
        }
        if !self.member.is_empty() {
            write!(f, ": {}", self.member)?;
        }
        Ok(())
    }
}

/// Findings in order, and how many there are in all.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) kept: Vec<Finding>,
    pub(super) counts: HashMap<Severity, u64>,
    per_file: HashMap<(String, Severity), usize>,
}

impl Findings {
    pub(super) fn add(&mut self, code: Code, place: &Place, message: impl Into<String>) {
        self.push(Finding::new(code, place, message));
    }

    pub(super) fn push(&mut self, finding: Finding) {
        let severity = finding.code.severity();
        *self.counts.entry(severity).or_default() += 1;
        let kept = self.per_file.entry((finding.place.file.clone(), severity)).or_default();
        if *kept < KEPT_PER_FILE {
            *kept += 1;
            self.kept.push(finding);
        }
    }

    /// Adds what was found elsewhere.
    pub(super) fn append(&mut self, mut other: Self) {
        for finding in other.kept {
            let counted = other.counts.entry(finding.code.severity()).or_default();
            *counted = counted.saturating_sub(1);
            self.push(finding);
        }
        for (severity, count) in other.counts {
            *self.counts.entry(severity).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_by_people_and_by_machines() {
        let place = Place::file("index.json").at("manifests").at(3).at("a/b~c");
        assert_eq!(place.to_string(), "index.json#/manifests/3/a~1b~0c");
        let place = Place::file("blobs/sha256/00").member("etc/passwd");
        assert_eq!(place.to_string(), "blobs/sha256/00: etc/passwd");
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let mut findings = Findings::default();
        for number in 0..1000 {
            findings.add(Code::TarName, &Place::file("a").member(number.to_string()), "m");
        }
        findings.add(Code::TarEnd, &Place::file("a"), "m");
        findings.add(Code::TarName, &Place::file("b"), "m");
        assert_eq!(findings.kept.len(), KEPT_PER_FILE + 2);
        assert_eq!(findings.counts[&Severity::Error], 1001);
    }
}
