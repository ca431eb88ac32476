// SPDX-License-Identifier: Apache-2.0
//! Whether a layout, or one image in it, is as the image specification wants it.
//!
//! ```text
//! oci-layout, index.json ─► documents, one at a time ─► blobs, each once, several at a time ─► Report
//! ```
//!
//! Nothing is stopped at, nothing is written, no lock is taken and no link followed. Each
//! [`Finding`] has a [`Code`] and a [`Place`]. What follows from a damage is not found
//! once more: nothing is looked for in a blob that does not have its digest.

mod archive;
mod attestations;
mod blob;
mod blobs;
mod code;
mod config;
mod descriptor;
mod document;
mod fields;
mod finding;
mod graph;
mod input;
mod layer;
mod links;
mod names;
mod report;
mod stack;
mod store;

use std::collections::HashSet;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use serde_json::Value;

pub use code::{Code, Severity};
pub use finding::{Finding, Place};
pub use report::Report;

use blob::Reading;
use blobs::Blobs;
use finding::Findings;
use graph::Graph;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::layer::Limits;
use crate::layout::{ImageRef, Layout, LayoutFiles, PlatformChoice, REF_NAME, reachable};
use crate::oci::Descriptor;
use crate::progress::{Progress, Stage};

/// How many threads read blobs at most unless the caller says otherwise.
const MOST_THREADS: usize = 8;

/// What is validated, and how.
#[derive(Debug, Clone, Default)]
pub struct ValidateOptions {
    /// How much of the layout is looked at.
    pub scope: Scope,
    /// How many blobs are read at the same time, each layer by two threads; by default one per
    /// processor, at most 8.
    pub threads: Option<NonZeroUsize>,
    /// What the layers of one image may have together; of an image that has more, what is in
    /// its layers is not told.
    pub limits: Limits,
    /// Counts what has been read.
    pub progress: Arc<Progress>,
    /// A request to stop.
    pub interrupt: Interrupt,
}

/// How much of a layout is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of it, and what nothing refers to.
    #[default]
    Layout,
    /// The entry that is meant, and all that it leads to; of its images only one, if a platform
    /// is required.
    Image(Box<ImageRef>),
}

/// Looks at the layout in the directory `path` and tells what is wrong with it.
///
/// # Errors
/// When `path` is not a directory that can be looked into, a tag is not there, or somebody has
/// asked to stop. Everything else is a finding.
pub fn validate(path: impl AsRef<Path>, options: &ValidateOptions) -> Result<Report> {
    let path = path.as_ref();
    Validation { path, files: LayoutFiles::open(path)?, options }
        .run()
        .with_context(|| format!("validate {path:?}"))
}

struct Validation<'a> {
    path: &'a Path,
    files: LayoutFiles,
    options: &'a ValidateOptions,
}

impl Validation<'_> {
    fn run(&self) -> Result<Report> {
        let mut findings = Findings::default();
        store::marker(&self.files, &mut findings);
        let wanted = self.wanted()?;
        let index = store::index(&self.files, &|entry| wanted.has(entry), &mut findings);
        let algorithms = store::blobs(&self.files, &mut findings);
        let (Some(index), Some(algorithms)) = (index, algorithms) else {
            return Ok(Report::new(findings, 0, &Reading::default(), None));
        };
        if let (Scope::Image(image), []) = (&self.options.scope, &index.entries[..]) {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("tag not found: {}", image.selector),
            ));
        }
        document::names(&index.entries, &mut findings);
        let mut graph = Graph::new(&self.files, findings, self.only()?);
        graph.walk(index.entries, index.subject);
        let orphaned = match self.options.scope {
            Scope::Layout => self.orphans(&algorithms, &mut graph),
            Scope::Image(_) => None,
        };
        self.read(graph, orphaned)
    }

    /// The entries that are looked at.
    fn wanted(&self) -> Result<Wanted> {
        let Scope::Image(image) = &self.options.scope else { return Ok(Wanted::All) };
        match Layout::open(self.path).and_then(|layout| layout.roots(&image.selector)) {
            Ok(roots) => Ok(Wanted::These(roots)),
            Err(error) if error.kind() == ErrorKind::Ambiguous => Err(error),
            // What is wrong there is to be found by others.
            Err(_) => Ok(Wanted::Called(image.selector.to_string())),
        }
    }

    /// The digests of what leads to the one image that is looked at, if it is only one.
    fn only(&self) -> Result<Option<HashSet<String>>> {
        match &self.options.scope {
            Scope::Image(image) if image.platform != PlatformChoice::Any => {
                let path = Layout::open(self.path)?.find(image)?;
                Ok(Some(path.walk().iter().map(|step| step.digest.to_string()).collect()))
            }
            _ => Ok(None),
        }
    }

    /// Adds blobs that nothing refers to; gives their number, if it can be known.
    fn orphans(&self, algorithms: &[OsString], graph: &mut Graph<'_>) -> Option<u64> {
        let blobs = store::list(&self.files, algorithms, &mut graph.findings);
        let reachable = Layout::open(self.path).and_then(|layout| reachable(&layout)).ok()?;
        let orphans = store::orphans(blobs, &reachable, &mut graph.findings);
        let count = orphans.len() as u64;
        for digest in orphans {
            graph.add_orphan(digest);
        }
        Some(count)
    }

    /// Reads the blobs that are left.
    fn read(&self, graph: Graph<'_>, orphaned: Option<u64>) -> Result<Report> {
        let progress = &self.options.progress;
        let images = graph.images;
        let (tasks, stacks, mut done) = graph.finish();
        progress.begin(Stage::Validating);
        let bytes = tasks.iter().map(|task| task.size).fold(0, u64::saturating_add);
        progress.expect_layers(tasks.len() as u64, bytes);
        let blobs = Blobs::new(&self.files, (&tasks, &stacks), self.options);
        done.append(blobs.read(self.threads())?);
        Ok(Report::new(std::mem::take(&mut done.findings), images, &done, orphaned))
    }

    fn threads(&self) -> NonZeroUsize {
        let most = NonZeroUsize::new(MOST_THREADS).unwrap_or(NonZeroUsize::MIN);
        self.options.threads.unwrap_or_else(|| {
            thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).min(most)
        })
    }
}

/// Which entries of `index.json` are looked at.
enum Wanted {
    All,
    These(Vec<Descriptor>),
    /// Those with this name or digest.
    Called(String),
}

impl Wanted {
    fn has(&self, entry: &Value) -> bool {
        let (name, digest) = (&entry["annotations"][REF_NAME], &entry["digest"]);
        match self {
            Self::All => true,
            Self::Called(text) => *name == **text || *digest == **text,
            Self::These(entries) => entries.iter().any(|one| {
                let wanted = one.annotations.get(REF_NAME).map(String::as_str);
                name.as_str() == wanted && *digest == *one.digest.to_string()
            }),
        }
    }
}
