// SPDX-License-Identifier: Apache-2.0
//! From the entries of `index.json` to all that they lead to: documents are read and checked
//! here, one at a time; other blobs are only collected, to be read later and all at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, Read};
use std::sync::Arc;

use serde_json::Value;

use super::attestations::Attestations;
use super::blob::{self, Layer, Reading, Task, Use};
use super::code::Code;
use super::config::{self, Config};
use super::descriptor::Reference;
use super::document;
use super::fields::{self, Fields};
use super::finding::{Findings, Place};
use super::input::Blob;
use super::stack::Stack;
use crate::interrupt::{Interrupt, Interruptible};
use crate::layout::{LayoutFiles, MAX_DEPTH, too_deep};
use crate::oci::json::{MAX_CONFIG_SIZE, MAX_DOCUMENT_SIZE, Members};
use crate::oci::media_type::Kind;
use crate::oci::{Digest, Platform};
use crate::progress::Progress;
use crate::quote::quote;

/// The walk, and what it has found so far.
pub(super) struct Graph<'a> {
    files: &'a LayoutFiles,
    pub(super) findings: Findings,
    /// The digests of the entries of indexes that are looked at; all of them without.
    only: Option<HashSet<String>>,
    /// What is left to look at.
    queue: VecDeque<Visit>,
    /// Documents that were read, with the size that they have.
    documents: HashMap<(Digest, Kind), Document>,
    tasks: Vec<Task>,
    task_of: HashMap<Digest, usize>,
    stacks: Vec<Stack>,
    attestations: Attestations,
    pub(super) images: u64,
    blobs: u64,
    bytes: u64,
}

struct Visit {
    target: Reference,
    /// What it is if there is no such blob.
    absence: Code,
    depth: usize,
}

/// What is still known of a document that was read.
struct Document {
    size: Option<u64>,
    config: Option<Config>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(
        files: &'a LayoutFiles,
        findings: Findings,
        only: Option<HashSet<String>>,
    ) -> Self {
        Self {
            files,
            findings,
            only,
            queue: VecDeque::new(),
            documents: HashMap::new(),
            tasks: Vec::new(),
            task_of: HashMap::new(),
            stacks: Vec::new(),
            attestations: Attestations::default(),
            images: 0,
            blobs: 0,
            bytes: 0,
        }
    }

    /// Walks from entries of `index.json` to everything else.
    pub(super) fn walk(&mut self, roots: Vec<Reference>, subject: Option<Reference>) {
        let visit = |absence| move |target| Visit { target, absence, depth: 0 };
        self.queue.extend(roots.into_iter().map(visit(Code::BlobMissing)));
        self.queue.extend(subject.into_iter().map(visit(Code::SubjectAbsent)));
        while let Some(visit) = self.queue.pop_front() {
            self.visit(visit);
        }
        self.attestations.check(&mut self.findings);
    }

    /// The blobs that are left to be read, the layers of images among them, and what was read
    /// so far.
    pub(super) fn finish(self) -> (Vec<Task>, Vec<Stack>, Reading) {
        let Self { tasks, stacks, findings, blobs, bytes, .. } = self;
        (tasks, stacks, Reading { findings, blobs, bytes })
    }

    /// Adds a blob that nothing refers to.
    pub(super) fn add_orphan(&mut self, digest: Digest) {
        self.task(digest);
    }

    fn visit(&mut self, visit: Visit) {
        let kind = visit.target.kind();
        match kind {
            Kind::Index | Kind::Manifest => {
                let Some(members) = self.document(&visit.target, kind, visit.absence) else {
                    return;
                };
                match kind {
                    Kind::Index => self.index(&members, &visit),
                    _ => self.manifest(&members, &visit),
                }
            }
            Kind::Other => {
                if visit.target.has_media_type() {
                    let message = format!("the type is {}", quote(&visit.target.media_type));
                    self.findings.add(Code::MediaTypeUnknown, &visit.target.place, message);
                }
                self.blob(visit.target, visit.absence, None);
            }
            Kind::Config => drop(self.config(&visit.target)),
            Kind::Layer => {
                self.begin_stack(visit.target.place.clone(), false);
                self.layer(visit.target, visit.absence, None);
            }
            Kind::Descriptor | Kind::Empty => self.blob(visit.target, visit.absence, None),
        }
    }

    fn index(&mut self, members: &Members, visit: &Visit) {
        let place =
            visit.target.digest.as_ref().map_or_else(|| visit.target.place.clone(), Place::blob);
        let mut fields = Fields { members, place, findings: &mut self.findings };
        let only = self.only.as_ref();
        let wanted = |entry: &Value| {
            let digest = entry["digest"].as_str().unwrap_or_default();
            only.is_none_or(|only| only.contains(digest))
        };
        let index = document::index(&mut fields, Some(&visit.target.media_type), &wanted);
        document::relations(&index.entries, &mut self.findings);
        if let Some(digest) = &visit.target.digest {
            self.attestations.add(digest, &index.entries);
        }
        // One platform of several is often all that was copied.
        let is_here =
            |entry: &Reference| entry.digest.as_ref().is_some_and(|digest| self.has(digest));
        let absence =
            if index.entries.iter().any(is_here) { Code::EntryAbsent } else { Code::BlobMissing };
        self.follow(index.entries, absence, visit);
        self.follow(index.subject, Code::SubjectAbsent, visit);
    }

    fn has(&self, digest: &Digest) -> bool {
        blob::open(self.files, digest).is_ok()
    }

    /// Looks later at what a document refers to.
    fn follow(
        &mut self,
        targets: impl IntoIterator<Item = Reference>,
        absence: Code,
        from: &Visit,
    ) {
        for target in targets {
            if from.depth >= MAX_DEPTH {
                self.findings.add(Code::DocumentLimit, &target.place, too_deep().to_string());
            } else {
                self.queue.push_back(Visit { target, absence, depth: from.depth + 1 });
            }
        }
    }

    fn manifest(&mut self, members: &Members, visit: &Visit) {
        let target = &visit.target;
        let place = target.digest.as_ref().map_or_else(|| target.place.clone(), Place::blob);
        let mut fields = Fields { members, place: place.clone(), findings: &mut self.findings };
        let manifest = document::manifest(&mut fields, &target.media_type);
        self.follow(manifest.subject, Code::SubjectAbsent, visit);
        let config = manifest.config;
        let is_image = config.as_ref().is_some_and(|config| config.kind() == Kind::Config)
            && !target.is_attestation();
        let config = config.and_then(|config| self.config(&config));
        if is_image {
            self.images += 1;
            if let (Some(config), Some(layers)) = (&config, &manifest.layers) {
                self.compare(config, target, layers.len());
            }
        }
        let diff_ids = config.and_then(|config| Some((config.place, config.diff_ids?)));
        self.begin_stack(place, is_image);
        for (at, layer) in manifest.layers.into_iter().flatten().enumerate() {
            let diff_id = diff_ids.as_ref().and_then(|(place, diff_ids)| {
                Some((diff_ids.get(at)?.clone()?, place.at("rootfs").at("diff_ids").at(at)))
            });
            if is_image && layer.compression().is_none() && layer.has_media_type() {
                let message = format!("the type is {}", quote(&layer.media_type));
                self.findings.add(Code::LayerType, &layer.place, message);
            }
            let absence = if layer.has_urls { Code::LayerAbsent } else { Code::BlobMissing };
            self.layer(layer, absence, diff_id);
        }
    }

    fn begin_stack(&mut self, place: Place, is_image: bool) {
        self.stacks.push(Stack { place, layers: Vec::new(), is_image });
    }

    /// Adds a layer to the last stack, or another blob in the place of one.
    fn layer(&mut self, target: Reference, absence: Code, diff_id: Option<(Digest, Place)>) {
        let stack = self.stacks.len().saturating_sub(1);
        let contents = target.compression();
        let contents = contents.map(|compression| Layer { compression, diff_id, stack });
        let digest = target.digest.clone().filter(|_| contents.is_some());
        let task = digest.map(|digest| self.task(digest));
        if let Some(stack) = self.stacks.last_mut() {
            stack.layers.push(task);
        }
        self.blob(target, absence, contents);
    }

    /// Reads a configuration; other things in its place are only collected.
    fn config(&mut self, target: &Reference) -> Option<Config> {
        if target.kind() != Kind::Config {
            self.blob(target.clone(), Code::BlobMissing, None);
            return None;
        }
        let key = (target.digest.clone()?, Kind::Config);
        if let Some(members) = self.document(target, Kind::Config, Code::BlobMissing) {
            let place = Place::blob(&key.0);
            let config =
                config::check(Fields { members: &members, place, findings: &mut self.findings });
            if let Some(document) = self.documents.get_mut(&key) {
                document.config = Some(config);
            }
        }
        self.documents.get(&key)?.config.clone()
    }

    /// Compares a configuration with what else is said of the image.
    fn compare(&mut self, config: &Config, entry: &Reference, count: usize) {
        let place = &config.place;
        if let Some(diff_ids) = &config.diff_ids
            && diff_ids.len() != count
        {
            let message = format!("there are {} diff ids and {count} layers", diff_ids.len());
            self.findings.add(Code::DiffIdCount, &place.at("rootfs").at("diff_ids"), message);
        }
        if let Some(history) = config.history
            && history != count
        {
            let message = format!("the history tells of {history} layers, there are {count}");
            self.findings.add(Code::HistoryCount, &place.at("history"), message);
        }
        if let Some(said) = &entry.platform
            && !is_same(said, &config.platform)
        {
            let (said, own) = (quote(said.to_string()), quote(config.platform.to_string()));
            let message = format!("the platform is said to be {said}, not {own}");
            self.findings.add(Code::PlatformMismatch, &entry.place.at("platform"), message);
        }
    }

    /// Reads and verifies a document, unless that was done before; gives its members.
    fn document(&mut self, target: &Reference, kind: Kind, absence: Code) -> Option<Members> {
        let digest = target.digest.clone()?;
        if let Some(known) = self.documents.get(&(digest.clone(), kind)) {
            if let Some(size) = known.size {
                blob::check_size(&target.place, target.size, size, &mut self.findings);
            }
            return None;
        }
        let read = self.read(target, &digest, kind, absence);
        let size = read.as_ref().map(|bytes| bytes.len() as u64);
        self.documents.insert((digest.clone(), kind), Document { size, config: None });
        fields::parse(&read?, &Place::blob(&digest), &mut self.findings)
    }

    /// The verified bytes of a document.
    fn read(
        &mut self,
        target: &Reference,
        digest: &Digest,
        kind: Kind,
        absence: Code,
    ) -> Option<Vec<u8>> {
        let limit = if kind == Kind::Config { MAX_CONFIG_SIZE } else { MAX_DOCUMENT_SIZE };
        let findings = &mut self.findings;
        let file = match blob::open(self.files, digest) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if target.data.is_none() {
                    let message = format!("{digest} is not in the layout");
                    findings.add(absence, &target.place, message);
                }
                return target.data.clone();
            }
            Err(error) => {
                blob::unreadable(digest, &error, findings);
                return None;
            }
        };
        // A document is small.
        let file = Interruptible::new(file, Interrupt::default());
        let mut blob = Blob::new(file, digest.algorithm(), Arc::new(Progress::default()));
        let mut bytes = Vec::new();
        let read = (&mut blob).take(limit + 1).read_to_end(&mut bytes);
        if bytes.len() as u64 > limit {
            let message = format!("there are more than {limit} bytes");
            findings.add(Code::DocumentLimit, &Place::blob(digest), message);
            return None;
        }
        match read.and_then(|_| blob.finish()) {
            Ok((actual, size)) if actual == *digest => {
                self.blobs += 1;
                self.bytes += size;
                blob::check_size(&target.place, target.size, size, findings);
                return Some(bytes);
            }
            Ok((actual, size)) => blob::wrong(digest, &actual, size, findings),
            Err(error) => blob::unreadable(digest, &error, findings),
        }
        None
    }

    /// Collects a blob to be read later.
    fn blob(&mut self, target: Reference, absence: Code, layer: Option<Layer>) {
        let Some(digest) = target.digest else { return };
        if target.data.is_some() && layer.is_none() && !self.has(&digest) {
            return;
        }
        let one = Use { place: target.place, size: target.size, absence, layer };
        let task = self.task(digest);
        self.tasks[task].uses.push(one);
    }

    /// The number of the task that is about a blob.
    fn task(&mut self, digest: Digest) -> usize {
        let at = *self.task_of.entry(digest.clone()).or_insert(self.tasks.len());
        if at == self.tasks.len() {
            let size = blob::size(self.files, &digest);
            self.tasks.push(Task { digest, size, uses: Vec::new() });
        }
        at
    }
}

/// Whether two documents say the same platform. What one leaves out, often the variant, does
/// not matter here.
fn is_same(one: &Platform, other: &Platform) -> bool {
    let is_same = |one: &String, other: &String| one.is_empty() || other.is_empty() || one == other;
    is_same(&one.os, &other.os)
        && is_same(&one.architecture, &other.architecture)
        && is_same(&one.variant, &other.variant)
}
