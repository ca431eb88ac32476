// SPDX-License-Identifier: Apache-2.0
//! Attestations, and whether what they are about is listed: in their own index, or in one that
//! it is nested in or that is nested in it.

use std::collections::{HashMap, HashSet};

use super::code::Code;
use super::descriptor::Reference;
use super::finding::{Findings, Place};
use crate::oci::Digest;
use crate::oci::media_type::Kind;
use crate::quote::quote;

/// The indexes that were read.
#[derive(Default)]
pub(super) struct Attestations {
    /// What each lists.
    listed: HashMap<Digest, HashSet<String>>,
    /// Which are nested in each other, both ways.
    beside: HashMap<Digest, Vec<Digest>>,
    found: Vec<Attestation>,
}

struct Attestation {
    place: Place,
    index: Digest,
    image: String,
}

impl Attestations {
    /// Notes the entries of an index.
    pub(super) fn add(&mut self, index: &Digest, entries: &[Reference]) {
        let mut listed = HashSet::new();
        for entry in entries {
            if let Some(image) = entry.about.clone() {
                let place = entry.place.clone();
                self.found.push(Attestation { place, index: index.clone(), image });
            }
            let Some(digest) = &entry.digest else { continue };
            if entry.kind() == Kind::Index {
                self.beside.entry(index.clone()).or_default().push(digest.clone());
                self.beside.entry(digest.clone()).or_default().push(index.clone());
            }
            listed.insert(digest.to_string());
        }
        self.listed.insert(index.clone(), listed);
    }

    /// Tells which are about nothing that is listed.
    pub(super) fn check(&self, findings: &mut Findings) {
        let mut families = Vec::new();
        let mut family_of = HashMap::new();
        for Attestation { place, index, image } in &self.found {
            if !family_of.contains_key(index) {
                let family = self.family(index);
                family_of.extend(family.iter().map(|index| (*index, families.len())));
                families.push(self.listed_in(&family));
            }
            // What cannot be read may list anything.
            let Some(Some(listed)) = family_of.get(index).and_then(|at| families.get(*at)) else {
                continue;
            };
            if !listed.contains(image.as_str()) {
                let message = format!("{} is not in the index", quote(image));
                findings.add(Code::AttestationStale, place, message);
            }
        }
    }

    /// The index, and all that are nested in each other with it.
    fn family<'a>(&'a self, index: &'a Digest) -> Vec<&'a Digest> {
        let mut seen = HashSet::from([index]);
        let mut family = vec![index];
        let mut at = 0;
        while let Some(beside) = family.get(at).map(|index| self.beside.get(*index)) {
            family.extend(beside.into_iter().flatten().filter(|index| seen.insert(*index)));
            at += 1;
        }
        family
    }

    /// What these indexes list, if all of them were read.
    fn listed_in(&self, family: &[&Digest]) -> Option<HashSet<&str>> {
        let mut all = HashSet::new();
        for index in family {
            all.extend(self.listed.get(*index)?.iter().map(String::as_str));
        }
        Some(all)
    }
}
