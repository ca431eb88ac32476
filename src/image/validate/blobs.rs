// SPDX-License-Identifier: Apache-2.0
//! All blobs, each read once, whatever refers to it, and several at the same time.

use std::fs::File;
use std::num::NonZeroUsize;

use super::super::parallel;
use super::ValidateOptions;
use super::blob::{self, Reading, Task};
use super::code::Code;
use super::finding::{Findings, Place};
use super::input::Blob;
use super::layer::{Layer, Reader};
use super::links::Search;
use super::names::{Outline, Shared};
use super::stack::{Meter, Stack, Volume};
use crate::error::{Error, Result};
use crate::interrupt::Interruptible;
use crate::layer::Limits;
use crate::layout::LayoutFiles;

/// What is known of one blob.
#[derive(Default)]
struct Done {
    reading: Reading,
    /// What was found in a layer.
    inside: Findings,
    outline: Outline,
}

/// All blobs, and what is needed to read them.
pub(super) struct Blobs<'a> {
    files: &'a LayoutFiles,
    tasks: &'a [Task],
    stacks: &'a [Stack],
    meters: Vec<Meter>,
    names: Shared,
    options: &'a ValidateOptions,
}

impl<'a> Blobs<'a> {
    pub(super) fn new(
        files: &'a LayoutFiles,
        (tasks, stacks): (&'a [Task], &'a [Stack]),
        options: &'a ValidateOptions,
    ) -> Self {
        let meter = |stack| Meter::new(stack, tasks, &options.limits);
        let meters = stacks.iter().map(meter).collect();
        Self { files, tasks, stacks, meters, names: Shared::default(), options }
    }

    /// Reads all of them with some threads. What is found is in the order of the tasks.
    pub(super) fn read(&self, threads: NonZeroUsize) -> Result<Reading> {
        let done = parallel::each(
            self.tasks,
            threads,
            |task| task.size,
            |task| {
                self.options.progress.next_layer();
                let done = self.one(task)?;
                // What was read until then is no finding.
                self.options.interrupt.check()?;
                Ok(done)
            },
        )?;
        Ok(self.together(done.into_iter()))
    }

    /// What is known when all is known. Of an image that is too large that is all that is told: what
    /// else was found depends on how far it was read.
    fn together(&self, done: impl Iterator<Item = Done>) -> Reading {
        let mut all = Reading::default();
        let mut outlines = Vec::new();
        let over: Vec<Option<Error>> =
            self.meters.iter().map(|meter| meter.check().err()).collect();
        for (task, done) in self.tasks.iter().zip(done) {
            all.append(done.reading);
            if task.stacks().any(|stack| over[stack].is_none()) {
                all.findings.append(done.inside);
            }
            outlines.push(done.outline);
        }
        let mut images = Vec::new();
        for (stack, over) in self.stacks.iter().zip(&over) {
            match over {
                Some(error) => all.findings.add(Code::LayersLimit, &stack.place, error.to_string()),
                None => images.extend(stack.is_image.then_some(stack)),
            }
        }
        let place_of = |task: usize| Place::blob(&self.tasks[task].digest);
        Search::new(&outlines, &self.names).run(&images, place_of, &mut all.findings);
        all
    }

    fn one(&self, task: &Task) -> Result<Done> {
        let mut done = Done::default();
        let findings = &mut done.reading.findings;
        let file = match blob::open(self.files, &task.digest) {
            Ok(file) => Interruptible::new(file, self.options.interrupt.clone()),
            Err(error) => {
                task.not_open(&error, findings);
                return Ok(done);
            }
        };
        let blob = if task.layers().next().is_some() {
            let layer = self.layer(task, file)?;
            task.compare(&layer, &mut done.inside);
            done.inside.append(layer.findings);
            done.outline = layer.outline;
            layer.blob
        } else {
            Blob::new(file, task.digest.algorithm(), self.options.progress.clone()).finish()
        };
        match blob {
            Ok((digest, size)) => {
                (done.reading.blobs, done.reading.bytes) = (1, size);
                if digest == task.digest {
                    task.check_sizes(size, findings);
                    return Ok(done);
                }
                blob::wrong(&task.digest, &digest, size, findings);
            }
            Err(error) => blob::unreadable(&task.digest, &error, findings),
        }
        // What is found in a blob counts only if it is the right one.
        Ok(Done { reading: done.reading, ..Done::default() })
    }

    fn layer(&self, task: &Task, file: Interruptible<File>) -> Result<Layer> {
        let left = task.stacks().map(|stack| self.meters[stack].left());
        let left = left.fold(Volume::default(), Volume::larger);
        let limits = Limits {
            unpacked_size: Some(left.bytes),
            entries: left.entries,
            ..self.options.limits.clone()
        };
        let (shared, progress) = (&self.names, self.options.progress.clone());
        let algorithms = task.algorithms();
        let reader = Reader { digest: &task.digest, algorithms, limits, shared, progress };
        let layer = reader.read(file)?;
        for stack in task.stacks() {
            self.meters[stack].add(layer.volume);
        }
        Ok(layer)
    }
}
