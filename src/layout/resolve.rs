// SPDX-License-Identifier: Apache-2.0
//! From a name to the one image that it means.

use std::collections::HashSet;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::oci::{Descriptor, DescriptorPath, Digest, Index, media_type};

use super::walk::MAX_DEPTH;
use super::{Layout, REF_NAME, RefName};

impl Layout {
    /// Finds the image that a name in `index.json` means, through nested
    /// indexes. The manifest itself is not read.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Ambiguous`]
    /// when there are several ways to an image.
    pub fn resolve(&self, name: &RefName) -> Result<DescriptorPath> {
        let mut search = Search { layout: self, barren: HashSet::new(), found: Found::None };
        for entry in self.index()?.manifests {
            if entry.annotations.get(REF_NAME).is_some_and(|found| found == name.as_str()) {
                let root = entry.digest.clone();
                search
                    .descend(&mut vec![entry])
                    .with_context(|| format!("get descriptor: walk {root}"))?;
            }
        }
        match search.found {
            Found::One(path) => DescriptorPath::new(path),
            Found::None => Err(Error::new(ErrorKind::NotFound, format!("tag not found: {name}"))),
            Found::Several => {
                Err(Error::new(ErrorKind::Ambiguous, format!("tag is ambiguous: {name}")))
            }
        }
    }
}

enum Found {
    None,
    One(Vec<Descriptor>),
    Several,
}

/// A search for targets that ends with the second one.
///
/// An index can be reached in very many ways. It is searched once: if there
/// was a target below it, the second way to it is the second target.
struct Search<'a> {
    layout: &'a Layout,
    /// Indexes without a target below them.
    barren: HashSet<Digest>,
    found: Found,
}

impl Search<'_> {
    /// Searches below the last descriptor of `path`.
    fn descend(&mut self, path: &mut Vec<Descriptor>) -> Result<()> {
        let Some(last) = path.last() else { return Ok(()) };
        match last.media_type.as_str() {
            media_type::IMAGE_INDEX => self.descend_index(path),
            // These have no image below them and are none.
            media_type::IMAGE_CONFIG | media_type::DESCRIPTOR | media_type::EMPTY_JSON => Ok(()),
            _ => {
                self.found = match self.found {
                    Found::None => Found::One(path.clone()),
                    _ => Found::Several,
                };
                Ok(())
            }
        }
    }

    fn descend_index(&mut self, path: &mut Vec<Descriptor>) -> Result<()> {
        let Some(last) = path.last() else { return Ok(()) };
        if self.barren.contains(&last.digest) {
            return Ok(());
        }
        if path.len() > MAX_DEPTH {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("indexes are nested more than {MAX_DEPTH} deep"),
            ));
        }
        let digest = last.digest.clone();
        let before = self.count();
        for entry in self.layout.document::<Index>(last)?.manifests {
            path.push(entry);
            self.descend(path)?;
            path.pop();
            if matches!(self.found, Found::Several) {
                return Ok(());
            }
        }
        if self.count() == before {
            self.barren.insert(digest);
        }
        Ok(())
    }

    fn count(&self) -> usize {
        match self.found {
            Found::None => 0,
            Found::One(_) => 1,
            Found::Several => 2,
        }
    }
}
