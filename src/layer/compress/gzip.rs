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

use flate2::{Compress, Compression, Crc, FlushCompress};

/// The bytes of input that one thread takes at a time.
const BLOCK: usize = 512 << 10;

/// How far back deflate refers.
const WINDOW: usize = 32 << 10;

/// As many zeros as the compressor keeps of its input.
static ZEROS: [u8; 2 * WINDOW] = [0; 2 * WINDOW];

/// The level of zlib-rs: the fastest that gives smaller layers than the usual tools.
const LEVEL: u32 = 3;

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

    fn compress(&mut self, deflate: &mut Compress) -> io::Result<()> {
        scrub(deflate, &mut self.compressed)?;
        let (dictionary, input) = self.bytes.split_at(self.dictionary);
        if !dictionary.is_empty() {
            deflate.set_dictionary(dictionary).map_err(io::Error::other)?;
        }
        flush_through(deflate, input, &mut self.compressed)?;
        self.crc.reset();
        self.crc.update(input);
        Ok(())
    }
}

/// Forgets all earlier input. A plain reset leaves it in the window, where the
/// compressor hashes a byte or two behind the dictionary's end: what it finds
/// then depends on which blocks the thread had before.
fn scrub(deflate: &mut Compress, scratch: &mut Vec<u8>) -> io::Result<()> {
    deflate.reset();
    flush_through(deflate, &ZEROS, scratch)?;
    deflate.reset();
    Ok(())
}

/// Replaces `output` by what becomes of all the input.
fn flush_through(deflate: &mut Compress, input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    output.clear();
    // Room for the worst case: were the output cut, a second flush marker would follow.
    output.reserve(input.len() + input.len() / 4 + 4096);
    deflate.compress_vec(input, output, FlushCompress::Sync).map_err(io::Error::other)?;
    if deflate.total_in() != input.len() as u64 || output.len() == output.capacity() {
        return Err(io::Error::other("gzip: compressor left input behind"));
    }
    Ok(())
}

struct Job {
    block: Block,
    reply: SyncSender<io::Result<Block>>,
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

    fn submit(&mut self, block: Block) -> io::Result<Receiver<io::Result<Block>>> {
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
    let mut deflate = Compress::new(Compression::new(LEVEL), false);
    loop {
        let Ok(Ok(Job { mut block, reply })) = queue.lock().map(|queue| queue.recv()) else {
            return;
        };
        let result = block.compress(&mut deflate).map(|()| block);
        // Nobody listens any more once the encoder has met an error.
        let _ = reply.send(result);
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
    pending: VecDeque<Receiver<io::Result<Block>>>,
    /// How many blocks threads may have.
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
            most_pending: threads.get().saturating_add(2),
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
        let block = oldest.recv().map_err(|_| stopped())??;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(deflate: &mut Compress, dictionary: &[u8], input: &[u8]) -> Vec<u8> {
        let bytes = [dictionary, input].concat();
        let mut block = Block { bytes, dictionary: dictionary.len(), ..Block::default() };
        block.compress(deflate).unwrap();
        block.compressed
    }

    /// Few letters make many short matches, some of which cross the dictionary's end.
    fn letters(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let letter = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b"abc"[usize::try_from((state >> 40) % 3).unwrap()]
        };
        std::iter::repeat_with(letter).take(len).collect()
    }

    #[test]
    fn a_block_does_not_depend_on_the_ones_before() {
        let new = || Compress::new(Compression::new(LEVEL), false);
        let mut used = new();
        for seed in 1..30 {
            let (dictionary, input) = (letters(seed, WINDOW), letters(seed + 100, 3000));
            let alone = compressed(&mut new(), &dictionary, &input);
            assert!(compressed(&mut used, &dictionary, &input) == alone, "{seed}");
            compressed(&mut used, &[], &letters(seed + 200, 3 * WINDOW));
        }
    }
}
