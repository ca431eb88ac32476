// SPDX-License-Identifier: Apache-2.0
//! [`unpack_into`]: the root filesystem of an image without a bundle around it.

use std::fs::File;
use std::path::Path;

use super::emulation::remove_below;
use super::unpack::{UnpackOptions, apply_options, prepare_root};
use crate::error::{Context, Result};
use crate::image::{Image, RootfsOptions, refuse_unmapped, unpack_rootfs};
use crate::layout::Layout;
use crate::rootfs::{
    Change, Dir, FsOps, Inode, Keeping, Kind, Metadata, Native, Refusals, RootPath, Rootless,
    RootlessOptions, Stat, View, open_own_dir,
};
use crate::sys;

/// Unpacks only the layers of an image, over what may be in the directory
/// `rootfs` already, which may also be a link to one. Its parent must exist.
///
/// # Errors
/// As [`unpack`](super::unpack()). A directory that this call made is removed again; in one
/// that was there before, what has been written stays, which for an owner outside of the maps
/// is nothing.
pub fn unpack_into(
    layout: &Layout,
    image: &Image,
    rootfs: &Path,
    options: &UnpackOptions,
) -> Result<()> {
    refuse_unmapped(layout, image, &apply_options(options)).context("unpack rootfs")?;
    let made = match std::fs::create_dir(rootfs) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error).at("create rootfs", rootfs),
    };
    let open = match rootfs.file_name() {
        // It may not be a link that somebody has put there meanwhile.
        Some(name) if made => {
            parent(rootfs).and_then(|parent| sys::open_dir(&parent, Path::new(name)))
        }
        _ => open_root(rootfs),
    };
    let unpacked =
        open.at("open rootfs", rootfs).and_then(|root| fill(layout, image, root, options));
    if unpacked.is_err()
        && made
        && let Err(error) = remove_made(rootfs)
    {
        log::warn!("cannot clean up {rootfs:?}: {error}");
    }
    unpacked
}

/// Opens a directory, or what a link to one leads to, whatever its permission bits are.
fn open_root(path: &Path) -> std::io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let path = path.canonicalize()?;
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(error);
            };
            open_own_dir(&File::open(parent)?, Path::new(name), None)
        }
        opened => opened,
    }
}

fn remove_made(rootfs: &Path) -> Result<()> {
    let Some(name) = rootfs.file_name() else { return Ok(()) };
    remove_below(&parent(rootfs)?, Path::new(name))
}

fn parent(path: &Path) -> std::io::Result<File> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))
}

fn fill(layout: &Layout, image: &Image, root: File, options: &UnpackOptions) -> Result<()> {
    options.space.check(image, &root)?;
    let before = Before::of(&root)?;
    let unpacked = unpack_over(layout, image, root, options);
    if unpacked.is_err()
        && let Err(error) = before.put_back()
    {
        log::warn!("cannot give the rootfs its owner and mode back: {error}");
    }
    unpacked
}

fn unpack_over(layout: &Layout, image: &Image, root: File, options: &UnpackOptions) -> Result<()> {
    let terms = options.terms();
    let place = root.try_clone()?;
    let mut fs = terms.open(root, View::Disk)?;
    fs.probe(&place).context("set up rootfs")?;
    let apply = apply_options(options);
    prepare_root(&fs, &apply.maps)?;
    let options = RootfsOptions { apply, ..RootfsOptions::default() };
    unpack_rootfs(layout, image, &fs, &options).context("unpack rootfs")?;
    fs.tell_substitutes(Keeping::Nothing);
    Ok(())
}

/// What a root directory is like before anything is unpacked over it.
struct Before {
    fs: Rootless<Native>,
    root: Dir,
    metadata: Metadata,
}

impl Before {
    fn of(root: &File) -> Result<Self> {
        // It is not to be interrupted, as that is what it is for.
        let refusals = Refusals::Substitute;
        let options = RootlessOptions { refusals, ..RootlessOptions::default() };
        let fs = Rootless::native(root.try_clone()?, options)?;
        let root = fs.open_dir(&RootPath::root())?;
        let Inode { stat, xattrs, .. } = fs.dir_inode(&root)?;
        let Stat { owner, mode, atime, mtime, .. } = stat;
        let metadata = Metadata { owner, mode, atime, mtime, xattrs };
        Ok(Self { fs, root, metadata })
    }

    fn put_back(&self) -> Result<()> {
        let change = Change { metadata: &self.metadata, kind: Kind::Dir, clear_xattrs: true };
        Ok(self.fs.set_dir_metadata(&self.root, &change)?)
    }
}
