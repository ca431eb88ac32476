// SPDX-License-Identifier: Apache-2.0
//! Build, inspect and change OCI container images without a daemon.

pub mod bundle;
pub mod error;
pub mod idmap;
pub mod image;
pub mod layer;
pub mod layout;
pub mod oci;
pub mod quote;
pub mod rootfs;
pub mod snapshot;
mod sys;

pub use error::{Context, Error, ErrorKind, Result};
