// SPDX-License-Identifier: Apache-2.0
//! [`LayoutWriter`]: everything that changes a layout but the removal of garbage.
//!
//! Killed at any moment it leaves garbage at most. A blob is synced before it
//! is named, the names of blobs before the index can name them, and the index
//! before the call that changes it returns.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, Once, PoisonError};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::oci::json::{MAX_INDEX_SIZE, to_bytes};
use crate::oci::{Algorithm, Descriptor, Digest, Document, Hashing, Index, media_type};
use crate::sys;

use super::lock::{Held, Mode, Patience};
use super::store::{Owner, TempDir, TempFile, ensure_dir};
use super::{BLOBS, BlobWriter, FULL_NAME, INDEX_FILE, Layout, REF_NAME, RefName};

/// Adds blobs to a layout and changes its index.
///
/// Until it and all its [`BlobWriter`]s are dropped, garbage collection has to wait,
/// in this process too. What is to be changed, or named anew, is therefore looked up
/// when there is a writer already: what was found before that may be gone.
#[derive(Debug)]
pub struct LayoutWriter {
    session: Session,
}

/// What a writer and its blobs hold together. Fields are dropped in this
/// order: the temporary directory goes while the lock is still held.
#[derive(Debug)]
struct Shared {
    temp: Arc<TempDir>,
    layout: Layout,
    owner: Owner,
    /// Whose directories hold names that are not synced yet.
    unsynced: Mutex<BTreeSet<Algorithm>>,
    warning: Once,
    /// Open for its lock.
    dir: File,
}

/// A handle on what a writer holds.
#[derive(Debug, Clone)]
pub(super) struct Session(Arc<Shared>);

impl Session {
    /// Tells, once, that nobody else is kept away.
    fn warn_if_alone(&self, held: Held) {
        if held == Held::Impossible {
            self.0.warning.call_once(|| {
                log::warn!(
                    "image layout {:?} cannot be locked: let no two commands change it at once",
                    self.0.layout.path
                );
            });
        }
    }

    /// Gives a finished blob its name.
    pub(super) fn name_blob(&self, file: TempFile, digest: &Digest) -> Result<()> {
        let algorithm = digest.algorithm();
        let named = self
            .blobs(algorithm)
            .and_then(|dir| Ok(file.commit(&dir, digest.hex())?))
            .with_context(|| format!("store blob {digest}"));
        self.0.unsynced.lock().unwrap_or_else(PoisonError::into_inner).insert(algorithm);
        named
    }

    /// Opens the directory of blobs of an algorithm, and makes it where it is missing.
    fn blobs(&self, algorithm: Algorithm) -> Result<File> {
        let Shared { layout, owner, .. } = &*self.0;
        let name = algorithm.as_str();
        ensure_dir(&self.all_blobs()?, Path::new(name), *owner)
            .at("open as a real directory", layout.path.join(BLOBS).join(name))
    }

    fn all_blobs(&self) -> Result<File> {
        let layout = &self.0.layout;
        sys::open_dir(&layout.dir, Path::new(BLOBS))
            .at("open as a real directory", layout.path.join(BLOBS))
    }

    /// Makes the names of blobs survive a power cut.
    fn sync_blobs(&self) -> Result<()> {
        let mut unsynced = self.0.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        for algorithm in unsynced.iter() {
            let dir = self.blobs(*algorithm)?;
            sys::sync_dir(&dir).with_context(|| format!("sync {} blobs", algorithm.as_str()))?;
        }
        if !unsynced.is_empty() {
            // Who made the directories may have been killed before they were synced.
            sys::sync_dir(&self.all_blobs()?).context("sync blobs")?;
        }
        unsynced.clear();
        Ok(())
    }

    /// Replaces `index.json`, whose mode stays.
    fn replace_index(&self, bytes: &[u8]) -> Result<()> {
        let Shared { layout, temp, .. } = &*self.0;
        let path = layout.path.join(INDEX_FILE);
        let replace = || {
            let old = sys::lstat(&layout.dir, Path::new(INDEX_FILE))?;
            let new = temp.file()?;
            let mode = old.permissions().mode() & 0o666;
            if new.file().metadata()?.permissions().mode() & 0o777 != mode {
                new.file().set_permissions(Permissions::from_mode(mode))?;
            }
            new.file().write_all(bytes)?;
            new.commit(&layout.dir, INDEX_FILE)
        };
        replace().at("write", path)
    }

    /// Makes the index that has its name survive a power cut.
    fn sync_index(&self) -> Result<()> {
        sys::sync_dir(&self.0.dir).at("sync", &self.0.layout.path)
    }
}

impl LayoutWriter {
    pub(super) fn new(layout: &Layout) -> Result<Self> {
        let mut patience = Patience::new(layout.lock_limit);
        let (dir, held) = layout.lock_blobs(Mode::Shared, &mut patience)?;
        Self::holding(layout, dir, held)
    }

    /// Writes under a lock that is held already: the layout's directory, open for it.
    pub(super) fn holding(layout: &Layout, dir: File, held: Held) -> Result<Self> {
        let owner = Owner::of(&layout.dir).at("stat", &layout.path)?;
        let temp = TempDir::create(Arc::clone(&layout.dir), &layout.path, owner)?;
        let session = Session(Arc::new(Shared {
            temp: Arc::new(temp),
            layout: layout.clone(),
            owner,
            unsynced: Mutex::default(),
            warning: Once::new(),
            dir,
        }));
        session.warn_if_alone(held);
        Ok(Self { session })
    }

    /// The layout that is written to.
    pub fn layout(&self) -> &Layout {
        &self.session.0.layout
    }

    /// Starts a new blob, to be named by its SHA-256.
    pub fn blob(&self) -> Result<BlobWriter> {
        self.blob_with(Algorithm::default())
    }

    /// Starts a new blob, to be named by the digest of an algorithm.
    pub fn blob_with(&self, algorithm: Algorithm) -> Result<BlobWriter> {
        let file =
            self.session.0.temp.file().at("create temporary blob in", self.layout().path())?;
        Ok(BlobWriter::new(Hashing::new(algorithm, file), self.session.clone()))
    }

    /// Stores bytes as a blob, named by its SHA-256.
    pub fn put(&self, bytes: &[u8], media_type: impl Into<String>) -> Result<Descriptor> {
        self.put_with(Algorithm::default(), bytes, media_type)
    }

    /// Stores bytes as a blob, named by the digest of an algorithm.
    pub fn put_with(
        &self,
        algorithm: Algorithm,
        bytes: &[u8],
        media_type: impl Into<String>,
    ) -> Result<Descriptor> {
        let mut blob = self.blob_with(algorithm)?;
        blob.write_all(bytes).context("write blob")?;
        let (digest, size) = blob.commit()?;
        Ok(Descriptor::new(media_type, digest, size))
    }

    /// Stores a document as a blob of its type.
    pub fn put_document<D: Document>(&self, document: &D) -> Result<Descriptor> {
        self.put(&document.to_bytes()?, D::MEDIA_TYPE)
    }

    /// Changes the index: reads it anew, applies `change`, and writes it, all
    /// under the layout's lock, so that what others changed meanwhile stays.
    /// When this returns, the index and all blobs survive a power cut.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] when others hold the lock for longer than the
    /// limit. On any error of `change` nothing is written.
    pub fn update_index<T>(&self, change: impl FnOnce(&mut Index) -> Result<T>) -> Result<T> {
        let layout = self.layout();
        self.session.sync_blobs()?;
        let (_lock, held) = layout.lock_index()?;
        self.session.warn_if_alone(held);
        let old = layout.index_bytes()?;
        let mut index = layout.parse_index(&old)?;
        let value = change(&mut index)?;
        media_type::IMAGE_INDEX.clone_into(&mut index.media_type);
        let new = to_bytes(&index)?;
        if new.len() as u64 > MAX_INDEX_SIZE {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("index.json would have more than {MAX_INDEX_SIZE} bytes"),
            ));
        }
        if new != old {
            self.session.replace_index(&new)?;
        }
        // Even an index that says all this already may be of somebody who was killed before this.
        self.session.sync_index()?;
        Ok(value)
    }

    /// Lets `name` mean `descriptor`, and gives what it meant before: nothing,
    /// one entry, or several, of which a warning tells.
    ///
    /// The new entry is the last of the index and keeps its annotations, except for a full
    /// name that belongs to another name. When others changed the same name meanwhile, the
    /// last one wins.
    pub fn tag(&self, name: &RefName, mut descriptor: Descriptor) -> Result<Vec<Descriptor>> {
        if !is_named(&descriptor, name) {
            descriptor.annotations.remove(FULL_NAME);
        }
        descriptor.annotations.insert(REF_NAME.to_owned(), name.as_str().to_owned());
        let replaced = self.update_index(|index| {
            let replaced = take(index, name);
            index.manifests.push(descriptor);
            Ok(replaced)
        })?;
        warn_of_several(name, replaced.len(), "replaced");
        Ok(replaced)
    }

    /// Lets `name` mean `descriptor`, provided that it still means `expected`. Where several
    /// entries have the name, for different platforms, the others stay, and so does the order.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`] when others have changed or removed the name meanwhile.
    pub fn retag(
        &self,
        name: &RefName,
        expected: &Descriptor,
        mut descriptor: Descriptor,
    ) -> Result<()> {
        descriptor.annotations.insert(REF_NAME.to_owned(), name.as_str().to_owned());
        self.update_index(|index| {
            let mut entries = index.manifests.iter_mut().filter(|entry| is_named(entry, name));
            match (entries.next(), entries.next()) {
                (Some(entry), None) if entry.digest == expected.digest => {
                    take(index, name);
                    index.manifests.push(descriptor);
                    return Ok(());
                }
                (Some(first), Some(second)) => {
                    let mut all = [first, second].into_iter().chain(entries);
                    if let Some(entry) = all.find(|entry| is_same(entry, expected)) {
                        *entry = descriptor;
                        return Ok(());
                    }
                }
                _ => {}
            }
            let message = format!("tag {name} was changed by another process meanwhile");
            Err(Error::new(ErrorKind::Changed, message))
        })
    }

    /// Removes every entry of a name, and gives their number; 0 is no error.
    pub fn untag(&self, name: &RefName) -> Result<usize> {
        let count = self.update_index(|index| Ok(take(index, name).len()))?;
        warn_of_several(name, count, "removed");
        Ok(count)
    }
}

fn take(index: &mut Index, name: &RefName) -> Vec<Descriptor> {
    index.unread.retain(|entry| entry.annotation(REF_NAME) != Some(name.as_str()));
    index.manifests.extract_if(.., |entry| is_named(entry, name)).collect()
}

fn is_named(entry: &Descriptor, name: &RefName) -> bool {
    entry.annotations.get(REF_NAME).is_some_and(|found| found == name.as_str())
}

fn is_same(entry: &Descriptor, expected: &Descriptor) -> bool {
    entry.digest == expected.digest && entry.platform == expected.platform
}

fn warn_of_several(name: &RefName, count: usize, what: &str) {
    if count > 1 {
        log::warn!("multiple references match {name:?}: {what} all {count}");
    }
}
