// SPDX-License-Identifier: Apache-2.0
//! How far long work has come: counters that the work keeps and others read.
//!
//! Options of long calls hold a shared [`Progress`]. Whoever wants to show it keeps
//! another reference and reads it from another thread as often as it likes. Counting costs
//! one relaxed addition per buffer or entry, so it is done whether anybody looks or not.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// What is being done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing that is counted.
    #[default]
    Waiting,
    /// Layers are read for the owners in them. Bytes are those of their blobs.
    CheckingOwners,
    /// Layers are unpacked. Bytes are those of their blobs.
    Unpacking,
    /// A tree is compared with its record. Bytes are those that had to be read.
    Comparing,
    /// A layer is made. Bytes are those before compression.
    Packing,
    /// The record of a tree is written. Bytes are those that had to be read.
    Recording,
    /// Blobs are checked. Bytes are theirs.
    Validating,
}

impl Stage {
    const ALL: [Self; 7] = [
        Self::Waiting,
        Self::CheckingOwners,
        Self::Unpacking,
        Self::Comparing,
        Self::Packing,
        Self::Recording,
        Self::Validating,
    ];
}

/// Counters of one piece of work, shared between those who do it and those who show it.
#[derive(Debug, Default)]
pub struct Progress {
    stage: AtomicU8,
    layer: AtomicU64,
    layers: AtomicU64,
    bytes: AtomicU64,
    expected_bytes: AtomicU64,
    entries: AtomicU64,
    expected_entries: AtomicU64,
}

/// What a [`Progress`] says at a moment. In the instant when a stage begins its numbers
/// may be those of two stages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// What is being done. All numbers are of this stage.
    pub stage: Stage,
    /// The number of the current layer, counted from 1.
    pub layer: u64,
    /// How many layers there are; 0 where it is not about layers.
    pub layers: u64,
    /// How many bytes are done.
    pub bytes: u64,
    /// How many there will be, as far as that can be told beforehand; 0 when it cannot.
    pub expected_bytes: u64,
    /// How many files, directories and other entries are done.
    pub entries: u64,
    /// How many there will be; 0 when that is not known.
    pub expected_entries: u64,
}

impl Progress {
    /// Reads the counters.
    pub fn state(&self) -> State {
        let stage = usize::from(self.stage.load(Relaxed));
        State {
            stage: Stage::ALL.get(stage).copied().unwrap_or_default(),
            layer: self.layer.load(Relaxed),
            layers: self.layers.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            expected_bytes: self.expected_bytes.load(Relaxed),
            entries: self.entries.load(Relaxed),
            expected_entries: self.expected_entries.load(Relaxed),
        }
    }

    /// Begins a stage, with nothing done and nothing expected.
    pub(crate) fn begin(&self, stage: Stage) {
        for counter in [
            &self.layer,
            &self.layers,
            &self.bytes,
            &self.expected_bytes,
            &self.entries,
            &self.expected_entries,
        ] {
            counter.store(0, Relaxed);
        }
        self.stage.store(stage as u8, Relaxed);
    }

    pub(crate) fn expect_layers(&self, layers: u64, bytes: u64) {
        self.layers.store(layers, Relaxed);
        self.expect_bytes(bytes);
    }

    pub(crate) fn expect_bytes(&self, bytes: u64) {
        self.expected_bytes.store(bytes, Relaxed);
    }

    pub(crate) fn expect_entries(&self, entries: u64) {
        self.expected_entries.store(entries, Relaxed);
    }

    pub(crate) fn next_layer(&self) {
        self.layer.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_entries(&self, entries: u64) {
        self.entries.fetch_add(entries, Relaxed);
    }

    pub(crate) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }
}

/// A reader or writer that counts the bytes that pass.
#[derive(Debug)]
pub(crate) struct Counted<T> {
    inner: T,
    progress: Arc<Progress>,
}

impl<T> Counted<T> {
    pub(crate) fn new(inner: T, progress: Arc<Progress>) -> Self {
        Self { inner, progress }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.progress.add_bytes(count);
        Ok(count)
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.progress.add_bytes(count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_read_as_it_began() {
        let progress = Progress::default();
        assert_eq!(progress.state(), State::default());
        for stage in Stage::ALL {
            progress.begin(stage);
            progress.add_entries(2);
            progress.next_layer();
            let expected = State { stage, layer: 1, entries: 2, ..State::default() };
            assert_eq!(progress.state(), expected);
        }
    }

    #[test]
    fn bytes_are_counted_on_their_way() {
        let progress = Arc::new(Progress::default());
        let mut reader = Counted::new(&b"hello"[..], progress.clone());
        let mut writer = Counted::new(Vec::new(), progress.clone());
        io::copy(&mut reader, &mut writer).unwrap();
        assert_eq!((writer.inner.as_slice(), progress.state().bytes), (&b"hello"[..], 10));
    }
}
