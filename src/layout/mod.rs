// SPDX-License-Identifier: Apache-2.0
//! Image layouts on disk (image-spec `image-layout.md`): blobs under their
//! digests, and `index.json`, which names what is in there.
//!
//! A [`Layout`] reads and takes no lock. Whoever changes something asks it for
//! a [`LayoutWriter`]. All files are reached from one handle of the layout's
//! directory, and none is read that is not a regular file.

mod again;
mod blob;
mod create;
mod destination;
mod files;
mod full_name;
mod gc;
pub(crate) mod lock;
mod nested;
mod overwritten;
mod reference;
mod referrers;
mod resolve;
mod search;
mod select;
mod store;
#[cfg(test)]
mod tests;
mod unnamed;
mod walk;
mod writer;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::oci::json::{MAX_DOCUMENT_SIZE, MAX_INDEX_SIZE, Trailing, from_slice};
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Digest, Document, Index};
use crate::quote::quote;
use crate::sys;

pub use blob::{BlobReader, BlobWriter};
pub use destination::{Destination, EntryName, until_unchanged};
pub(crate) use files::LayoutFiles;
pub(crate) use full_name::full_name_in;
pub use full_name::{FULL_NAME, full_name};
pub use gc::{
    Effect, GcOptions, GcPolicy, GcReport, KeepSince, StoredBlob, Untagged, collect_garbage,
};
pub(crate) use nested::{Nested, Presence, Step};
pub use reference::{REF_NAME, RefName};
pub(crate) use referrers::REFERENCE_DIGEST;
pub use referrers::{Referrer, referrers};
pub use resolve::{ImageRef, PlatformChoice, Selector};
pub use search::{Platforms, is_about_image};
pub use walk::walk;
pub(crate) use walk::{MAX_DEPTH, reachable, too_deep};
pub use writer::LayoutWriter;

use lock::{BlobLock, Held, Mode, Patience};

const LAYOUT_FILE: &str = "oci-layout";
const LAYOUT_VERSION: &str = "1.0.0";
const INDEX_FILE: &str = "index.json";
const BLOBS: &str = "blobs";

/// The most bytes that the file `oci-layout` may have.
const MAX_LAYOUT_FILE_SIZE: u64 = 64 << 10;

/// An image layout, open for reading.
#[derive(Debug, Clone)]
pub struct Layout {
    path: Arc<Path>,
    dir: Arc<File>,
    lock_limit: Duration,
    interrupt: Interrupt,
}

/// The contents of the file `oci-layout`.
#[derive(Deserialize)]
struct Marker {
    #[serde(rename = "imageLayoutVersion", default)]
    version: String,
}

impl Layout {
    /// Opens the layout in the directory `path`. Needs no write access.
    ///
    /// # Errors
    /// When it is not a layout of version 1.0.0 with blobs and an index. The
    /// index itself is not read yet.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::open_checked(path).context("open CAS: validate")
    }

    /// Makes an empty layout at `path`, where nothing may be yet, and missing
    /// directories above it. It appears complete or not at all.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] when there is anything at `path`.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        create::create(path).context("image layout creation")?;
        Self::open(path)
    }

    fn open_checked(path: &Path) -> Result<Self> {
        let dir = must_exist(sys::open_place(path), path).context("read oci-layout")?;
        let (lock_limit, interrupt) = (lock::DEFAULT_LIMIT, Interrupt::default());
        let layout = Self { path: path.into(), dir: Arc::new(dir), lock_limit, interrupt };
        layout.check_version()?;
        layout.check_blobs().context("check blobdir")?;
        layout.check_index().context("check index")?;
        Ok(layout)
    }

    fn check_version(&self) -> Result<()> {
        let path = self.path.join(LAYOUT_FILE);
        must_exist(sys::lstat(&self.dir, Path::new(LAYOUT_FILE)), &path)
            .context("read oci-layout")?;
        let bytes = self.read_file(LAYOUT_FILE, MAX_LAYOUT_FILE_SIZE).context("read oci-layout")?;
        let marker: Marker = from_slice(&bytes, Trailing::Refuse)
            .at("invalid contents of", path)
            .context("parse oci-layout")?;
        if marker.version == LAYOUT_VERSION {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "layout version is not supported: invalid image detected: {:?} is of version {}, not {LAYOUT_VERSION:?}",
            self.path,
            quote(&marker.version)
        )))
    }

    fn check_blobs(&self) -> Result<()> {
        let path = self.path.join(BLOBS);
        if must_exist(sys::stat(&self.dir, Path::new(BLOBS)), &path)?.is_dir() {
            return Ok(());
        }
        Err(Error::invalid(format!("blobdir is not a directory: invalid image detected: {path:?}")))
    }

    fn check_index(&self) -> Result<()> {
        let path = self.path.join(INDEX_FILE);
        if must_exist(sys::lstat(&self.dir, Path::new(INDEX_FILE)), &path)?.is_dir() {
            return Err(Error::invalid(format!(
                "index is a directory: invalid image detected: {path:?}"
            )));
        }
        Ok(())
    }

    /// Sets how long writers and garbage collection wait for each other
    /// before they give up with [`ErrorKind::Busy`]; 60 s at first.
    #[must_use]
    pub fn with_lock_limit(mut self, limit: Duration) -> Self {
        self.lock_limit = limit;
        self
    }

    /// Sets when to stop: while layers are read and written, while others are waited for, and for
    /// the last time before the index is changed.
    #[must_use]
    pub fn with_interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// When to stop.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// The path that the layout was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads `index.json`.
    pub fn index(&self) -> Result<Index> {
        self.parse_index(&self.index_bytes()?)
    }

    /// The names in `index.json`, in its order, repeated and odd ones included.
    pub fn references(&self) -> Result<Vec<String>> {
        Ok(self.index()?.annotated(REF_NAME).map(str::to_owned).collect())
    }

    /// Opens a blob, or the data embedded in its descriptor.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the layout lacks the blob.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        check_empty_json(descriptor)?;
        let (digest, size) = (descriptor.digest.clone(), descriptor.size);
        if let Some(data) = &descriptor.data {
            check_data(data, descriptor).context("invalid embedded descriptor data")?;
            return Ok(BlobReader::of_data(data.clone(), digest, size));
        }
        let file = sys::open_regular(&self.dir, &blob_path(&digest))
            .at("open", self.path.join(blob_path(&digest)))
            .context("open blob")?;
        Ok(BlobReader::of_file(file, digest, size))
    }

    /// Whether the layout has a blob of this digest and size. Its bytes are not looked at.
    pub fn contains(&self, descriptor: &Descriptor) -> Result<bool> {
        if let Some(data) = &descriptor.data {
            return Ok(check_data(data, descriptor).is_ok());
        }
        let path = blob_path(&descriptor.digest);
        match sys::lstat(&self.dir, &path) {
            Ok(found) => Ok(found.is_file() && found.size() == descriptor.size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).at("stat", self.path.join(path)),
        }
    }

    /// Reads a small blob whole, and verifies it before it is handed out.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for more than 4 MiB.
    pub fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.read_limited(descriptor, MAX_DOCUMENT_SIZE)
    }

    /// Reads and parses a document: an index, a manifest, a configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when the descriptor says that it is something else.
    pub fn document<D: Document>(&self, descriptor: &Descriptor) -> Result<D> {
        if Kind::of(&descriptor.media_type) != D::KIND {
            return Err(Error::unsupported(format!(
                "blob {} is of type {}, not {}",
                descriptor.digest,
                quote(&descriptor.media_type),
                quote(D::MEDIA_TYPE)
            )));
        }
        D::parse(&self.read_limited(descriptor, D::MAX_SIZE)?)
            .with_context(|| format!("blob {}", descriptor.digest))
    }

    /// Starts to change the layout. Other writers can do the same meanwhile,
    /// garbage collection cannot.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] when garbage is being collected for longer than the limit.
    pub fn writer(&self) -> Result<LayoutWriter> {
        LayoutWriter::new(self)
    }

    pub(crate) fn read_limited(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let (digest, size) = (&descriptor.digest, descriptor.size);
        if size > limit {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("blob {digest} has {size} bytes, more than the {limit} that are read"),
            ));
        }
        // With room for all of a usual document, it is read in one go.
        let room = size.min(1 << 20);
        let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or_default());
        self.blob(descriptor)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The bytes of a document as they are, verified or not: good for nothing but a first look.
    fn glance(&self, descriptor: &Descriptor) -> io::Result<Vec<u8>> {
        if let Some(data) = &descriptor.data {
            return Ok(data.clone());
        }
        let file = sys::open_regular(&self.dir, &blob_path(&descriptor.digest))?;
        let size = descriptor.size.min(MAX_DOCUMENT_SIZE);
        let mut bytes = Vec::with_capacity(usize::try_from(size.min(1 << 20)).unwrap_or_default());
        file.take(size).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn index_bytes(&self) -> Result<Vec<u8>> {
        self.read_file(INDEX_FILE, MAX_INDEX_SIZE)
    }

    fn parse_index(&self, bytes: &[u8]) -> Result<Index> {
        Index::parse_top_level(bytes).at("read", self.path.join(INDEX_FILE))
    }

    fn read_file(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        let file = sys::open_regular(&self.dir, Path::new(name)).at("open", &path)?;
        let size = file.metadata().at("stat", &path)?.len().min(1 << 20);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        file.take(limit + 1).read_to_end(&mut bytes).at("read", &path)?;
        if bytes.len() as u64 > limit {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("read {path:?}: more than {limit} bytes"),
            ));
        }
        Ok(bytes)
    }

    fn patience(&self) -> Patience {
        Patience::new(self.lock_limit, self.interrupt.clone())
    }

    /// Takes the lock of those who use the blobs.
    fn lock_blobs(&self, mode: Mode, patience: &mut Patience) -> Result<(BlobLock, Held)> {
        let dir = sys::open_dir(&self.dir, Path::new(".")).at("open", &self.path)?;
        loop {
            let queue = self.queue(mode, patience)?;
            if let Some((_, Held::Impossible)) = queue {
                return Ok((BlobLock::of(dir), Held::Impossible));
            }
            if let Some(held) = lock::attempt(&dir, mode, &self.path)? {
                return Ok((BlobLock::of(dir), held));
            }
            if sys::is_locked_for_us(&dir) {
                let instead = queue.map(|(blobs, _)| blobs);
                return Ok((BlobLock { dir, _instead: instead }, Held::Yes));
            }
            if let Some(held) = lock::acquire_in_turn(&dir, mode, &self.path, patience)? {
                return Ok((BlobLock::of(dir), held));
            }
            drop(queue);
            patience.rest(|| lock::holder(&dir, &self.path))?;
        }
    }

    /// Stands in line for the lock until the file is closed: who waits for it alone lets
    /// nobody pass for a while, or those who share it could keep it among them forever.
    fn queue(&self, mode: Mode, patience: &mut Patience) -> Result<Option<(File, Held)>> {
        let path = self.path.join(BLOBS);
        // Garbage is not collected through a link, so nobody waits there.
        let Ok(blobs) = sys::open_dir(&self.dir, Path::new(BLOBS)) else { return Ok(None) };
        let held = lock::acquire(&blobs, mode, &path, patience)?;
        Ok(Some((blobs, held)))
    }

    /// Takes the lock of those who change the index; it ends with the file.
    fn lock_index(&self) -> Result<(File, Held)> {
        let path = self.path.join(LAYOUT_FILE);
        let file = sys::open_regular(&self.dir, Path::new(LAYOUT_FILE)).at("open", &path)?;
        let held = lock::acquire(&file, Mode::Exclusive, &path, &mut self.patience())?;
        self.interrupt.check()?;
        Ok((file, held))
    }
}

/// Names a directory without one of its parts for what it is: no layout.
fn must_exist<T>(found: io::Result<T>, path: &Path) -> Result<T> {
    let missing = matches!(&found, Err(error) if error.kind() == io::ErrorKind::NotFound);
    let action = if missing { "invalid image detected: open" } else { "open" };
    found.at(action, path)
}

/// Where a blob is, from the layout's directory.
fn blob_path(digest: &Digest) -> PathBuf {
    [BLOBS, digest.algorithm().as_str(), digest.hex()].iter().collect()
}

fn check_data(data: &[u8], descriptor: &Descriptor) -> Result<()> {
    let (expected, size) = (&descriptor.digest, descriptor.size);
    let actual = Digest::of(expected.algorithm(), data);
    if actual != *expected {
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!("expected {expected} not {actual}: verified reader digest mismatch"),
        ));
    }
    if data.len() as u64 != size {
        let length = data.len();
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!("expected {size} bytes not {length} bytes: verified reader size mismatch"),
        ));
    }
    Ok(())
}

/// Refuses a descriptor of the type of `{}` that points at anything else.
fn check_empty_json(descriptor: &Descriptor) -> Result<()> {
    if Kind::of(&descriptor.media_type) != Kind::Empty {
        return Ok(());
    }
    let digest = Digest::of(descriptor.digest.algorithm(), "{}");
    if descriptor.digest == digest && descriptor.size == 2 {
        return Ok(());
    }
    Err(Error::invalid("invalid descriptor: empty json blob is invalid"))
}
