// SPDX-License-Identifier: Apache-2.0
//! Removal of blobs that nothing refers to, and of what killed writers left.
//!
//! Only regular files with the name of a digest are removed, from real
//! directories, and only after everything that is to stay has been verified.
//! Writers of this tool are kept out by the layout's lock. Writers of tools
//! without it may be about: those that lock a `.umoci-*` directory are waited
//! for, and a blob that any of them puts while garbage is collected stays.

mod blobs;
mod entries;
mod policy;
mod temporary;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::fmt;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::oci::{Descriptor, Digest, Index};
use crate::sys;

use super::lock::{BlobLock, Held, Mode, Patience};
use super::walk::{Walker, require_all};
use super::{Layout, LayoutWriter};

use blobs::BlobDir;
pub use policy::{GcPolicy, KeepSince, StoredBlob};

/// What becomes of entries of the index that have no name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Untagged {
    /// They stay, with all that they refer to.
    #[default]
    Keep,
    /// They go, except for those that something which stays refers to, and those that are
    /// about something which stays: signatures, attestations and other referrers.
    Drop,
}

/// Whether garbage is only looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Effect {
    /// It is removed.
    #[default]
    Remove,
    /// Nothing is changed; the report says what would be removed.
    Report,
}

/// How garbage is collected.
#[derive(Clone, Default)]
pub struct GcOptions<'a> {
    /// What becomes of entries without a name.
    pub untagged: Untagged,
    /// Each may keep blobs and entries without a name that would be removed. What is removed,
    /// all of them have agreed to.
    pub policies: Vec<&'a dyn GcPolicy>,
    /// Whether anything is removed.
    pub effect: Effect,
}

impl GcOptions<'_> {
    fn keeps(&self, blob: &StoredBlob) -> bool {
        self.policies.iter().any(|policy| policy.keeps(blob))
    }
}

impl fmt::Debug for GcOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcOptions")
            .field("untagged", &self.untagged)
            .field("policies", &self.policies.len())
            .field("effect", &self.effect)
            .finish()
    }
}

/// What [`collect_garbage`] did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcReport {
    /// The entries without a name that were dropped from the index.
    pub dropped: Vec<Descriptor>,
    /// The blobs that were removed.
    pub removed: Vec<StoredBlob>,
    /// The blobs that only a policy has kept, or what such a blob refers to.
    pub spared: Vec<StoredBlob>,
    /// How many temporary directories of killed writers were removed.
    pub temporary: usize,
}

impl GcReport {
    /// How many bytes the removed blobs had.
    pub fn bytes(&self) -> u64 {
        self.removed.iter().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }
}

/// Removes every blob that cannot be reached from the index, tagged or not, and that no
/// policy keeps. What a kept blob refers to is kept with it.
///
/// # Errors
/// [`ErrorKind::Busy`] when others write for longer than the limit. When a
/// manifest, configuration or index that is to stay is missing or damaged,
/// nothing is removed.
pub fn collect_garbage(layout: &Layout, options: &GcOptions<'_>) -> Result<GcReport> {
    let mut patience = layout.patience();
    loop {
        let lock = lock(layout, options.effect, &mut patience)?;
        if let Some(plan) = Plan::make(layout, options)? {
            let report = match options.effect {
                Effect::Report => Some(plan.foretell(layout)?),
                Effect::Remove => plan.carry_out(layout, &lock)?,
            };
            if let Some(report) = report {
                return Ok(report);
            }
        }
        // Others of this tool need not wait for those who do not know its lock.
        drop(lock);
        patience.pause(|| format!("another program, which writes to {:?}", layout.path()))?;
    }
}

fn lock(layout: &Layout, effect: Effect, patience: &mut Patience) -> Result<BlobLock> {
    match layout.lock_blobs(Mode::Exclusive, patience)? {
        (lock, Held::Yes) => Ok(lock),
        (lock, Held::Impossible) if effect == Effect::Report => Ok(lock),
        (_, Held::Impossible) => Err(Error::unsupported(format!(
            "{:?} cannot be locked, so nothing can be removed safely",
            layout.path()
        ))),
    }
}

/// What is to be removed.
struct Plan {
    index: Index,
    /// Entries of the index, by their places.
    dropped: BTreeSet<usize>,
    dirs: Vec<BlobDir>,
    spared: Vec<StoredBlob>,
    /// Private directories that nobody was using.
    abandoned: Vec<OsString>,
}

impl Plan {
    /// Finds the garbage; `None` when somebody without our lock is writing.
    ///
    /// The order matters: what is put after the list was made is not in it,
    /// and who put something before that and still has to refer to it either
    /// holds its directory, or has changed the index, when these are looked at.
    fn make(layout: &Layout, options: &GcOptions<'_>) -> Result<Option<Self>> {
        let Some(abandoned) = temporary::abandoned(layout)? else { return Ok(None) };
        let mut dirs = blobs::list(layout)?;
        let bytes = layout.index_bytes()?;
        let index = layout.parse_index(&bytes)?;
        require_all(&index).context("getting reachables")?;
        let young = young(&dirs, options);
        let choice = entries::choose(layout, &index, options.untagged, &young)?;
        if temporary::abandoned(layout)?.is_none() || layout.index_bytes()? != bytes {
            return Ok(None);
        }
        for dir in &mut dirs {
            dir.garbage.retain(|found| !choice.reachable.contains(&found.blob.digest));
        }
        let spared = spare(layout, &mut dirs, &young)?;
        Ok(Some(Self { index, dropped: choice.dropped, dirs, spared, abandoned }))
    }

    fn dropped_entries(&self) -> Vec<Descriptor> {
        let entries = self.index.manifests.iter().enumerate();
        let dropped = entries.filter(|(at, _)| self.dropped.contains(at));
        dropped.map(|(_, entry)| entry.clone()).collect()
    }

    /// What carrying it out would do.
    fn foretell(self, layout: &Layout) -> Result<GcReport> {
        let dropped = self.dropped_entries();
        let garbage = self.dirs.into_iter().flat_map(|dir| dir.garbage);
        Ok(GcReport {
            dropped,
            removed: garbage.map(|found| found.blob).collect(),
            spared: self.spared,
            temporary: temporary::count(layout, &self.abandoned)?,
        })
    }

    /// Drops the entries, then removes the blobs: stopped in between it leaves garbage, and
    /// nothing that refers to a blob which is gone. `None` when the index is another one.
    fn carry_out(self, layout: &Layout, lock: &BlobLock) -> Result<Option<GcReport>> {
        let dropped = self.dropped_entries();
        if !dropped.is_empty() && !self.drop_entries(layout, lock)? {
            return Ok(None);
        }
        let mut report = GcReport { dropped, spared: self.spared, ..GcReport::default() };
        for dir in self.dirs {
            dir.remove_garbage(&mut report.removed, layout.interrupt())?;
        }
        report.temporary = temporary::remove(layout, self.abandoned)?;
        sys::sync_dir(&lock.dir).at("sync", layout.path())?;
        Ok(Some(report))
    }

    /// Whether the index was still the one that was looked at.
    fn drop_entries(&self, layout: &Layout, lock: &BlobLock) -> Result<bool> {
        let lock = BlobLock::of(lock.dir.try_clone().at("lock", layout.path())?);
        let updated = LayoutWriter::holding(layout, lock, Held::Yes)?.update_index(|index| {
            if *index != self.index {
                return Err(Error::new(ErrorKind::Changed, "the index was changed meanwhile"));
            }
            let mut at = 0..;
            index.manifests.retain(|_| at.next().is_some_and(|at| !self.dropped.contains(&at)));
            Ok(())
        });
        match updated {
            Err(error) if error.kind() == ErrorKind::Changed => Ok(false),
            updated => updated.map(|()| true).context("drop entries without a name"),
        }
    }
}

/// The blobs that a policy keeps, whether something refers to them or not.
fn young(dirs: &[BlobDir], options: &GcOptions<'_>) -> HashSet<Digest> {
    let blobs = dirs.iter().flat_map(|dir| &dir.garbage).map(|found| &found.blob);
    blobs.filter(|blob| options.keeps(blob)).map(|blob| blob.digest.clone()).collect()
}

/// Takes out of the garbage what a policy keeps and what that refers to. It may be damaged
/// or incomplete: nobody relies on it yet.
fn spare(layout: &Layout, dirs: &mut [BlobDir], kept: &HashSet<Digest>) -> Result<Vec<StoredBlob>> {
    let garbage = dirs.iter().flat_map(|dir| &dir.garbage).map(|found| &found.blob);
    let roots = garbage.filter(|blob| kept.contains(&blob.digest));
    let roots: Vec<_> =
        roots.map(|blob| Descriptor::new("", blob.digest.clone(), blob.size)).collect();
    let mut reachable = HashSet::new();
    Walker::lenient(layout).walk(roots, |found| {
        reachable.insert(found.digest.clone());
        Ok(())
    })?;
    let mut spared = Vec::new();
    for dir in dirs {
        let is_spared = |found: &mut blobs::Found| reachable.contains(&found.blob.digest);
        spared.extend(dir.garbage.extract_if(.., is_spared).map(|found| found.blob));
    }
    Ok(spared)
}
