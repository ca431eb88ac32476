// SPDX-License-Identifier: Apache-2.0
//! [`IndexEditor`] makes and changes the index of an image for several platforms.

mod flat;

use std::collections::{BTreeMap, BTreeSet};

use super::attestations::{self, Listed};
use super::choice::EntryChoice;
use super::put;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::layout::{
    FULL_NAME, Layout, LayoutWriter, Nested, Platforms, Presence, REF_NAME, is_about_image,
};
use crate::oci::media_type::{DOCKER_MANIFEST_LIST, Family, Kind};
use crate::oci::{Algorithm, Descriptor, Digest, ImageConfig, Index, Manifest, Platform};

/// The index of an image for several platforms, in the course of being changed.
#[derive(Debug)]
pub struct IndexEditor<'a> {
    writer: &'a LayoutWriter,
    index: Index,
    /// What it was before.
    old: Option<Digest>,
}

impl<'a> IndexEditor<'a> {
    /// Starts with an index without entries. It becomes one in Docker's format if all that is
    /// added to it is.
    pub fn new(writer: &'a LayoutWriter) -> Self {
        let index = Index { media_type: String::new(), ..Index::default() };
        Self { writer, index, old: None }
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
        Ok(Self { writer, index, old: Some(descriptor.digest.clone()) })
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
    /// When it is neither image nor index, or is missing; when it is for the platform of another
    /// image in an index within, or is the index itself.
    pub fn add(&mut self, entry: &Descriptor) -> Result<Option<Descriptor>> {
        if self.old.as_ref() == Some(&entry.digest) {
            return Err(Error::invalid("an index cannot be an entry of itself"));
        }
        let mut new = Descriptor::new(&entry.media_type, entry.digest.clone(), entry.size);
        new.annotations.clone_from(&entry.annotations);
        new.annotations.retain(|name, _| name != REF_NAME && name != FULL_NAME);
        new.artifact_type.clone_from(&entry.artifact_type);
        if Kind::of(&entry.media_type) != Kind::Index {
            super::require_manifest(entry)?;
            new.platform = Platforms::new(self.layout()).of(&new)?;
            require_documents(self.layout(), &new)?;
        }
        let at = self.index.manifests.iter().position(|old| is_successor(&new, old));
        self.refuse_rivals(&new, at)?;
        let Some(at) = at else {
            self.index.manifests.push(new);
            return Ok(None);
        };
        let before = self.listed()?;
        let Some(old) = self.index.manifests.get_mut(at) else { return Ok(None) };
        let old = std::mem::replace(old, new);
        self.remove_what_is_about_lost(&before)?;
        Ok(Some(old))
    }

    /// Refuses an entry by which, through indexes in the index, there would be two images for
    /// one platform; `replaced` is the place of the entry that it replaces.
    fn refuse_rivals(&self, new: &Descriptor, replaced: Option<usize>) -> Result<()> {
        let mut others = self.index.clone();
        others.unread.clear();
        if let Some(at) = replaced {
            others.manifests.remove(at);
        }
        let ours = self.images(&others)?;
        let alone = Index { manifests: vec![new.clone()], ..Index::default() };
        for (platform, image) in self.images(&alone)? {
            let is_rival =
                |(other, digest): &&(Platform, Digest)| platform.is_twin(other) && *digest != image;
            if let Some((_, other)) = ours.iter().find(is_rival) {
                return Err(Error::invalid(format!(
                    "{image} and {other}, of an index within, would both be for {platform}"
                )));
            }
        }
        Ok(())
    }

    /// The images in an index and in those within, and what they are for.
    fn images(&self, index: &Index) -> Result<Vec<(Platform, Digest)>> {
        let mut platforms = Platforms::new(self.layout());
        let mut images = Vec::new();
        for step in Nested::new(self.layout(), index) {
            let step = step?;
            let Some(image) = step.entry.descriptor() else { continue };
            if step.presence == Presence::Absent && step.depth() == 0 {
                // It cannot be read, so it is no use to anybody.
                self.layout().document::<Index>(image)?;
            }
            if step.presence == Presence::Leaf && !is_about_image(image) {
                let platform = platforms.of(image)?;
                images.extend(platform.map(|platform| (platform, image.digest.clone())));
            }
        }
        Ok(images)
    }

    /// Removes an entry of the index or of one within, with the attestations that are about it or
    /// what is in it, and gives its digest. An index within that has no other entries goes too.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Ambiguous`] when there are several
    /// of different digests.
    pub fn remove(&mut self, choice: &EntryChoice) -> Result<String> {
        if let EntryChoice::Unread(digest) = choice {
            let count = self.index.unread.len();
            self.index.unread.retain(|entry| entry.digest() != digest);
            if self.index.unread.len() == count {
                return Err(no_entry(choice));
            }
            return Ok(digest.clone());
        }
        let before = self.listed()?;
        let mut digest = String::new();
        // From the end, so that the places of the others stay.
        for path in self.places(choice)?.into_iter().rev() {
            self.change(&path, |index, at| {
                digest = index.manifests[at].digest.to_string();
                take_out(index, at);
            })?;
        }
        self.remove_what_is_about_lost(&before)?;
        Ok(digest)
    }

    /// Removes attestations, in the index and in those within, about images that are in none of
    /// them, and gives their digests.
    ///
    /// # Errors
    /// When an index within is not in the layout: the images may be in there.
    pub fn remove_stale(&mut self) -> Result<Vec<String>> {
        let listed = self.listed()?;
        listed.require_all()?;
        let is_gone = |image: &str| !listed.digests.contains(image);
        attestations::remove(self.writer, &mut self.index, is_gone)
    }

    /// Removes the attestations about what was listed and is not any more.
    fn remove_what_is_about_lost(&mut self, before: &Listed) -> Result<()> {
        let now = self.listed()?;
        let is_gone = |image: &str| before.digests.contains(image) && !now.digests.contains(image);
        attestations::remove(self.writer, &mut self.index, is_gone).map(drop)
    }

    fn listed(&self) -> Result<Listed> {
        Listed::of(self.layout(), &self.index)
    }

    /// Changes annotations of an entry, of the index or of one within, or of the index itself.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such entry, [`ErrorKind::Ambiguous`] when there
    /// are several of different digests, [`ErrorKind::Unsupported`] when the format has no
    /// annotations or the entry cannot be read.
    pub fn annotate(
        &mut self,
        choice: Option<&EntryChoice>,
        edit: impl Fn(&mut BTreeMap<String, String>),
    ) -> Result<()> {
        if self.index.media_type == DOCKER_MANIFEST_LIST {
            return Err(Error::unsupported("Docker's image format has no annotations"));
        }
        let Some(choice) = choice else {
            edit(&mut self.index.annotations);
            return Ok(());
        };
        for path in self.places(choice)? {
            self.change(&path, |index, at| edit(&mut index.manifests[at].annotations))?;
        }
        Ok(())
    }

    /// Stores the index, and gives its descriptor.
    ///
    /// # Errors
    /// When it has no entries, or one that its format has no place for.
    pub fn commit(mut self) -> Result<Descriptor> {
        if self.index.manifests.is_empty() && self.index.unread.is_empty() {
            return Err(empty());
        }
        if self.index.media_type.is_empty() {
            let kind = Kind::Index.media_type(self.family());
            kind.unwrap_or_default().clone_into(&mut self.index.media_type);
        }
        if self.family() == Family::Docker {
            self.index.manifests.iter().try_for_each(check_docker_entry)?;
            if let Some(entry) = self.index.unread.first() {
                return Err(entry.refuse());
            }
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

    /// Whether all that is in the index has its place in Docker's format.
    fn is_for_docker(&self) -> bool {
        let index = &self.index;
        index.annotations.is_empty()
            && index.unread.is_empty()
            && index.manifests.iter().all(is_docker)
    }

    fn layout(&self) -> &Layout {
        self.writer.layout()
    }

    fn family(&self) -> Family {
        match self.index.media_type.as_str() {
            DOCKER_MANIFEST_LIST => Family::Docker,
            "" if self.is_for_docker() => Family::Docker,
            _ => Family::Oci,
        }
    }

    /// Where the entry is: more than once only if it is listed so.
    fn places(&self, choice: &EntryChoice) -> Result<Vec<Vec<usize>>> {
        let mut platforms = Platforms::new(self.layout());
        let mut places = Vec::new();
        let mut digests = BTreeSet::new();
        for step in Nested::new(self.layout(), &self.index) {
            let step = step?;
            let Some(entry) = step.entry.descriptor() else { continue };
            let is_meant = match choice {
                EntryChoice::Digest(digest) => entry.digest == *digest,
                EntryChoice::Platform(platform) => {
                    platforms.of(entry)?.is_some_and(|found| found.is_same(platform))
                }
                EntryChoice::Unread(_) => false,
            };
            if is_meant {
                digests.insert(entry.digest.to_string());
                places.push(step.path);
            }
        }
        match digests.len() {
            0 => Err(no_entry(choice)),
            1 => Ok(places),
            _ => {
                let digests = digests.into_iter().collect::<Vec<_>>().join(", ");
                let message = format!("several entries are for {choice}: {digests}");
                Err(Error::new(ErrorKind::Ambiguous, message))
            }
        }
    }

    /// Changes an index, this one or one within, and with it those that lead there.
    fn change(&mut self, path: &[usize], edit: impl FnOnce(&mut Index, usize)) -> Result<()> {
        change(self.writer, &mut self.index, path, edit)
    }
}

fn change(
    writer: &LayoutWriter,
    index: &mut Index,
    path: &[usize],
    edit: impl FnOnce(&mut Index, usize),
) -> Result<()> {
    let (at, rest) = match path {
        [] => return Ok(()),
        [at] => {
            edit(index, *at);
            return Ok(());
        }
        [at, rest @ ..] => (*at, rest),
    };
    let entry = &mut index.manifests[at];
    let mut inner: Index = writer.layout().document(entry)?;
    change(writer, &mut inner, rest, edit)?;
    if inner.manifests.is_empty() && inner.unread.is_empty() {
        take_out(index, at);
        return Ok(());
    }
    let stored = put(writer, entry.digest.algorithm(), &inner).context("put index blob")?;
    entry.redirect(stored.digest, stored.size);
    Ok(())
}

/// Removes the entry at a place among those that can be used.
fn take_out(index: &mut Index, at: usize) {
    let mut place = 0..;
    index.retain(|entry| entry.descriptor().is_none() || place.next() != Some(at));
}

/// An image without its documents is no use to anybody.
fn require_documents(layout: &Layout, image: &Descriptor) -> Result<()> {
    let config = layout.document::<Manifest>(image)?.config;
    if Kind::of(&config.media_type) == Kind::Config {
        layout.document::<ImageConfig>(&config)?;
    }
    Ok(())
}

fn empty() -> Error {
    Error::invalid("an index without entries is no image")
}

fn no_entry(choice: &EntryChoice) -> Error {
    Error::new(ErrorKind::NotFound, format!("the index has no entry for {choice}"))
}

/// Whether an entry takes the place of another.
fn is_successor(new: &Descriptor, old: &Descriptor) -> bool {
    match (&old.platform, &new.platform) {
        (Some(old), Some(new)) => old.is_twin(new),
        (_, _) => old.digest == new.digest,
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
