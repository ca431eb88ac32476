// SPDX-License-Identifier: Apache-2.0
//! Trees for those who only read them: [`tree_notes_at`], what a bundle says of its tree to those
//! who take files out of it, and [`open_tree`], any tree without privileges.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::aside::AsideFile;
use super::emulation::Terms;
use super::metadata::{self, BundleMetadata, Privileges};
use super::record;
use super::repack::Bundle;
use super::staging::{BundleDir, ROOTFS, Use};
use crate::error::{Context, Result};
use crate::image::source_lock;
use crate::interrupt::Interrupt;
use crate::rootfs::{
    Native, Reminder, RootPath, Rootless, RootlessOptions, Strictness, TreeNotes, View,
    open_own_dir,
};

/// What is known of the tree that `source` is in, if it is the root filesystem of a bundle.
/// Permission bits of the tree that somebody who was killed had made to step aside are put back.
/// What is remembered of inodes counts only for those who work with the privileges that the
/// bundle was made with.
///
/// # Errors
/// When the record cannot be read, as [`Bundle::check_ids`], and
/// [`ErrorKind::Busy`](crate::ErrorKind::Busy) when somebody uses the bundle alone. When something
/// else has taken the place of what was recorded in `source`, and that is to be refused; else it
/// is told.
pub fn tree_notes_at(
    source: &Path,
    privileges: Privileges,
    strictness: Strictness,
) -> Result<TreeNotes> {
    let Some((path, inside)) = bundle_around(source) else { return Ok(TreeNotes::default()) };
    tree_notes_of(&path, &inside, privileges, strictness)
        .with_context(|| format!("open bundle {path:?}"))
}

fn tree_notes_of(
    path: &Path,
    inside: &Path,
    privileges: Privileges,
    strictness: Strictness,
) -> Result<TreeNotes> {
    let dir = BundleDir::open(path, Use::Shared)?;
    let aside = AsideFile::restored(&dir)?;
    let mut notes = TreeNotes { reminder: Some(aside.clone()), ..TreeNotes::default() };
    if dir.has(record::FILE_NAME)? {
        let bundle = Bundle { metadata: BundleMetadata::read(&dir.dir)?, dir, aside };
        if bundle.metadata.privileges == privileges {
            bundle.check_ids()?;
            let terms = Terms { privileges, reminder: notes.reminder.clone(), ..Terms::default() };
            let fs = terms.open_bundle(&bundle.dir, View::Disk)?;
            let top = RootPath::clean(inside.as_os_str().as_bytes())?;
            record::load(&bundle.dir, &fs)?.within(&top).tell(strictness)?;
            notes.emulated = fs.all_emulated();
        }
    }
    Ok(notes)
}

/// Opens a tree to be read without privileges, as it is on disk: whatever its owner has forbidden
/// to himself steps aside for one call at a time. A bundle around it notes that; those
/// who read any other tree are kept apart.
///
/// # Errors
/// When it cannot be opened, and [`ErrorKind::Busy`](crate::ErrorKind::Busy) when somebody has it
/// for himself.
pub fn open_tree(path: &Path, interrupt: &Interrupt) -> Result<Rootless<Native>> {
    let path = path.canonicalize().at("open", path)?;
    let (root, reminder): (File, Arc<dyn Reminder>) = match bundle_around(&path) {
        Some((bundle, _)) => {
            let aside = AsideFile::restored(&BundleDir::open(&bundle, Use::Shared)?)?;
            let root = open_own_dir(&File::open("/")?, &path, Some(&*aside)).at("open", &path)?;
            (root, aside)
        }
        None => source_lock::open_tree(&path, interrupt)?,
    };
    let (reminder, interrupt) = (Some(reminder), interrupt.clone());
    let options = RootlessOptions { reminder, interrupt, ..RootlessOptions::default() };
    Ok(Rootless::native(root, options)?)
}

/// The bundle that a path leads into, wherever links on the way lead to, and where in its tree; the
/// last name is no such link.
fn bundle_around(source: &Path) -> Option<(PathBuf, PathBuf)> {
    let place = match (source.parent(), source.file_name()) {
        (Some(parent), Some(name)) => {
            let above = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            as_far_as_possible(above)?.join(name)
        }
        _ => as_far_as_possible(source)?,
    };
    let is_bundle = |dir: &Path| {
        dir.join(metadata::FILE_NAME).symlink_metadata().is_ok_and(|found| found.is_file())
    };
    let mut roots =
        place.ancestors().filter(|path| path.file_name().is_some_and(|name| name == ROOTFS));
    let root = roots.find(|root| root.parent().is_some_and(is_bundle))?;
    Some((root.parent()?.to_owned(), place.strip_prefix(root).ok()?.to_owned()))
}

/// A path without links, but for what is behind a directory that is closed to its owner.
fn as_far_as_possible(path: &Path) -> Option<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Some(as_far_as_possible(path.parent()?)?.join(path.file_name()?))
        }
        found => found.ok(),
    }
}
