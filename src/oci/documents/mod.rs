// SPDX-License-Identifier: Apache-2.0
//! The JSON documents of an image: index, manifest and configuration.
//!
//! Reading and writing loses nothing: members that this crate does not know
//! are kept in `other` and written after the known ones, in their order.

mod config;
mod entry;
mod index;
mod manifest;

pub use config::{ExecutionConfig, History, ImageConfig, RootFs};
pub use entry::{Entry, UnreadEntry};
pub use index::Index;
pub use manifest::Manifest;

use serde::Serialize;

use super::json;
use super::media_type::Kind;
use crate::error::Result;

/// A document that is stored as a blob of its own media type.
pub trait Document: Serialize + Sized {
    /// What descriptors that point at such a blob say that it is.
    const KIND: Kind;
    /// The media type of a new blob.
    const MEDIA_TYPE: &'static str;
    /// The most bytes that such a blob may have.
    const MAX_SIZE: u64;

    /// Reads the document from the bytes of a blob, and checks that other readers
    /// cannot take it for something else.
    fn parse(bytes: &[u8]) -> Result<Self>;

    /// The bytes that are stored.
    fn to_bytes(&self) -> Result<Vec<u8>> {
        json::to_bytes(self)
    }
}

#[cfg(test)]
mod tests;
