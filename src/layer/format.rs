// SPDX-License-Identifier: Apache-2.0
//! [`DiskFormat`]: how a tree on disk says what a layer removes. A plain tree
//! just lacks it; a directory for overlayfs has to say it.

use crate::rootfs::{FsOps, Overlay, OverlayNamespace};

/// The form that layers have on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DiskFormat {
    /// A root filesystem: what is removed is not there.
    #[default]
    Plain,
    /// A directory that overlayfs stacks upon those of the layers below: what
    /// is removed there is a whiteout, and a directory through which nothing
    /// shows has an extended attribute of this namespace.
    ///
    /// Such a directory knows nothing of the layers below. A directory on the way to a
    /// member, which the layer itself does not describe, gets the metadata of any missing
    /// directory, and symbolic links of lower layers are not followed. Of an opaque
    /// root the kernel takes no notice, and a character device 0:0 is refused.
    Overlay(OverlayNamespace),
}

/// A filesystem in one of the formats.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Disk<'a> {
    Plain(&'a dyn FsOps),
    Overlay(Overlay<'a>),
}

impl<'a> Disk<'a> {
    pub(crate) fn new(fs: &'a dyn FsOps, format: DiskFormat) -> Self {
        match format {
            DiskFormat::Plain => Self::Plain(fs),
            DiskFormat::Overlay(namespace) => Self::Overlay(Overlay::new(fs, namespace)),
        }
    }

    /// The same filesystem in another format.
    pub(crate) fn with_format(self, format: DiskFormat) -> Self {
        match self {
            Self::Plain(fs) => Self::new(fs, format),
            Self::Overlay(overlay) => Self::new(overlay.inner(), format),
        }
    }

    /// The tree, without what belongs to the format.
    pub(crate) fn fs(&self) -> &dyn FsOps {
        match self {
            Self::Plain(fs) => *fs,
            Self::Overlay(overlay) => overlay,
        }
    }

    pub(crate) fn overlay(&self) -> Option<&Overlay<'a>> {
        match self {
            Self::Plain(_) => None,
            Self::Overlay(overlay) => Some(overlay),
        }
    }
}
