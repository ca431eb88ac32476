// SPDX-License-Identifier: Apache-2.0
//! Which entries of the index stay, and what can be reached from them.

use std::collections::{BTreeSet, HashSet};

use super::Untagged;
use crate::error::{Context, Result};
use crate::layout::referrers::{is_named, named_subject, subject_of};
use crate::layout::walk::Walker;
use crate::layout::{Layout, REF_NAME};
use crate::oci::{Descriptor, Digest, Index};

/// What stays and what does not.
pub(super) struct Choice {
    /// Entries that go, by their places in the index.
    pub(super) dropped: BTreeSet<usize>,
    /// Everything that the other entries lead to.
    pub(super) reachable: HashSet<Digest>,
}

/// Finds the entries that stay: those with a name and those whose blob is `kept`, and then,
/// again and again, those that one of these refers to or that are about one of these.
pub(super) fn choose(
    layout: &Layout,
    index: &Index,
    untagged: Untagged,
    kept: &HashSet<Digest>,
) -> Result<Choice> {
    let mut live = Live { walker: Walker::new(layout), reachable: HashSet::new() };
    let mut pending = Vec::new();
    if let Some(subject) = &index.subject {
        live.reach_subject(subject)?;
    }
    for (at, entry) in index.manifests.iter().enumerate() {
        let stays = untagged == Untagged::Keep || is_named(entry) || kept.contains(&entry.digest);
        if stays {
            live.reach(entry)?;
        } else {
            pending.push(Pending { at, entry, subject: subject_of(layout, entry)? });
        }
    }
    // A signature in a tag of its own is a reason to keep what it is about.
    let names = index.manifests.iter().filter_map(|entry| entry.annotations.get(REF_NAME));
    let signed: HashSet<Digest> = names.filter_map(|name| named_subject(name)).collect();
    loop {
        let is_needed = |one: &mut Pending<'_>| {
            signed.contains(&one.entry.digest) || one.digests().any(|digest| live.has(digest))
        };
        let found: Vec<_> = pending.extract_if(.., is_needed).collect();
        if found.is_empty() {
            break;
        }
        found.iter().try_for_each(|one| live.reach(one.entry))?;
    }
    let dropped = pending.iter().map(|one| one.at).collect();
    Ok(Choice { dropped, reachable: live.reachable })
}

/// An entry that may have to go.
struct Pending<'a> {
    at: usize,
    entry: &'a Descriptor,
    /// What it is about.
    subject: Option<Digest>,
}

impl Pending<'_> {
    /// The digests by which what stays keeps it.
    fn digests(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.entry.digest).chain(&self.subject)
    }
}

/// What stays, as far as it is known.
struct Live<'a> {
    walker: Walker<'a>,
    reachable: HashSet<Digest>,
}

impl Live<'_> {
    fn has(&self, digest: &Digest) -> bool {
        self.reachable.contains(digest)
    }

    /// Adds an entry of the index and everything that it leads to.
    fn reach(&mut self, entry: &Descriptor) -> Result<()> {
        let found = |found: &Descriptor| {
            self.reachable.insert(found.digest.clone());
            Ok(())
        };
        self.walker.walk([entry.clone()], found).context("getting reachables")
    }

    /// Adds what the index is about.
    fn reach_subject(&mut self, subject: &Descriptor) -> Result<()> {
        let found = |found: &Descriptor| {
            self.reachable.insert(found.digest.clone());
            Ok(())
        };
        self.walker.walk_subject(subject.clone(), found).context("getting reachables")
    }
}
