// SPDX-License-Identifier: Apache-2.0
//! The workers that fill regular files: they get an open file and its bytes,
//! write and hash them, and set the metadata by handle. They never see a path
//! of the root filesystem but to name it in an error, so their order does not matter.
//! When they fall behind, whoever hands the files over fills some as well, and large
//! files he writes himself while a worker hashes them: one thread with both to do would
//! keep all others waiting. An interrupt, and whatever else ends the work, is heeded within
//! holes, too: they may be of any size, and nothing is read for them that would break off.

mod fill;
mod filled;
mod queue;

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use self::fill::{Failure, Filler};
pub(crate) use self::filled::{Filled, FilledFiles};
use self::queue::Queue;
use super::buffer::Slice;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::rootfs::{FsOps, Metadata, RootPath};

/// How many files go to a worker together, and how many buffers these may hold: waking one for
/// each takes longer than most files.
pub(super) const BATCH: usize = 16;
/// With so many bytes a batch goes, however few its files are.
const BATCH_BYTES: u64 = 256 << 10;
/// How many batches wait; each of their files is an open handle.
const QUEUE: usize = 4;

/// Which body it is: counts from 1 in the order of [`Bodies::write`].
pub(crate) type BodyId = NonZero<u32>;

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
    /// What has been written already, or could not be, as it comes; until the sender is dropped.
    Written(Receiver<io::Result<Piece>>),
}

impl Body {
    /// How many pieces are at hand. Each of them may hold a buffer.
    fn pieces(&self) -> usize {
        match self {
            Self::Whole(first, others) => usize::from(first.is_some()) + others.len(),
            Self::Written(_) => 0,
        }
    }
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
    /// Shared with the [`Stream`] of a large file.
    pub(crate) file: Arc<File>,
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

/// A large file that is being handed over.
pub(crate) struct Stream {
    // Let go of before the worker hears that there is no more: when it has finished the file,
    // nobody has it open.
    file: Arc<File>,
    pieces: Sender<io::Result<Piece>>,
}

impl Stream {
    /// Writes the next piece. It is for the worker to say why it could not be written.
    pub(crate) fn write(&self, bodies: &Bodies<'_>, piece: Piece) -> Result<()> {
        match self.pieces.send(fill::write(&self.file, piece)) {
            Ok(()) => Ok(()),
            // The worker hung up: it has said why.
            Err(_) => bodies.check(),
        }
    }
}

/// Files with consecutive numbers.
struct Batch {
    first: BodyId,
    jobs: Vec<Job>,
    /// The sizes of all files, in bytes.
    bytes: u64,
    /// The pieces of all files.
    pieces: usize,
}

impl Batch {
    fn starting_with(first: BodyId) -> Self {
        Self { first, jobs: Vec::with_capacity(BATCH), bytes: 0, pieces: 0 }
    }

    fn is_full(&self) -> bool {
        self.jobs.len() >= BATCH || self.pieces >= BATCH || self.bytes >= BATCH_BYTES
    }
}

/// The hand-over to the workers.
pub(crate) struct Bodies<'scope> {
    shared: Arc<Shared<'scope>>,
    /// What is to go to a worker next.
    batch: Batch,
    workers: Vec<ScopedJoinHandle<'scope, ()>>,
    next: BodyId,
    /// All with lower numbers are finished.
    settled: BodyId,
}

struct Shared<'a> {
    queue: Queue<Batch>,
    filler: Filler<'a>,
}

impl Shared<'_> {
    /// Works until the queue is closed.
    fn work(&self) {
        while let Some(batch) = self.queue.take() {
            self.fill(batch);
        }
    }

    /// Hands a batch over. Who has to wait for room in the queue can as well make some: what
    /// waits there is complete, large files too.
    fn push(&self, mut batch: Batch) {
        while let Some(without_room) = self.queue.offer(batch) {
            batch = without_room;
            if let Some(first) = self.queue.take_waiting() {
                self.fill(first);
            }
        }
    }

    /// Fills what was taken from the queue. A panic is a failure like others: whoever waits for
    /// the work, or for the buffers that it holds, is not to wait for ever.
    fn fill(&self, batch: Batch) {
        let filled = catch_unwind(AssertUnwindSafe(|| self.filler.fill(batch)));
        if filled.is_err() {
            let error = "internal error: a writer of files panicked";
            self.filler.failure.set(Error::new(ErrorKind::Io, error));
        }
        self.queue.done();
    }
}

impl<'scope> Bodies<'scope> {
    pub(crate) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        fs: &'env dyn FsOps,
        workers: usize,
        digests: FileDigests,
        files: Arc<FilledFiles>,
        interrupt: Interrupt,
    ) -> Result<Self> {
        let filler = Filler { fs, digests, files, interrupt, failure: Failure::default() };
        let shared = Arc::new(Shared { queue: Queue::new(QUEUE), filler });
        let next = BodyId::MIN;
        let batch = Batch::starting_with(next);
        let mut bodies = Self { shared, batch, workers: Vec::new(), next, settled: next };
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
        if self.batch.is_full() {
            self.send();
        }
        Ok(())
    }

    /// As [`Bodies::write`], with the pieces to follow.
    pub(crate) fn stream(&mut self, new: NewFile) -> Result<Stream> {
        let file = new.file.clone();
        let (pieces, written) = mpsc::channel();
        self.add(new, Body::Written(written))?;
        // The pieces are as many as they are: somebody else has to take them.
        let batch = self.take_batch();
        self.shared.push(batch);
        Ok(Stream { file, pieces })
    }

    fn add(&mut self, new: NewFile, body: Body) -> Result<()> {
        self.check()?;
        self.next = self.next.checked_add(1).ok_or_else(|| Error::invalid("too many files"))?;
        self.batch.bytes = self.batch.bytes.saturating_add(new.size);
        self.batch.pieces = self.batch.pieces.saturating_add(body.pieces());
        self.batch.jobs.push(Job { new, body });
        Ok(())
    }

    fn take_batch(&mut self) -> Batch {
        std::mem::replace(&mut self.batch, Batch::starting_with(self.next))
    }

    fn send(&mut self) {
        if self.batch.jobs.is_empty() {
            return;
        }
        let batch = self.take_batch();
        if let Some(batch) = self.shared.queue.offer(batch) {
            self.shared.filler.fill(batch);
        }
    }

    /// Waits until all files that have been handed over are finished.
    pub(crate) fn settle(&mut self) -> Result<()> {
        self.settle_before(self.next)
    }

    /// Waits until all files with lower numbers than this are finished.
    pub(crate) fn settle_before(&mut self, id: BodyId) -> Result<()> {
        if self.settled < id {
            // Who has to wait for it can as well do it.
            let batch = self.take_batch();
            self.shared.filler.fill(batch);
            self.shared.queue.settle();
            self.settled = self.next;
        }
        self.check()
    }

    /// Fails when a file could not be filled; [`Bodies::finish`] says why.
    pub(crate) fn check(&self) -> Result<()> {
        self.shared.filler.failure.check()
    }

    /// Says that the files are of no use any more: what is left of them is let go.
    pub(crate) fn give_up(&self) {
        self.shared.filler.failure.give_up();
    }

    /// Waits for all files.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.send();
        self.shared.queue.close();
        for worker in std::mem::take(&mut self.workers) {
            // What panics is noted as a failure.
            let _ = worker.join();
        }
        self.shared.filler.failure.take().map_or(Ok(()), Err)
    }
}

impl Drop for Bodies<'_> {
    fn drop(&mut self) {
        // Nobody is to wait for more, or to finish what nobody wants.
        self.give_up();
        self.shared.queue.close();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::rootfs::Native;

    /// Has so many workers fill files, and gives the error at the end.
    fn error_of(workers: usize, work: impl FnOnce(&mut Bodies<'_>)) -> String {
        let place = tempfile::tempdir().unwrap();
        let fs = Native::open(place.path()).unwrap();
        std::thread::scope(|scope| {
            let (digests, files) = (FileDigests::Sha256, Arc::default());
            let interrupt = Interrupt::default();
            let mut bodies = Bodies::start(scope, &fs, workers, digests, files, interrupt).unwrap();
            work(&mut bodies);
            bodies.finish().map_or_else(|error| error.to_string(), |()| String::new())
        })
    }

    fn new(file: File) -> NewFile {
        let file = file.into();
        let (path, metadata) = (RootPath::clean("large").unwrap(), Metadata::default());
        NewFile { file, path, metadata, clear_xattrs: false, size: 1 }
    }

    fn new_file() -> NewFile {
        new(tempfile::tempfile().unwrap())
    }

    /// Nobody waits for what a worker has dropped, neither for its end nor for its buffers.
    #[test]
    fn a_panic_is_a_failure() {
        let error = error_of(1, |bodies| {
            bodies
                .stream(new_file())
                .unwrap()
                .pieces
                .send(Ok(Piece::Data(Slice::broken())))
                .unwrap();
            bodies.settle().unwrap_err();
            bodies.write(new_file(), Body::Whole(None, Vec::new())).unwrap_err();
        });
        assert_eq!(error, "internal error: a writer of files panicked");
    }

    #[test]
    fn a_large_file_is_written_without_a_worker() {
        let mut file = tempfile::tempfile().unwrap();
        error_of(0, |bodies| {
            let stream = bodies.stream(new(file.try_clone().unwrap())).unwrap();
            stream.write(bodies, Piece::Hole(7)).unwrap();
            assert_eq!(file.stream_position().unwrap(), 7);
        });
    }

    #[test]
    fn large_files_do_not_wait_for_a_worker_that_is_not_there() {
        error_of(0, |bodies| {
            for _ in 0..=2 * QUEUE {
                bodies.stream(new_file()).unwrap();
            }
            let batch = bodies.take_batch();
            assert!(bodies.shared.queue.offer(batch).is_some());
        });
    }

    #[test]
    fn what_is_given_up_is_no_failure() {
        let error = error_of(1, |bodies| {
            let stream = bodies.stream(new_file()).unwrap();
            stream.write(bodies, Piece::Hole(1 << 40)).unwrap();
            drop(stream);
            bodies.give_up();
        });
        assert_eq!(error, "");
    }

    #[test]
    fn a_large_file_that_cannot_be_written_is_a_failure() {
        let error = error_of(1, |bodies| {
            // It has no places to leave a hole between.
            let (socket, _other) = UnixStream::pair().unwrap();
            let stream = bodies.stream(new(OwnedFd::from(socket).into())).unwrap();
            stream.write(bodies, Piece::Hole(7)).unwrap();
            drop(stream);
            bodies.settle().unwrap_err();
        });
        assert!(error.starts_with("unpack entry: large: write file: "), "{error}");
    }
}
