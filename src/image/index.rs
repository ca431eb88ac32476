// SPDX-License-Identifier: Apache-2.0
//! Images for several platforms: [`IndexEditor`] makes and changes the index
//! of one, [`entries`] lists what is in it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use super::{put, require_manifest};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::layout::{Layout, LayoutWriter, Platforms, REF_NAME};
use crate::oci::json::to_bytes;
use crate::oci::media_type::{DOCKER_MANIFEST_LIST, Family, Kind};
use crate::oci::{Algorithm, Descriptor, Digest, ImageConfig, Index, Manifest, Platform};

/// How deep indexes may be nested.
const MAX_DEPTH: usize = 64;

/// The annotation by which containerd names an image in an index.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The annotation of an attestation that stands beside the image it is about.
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// Which entry of an index is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryChoice {
    /// The one for this very platform.
    Platform(Platform),
    /// The one of this digest.
    Digest(Digest),
}

impl FromStr for EntryChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.contains(':') {
            return Ok(Self::Digest(text.parse()?));
        }
        Ok(Self::Platform(text.parse()?))
    }
}

impl fmt::Display for EntryChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform(platform) => platform.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// The index of an image for several platforms, in the course of being changed.
#[derive(Debug)]
pub struct IndexEditor<'a> {
    writer: &'a LayoutWriter,
    index: Index,
}

impl<'a> IndexEditor<'a> {
    /// Starts with an index without entries. It becomes one in Docker's format if all that is
    /// added to it is.
    pub fn new(writer: &'a LayoutWriter) -> Self {
        let index = Index { media_type: String::new(), ..Index::default() };
        Self { writer, index }
    }

    /// Starts to change the index that a descriptor leads to.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when it leads to something else.
    pub fn open(writer: &'a LayoutWriter, descriptor: &Descriptor) -> Result<Self> {
        let mut index: Index = writer.layout().document(descriptor)?;
        if index.media_type.is_empty() {
            index.media_type.clone_from(&descriptor.media_type);
        }
        Ok(Self { writer, index })
    }

    /// The index as it is now.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Adds what an entry of a layout leads to: an image, for the platform that its
    /// configuration names, or an index. Names and the platform that the entry states are left
    /// out. What is there already for the same platform is replaced, in its place, and given
    /// back.
    ///
    /// # Errors
    /// When it is neither image nor index, or is missing; when the format has no place for it.
    pub fn add(&mut self, entry: &Descriptor) -> Result<Option<Descriptor>> {
        let mut new = Descriptor::new(&entry.media_type, entry.digest.clone(), entry.size);
        new.annotations.clone_from(&entry.annotations);
        new.annotations.retain(|name, _| name != REF_NAME && name != CONTAINERD_NAME);
        new.artifact_type.clone_from(&entry.artifact_type);
        new.platform = match Kind::of(&entry.media_type) {
            // An index that cannot be read is no use to anybody.
            Kind::Index => self.layout().document::<Index>(entry).map(|_| None)?,
            _ => platform_of(self.layout(), entry)?,
        };
        let is_same = |old: &Descriptor| match (&old.platform, &new.platform) {
            (Some(old), Some(new)) => old.is_same(new) && old.os_version == new.os_version,
            (_, _) => old.digest == new.digest,
        };
        let at = self.index.manifests.iter().position(is_same);
        let Some(old) = at.and_then(|at| self.index.manifests.get_mut(at)) else {
            self.index.manifests.push(new);
            return Ok(None);
        };
        let old = std::mem::replace(old, new);
        self.remove_what_is_about(&old.digest);
        Ok(Some(old))
    }

    /// Puts in the place of each index in the index what is in it, all the way down.
    pub fn flatten(&mut self) -> Result<()> {
        let mut flat = Vec::new();
        let mut seen = HashSet::new();
        for entry in std::mem::take(&mut self.index.manifests) {
            flatten(self.writer.layout(), entry, 0, &mut seen, &mut flat)?;
        }
        self.index.manifests = flat;
        Ok(())
    }

    /// Removes an entry, with the attestations that are about it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none.
    pub fn remove(&mut self, choice: &EntryChoice) -> Result<Descriptor> {
        let at = self.position(choice)?;
        let removed = self.index.manifests.remove(at);
        self.remove_what_is_about(&removed.digest);
        Ok(removed)
    }

    /// The annotations of an entry, or of the index, to be changed.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such entry, [`ErrorKind::Unsupported`] when the
    /// format has no annotations.
    pub fn annotations_mut(
        &mut self,
        choice: Option<&EntryChoice>,
    ) -> Result<&mut BTreeMap<String, String>> {
        if self.family() == Family::Docker {
            return Err(Error::unsupported("Docker's image format has no annotations"));
        }
        let Some(choice) = choice else { return Ok(&mut self.index.annotations) };
        let at = self.position(choice)?;
        Ok(&mut self.index.manifests[at].annotations)
    }

    /// Stores the index, and gives its descriptor.
    ///
    /// # Errors
    /// When it has no entries, or one that its format has no place for.
    pub fn commit(mut self) -> Result<Descriptor> {
        if self.index.manifests.is_empty() {
            return Err(Error::invalid("an index without entries is no image"));
        }
        if self.index.media_type.is_empty() {
            let kind = Kind::Index.media_type(self.family());
            kind.unwrap_or_default().clone_into(&mut self.index.media_type);
        }
        if self.family() == Family::Docker {
            self.index.manifests.iter().try_for_each(check_docker_entry)?;
        }
        let media_type = self.index.media_type.clone();
        let stored = put(self.writer, self.algorithm(), &self.index).context("put index blob")?;
        Ok(Descriptor { media_type, ..stored })
    }

    /// The algorithm of what is in the index.
    fn algorithm(&self) -> Algorithm {
        let first = self.index.manifests.first();
        first.map_or_else(Algorithm::default, |entry| entry.digest.algorithm())
    }

    fn layout(&self) -> &Layout {
        self.writer.layout()
    }

    fn family(&self) -> Family {
        match self.index.media_type.as_str() {
            DOCKER_MANIFEST_LIST => Family::Docker,
            "" if self.index.manifests.iter().all(is_docker) => Family::Docker,
            _ => Family::Oci,
        }
    }

    fn position(&self, choice: &EntryChoice) -> Result<usize> {
        let mut platforms = Platforms::new(self.layout());
        for (at, entry) in self.index.manifests.iter().enumerate() {
            let is_meant = match choice {
                EntryChoice::Digest(digest) => entry.digest == *digest,
                EntryChoice::Platform(platform) => {
                    platforms.of(entry)?.is_some_and(|found| found.is_same(platform))
                }
            };
            if is_meant {
                return Ok(at);
            }
        }
        Err(Error::new(ErrorKind::NotFound, format!("the index has no entry for {choice}")))
    }

    fn remove_what_is_about(&mut self, image: &Digest) {
        if self.index.manifests.iter().all(|entry| entry.digest != *image) {
            let image = image.to_string();
            self.index
                .manifests
                .retain(|entry| entry.annotations.get(REFERENCE_DIGEST) != Some(&image));
        }
    }
}

fn is_docker(entry: &Descriptor) -> bool {
    Family::of(&entry.media_type) == Some(Family::Docker) && entry.annotations.is_empty()
}

/// Refuses what Docker's manifest list has no place for.
pub(super) fn check_docker_entry(entry: &Descriptor) -> Result<()> {
    let refuse = |what: &str| {
        let text = format!("Docker's image format has no place for {what} ({})", entry.digest);
        Err(Error::unsupported(text))
    };
    match Kind::of(&entry.media_type) {
        Kind::Index => return refuse("an index in an index"),
        Kind::Manifest if Family::of(&entry.media_type) == Some(Family::Docker) => {}
        _ => return refuse("a manifest in another format"),
    }
    if !entry.annotations.is_empty() {
        return refuse("annotations");
    }
    if !entry.platform.as_ref().is_some_and(Platform::is_stated) {
        return refuse("an image without a platform");
    }
    Ok(())
}

fn flatten(
    layout: &Layout,
    entry: Descriptor,
    depth: usize,
    seen: &mut HashSet<Vec<u8>>,
    flat: &mut Vec<Descriptor>,
) -> Result<()> {
    if depth > MAX_DEPTH {
        let message = format!("indexes are nested more than {MAX_DEPTH} deep");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    // The same once is enough, and an index can be reached in very many ways.
    if !seen.insert(to_bytes(&entry)?) {
        return Ok(());
    }
    if Kind::of(&entry.media_type) != Kind::Index {
        flat.push(entry);
        return Ok(());
    }
    let inner: Index =
        layout.document(&entry).with_context(|| format!("flatten {}", entry.digest))?;
    inner.manifests.into_iter().try_for_each(|entry| flatten(layout, entry, depth + 1, seen, flat))
}

/// The platform that the configuration of an image names; none for an artifact.
pub(super) fn platform_of(layout: &Layout, entry: &Descriptor) -> Result<Option<Platform>> {
    require_manifest(entry)?;
    let manifest: Manifest = layout.document(entry)?;
    if Kind::of(&manifest.config.media_type) != Kind::Config {
        return Ok(None);
    }
    let config: ImageConfig = layout.document(&manifest.config)?;
    Ok(Some(Platform::of(&config)).filter(Platform::is_stated))
}

/// Something in an index.
#[derive(Debug, Clone)]
pub struct IndexEntry {
    /// How many indexes there are between it and the one that is listed.
    pub depth: usize,
    /// The entry.
    pub descriptor: Descriptor,
    /// The platform, as the entry states it, or else the configuration.
    pub platform: Option<Platform>,
    /// For an image that is in the layout, the sizes of configuration and layers together, in
    /// bytes.
    pub size: Option<u64>,
    /// The image that it is about, as attestations have it.
    pub about: Option<String>,
}

/// Lists what is in the index that a descriptor leads to, and in those within, each of them
/// once, in their order.
///
/// # Errors
/// [`ErrorKind::Unsupported`] when the descriptor leads to something else.
pub fn entries(layout: &Layout, descriptor: &Descriptor) -> Result<Vec<IndexEntry>> {
    let mut listing = Listing {
        layout,
        platforms: Platforms::new(layout),
        sizes: HashMap::new(),
        seen: HashSet::new(),
        listed: Vec::new(),
    };
    listing.list(descriptor, 0)?;
    Ok(listing.listed)
}

struct Listing<'a> {
    layout: &'a Layout,
    platforms: Platforms<'a>,
    sizes: HashMap<Digest, Option<u64>>,
    /// The indexes that are listed.
    seen: HashSet<Digest>,
    listed: Vec<IndexEntry>,
}

impl Listing<'_> {
    fn list(&mut self, index: &Descriptor, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            let message = format!("indexes are nested more than {MAX_DEPTH} deep");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let document: Index = self.layout.document(index)?;
        self.seen.insert(index.digest.clone());
        for descriptor in document.manifests {
            self.add(descriptor.clone(), depth)?;
            let is_index = Kind::of(&descriptor.media_type) == Kind::Index;
            let is_new = is_index && !self.seen.contains(&descriptor.digest);
            if is_new && self.layout.contains(&descriptor)? {
                self.list(&descriptor, depth + 1)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, descriptor: Descriptor, depth: usize) -> Result<()> {
        let platform = self.platforms.of(&descriptor)?;
        let size = match self.sizes.get(&descriptor.digest) {
            Some(known) => *known,
            None => size_of(self.layout, &descriptor)?,
        };
        self.sizes.insert(descriptor.digest.clone(), size);
        let about = descriptor.annotations.get(REFERENCE_DIGEST).cloned();
        self.listed.push(IndexEntry { depth, descriptor, platform, size, about });
        Ok(())
    }
}

fn size_of(layout: &Layout, entry: &Descriptor) -> Result<Option<u64>> {
    if Kind::of(&entry.media_type) != Kind::Manifest {
        return Ok(None);
    }
    match layout.document::<Manifest>(entry) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        manifest => {
            let manifest = manifest?;
            let parts = manifest.layers.iter().chain([&manifest.config]);
            Ok(Some(parts.map(|part| part.size).fold(0, u64::saturating_add)))
        }
    }
}
