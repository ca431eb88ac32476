// SPDX-License-Identifier: Apache-2.0
//! Root filesystems on disk, reached by directory handles only.

mod metadata;
mod ops;
mod path;

pub use metadata::{Device, FileTime, Identity, Kind, Metadata, Owner, Stat, Xattr};
pub use ops::{Change, Dir, DirEntry, FsOps};
pub use path::{Name, RootPath};
