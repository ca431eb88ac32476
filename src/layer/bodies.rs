// SPDX-License-Identifier: Apache-2.0
//! The workers that fill regular files: they get an open file and its bytes,
//! write and hash them, and set the metadata by handle. They never see a path
//! of the root filesystem but to name it in an error, so their order does not matter.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use sha2::{Digest as _, Sha256};

use super::buffer::Slice;
use super::entry::shown;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::rootfs::{Change, FsOps, Kind, Metadata, RootPath};

/// How many files go to a worker together: waking one for each takes longer than most files.
const BATCH: usize = 16;
/// With so many bytes a batch goes, however few its files are.
const BATCH_BYTES: u64 = 256 << 10;
/// How many batches wait at most; each of their files is an open handle.
const QUEUE: usize = 8;
/// Zeros to hash in place of a hole.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Which body it is: counts from 0 in the order of [`Bodies::write`].
pub(crate) type BodyId = u32;

/// Whether the contents of regular files are hashed while they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileDigests {
    /// They are not.
    #[default]
    Skip,
    /// SHA-256 of each, as a manifest of the tree wants it.
    Sha256,
}

/// Digests as a worker gives them.
type Sums = Vec<(BodyId, [u8; 32])>;

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Slice),
    /// A hole of so many bytes.
    Hole(u64),
}

/// A body as it is handed over.
pub(crate) enum Body {
    /// All of it, which most files are in one piece.
    Whole(Option<Piece>, Vec<Piece>),
    /// As it comes, until the sender is dropped.
    Stream(Receiver<Piece>),
}

/// Starts a thread, unless the system has none left.
pub(crate) fn start_thread<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).context("start a thread")
}

/// A regular file that is to be filled.
pub(crate) struct NewFile {
    pub(crate) file: File,
    pub(crate) path: RootPath,
    pub(crate) metadata: Metadata,
    /// See [`Change::clear_xattrs`].
    pub(crate) clear_xattrs: bool,
    pub(crate) size: u64,
}

struct Job {
    id: BodyId,
    new: NewFile,
    body: Body,
}

type Batch = Vec<Job>;

/// The hand-over to the workers.
pub(crate) struct Bodies<'scope> {
    queue: SyncSender<Batch>,
    /// What is to go to a worker next.
    batch: Batch,
    batch_bytes: u64,
    workers: Vec<ScopedJoinHandle<'scope, Sums>>,
    failure: Arc<Failure>,
    pending: Arc<Pending>,
    next: BodyId,
}

/// How many files are not finished yet.
#[derive(Default)]
struct Pending {
    count: Mutex<usize>,
    none: Condvar,
}

impl Pending {
    fn add(&self, files: usize) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += files;
    }

    fn done(&self, files: usize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_sub(files);
        if *count == 0 {
            self.none.notify_all();
        }
    }

    fn wait(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            count = self.none.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The first error of any worker.
#[derive(Default)]
struct Failure {
    failed: AtomicBool,
    error: Mutex<Option<Error>>,
}

impl Failure {
    fn set(&self, error: Error) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }

    fn check(&self) -> Result<()> {
        if !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Io, "an earlier file could not be written"))
    }

    /// What went wrong, once.
    fn take(&self) -> Option<Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<'scope> Bodies<'scope> {
    pub(crate) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        fs: &'env dyn FsOps,
        workers: usize,
        digests: FileDigests,
    ) -> Result<Self> {
        let (queue, batches) = mpsc::sync_channel(QUEUE);
        let batches = Arc::new(Mutex::new(batches));
        let failure = Arc::new(Failure::default());
        let pending = Arc::new(Pending::default());
        let worker = || Worker {
            batches: batches.clone(),
            fs,
            digests,
            failure: failure.clone(),
            pending: pending.clone(),
        };
        let workers = (0..workers).map(|_| worker());
        let workers = workers.map(|worker| start_thread(scope, || worker.run()));
        let workers = workers.collect::<Result<_>>()?;
        let (failure, pending) = (failure.clone(), pending.clone());
        Ok(Self { queue, batch: Batch::new(), batch_bytes: 0, workers, failure, pending, next: 0 })
    }

    /// The number that the next file will have.
    pub(crate) fn next_id(&self) -> BodyId {
        self.next
    }

    /// Hands a file over; its digest will be found under [`Bodies::next_id`] as it was before.
    pub(crate) fn write(&mut self, new: NewFile, body: Body) -> Result<()> {
        self.failure.check()?;
        let id = self.next;
        self.next = id.checked_add(1).ok_or_else(|| Error::invalid("too many files"))?;
        self.batch_bytes = self.batch_bytes.saturating_add(new.size);
        self.batch.push(Job { id, new, body });
        if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            self.send()?;
        }
        Ok(())
    }

    /// As [`Bodies::write`], with the pieces to follow.
    pub(crate) fn stream(&mut self, new: NewFile) -> Result<Sender<Piece>> {
        let (pieces, body) = mpsc::channel();
        self.write(new, Body::Stream(body))?;
        // The pieces are as many as they are: somebody has to take them.
        self.send()?;
        Ok(pieces)
    }

    fn send(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.pending.add(batch.len());
        self.queue.send(batch).map_err(|_| {
            Error::new(ErrorKind::Io, "internal error: the writers of files have ended")
        })
    }

    /// Waits until all files that have been handed over are finished.
    pub(crate) fn settle(&mut self) -> Result<()> {
        self.send()?;
        self.pending.wait();
        self.failure.check()
    }

    /// Fails when a worker has failed; [`Bodies::finish`] says how.
    pub(crate) fn check(&self) -> Result<()> {
        self.failure.check()
    }

    /// Waits for all files and gives the digests by number (zeros where none was asked for).
    pub(crate) fn finish(mut self) -> Result<Vec<[u8; 32]>> {
        let sent = self.send();
        drop(self.queue);
        let mut digests = vec![[0; 32]; self.next as usize];
        for worker in self.workers {
            let sums = worker.join().map_err(|_| {
                Error::new(ErrorKind::Io, "internal error: a writer of files panicked")
            })?;
            for (id, sum) in sums {
                digests[id as usize] = sum;
            }
        }
        self.failure.take().map_or(sent, Err).map(|()| digests)
    }
}

struct Worker<'env> {
    batches: Arc<Mutex<Receiver<Batch>>>,
    fs: &'env dyn FsOps,
    digests: FileDigests,
    failure: Arc<Failure>,
    pending: Arc<Pending>,
}

impl Worker<'_> {
    /// Works until the queue is closed. After a failure it only empties it, so that nobody blocks.
    fn run(self) -> Sums {
        let mut sums = Vec::new();
        while let Some(batch) = self.next() {
            let files = batch.len();
            for Job { id, new, body } in batch {
                if self.failure.failed.load(Ordering::Acquire) {
                    continue;
                }
                match self.fill(&new, body) {
                    Ok(sum) => sums.extend(sum.map(|sum| (id, sum))),
                    Err(error) => {
                        let path = shown(new.path.as_bytes());
                        self.failure.set(error.context(format!("unpack entry: {path}")));
                    }
                }
            }
            self.pending.done(files);
        }
        sums
    }

    fn next(&self) -> Option<Batch> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    fn fill(&self, new: &NewFile, body: Body) -> Result<Option<[u8; 32]>> {
        let mut target = Target {
            file: &new.file,
            hash: (self.digests == FileDigests::Sha256).then(Sha256::new),
            ends_in_hole: false,
        };
        match body {
            Body::Whole(first, others) => {
                first.into_iter().chain(others).try_for_each(|piece| target.put(&piece))
            }
            Body::Stream(pieces) => pieces.into_iter().try_for_each(|piece| target.put(&piece)),
        }
        .context("write file")?;
        let Target { hash, ends_in_hole, .. } = target;
        if ends_in_hole {
            new.file.set_len(new.size).context("set file size")?;
        }
        let change =
            Change { metadata: &new.metadata, kind: Kind::File, clear_xattrs: new.clear_xattrs };
        self.fs.set_file_metadata(&new.file, &change).context("apply metadata")?;
        Ok(hash.map(|hash| hash.finalize().into()))
    }
}

/// A file that is being filled.
struct Target<'a> {
    file: &'a File,
    hash: Option<Sha256>,
    ends_in_hole: bool,
}

impl Target<'_> {
    fn put(&mut self, piece: &Piece) -> io::Result<()> {
        self.ends_in_hole = matches!(piece, Piece::Hole(_));
        match piece {
            Piece::Data(bytes) => {
                self.file.write_all(bytes)?;
                if let Some(hash) = &mut self.hash {
                    hash.update(&**bytes);
                }
                Ok(())
            }
            Piece::Hole(len) => self.skip(*len),
        }
    }

    fn skip(&mut self, len: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Current(i64::try_from(len).map_err(io::Error::other)?))?;
        if let Some(hash) = &mut self.hash {
            let mut left = len;
            while left > 0 {
                let zeros = left.min(ZEROS.len() as u64);
                hash.update(&ZEROS[..usize::try_from(zeros).unwrap_or(ZEROS.len())]);
                left -= zeros;
            }
        }
        Ok(())
    }
}
