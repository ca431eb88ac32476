// SPDX-License-Identifier: Apache-2.0
//! What callers can keep from being removed as garbage.

use std::time::SystemTime;

use crate::oci::Digest;

/// A blob as it is stored in a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredBlob {
    /// Its digest, by the name of its file.
    pub digest: Digest,
    /// How many bytes the file has.
    pub size: u64,
    /// When it was stored, last.
    pub stored: SystemTime,
}

/// Says which blobs are to stay although nothing refers to them. Every closure that answers
/// this is a policy:
///
/// ```
/// use umoci::layout::{GcOptions, Layout, StoredBlob, collect_garbage};
///
/// # fn main() -> umoci::Result<()> {
/// # let place = tempfile::tempdir()?;
/// # let layout = Layout::create(place.path().join("layout"))?;
/// # layout.writer()?.put(b"small", "text/plain")?;
/// let small = |blob: &StoredBlob| blob.size < 1024;
/// let report = collect_garbage(&layout, &GcOptions { policies: vec![&small], ..Default::default() })?;
/// assert_eq!((report.removed.len(), report.spared.len()), (0, 1));
/// # Ok(())
/// # }
/// ```
pub trait GcPolicy {
    /// Whether the blob is to stay. An index entry without a name stays with its blob, and so
    /// does everything that a blob refers to.
    fn keeps(&self, blob: &StoredBlob) -> bool;
}

impl<F: Fn(&StoredBlob) -> bool> GcPolicy for F {
    fn keeps(&self, blob: &StoredBlob) -> bool {
        self(blob)
    }
}

/// Keeps what was stored at a moment or later, so that programs which write to the layout
/// without its lock have time to refer to what they have stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepSince(pub SystemTime);

impl GcPolicy for KeepSince {
    fn keeps(&self, blob: &StoredBlob) -> bool {
        blob.stored >= self.0
    }
}
