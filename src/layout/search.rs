// SPDX-License-Identifier: Apache-2.0
//! The search below entries of `index.json` for the one image that is meant.
//!
//! An index can be reached in very many ways. It is searched once: the second
//! way to it leads to what has been found already.

use std::collections::HashMap;

use crate::error::{Context, ErrorKind, Result};
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Platform};

use super::Layout;
use super::referrers::REFERENCE_TYPE;
use super::walk::{MAX_DEPTH, too_deep};

/// What a search found.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing.
    None,
    /// This one, with the descriptors that lead to it.
    One(Vec<Descriptor>),
    /// Several, none of them better than the others.
    Several,
}

/// How well an image suits; the least one is best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Suit {
    /// As [`Platform::rank`] has it.
    pub(super) rank: usize,
    /// Where it comes from.
    pub(super) source: Source,
}

/// Where a platform is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// In an index. Of several of the same platform the first one is meant.
    Stated,
    /// Nowhere but in the configuration. There is no order among such images.
    Unstated,
}

/// Whether an entry of an index says that it holds something about an image, such as an
/// attestation, instead of an image: by the platform `unknown/unknown`, or as Docker does, by an
/// annotation.
pub fn is_about_image(entry: &Descriptor) -> bool {
    entry.annotations.contains_key(REFERENCE_TYPE)
        || entry.platform.as_ref().is_some_and(Platform::is_unknown)
}

/// Finds out which platforms images are for.
///
/// Manifests and configurations can be large and be referred to very often: each is read once.
#[derive(Debug)]
pub struct Platforms<'a> {
    layout: &'a Layout,
    manifests: HashMap<Digest, Option<Platform>>,
    configs: HashMap<Digest, Option<Platform>>,
}

impl<'a> Platforms<'a> {
    /// Knows nothing yet.
    pub fn new(layout: &'a Layout) -> Self {
        Self { layout, manifests: HashMap::new(), configs: HashMap::new() }
    }

    /// The platform that an image is for, as its descriptor states it or else its configuration.
    /// `None` if neither does, or what would is not in the layout.
    ///
    /// # Errors
    /// When what has to be read is damaged or malformed.
    pub fn of(&mut self, image: &Descriptor) -> Result<Option<Platform>> {
        Ok(self.find(image)?.map(|(platform, _)| platform))
    }

    /// As [`Platforms::of`], and where it is said.
    pub(super) fn find(&mut self, image: &Descriptor) -> Result<Option<(Platform, Source)>> {
        if let Some(stated) = image.platform.as_ref().filter(|platform| platform.is_stated()) {
            return Ok(Some((stated.clone(), Source::Stated)));
        }
        let found = match self.manifests.get(&image.digest) {
            Some(known) => known.clone(),
            None => if_there(self.read(image))?,
        };
        self.manifests.insert(image.digest.clone(), found.clone());
        Ok(found.map(|platform| (platform, Source::Unstated)))
    }

    fn read(&mut self, image: &Descriptor) -> Result<Option<Platform>> {
        let config = self.layout.document::<Manifest>(image)?.config;
        if let Some(known) = self.configs.get(&config.digest) {
            return Ok(known.clone());
        }
        let read = self.layout.document::<ImageConfig>(&config);
        let platform = read.map(|config| Some(Platform::of(&config)).filter(Platform::is_stated));
        let platform = if_there(platform)?;
        self.configs.insert(config.digest, platform.clone());
        Ok(platform)
    }
}

/// What is missing, or is no image, says nothing.
fn if_there<T>(read: Result<Option<T>>) -> Result<Option<T>> {
    match read {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported) => {
            Ok(None)
        }
        read => read,
    }
}

/// Searches entries of `index.json` and all below them for the image that suits best.
/// `weigh` tells how well one does, or `None`.
pub(super) fn search(
    layout: &Layout,
    entries: Vec<Descriptor>,
    weigh: &mut dyn FnMut(&Descriptor) -> Result<Option<Suit>>,
) -> Result<Found> {
    let mut search = Search { layout, weigh, seen: HashMap::new(), best: None, entry: 0 };
    for entry in entries {
        let root = entry.digest.clone();
        search.descend(&mut vec![entry]).with_context(|| format!("get descriptor: walk {root}"))?;
        search.entry += 1;
    }
    Ok(match search.best {
        None => Found::None,
        Some(best) if best.tied => Found::Several,
        Some(best) => Found::One(best.path),
    })
}

struct Search<'a> {
    layout: &'a Layout,
    weigh: &'a mut dyn FnMut(&Descriptor) -> Result<Option<Suit>>,
    /// The indexes that were searched, and how well the best image below suits.
    seen: HashMap<Digest, Option<Suit>>,
    best: Option<Best>,
    /// The number of the entry of `index.json` that is being searched.
    entry: usize,
}

/// The best image so far.
struct Best {
    path: Vec<Descriptor>,
    suit: Suit,
    entry: usize,
    /// Whether there is another one that is just as good.
    tied: bool,
}

impl Search<'_> {
    /// Searches below the last descriptor of `path`.
    fn descend(&mut self, path: &mut Vec<Descriptor>) -> Result<Option<Suit>> {
        let Some(last) = path.last() else { return Ok(None) };
        match Kind::of(&last.media_type) {
            Kind::Index => return self.descend_index(path),
            // These have no image below them and are none.
            Kind::Config | Kind::Descriptor | Kind::Empty => return Ok(None),
            _ if path.len() > 1 && is_about_image(last) => return Ok(None),
            _ => {}
        }
        let suit = (self.weigh)(last)?;
        self.offer(path, suit);
        Ok(suit)
    }

    fn descend_index(&mut self, path: &mut Vec<Descriptor>) -> Result<Option<Suit>> {
        let Some(last) = path.last() else { return Ok(None) };
        if let Some(known) = self.seen.get(&last.digest).copied() {
            self.offer(path, known);
            return Ok(known);
        }
        if path.len() > MAX_DEPTH {
            return Err(too_deep());
        }
        let digest = last.digest.clone();
        let mut best = None;
        for entry in self.layout.document::<Index>(last)?.manifests {
            path.push(entry);
            let suit = self.descend(path)?;
            path.pop();
            best = best.into_iter().chain(suit).min();
        }
        self.seen.insert(digest, best);
        Ok(best)
    }

    /// Compares an image with the best one so far. Whatever is met again is never better.
    fn offer(&mut self, path: &[Descriptor], suit: Option<Suit>) {
        let Some(suit) = suit else { return };
        let entry = self.entry;
        match &mut self.best {
            Some(best) if best.entry != entry && suit.rank == best.suit.rank => best.tied = true,
            Some(best) if suit == best.suit => best.tied |= suit.source == Source::Unstated,
            Some(best) if suit > best.suit => {}
            _ => self.best = Some(Best { path: path.to_vec(), suit, entry, tied: false }),
        }
    }
}
