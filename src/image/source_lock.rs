// SPDX-License-Identifier: Apache-2.0
//! [`SourceLock`]: several commands read one tree at the same time, and each sees the permission
//! bits that it has, not those that another one has made to step aside.
//!
//! That holds for those who name the same directory. Who reads a part of a tree locks that part,
//! since nobody can tell how far up others begin: readers of a tree and of a part of it are not
//! kept from each other. Neither is who changes the tree, be it with `raw unpack`.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Context, Result};
use crate::interrupt::Interrupt;
use crate::layout::lock::{DEFAULT_LIMIT, Mode, Patience, attempt, process};
use crate::rootfs::{Aside, Reminder, is_in_user_namespace, open_own_dir};
use crate::sys;

/// Opens a directory whose tree is to be read, be it closed to its owner, and shares it with others
/// who read it. With the second value as reminder, permission bits step aside for nobody else.
///
/// # Errors
/// When it cannot be opened, and [`ErrorKind::Busy`](crate::ErrorKind::Busy) when somebody has it
/// for himself for too long.
pub(crate) fn open_tree(path: &Path, interrupt: &Interrupt) -> Result<(File, Arc<dyn Reminder>)> {
    let share = |dir: File, path: &Path| SourceLock::share(dir, path, interrupt.clone());
    // It may be open for a moment only, for somebody else.
    let above = path.parent().and_then(|above| Some((File::open(above).ok()?, above)));
    let gate = above.map(|(dir, above)| share(dir, above)).transpose()?;
    match (File::open(path), gate) {
        (Err(error), Some(gate)) if error.kind() == io::ErrorKind::PermissionDenied => {
            let name = path.file_name().map_or(path, Path::new);
            let root = open_own_dir(&gate.dir, name, Some(&gate)).at("open", path)?;
            Ok((root, Arc::new(gate)))
        }
        (opened, _gate) => {
            let root = opened.at("open", path)?;
            let own = root.try_clone().at("open", path)?;
            Ok((root, Arc::new(share(own, path)?)))
        }
    }
}

/// A lock on the directory that a source is reached from: shared while it is read, held alone
/// from the first permission bits that step aside to the end.
///
/// Two who share it and both want it alone do not wait for each other: the attempt lets go of it.
#[derive(Debug)]
pub(super) struct SourceLock {
    dir: File,
    path: PathBuf,
    interrupt: Interrupt,
}

impl SourceLock {
    /// Shares the open directory `dir`, which messages call `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) when somebody holds it alone for too long.
    pub(super) fn share(dir: File, path: &Path, interrupt: Interrupt) -> Result<Self> {
        let lock = Self { dir, path: path.to_owned(), interrupt };
        lock.take(Mode::Shared)?;
        Ok(lock)
    }

    fn take(&self, mode: Mode) -> Result<()> {
        let Self { dir, path, interrupt } = self;
        if is_roots_own(dir).at("stat", path)? {
            return Ok(());
        }
        let mut patience = Patience::new(DEFAULT_LIMIT, interrupt.clone());
        while attempt(dir, mode, path)?.is_none() && !sys::is_locked_for_us(dir) {
            patience.pause(|| format!("{}, which reads the same tree", process(dir)))?;
        }
        Ok(())
    }
}

/// Whether root looks at a directory of his own, such as `/etc` or `/tmp`. Everybody can lock it,
/// and could keep him waiting; those in whose trees permission bits step aside own them.
fn is_roots_own(dir: &File) -> io::Result<bool> {
    Ok(sys::is_root() && !is_in_user_namespace() && dir.metadata()?.uid() == 0)
}

impl Reminder for SourceLock {
    fn add(&self, _: &Aside) -> io::Result<()> {
        Ok(self.take(Mode::Exclusive)?)
    }

    fn clear(&self) -> io::Result<()> {
        Ok(())
    }

    fn keep(&self) -> io::Result<()> {
        Ok(())
    }
}
