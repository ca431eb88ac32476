// SPDX-License-Identifier: Apache-2.0
//! Buffers that several stages share without copying: one stage fills a
//! [`SharedBuffer`], others read slices of it, and when the last is done its memory
//! goes back to the [`BufferPool`]. The pool's size bounds a layer's memory.

use std::io::{self, BufRead, Read};
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

/// The size of one buffer, in bytes. Smaller ones cost more hand-overs, larger ones fall out of the cache.
pub(crate) const BUFFER: usize = 256 << 10;

/// A fixed number of buffers that go round.
#[derive(Debug)]
pub(crate) struct BufferPool {
    free: Receiver<Vec<u8>>,
    home: Sender<Vec<u8>>,
}

impl BufferPool {
    pub(crate) fn new(count: usize) -> Self {
        let (home, free) = mpsc::channel();
        for _ in 0..count {
            // The receiver is at hand, so sending cannot fail.
            let _ = home.send(Vec::new());
        }
        Self { free, home }
    }

    /// Fills one buffer from `reader`; waits for a free one first. Empty at the end of the stream.
    pub(crate) fn fill(&self, reader: &mut dyn Read) -> io::Result<SharedBuffer> {
        // `self.home` keeps the channel open.
        let mut data = self.free.recv().map_err(io::Error::other)?;
        data.resize(BUFFER, 0);
        let mut buffer = SharedBuffer { data, len: 0, home: self.home.clone() };
        while buffer.len < BUFFER {
            match reader.read(&mut buffer.data[buffer.len..]) {
                Ok(0) => break,
                Ok(count) => buffer.len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(buffer)
    }
}

/// One filled buffer.
#[derive(Debug)]
pub(crate) struct SharedBuffer {
    data: Vec<u8>,
    len: usize,
    home: Sender<Vec<u8>>,
}

#[cfg(test)]
impl Slice {
    /// A slice that panics when it is looked at.
    pub(crate) fn broken() -> Self {
        let buffer = SharedBuffer { data: Vec::new(), len: 0, home: mpsc::channel().0 };
        Self { buffer: buffer.into(), range: 0..1 }
    }
}

impl Deref for SharedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data[..self.len]
    }
}

impl Drop for SharedBuffer {
    fn drop(&mut self) {
        // Nobody waits for buffers any more when the pool is gone.
        let _ = self.home.send(std::mem::take(&mut self.data));
    }
}

/// A part of a shared buffer.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    buffer: Arc<SharedBuffer>,
    range: Range<usize>,
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

/// Buffers in order, as the stream they are. The stream ends with an empty
/// message or when the sender goes away.
#[derive(Debug)]
pub(crate) struct BufferReader<'a> {
    buffers: &'a Receiver<Arc<SharedBuffer>>,
    current: Option<Arc<SharedBuffer>>,
    position: usize,
}

impl<'a> BufferReader<'a> {
    pub(crate) fn new(buffers: &'a Receiver<Arc<SharedBuffer>>) -> Self {
        Self { buffers, current: None, position: 0 }
    }

    /// Shares the next `len` bytes of the buffer that `fill_buf` gave; does not consume them.
    pub(crate) fn share(&self, len: usize) -> Option<Slice> {
        let buffer = self.current.clone()?;
        let end = self.position.checked_add(len).filter(|end| *end <= buffer.len())?;
        Some(Slice { buffer, range: self.position..end })
    }

    /// Whether what ended the stream was its end, and not the sender's.
    pub(crate) fn is_whole(&self) -> bool {
        self.current.as_ref().is_some_and(|buffer| buffer.is_empty())
    }
}

impl BufRead for BufferReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let used_up =
            |buffer: &Arc<SharedBuffer>| buffer.len() == self.position && !buffer.is_empty();
        if self.current.as_ref().is_none_or(used_up) {
            self.current = None;
            self.position = 0;
            self.current = self.buffers.recv().ok();
        }
        Ok(self.current.as_ref().map_or(&[], |buffer| &buffer[self.position..]))
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount;
    }
}

impl Read for BufferReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_through_few_buffers() {
        let data: Vec<u8> = (0..5 * BUFFER + 17).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let (send, receive) = mpsc::channel();
        let copy = std::thread::scope(|scope| {
            let data = &data;
            scope.spawn(move || {
                let pool = BufferPool::new(2);
                let mut reader = &data[..];
                loop {
                    let buffer = pool.fill(&mut reader).unwrap();
                    let last = buffer.is_empty();
                    send.send(Arc::new(buffer)).unwrap();
                    if last {
                        break;
                    }
                }
            });
            let mut copy = Vec::new();
            BufferReader::new(&receive).read_to_end(&mut copy).unwrap();
            copy
        });
        assert!(copy == data);
    }

    #[test]
    fn shares_what_it_shows() {
        let (send, receive) = mpsc::channel();
        let pool = BufferPool::new(1);
        send.send(Arc::new(pool.fill(&mut &b"hello world"[..]).unwrap())).unwrap();
        let mut reader = BufferReader::new(&receive);
        assert_eq!(reader.fill_buf().unwrap(), b"hello world");
        reader.consume(6);
        assert_eq!(&*reader.share(5).unwrap(), b"world");
        assert!(reader.share(6).is_none());
    }
}
