// SPDX-License-Identifier: Apache-2.0
//! Everything that can be reached from a descriptor.
//!
//! Breadth first, without recursion, each document read once: an index that
//! lists another one twice, twenty-four levels deep, costs twenty-four reads.

use std::collections::{HashSet, VecDeque};

use serde_json::Value;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::oci::json::{MAX_DOCUMENT_SIZE, Members, Trailing, from_slice};
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Digest, Index, Manifest, UnreadEntry};

use super::Layout;

/// How deep documents may be nested in each other.
pub(crate) const MAX_DEPTH: usize = 64;

/// Refuses what is nested deeper.
pub(crate) fn too_deep() -> Error {
    let message = format!("documents are nested more than {MAX_DEPTH} deep");
    Error::new(ErrorKind::Limit, message)
}

/// Calls `visit` for each descriptor that can be reached from `roots`, the
/// roots first. A blob that is referred to more than once may be visited more than once.
///
/// Indexes, manifests and configurations are read and verified; layers are
/// not. A `subject` that is missing is visited all the same, and so is an entry of an index below the
/// roots of which others are there. Index entries of
/// types that this crate does not know are searched for digests.
///
/// # Errors
/// When one of the documents is missing, damaged or malformed.
pub fn walk(
    layout: &Layout,
    roots: impl IntoIterator<Item = Descriptor>,
    visit: impl FnMut(&Descriptor) -> Result<()>,
) -> Result<()> {
    Walker::new(layout).walk(roots, visit)
}

/// Refuses an index of which it cannot be known what all its entries refer to.
pub(super) fn require_all(index: &Index) -> Result<()> {
    let refused = index.unread.first().map(UnreadEntry::refuse);
    refused.map_or(Ok(()), |error| Err(error.context("an entry of the index cannot be read")))
}

/// Every blob that can be reached from the layout's index, whether it is there or not.
pub(crate) fn reachable(layout: &Layout) -> Result<HashSet<Digest>> {
    let mut reachable = HashSet::new();
    let mut visit = |found: &Descriptor| {
        reachable.insert(found.digest.clone());
        Ok(())
    };
    let index = layout.index()?;
    require_all(&index)?;
    let mut walker = Walker::new(layout);
    walker.walk(index.manifests, &mut visit)?;
    if let Some(subject) = index.subject {
        walker.walk_subject(subject, &mut visit)?;
    }
    Ok(reachable)
}

/// A walk that can be continued from other roots: what it has read it does not read again.
pub(super) struct Walker<'a> {
    layout: &'a Layout,
    seen: HashSet<(Digest, Sort)>,
    damage: Damage,
}

/// What becomes of a document that is missing, damaged or malformed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// It is an error.
    Fails,
    /// It is visited like any other, and refers to nothing.
    Ends,
}

impl<'a> Walker<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self { layout, seen: HashSet::new(), damage: Damage::Fails }
    }

    /// A walk through what may be incomplete.
    pub(super) fn lenient(layout: &'a Layout) -> Self {
        Self { damage: Damage::Ends, ..Self::new(layout) }
    }

    /// See [`walk`].
    pub(super) fn walk(
        &mut self,
        roots: impl IntoIterator<Item = Descriptor>,
        visit: impl FnMut(&Descriptor) -> Result<()>,
    ) -> Result<()> {
        self.walk_from(roots.into_iter().map(|root| (root, Role::Entry)), visit)
    }

    /// Walks from what an index is about, which need not be there.
    pub(super) fn walk_subject(
        &mut self,
        root: Descriptor,
        visit: impl FnMut(&Descriptor) -> Result<()>,
    ) -> Result<()> {
        self.walk_from([(root, Role::Subject)], visit)
    }

    fn walk_from(
        &mut self,
        roots: impl IntoIterator<Item = (Descriptor, Role)>,
        mut visit: impl FnMut(&Descriptor) -> Result<()>,
    ) -> Result<()> {
        let mut queue: VecDeque<Edge> =
            roots.into_iter().map(|(target, role)| Edge { target, role, depth: 0 }).collect();
        while let Some(edge) = queue.pop_front() {
            visit(&edge.target)?;
            let sort = edge.sort();
            if sort == Sort::Opaque || self.seen.contains(&(edge.target.digest.clone(), sort)) {
                continue;
            }
            let children = match edge.children(self.layout, sort) {
                Err(error) if self.forgives(&edge, &error) => continue,
                children => children.with_context(|| format!("walk {}", edge.target.digest))?,
            };
            self.seen.insert((edge.target.digest, sort));
            queue.extend(children);
        }
        Ok(())
    }

    /// An image can be about something that is not here, and one platform of several is often
    /// all that was copied.
    fn forgives(&self, edge: &Edge, error: &Error) -> bool {
        let may_be_absent = matches!(edge.role, Role::Subject | Role::OneOfSome);
        let absent = may_be_absent && error.kind() == ErrorKind::NotFound;
        absent || self.damage == Damage::Ends
    }
}

/// A reference from one blob to another.
struct Edge {
    target: Descriptor,
    role: Role,
    depth: usize,
}

/// What the target is to what refers to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// An entry of an index.
    Entry,
    /// An entry of an index of which at least one other is there.
    OneOfSome,
    /// A part of an image.
    Part,
    /// What an index or manifest is about.
    Subject,
}

/// How a blob is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Sort {
    Index,
    Manifest,
    Config,
    Descriptor,
    /// Something like a manifest, of a type that this crate does not know.
    Foreign,
    /// Not at all.
    Opaque,
}

impl Edge {
    fn sort(&self) -> Sort {
        match Kind::of(&self.target.media_type) {
            Kind::Index => Sort::Index,
            Kind::Manifest => Sort::Manifest,
            Kind::Config => Sort::Config,
            Kind::Descriptor => Sort::Descriptor,
            Kind::Empty => Sort::Opaque,
            Kind::Layer | Kind::Other if self.role == Role::Part => Sort::Opaque,
            Kind::Layer | Kind::Other => Sort::Foreign,
        }
    }

    fn children(&self, layout: &Layout, sort: Sort) -> Result<Vec<Edge>> {
        let found = match sort {
            Sort::Index => index_children(layout, layout.document(&self.target)?)?,
            Sort::Manifest => manifest_children(layout.document(&self.target)?),
            Sort::Config => {
                layout.blob(&self.target)?.verify()?;
                Vec::new()
            }
            Sort::Descriptor => {
                let bytes = layout.read(&self.target)?;
                vec![(from_slice(&bytes, Trailing::Ignore)?, Role::Entry)]
            }
            Sort::Foreign => foreign_children(layout, &self.target)?,
            Sort::Opaque => Vec::new(),
        };
        if self.depth >= MAX_DEPTH && !found.is_empty() {
            return Err(too_deep());
        }
        let depth = self.depth + 1;
        Ok(found.into_iter().map(|(target, role)| Edge { target, role, depth }).collect())
    }
}

type Children = Vec<(Descriptor, Role)>;

fn index_children(layout: &Layout, index: Index) -> Result<Children> {
    require_all(&index)?;
    let role = if has_any(layout, &index)? { Role::OneOfSome } else { Role::Entry };
    let entries = index.manifests.into_iter().map(|entry| (entry, role));
    Ok(entries.chain(index.subject.map(|subject| (subject, Role::Subject))).collect())
}

/// Whether at least one entry of an index is in the layout.
fn has_any(layout: &Layout, index: &Index) -> Result<bool> {
    for entry in &index.manifests {
        if layout.contains(entry)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn manifest_children(manifest: Manifest) -> Children {
    let parts = std::iter::once(manifest.config).chain(manifest.layers);
    let parts = parts.map(|part| (part, Role::Part));
    parts.chain(manifest.subject.map(|subject| (subject, Role::Subject))).collect()
}

/// What a blob of an unknown type may refer to: every digest in it, if it is JSON.
fn foreign_children(layout: &Layout, target: &Descriptor) -> Result<Children> {
    let mut found = Vec::new();
    if target.size > MAX_DOCUMENT_SIZE {
        return Ok(found);
    }
    let bytes = match layout.read(target) {
        Err(error) if error.kind() == ErrorKind::NotFound && !is_docker(&target.media_type) => {
            return Ok(found);
        }
        read => read?,
    };
    if let Ok(value) = from_slice::<Value>(&bytes, Trailing::Ignore) {
        collect(&value, Role::Part, &mut found);
    }
    Ok(found)
}

/// Whether a blob is an image for Docker, whose loss is not to go unnoticed.
fn is_docker(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.distribution.manifest.")
}

fn collect(value: &Value, role: Role, found: &mut Children) {
    match value {
        Value::String(text) => {
            if let Ok(digest) = text.parse::<Digest>() {
                found.push((Descriptor::new("", digest, 0), Role::Part));
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, role, found)),
        Value::Object(members) => {
            found.extend(descriptor(members).map(|target| (target, role)));
            for (name, value) in members {
                let role = match name.as_str() {
                    "manifests" => Role::Entry,
                    "subject" => Role::Subject,
                    _ => Role::Part,
                };
                collect(value, role, found);
            }
        }
        _ => {}
    }
}

/// Takes an object for a descriptor, as far as it is one.
fn descriptor(members: &Members) -> Option<Descriptor> {
    let media_type = members.get("mediaType")?.as_str()?;
    let digest = members.get("digest")?.as_str()?.parse().ok()?;
    Some(Descriptor::new(media_type, digest, members.get("size")?.as_u64()?))
}
