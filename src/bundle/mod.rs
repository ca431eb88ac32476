// SPDX-License-Identifier: Apache-2.0
//! Runtime bundles: an unpacked image with what a runtime needs to run it and
//! what this crate needs to find out later what has changed.

pub mod metadata;
pub mod passwd;
pub mod runtime_spec;

pub use metadata::{BundleMetadata, MtreeRecord, Privileges};
pub use passwd::{Accounts, User};
pub use runtime_spec::{RuntimeSpec, RuntimeSpecOptions, runtime_spec};
