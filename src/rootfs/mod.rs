// SPDX-License-Identifier: Apache-2.0
//! Root filesystems on disk, reached by directory handles only.

mod capability;
mod metadata;
mod names;
mod namespace;
mod native;
mod ops;
mod overlay;
mod path;
mod remove;
mod resolve;
mod rootless;
mod sha256;
mod sys;
mod xattr;

pub use crate::idmap::Owner;
pub use capability::{capability_to_container, capability_to_host};
pub use metadata::{Device, FileTime, Identity, Kind, Metadata, Stat, Xattr};
pub use names::Names;
pub(crate) use namespace::is_in_user_namespace;
pub use native::{Native, open_dir};
pub use ops::{Change, Contents, Dir, FsOps, Inode};
pub use overlay::{Overlay, OverlayNamespace, Stacked};
pub use path::{Name, RootPath};
pub use remove::{Removed, remove_all, remove_unless};
pub use resolve::{Steps, resolve, resolve_parent, resolve_within};
pub(crate) use rootless::is_probe;
pub use rootless::{
    Afterwards, Aside, Census, Emulated, HeldMode, Keeping, Node, OWNER_ATTRIBUTE, Ownership,
    Refusals, Reminder, Rootless, RootlessOptions, Strictness, Substitute, TreeNotes, View,
    open_own_dir,
};
pub(crate) use sha256::sha256;
pub use xattr::is_host_label;
