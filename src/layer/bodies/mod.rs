// SPDX-License-Identifier: Apache-2.0
//! The workers that fill regular files: they get an open file and its bytes,
//! write and hash them, and set the metadata by handle. They never see a path
//! of the root filesystem but to name it in an error, so their order does not matter.
//! When they fall behind, whoever hands the files over fills some as well.

mod fill;
mod queue;

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use self::fill::{Failure, Filler};
use self::queue::Queue;
use super::buffer::Slice;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::rootfs::{FsOps, Metadata, RootPath, Stat};

/// How many files go to a worker together: waking one for each takes longer than most files.
const BATCH: usize = 32;
/// With so many bytes a batch goes, however few its files are.
const BATCH_BYTES: u64 = 256 << 10;
/// How many batches wait; each of their files is an open handle.
const QUEUE: usize = 4;

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
    new: NewFile,
    body: Body,
}

/// Files with consecutive numbers.
#[derive(Default)]
struct Batch {
    first: BodyId,
    jobs: Vec<Job>,
    /// The sizes of all files, in bytes.
    bytes: u64,
}

/// What is known of a file that was filled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filled {
    /// The SHA-256 of its contents.
    pub(crate) digest: [u8; 32],
    /// What it was when it was finished.
    pub(crate) stat: Stat,
}

/// What is known of the files that were filled, by number.
#[derive(Debug, Default)]
pub(crate) struct FilledFiles(Vec<(BodyId, Vec<Filled>)>);

impl FilledFiles {
    /// What is known of a file, if digests were asked for.
    pub(crate) fn get(&self, id: BodyId) -> Option<&Filled> {
        let (first, files) =
            &self.0[self.0.partition_point(|(first, _)| *first <= id).checked_sub(1)?];
        files.get(usize::try_from(id - first).ok()?)
    }

    fn add(&mut self, first: BodyId, files: Vec<Filled>) {
        if !files.is_empty() {
            self.0.push((first, files));
        }
    }

    fn join(&mut self, others: Self) {
        self.0.extend(others.0);
        self.0.sort_unstable_by_key(|(first, _)| *first);
    }
}

/// The hand-over to the workers.
pub(crate) struct Bodies<'scope> {
    shared: Arc<Shared<'scope>>,
    /// What is to go to a worker next.
    batch: Batch,
    workers: Vec<ScopedJoinHandle<'scope, FilledFiles>>,
    /// What was filled here.
    own: FilledFiles,
    next: BodyId,
}

struct Shared<'a> {
    queue: Queue<Batch>,
    filler: Filler<'a>,
}

impl Shared<'_> {
    /// Works until the queue is closed.
    fn work(&self) -> FilledFiles {
        let mut files = FilledFiles::default();
        while let Some(batch) = self.queue.take() {
            self.filler.fill(batch, &mut files);
            self.queue.done();
        }
        files
    }
}

impl<'scope> Bodies<'scope> {
    pub(crate) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        fs: &'env dyn FsOps,
        workers: usize,
        digests: FileDigests,
    ) -> Result<Self> {
        let filler = Filler { fs, digests, failure: Failure::default() };
        let shared = Arc::new(Shared { queue: Queue::new(QUEUE), filler });
        let (batch, own) = (Batch::default(), FilledFiles::default());
        let mut bodies = Self { shared, batch, workers: Vec::new(), own, next: 0 };
        for _ in 0..workers {
            let shared = bodies.shared.clone();
            bodies.workers.push(start_thread(scope, move || shared.work())?);
        }
        Ok(bodies)
    }

    /// The number that the next file will have.
    pub(crate) fn next_id(&self) -> BodyId {
        self.next
    }

    /// Hands a file over; what is known of it will be found under [`Bodies::next_id`] as it was
    /// before.
    pub(crate) fn write(&mut self, new: NewFile, body: Body) -> Result<()> {
        self.add(new, body)?;
        if self.batch.jobs.len() >= BATCH || self.batch.bytes >= BATCH_BYTES {
            self.send();
        }
        Ok(())
    }

    /// As [`Bodies::write`], with the pieces to follow.
    pub(crate) fn stream(&mut self, new: NewFile) -> Result<Sender<Piece>> {
        let (pieces, body) = mpsc::channel();
        self.add(new, Body::Stream(body))?;
        // The pieces are as many as they are: somebody else has to take them.
        let batch = self.take_batch();
        self.shared.queue.push(batch);
        Ok(pieces)
    }

    fn add(&mut self, new: NewFile, body: Body) -> Result<()> {
        self.check()?;
        self.next = self.next.checked_add(1).ok_or_else(|| Error::invalid("too many files"))?;
        self.batch.bytes = self.batch.bytes.saturating_add(new.size);
        self.batch.jobs.push(Job { new, body });
        Ok(())
    }

    fn take_batch(&mut self) -> Batch {
        let next = Batch { first: self.next, jobs: Vec::with_capacity(BATCH), bytes: 0 };
        std::mem::replace(&mut self.batch, next)
    }

    fn send(&mut self) {
        if self.batch.jobs.is_empty() {
            return;
        }
        let batch = self.take_batch();
        if let Some(batch) = self.shared.queue.offer(batch) {
            self.shared.filler.fill(batch, &mut self.own);
        }
    }

    /// Waits until all files that have been handed over are finished.
    pub(crate) fn settle(&mut self) -> Result<()> {
        self.send();
        self.shared.queue.settle();
        self.check()
    }

    /// Fails when a file could not be filled; [`Bodies::finish`] says why.
    pub(crate) fn check(&self) -> Result<()> {
        self.shared.filler.failure.check()
    }

    /// Waits for all files and gives what is known of them.
    pub(crate) fn finish(mut self) -> Result<FilledFiles> {
        self.send();
        self.shared.queue.close();
        let mut files = std::mem::take(&mut self.own);
        for worker in std::mem::take(&mut self.workers) {
            files.join(worker.join().map_err(|_| {
                Error::new(ErrorKind::Io, "internal error: a writer of files panicked")
            })?);
        }
        self.shared.filler.failure.take().map_or(Ok(files), Err)
    }
}

impl Drop for Bodies<'_> {
    fn drop(&mut self) {
        // Nobody is to wait for more.
        self.shared.queue.close();
    }
}
