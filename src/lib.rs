// SPDX-License-Identifier: Apache-2.0
//! Build, inspect and change OCI container images without a daemon.

pub mod error;
pub mod idmap;
pub mod layer;
pub mod oci;
pub mod rootfs;
pub mod snapshot;
mod sys;

pub use error::{Context, Error, ErrorKind, Result};
