// SPDX-License-Identifier: Apache-2.0
//! The values of the image specification: digests, descriptors and documents. No disk.

mod digest;

pub use digest::{Algorithm, Digest, Hasher, Hashing};
