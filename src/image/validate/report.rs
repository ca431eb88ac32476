// SPDX-License-Identifier: Apache-2.0
//! What a validation has found, as a value and as JSON.

use serde::Serialize;

use super::blob::Reading;
use super::code::Severity;
use super::finding::{Finding, Findings, Place};
use crate::error::Result;
use crate::oci::json;

/// The version of the form of [`Report::to_json`]. Members are added without a new one.
const VERSION: u32 = 1;

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The findings, in the order of the layout. Of one file there are at most 100 of each
    /// severity; the numbers below count them all.
    pub findings: Vec<Finding>,
    /// How many errors there are.
    pub errors: u64,
    /// How many warnings there are.
    pub warnings: u64,
    /// How much there is that is only worth knowing.
    pub information: u64,
    /// How many images were looked at.
    pub images: u64,
    /// How many blobs were read.
    pub blobs: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many blobs nothing refers to. Nothing, if that was not asked for, or if it cannot be
    /// known because documents are missing or damaged.
    pub orphaned: Option<u64>,
}

impl Report {
    pub(super) fn new(
        findings: Findings,
        images: u64,
        read: &Reading,
        orphaned: Option<u64>,
    ) -> Self {
        let count = |severity| findings.counts.get(&severity).copied().unwrap_or_default();
        Self {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            information: count(Severity::Information),
            images,
            blobs: read.blobs,
            bytes: read.bytes,
            orphaned,
            findings: findings.kept,
        }
    }

    /// Whether there are no errors.
    pub fn is_valid(&self) -> bool {
        self.errors == 0
    }

    /// How many findings were counted and not kept.
    pub fn omitted(&self) -> u64 {
        let all = self.errors.saturating_add(self.warnings).saturating_add(self.information);
        all.saturating_sub(self.findings.len() as u64)
    }

    /// The report as JSON, in a form that later versions only add to.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let findings = self.findings.iter().map(|finding| FindingJson {
            severity: finding.code.severity().as_str(),
            code: finding.code.as_str(),
            place: &finding.place,
            message: &finding.message,
        });
        json::to_bytes(&ReportJson {
            version: VERSION,
            valid: self.is_valid(),
            errors: self.errors,
            warnings: self.warnings,
            information: self.information,
            omitted: self.omitted(),
            images: self.images,
            blobs: self.blobs,
            bytes: self.bytes,
            orphaned: self.orphaned,
            findings: findings.collect(),
        })
    }
}

#[derive(Serialize)]
struct ReportJson<'a> {
    version: u32,
    valid: bool,
    errors: u64,
    warnings: u64,
    information: u64,
    omitted: u64,
    images: u64,
    blobs: u64,
    bytes: u64,
    orphaned: Option<u64>,
    findings: Vec<FindingJson<'a>>,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    severity: &'a str,
    code: &'a str,
    #[serde(flatten)]
    place: &'a Place,
    message: &'a str,
}
