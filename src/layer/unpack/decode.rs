// SPDX-License-Identifier: Apache-2.0
//! [`Decode`], the first stage of an unpack: from the streams of layers to shared buffers.
//!
//! It has the most to do of all stages, and a stream can only be decoded from its start to its
//! end. So two threads take the layers in turns, each with buffers of its own: the layer that is
//! being applied and the one after it cannot take them from each other.

use std::iter::Enumerate;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

use super::{LayerFailure, LayerSource};
use crate::error::{Context, Result};
use crate::layer::bodies::start_thread;
use crate::layer::buffer::{BufferPool, SharedBuffer};
use crate::layer::limits::Limits;
use crate::oci::Digest;

/// How many buffers go round: 16 MiB in all.
const BUFFERS: usize = 64;
/// How many layers are decoded at the same time at most.
const DECODERS: usize = 2;
/// How many buffers each of them has at least.
pub(in crate::layer) const BUFFERS_OF_LAYER: usize = BUFFERS / DECODERS;

/// The bytes of a layer, with an empty buffer at its end. Where that is missing, the stream has
/// broken off, and whoever broke it says why.
pub(super) type Buffers = Receiver<Arc<SharedBuffer>>;

/// A layer on its way to the hasher.
pub(super) struct Unhashed {
    pub(super) at: usize,
    pub(super) name: String,
    pub(super) diff_id: Option<Digest>,
    pub(super) buffers: Buffers,
}

/// What the threads share that decode.
pub(super) struct Decode<I> {
    rest: Mutex<Rest<I>>,
    limits: Limits,
    /// The bytes of all layers so far.
    unpacked: AtomicU64,
}

/// The layers that have not begun, and who is told of them, in their order.
struct Rest<I> {
    layers: Enumerate<I>,
    to_apply: Sender<Buffers>,
    to_hash: Sender<Unhashed>,
}

/// A layer that has begun.
struct Begun<'a> {
    at: usize,
    source: LayerSource<'a>,
    to_apply: Sender<Arc<SharedBuffer>>,
    to_hash: Sender<Arc<SharedBuffer>>,
}

impl<'a, I: Iterator<Item = Result<LayerSource<'a>>> + Send> Decode<I> {
    pub(super) fn new(
        layers: I,
        to_apply: Sender<Buffers>,
        to_hash: Sender<Unhashed>,
        limits: Limits,
    ) -> Self {
        let rest = Rest { layers: layers.enumerate(), to_apply, to_hash };
        Self { rest: rest.into(), limits, unpacked: AtomicU64::new(0) }
    }

    /// Starts as many threads as so many layers need.
    pub(super) fn start<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        count: usize,
    ) -> Result<Vec<ScopedJoinHandle<'scope, Result<(), LayerFailure>>>>
    where
        I: 'scope,
    {
        let threads = count.clamp(1, DECODERS);
        let decode = Arc::new(self);
        let start = |_| {
            let decode = decode.clone();
            start_thread(scope, move || decode.run(BUFFERS / threads))
        };
        (0..threads).map(start).collect()
    }

    fn run(&self, buffers: usize) -> Result<(), LayerFailure> {
        let pool = BufferPool::new(buffers);
        while let Some(layer) = self.begin()? {
            let (at, name) = (layer.at, layer.source.name.clone());
            self.layer(&pool, layer)
                .with_context(|| format!("layer {name}"))
                .map_err(|error| LayerFailure { layer: Some(at), error })?;
        }
        Ok(())
    }

    /// Begins with the next layer; `None` if there is none, or nobody behind who wants it.
    fn begin(&self) -> Result<Option<Begun<'a>>, LayerFailure> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((at, source)) = rest.layers.next() else { return Ok(None) };
        let (to_apply, buffers) = mpsc::channel();
        if rest.to_apply.send(buffers).is_err() {
            return Ok(None);
        }
        let source = source.map_err(|error| LayerFailure { layer: Some(at), error })?;
        let (to_hash, buffers) = mpsc::channel();
        let (name, diff_id) = (source.name.clone(), source.diff_id.clone());
        let heard = rest.to_hash.send(Unhashed { at, name, diff_id, buffers });
        Ok(heard.is_ok().then_some(Begun { at, source, to_apply, to_hash }))
    }

    /// Decodes a layer, as long as somebody listens. Who does not says why himself.
    fn layer(&self, pool: &BufferPool, mut layer: Begun<'_>) -> Result<()> {
        loop {
            let buffer = Arc::new(pool.fill(&mut layer.source.stream)?);
            let (is_last, size) = (buffer.is_empty(), buffer.len() as u64);
            let before = self.unpacked.fetch_add(size, Ordering::Relaxed);
            self.limits.check_size(before.saturating_add(size))?;
            let hashed = layer.to_hash.send(buffer.clone());
            let is_heard = hashed.is_ok() && layer.to_apply.send(buffer).is_ok();
            if is_last || !is_heard {
                return Ok(());
            }
        }
    }
}
