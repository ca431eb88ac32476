// SPDX-License-Identifier: Apache-2.0
//! The gzip encoder: one member, made of blocks that are compressed in parallel.
//!
//! Each block is deflated on its own with the 32 KiB before it as dictionary
//! and ended by a sync flush, so that the blocks joined are one deflate stream,
//! which every reader of gzip takes. The size of the blocks is fixed; therefore
//! the bytes do not depend on the number of threads.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Crc;

use super::deflate::Deflate;

/// The bytes of input that one thread takes at a time.
const BLOCK: usize = 512 << 10;

/// How far back deflate refers.
const WINDOW: usize = 32 << 10;

/// The member's header: deflate, no name, no time, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The last deflate block: empty.
const LAST: [u8; 2] = [3, 0];

/// A piece of the input on its way through a thread. Its buffers are used again.
#[derive(Default)]
struct Block {
    /// The dictionary and behind it the input.
    bytes: Vec<u8>,
    /// How much of `bytes` is dictionary.
    dictionary: usize,
    compressed: Vec<u8>,
    crc: Crc,
}

impl Block {
    fn input(&self) -> &[u8] {
        self.bytes.get(self.dictionary..).unwrap_or_default()
    }

    /// Makes this the empty block that follows `previous`.
    fn follow(&mut self, previous: &Self) {
        let tail = previous.bytes.len().saturating_sub(WINDOW);
        self.bytes.clear();
        self.bytes.extend_from_slice(&previous.bytes[tail..]);
        self.dictionary = self.bytes.len();
    }

    /// Takes what fits of `bytes` and tells how much that was.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(BLOCK - self.input().len());
        if self.bytes.capacity() < self.dictionary + BLOCK {
            self.bytes.reserve_exact(self.dictionary + BLOCK - self.bytes.len());
        }
        self.bytes.extend_from_slice(&bytes[..count]);
        count
    }

    fn compress(&mut self, deflate: &mut Deflate) {
        // Another processor has written the bytes. The sum is the fastest way to bring them near.
        self.crc.reset();
        self.crc.update(&self.bytes[self.dictionary..]);
        self.compressed.clear();
        let output = std::mem::take(&mut self.compressed);
        self.compressed = deflate.compress(&self.bytes, self.dictionary, output);
    }
}

struct Job {
    block: Block,
    reply: SyncSender<Block>,
}

/// Threads that compress blocks; each starts when there is work for it.
struct Pool {
    /// `None` once no more work comes, which ends the threads.
    jobs: Option<Sender<Job>>,
    queue: Arc<Mutex<Receiver<Job>>>,
    threads: Vec<thread::JoinHandle<()>>,
    most: usize,
}

impl Pool {
    fn new(threads: NonZeroUsize) -> Self {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        Self { jobs: Some(jobs), queue, threads: Vec::new(), most: threads.get() }
    }

    fn submit(&mut self, block: Block) -> io::Result<Receiver<Block>> {
        if self.threads.len() < self.most {
            let queue = Arc::clone(&self.queue);
            let thread = thread::Builder::new().name("gzip".to_owned());
            self.threads.push(thread.spawn(move || work(&queue))?);
        }
        let (reply, result) = mpsc::sync_channel(1);
        let job = Job { block, reply };
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(stopped)?;
        Ok(result)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has been noticed by its missing reply.
            let _ = thread.join();
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    let mut deflate = Deflate::new();
    loop {
        let Ok(Ok(Job { mut block, reply })) = queue.lock().map(|queue| queue.recv()) else {
            return;
        };
        block.compress(&mut deflate);
        // Nobody listens any more once the encoder has met an error.
        let _ = reply.send(block);
    }
}

fn stopped() -> io::Error {
    io::Error::other("gzip: compression thread stopped")
}

/// Compresses what is written to it into one gzip member.
pub(super) struct GzipEncoder<W> {
    output: W,
    pool: Pool,
    /// Blocks that threads have, oldest first.
    pending: VecDeque<Receiver<Block>>,
    /// How many blocks threads may have: more than there are threads, as some take far longer than others.
    most_pending: usize,
    /// The block that is being filled.
    block: Block,
    spare: Vec<Block>,
    crc: Crc,
    /// The bytes of input, of which gzip keeps 32 bits.
    size: u32,
    started: bool,
}

impl<W: Write> GzipEncoder<W> {
    pub(super) fn new(output: W, threads: NonZeroUsize) -> Self {
        Self {
            output,
            pool: Pool::new(threads),
            pending: VecDeque::new(),
            most_pending: threads.get().saturating_mul(2).saturating_add(4),
            block: Block::default(),
            spare: Vec::new(),
            crc: Crc::new(),
            size: 0,
            started: false,
        }
    }

    pub(super) fn output(&mut self) -> &mut W {
        &mut self.output
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.block.take(bytes);
        if self.block.input().len() == BLOCK {
            self.submit()?;
        }
        Ok(count)
    }

    /// Gives the block to the threads and begins the next.
    fn submit(&mut self) -> io::Result<()> {
        if self.pending.len() >= self.most_pending {
            self.collect()?;
        }
        let mut next = self.spare.pop().unwrap_or_default();
        next.follow(&self.block);
        let block = std::mem::replace(&mut self.block, next);
        self.pending.push_back(self.pool.submit(block)?);
        Ok(())
    }

    /// Waits for the oldest block and writes it.
    fn collect(&mut self) -> io::Result<()> {
        let Some(oldest) = self.pending.pop_front() else { return Ok(()) };
        let block = oldest.recv().map_err(|_| stopped())?;
        self.start()?;
        self.output.write_all(&block.compressed)?;
        self.crc.combine(&block.crc);
        // Truncation is what the format asks for, and a block is far from 32 bits.
        self.size = self.size.wrapping_add(u32::try_from(block.input().len()).unwrap_or(u32::MAX));
        self.spare.push(block);
        Ok(())
    }

    fn start(&mut self) -> io::Result<()> {
        if !self.started {
            self.output.write_all(&HEADER)?;
            self.started = true;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.block.input().is_empty() {
            self.submit()?;
        }
        while !self.pending.is_empty() {
            self.collect()?;
        }
        self.start()?;
        self.output.write_all(&LAST)?;
        self.output.write_all(&self.crc.sum().to_le_bytes())?;
        self.output.write_all(&self.size.to_le_bytes())?;
        Ok(self.output)
    }
}
