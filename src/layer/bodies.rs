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

/// How many files wait at most; each holds an open handle.
const QUEUE: usize = 128;
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
    /// All of it.
    Whole(Vec<Piece>),
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

/// The hand-over to the workers.
pub(crate) struct Bodies<'scope> {
    queue: SyncSender<Job>,
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
    fn add(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn done(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_sub(1);
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
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        let failure = Arc::new(Failure::default());
        let pending = Arc::new(Pending::default());
        let worker = || Worker {
            jobs: jobs.clone(),
            fs,
            digests,
            failure: failure.clone(),
            pending: pending.clone(),
        };
        let workers = (0..workers).map(|_| worker());
        let workers = workers.map(|worker| start_thread(scope, || worker.run()));
        let workers = workers.collect::<Result<_>>()?;
        Ok(Self { queue, workers, failure: failure.clone(), pending: pending.clone(), next: 0 })
    }

    /// Hands a file over and gives the number under which its digest will be found.
    pub(crate) fn write(&mut self, new: NewFile, body: Body) -> Result<BodyId> {
        self.failure.check()?;
        let id = self.next;
        self.next = id.checked_add(1).ok_or_else(|| Error::invalid("too many files"))?;
        self.pending.add();
        if self.queue.send(Job { id, new, body }).is_err() {
            return Err(Error::new(
                ErrorKind::Io,
                "internal error: the writers of files have ended",
            ));
        }
        Ok(id)
    }

    /// As [`Bodies::write`], with the pieces to follow.
    pub(crate) fn stream(&mut self, new: NewFile) -> Result<(BodyId, Sender<Piece>)> {
        let (pieces, body) = mpsc::channel();
        Ok((self.write(new, Body::Stream(body))?, pieces))
    }

    /// Waits until all files that have been handed over are finished.
    pub(crate) fn settle(&self) -> Result<()> {
        self.pending.wait();
        self.failure.check()
    }

    /// Fails when a worker has failed; [`Bodies::finish`] says how.
    pub(crate) fn check(&self) -> Result<()> {
        self.failure.check()
    }

    /// Waits for all files and gives the digests by number (zeros where none was asked for).
    pub(crate) fn finish(self) -> Result<Vec<[u8; 32]>> {
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
        self.failure.take().map_or(Ok(digests), Err)
    }
}

struct Worker<'env> {
    jobs: Arc<Mutex<Receiver<Job>>>,
    fs: &'env dyn FsOps,
    digests: FileDigests,
    failure: Arc<Failure>,
    pending: Arc<Pending>,
}

impl Worker<'_> {
    /// Works until the queue is closed. After a failure it only empties it, so that nobody blocks.
    fn run(self) -> Sums {
        let mut sums = Vec::new();
        while let Some(job) = self.next() {
            if !self.failure.failed.load(Ordering::Acquire) {
                let path = job.new.path.clone();
                match self.fill(job) {
                    Ok(Some(sum)) => sums.push(sum),
                    Ok(None) => {}
                    Err(error) => {
                        let path = shown(path.as_bytes());
                        self.failure.set(error.context(format!("unpack entry: {path}")));
                    }
                }
            }
            self.pending.done();
        }
        sums
    }

    fn next(&self) -> Option<Job> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    fn fill(&self, job: Job) -> Result<Option<(BodyId, [u8; 32])>> {
        let mut target = Target {
            file: &job.new.file,
            hash: (self.digests == FileDigests::Sha256).then(Sha256::new),
            ends_in_hole: false,
        };
        match job.body {
            Body::Whole(pieces) => pieces.into_iter().try_for_each(|piece| target.put(&piece)),
            Body::Stream(pieces) => pieces.into_iter().try_for_each(|piece| target.put(&piece)),
        }
        .context("write file")?;
        let ends_in_hole = target.ends_in_hole;
        let sum = target.hash.map(|hash| (job.id, hash.finalize().into()));
        let new = &job.new;
        if ends_in_hole {
            new.file.set_len(new.size).context("set file size")?;
        }
        let change =
            Change { metadata: &new.metadata, kind: Kind::File, clear_xattrs: new.clear_xattrs };
        self.fs.set_file_metadata(&new.file, &change).context("apply metadata")?;
        Ok(sum)
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
