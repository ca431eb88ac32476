// SPDX-License-Identifier: Apache-2.0
//! [`LayoutWriter`]: everything that changes a layout but the removal of garbage.
//!
//! Killed at any moment it leaves garbage at most. A blob is synced before it
//! is named, the names of blobs before the index can name them, and the index
//! before the call that changes it returns.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, Once, PoisonError};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::oci::json::{MAX_INDEX_SIZE, to_bytes};
use crate::oci::{Algorithm, Descriptor, Digest, Document, Entry, Hashing, Index, media_type};
use crate::sys;

use super::destination::name_among;
use super::lock::{BlobLock, Held, Mode};
use super::store::{Owner, TempDir, TempFile, ensure_dir};
use super::{
    BLOBS, BlobWriter, Destination, EntryName, INDEX_FILE, Layout, REF_NAME, RefName, overwritten,
    select,
};

/// Where Docker's archives list their images for older readers.
const DOCKER_LIST: &str = "manifest.json";

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
    /// Whose directories hold names that are not synced yet.
    unsynced: Mutex<BTreeSet<Algorithm>>,
    warning: Once,
    lock: BlobLock,
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

    /// Tells that the images are listed in a second place, which stays as it was.
    fn warn_if_listed_twice(&self) {
        let layout = &self.0.layout;
        if sys::lstat(&layout.dir, Path::new(DOCKER_LIST)).is_ok() {
            let path = layout.path.join(DOCKER_LIST);
            log::warn!("{path:?}, which some tools read instead of the index, stays as it was");
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
        let Shared { layout, temp, .. } = &*self.0;
        let name = algorithm.as_str();
        ensure_dir(&self.all_blobs()?, Path::new(name), temp.owner)
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
            let mode = old.mode() & 0o666;
            sys::set_mode(new.file(), mode)?;
            new.file().write_all(bytes)?;
            new.commit(&layout.dir, INDEX_FILE)
        };
        replace().at("write", path)
    }

    /// Makes the index that has its name survive a power cut.
    fn sync_index(&self) -> Result<()> {
        sys::sync_dir(&self.0.lock.dir).at("sync", &self.0.layout.path)
    }
}

impl LayoutWriter {
    pub(super) fn new(layout: &Layout) -> Result<Self> {
        let mut patience = layout.patience();
        let (lock, held) = layout.lock_blobs(Mode::Shared, &mut patience)?;
        Self::holding(layout, lock, held)
    }

    /// Writes under a lock that is held already.
    pub(super) fn holding(layout: &Layout, lock: BlobLock, held: Held) -> Result<Self> {
        let owner = Owner::of(&layout.dir).at("stat", &layout.path)?;
        let temp = TempDir::create(Arc::clone(&layout.dir), &layout.path, owner)?;
        let session = Session(Arc::new(Shared {
            temp: Arc::new(temp),
            layout: layout.clone(),
            unsynced: Mutex::default(),
            warning: Once::new(),
            lock,
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
            self.session.warn_if_listed_twice();
        }
        // Even an index that says all this already may be of somebody who was killed before this.
        let synced = self.session.sync_index();
        synced.context("the index is written, but may not survive a power failure")?;
        Ok(value)
    }

    /// Lets `name` mean `descriptor`, and gives what it meant before: nothing,
    /// one entry, or several, of which a warning tells.
    ///
    /// The new entry is the last of the index and keeps its annotations, except for those that
    /// are names: it has the full name of what it replaces. When others changed the same name
    /// meanwhile, the last one wins.
    ///
    /// # Errors
    /// [`ErrorKind::Ambiguous`] when entries with the tag `name` have different full names.
    pub fn tag(&self, name: &RefName, descriptor: Descriptor) -> Result<Vec<Descriptor>> {
        let (name, replaced) = self.update_index(|index| {
            let name = sole_name(index, name)?;
            let replaced = put(index, &name, descriptor);
            Ok((name, replaced))
        })?;
        warn_of_several(&name, replaced.len(), "replaced");
        Ok(replaced.into_iter().filter_map(Entry::into_descriptor).collect())
    }

    /// Lets what somebody calls `name` mean `descriptor`, and gives its name: that of an entry
    /// which is called so ([`Selector::Reference`](super::Selector::Reference)), or else exactly
    /// that. Otherwise as [`LayoutWriter::place`].
    ///
    /// # Errors
    /// [`ErrorKind::Ambiguous`] when it can be several names.
    pub fn tag_as(&self, name: &RefName, descriptor: Descriptor) -> Result<EntryName> {
        let called = |entries: &[Descriptor]| {
            let found = name_among(entries, name)?;
            Ok(found.unwrap_or_else(|| name.into()))
        };
        self.place_named(called, descriptor)
    }

    /// Puts `descriptor` where it shall go; what is elsewhere stays, whatever its tag is. Where
    /// several entries have the name of the one that is replaced, for different platforms, the
    /// others stay, and so does the order.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`] when others have changed or removed the entry meanwhile.
    pub fn place(&self, destination: &Destination, descriptor: Descriptor) -> Result<()> {
        let name = match destination {
            Destination::Entry(expected) => return self.replace(expected, descriptor),
            Destination::Name(name) => name,
        };
        self.place_named(|_| Ok(name.clone()), descriptor).map(drop)
    }

    /// Puts `descriptor` under a name that may depend on the entries that there are.
    fn place_named(
        &self,
        name: impl FnOnce(&[Descriptor]) -> Result<EntryName>,
        descriptor: Descriptor,
    ) -> Result<EntryName> {
        let new = descriptor.clone();
        let (name, replaced) = self.update_index(|index| {
            let name = name(&index.manifests)?;
            let replaced = put(index, &name, descriptor);
            Ok((name, replaced))
        })?;
        warn_of_several(&name, replaced.len(), "replaced");
        overwritten::warn(self.layout(), &name, &replaced, &new);
        Ok(name)
    }

    fn replace(&self, expected: &Descriptor, mut descriptor: Descriptor) -> Result<()> {
        let name = EntryName::of(expected);
        if let Some(tag) = expected.annotations.get(REF_NAME) {
            descriptor.annotations.insert(REF_NAME.to_owned(), tag.clone());
        }
        self.update_index(|index| {
            let named = |entry: &Descriptor| EntryName::of(entry) == name;
            let is_sole = index.manifests.iter().filter(|entry| named(entry)).count() == 1;
            let alike = |entry: &Descriptor| {
                named(entry)
                    && entry.digest == expected.digest
                    && (is_sole || entry.platform == expected.platform)
            };
            let entries = &index.manifests;
            let at = entries.iter().position(|entry| entry == expected);
            let Some(at) = at.or_else(|| entries.iter().position(alike)) else {
                let message = format!("tag {name} was changed by another process meanwhile");
                return Err(Error::new(ErrorKind::Changed, message));
            };
            if is_sole && !name.is_nameless() {
                // NOTE(compat): a changed image is the last of the index.
                take(index, &name);
                index.manifests.push(descriptor);
            } else {
                index.manifests[at] = descriptor;
            }
            Ok(())
        })
    }

    /// Removes every entry of a tag, and gives their number; 0 is no error.
    ///
    /// # Errors
    /// [`ErrorKind::Ambiguous`] when they have different full names.
    pub fn untag(&self, name: &RefName) -> Result<usize> {
        let (name, count) = self.update_index(|index| {
            let name = sole_name(index, name)?;
            let count = take(index, &name).len();
            Ok((name, count))
        })?;
        warn_of_several(&name, count, "removed");
        Ok(count)
    }

    /// Removes every entry with exactly this name, and gives their number; 0 is no error.
    pub fn remove(&self, name: &EntryName) -> Result<usize> {
        let count = self.update_index(|index| Ok(take(index, name).len()))?;
        warn_of_several(name, count, "removed");
        Ok(count)
    }

    /// Removes the entries with exactly this name, or without one, that have `digest`, as it is
    /// written there; such entries, too, as cannot be used.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none.
    pub fn remove_digest(&self, name: &EntryName, digest: &str) -> Result<()> {
        let is_meant = |entry: &Entry| entry.digest() == digest && name.is_of(entry);
        self.update_index(|index| match index.extract(is_meant).len() {
            0 => Err(Error::new(ErrorKind::NotFound, format!("no entry {name} leads to {digest}"))),
            _ => Ok(()),
        })
    }
}

/// The name of all entries with a tag, or what the first one would have.
fn sole_name(index: &Index, tag: &RefName) -> Result<EntryName> {
    let is_meant = |entry: &Entry| entry.annotation(REF_NAME) == Some(tag.as_str());
    let entries: Vec<Entry> = index.entries().filter(is_meant).collect();
    let names: BTreeSet<EntryName> = entries.iter().map(EntryName::of_any).collect();
    let mut names = names.into_iter();
    match (names.next(), names.next()) {
        (_, Some(_)) => {
            let entries: Vec<_> = entries.iter().filter_map(Entry::descriptor).cloned().collect();
            Err(select::ambiguous(tag.as_str(), &select::meanings(&entries)))
        }
        (found, None) => Ok(found.unwrap_or_else(|| tag.into())),
    }
}

/// Lets a name mean a descriptor, and gives what had the name.
fn put(index: &mut Index, name: &EntryName, mut descriptor: Descriptor) -> Vec<Entry> {
    name.give_to(&mut descriptor);
    let replaced = take(index, name);
    index.manifests.push(descriptor);
    replaced
}

/// Takes out all that has a name. What has none shares it with nothing.
fn take(index: &mut Index, name: &EntryName) -> Vec<Entry> {
    if name.is_nameless() {
        return Vec::new();
    }
    index.extract(|entry| name.is_of(entry))
}

fn warn_of_several(name: &EntryName, count: usize, what: &str) {
    if count > 1 {
        log::warn!("multiple references match \"{name}\": {what} all {count}");
    }
}
