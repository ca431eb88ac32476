// SPDX-License-Identifier: Apache-2.0
//! The image that is meant where no name is given.

use std::collections::{BTreeSet, HashMap};

use crate::error::{Error, ErrorKind, Result};
use crate::oci::{Descriptor, Digest};
use crate::quote::quote_if_needed;

use super::referrers::relation;
use super::search::is_about_image;
use super::select::{DEFAULT_NAME, LISTED, named, one_name};
use super::{EntryName, Layout};

/// The entries that are meant: what is called `latest`, or else the only image that there is,
/// or else all images, if none has a name: they may be for different platforms.
///
/// # Errors
/// [`ErrorKind::NotFound`] when there are several images and one of them has a name.
pub(super) fn unnamed(layout: &Layout, entries: Vec<Descriptor>) -> Result<Vec<Descriptor>> {
    if entries.len() == 1 {
        return Ok(entries);
    }
    let latest = one_name(DEFAULT_NAME, named(&entries, DEFAULT_NAME))?;
    if !latest.is_empty() {
        return Ok(latest);
    }
    let images = images(layout, entries);
    let is_nameless = |image: &Descriptor| EntryName::of(image).is_nameless();
    if images.len() > 1 && !images.iter().all(is_nameless) {
        let message = format!("tag not found: {DEFAULT_NAME}, nor is there only one image: ");
        return Err(Error::new(ErrorKind::NotFound, message + &list(&images)));
    }
    Ok(images)
}

/// The images among some entries, each once, as far as an error lists them: signatures and the
/// like are none. Of the entries of one image that with a name counts.
fn images(layout: &Layout, entries: Vec<Descriptor>) -> Vec<Descriptor> {
    let mut places: HashMap<Digest, usize> = HashMap::new();
    let mut images: Vec<Descriptor> = Vec::new();
    for entry in entries {
        match places.get(&entry.digest).and_then(|at| images.get_mut(*at)) {
            Some(image) if EntryName::of(image).is_nameless() => *image = entry,
            Some(_) => {}
            None if is_about_image(&entry) || relation(layout, &entry).is_some() => {}
            None => {
                places.insert(entry.digest.clone(), images.len());
                images.push(entry);
            }
        }
        if images.len() > LISTED {
            break;
        }
    }
    images
}

/// What images are called, by their digests where they have no name.
pub(super) fn list(images: &[Descriptor]) -> String {
    let names: Vec<String> = images.iter().take(LISTED).map(call).collect();
    let more = if images.len() > LISTED { " and others" } else { "" };
    format!("{}{more}", names.join(", "))
}

/// The name of an entry, or else its digest.
pub(super) fn call(image: &Descriptor) -> String {
    match EntryName::of(image) {
        name if name.is_nameless() => image.digest.to_string(),
        name => quote_if_needed(name.to_string()),
    }
}

impl Layout {
    /// All names of what an entry leads to.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn names_of(&self, image: &Descriptor) -> Result<BTreeSet<EntryName>> {
        let entries = self.index()?.manifests.into_iter();
        let names = entries.filter(|entry| entry.digest == image.digest);
        let names = names.map(|entry| EntryName::of(&entry));
        Ok(names.filter(|name| !name.is_nameless()).collect())
    }
}
