// SPDX-License-Identifier: Apache-2.0
//! Names that nobody else has chosen, and nobody can foresee.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number that no other process is likely to choose.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
