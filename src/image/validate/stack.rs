// SPDX-License-Identifier: Apache-2.0
//! The layers of one image, in their order, and what they take together.

use std::sync::atomic::{AtomicU64, Ordering};

use super::blob::Task;
use super::finding::Place;
use crate::error::Result;
use crate::layer::Limits;

/// The layers of one manifest, the lowest first.
#[derive(Debug)]
pub(super) struct Stack {
    /// The manifest.
    pub(super) place: Place,
    /// Their tasks; nothing for what is no layer.
    pub(super) layers: Vec<Option<usize>>,
    /// Whether they are applied over each other.
    pub(super) is_image: bool,
}

/// What layers have, decompressed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Volume {
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

impl Volume {
    pub(super) fn larger(self, other: Self) -> Self {
        Self { bytes: self.bytes.max(other.bytes), entries: self.entries.max(other.entries) }
    }
}

/// What the layers of a stack have taken so far. Which of them is read first makes no difference
/// to whether it is too much: what is left is never less than what would make it so.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    bytes: AtomicU64,
    entries: AtomicU64,
}

impl Meter {
    pub(super) fn new(stack: &Stack, tasks: &[Task], limits: &Limits) -> Self {
        let layers = stack.layers.iter().flatten().filter_map(|at| tasks.get(*at));
        let stored = layers.map(|task| task.size).fold(0, u64::saturating_add);
        let limits = limits.for_stored(stored);
        Self { limits, bytes: AtomicU64::new(0), entries: AtomicU64::new(0) }
    }

    /// What one more layer may have.
    pub(super) fn left(&self) -> Volume {
        let bytes = self.limits.unpacked_size.unwrap_or(u64::MAX);
        Volume {
            bytes: bytes.saturating_sub(self.bytes.load(Ordering::Relaxed)),
            entries: self.limits.entries.saturating_sub(self.entries.load(Ordering::Relaxed)),
        }
    }

    pub(super) fn add(&self, volume: Volume) {
        for (counter, more) in [(&self.bytes, volume.bytes), (&self.entries, volume.entries)] {
            let add = |count: u64| Some(count.saturating_add(more));
            // It always gives a number, so it cannot fail.
            let _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }

    /// Fails if it is too much.
    pub(super) fn check(&self) -> Result<()> {
        self.limits.check_size(self.bytes.load(Ordering::Relaxed))?;
        self.limits.check_entries(self.entries.load(Ordering::Relaxed))
    }
}
