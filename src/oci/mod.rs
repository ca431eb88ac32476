// SPDX-License-Identifier: Apache-2.0
//! The values of the image specification: digests, descriptors and documents. No disk.

mod data;
mod descriptor;
mod digest;
mod documents;
pub mod json;
pub mod media_type;
mod platform;
mod timestamp;

pub use descriptor::{Descriptor, DescriptorPath};
pub(crate) use digest::is_digest;
pub use digest::{Algorithm, Digest, Hasher, Hashing};
pub use documents::{
    Document, Entry, ExecutionConfig, History, ImageConfig, Index, Manifest, RootFs, UnreadEntry,
};
pub use json::Members;
pub use platform::Platform;
pub use timestamp::Timestamp;
