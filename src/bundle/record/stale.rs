// SPDX-License-Identifier: Apache-2.0
//! [`Stale`]: what of a record is void, since something else has taken the place of an object.

use std::collections::HashMap;

use crate::bundle::Strictness;
use crate::error::{Error, Result};
use crate::rootfs::RootPath;

/// What of a record is void.
#[derive(Debug, Default)]
pub(in crate::bundle) struct Stale {
    pub(super) objects: Vec<StaleObject>,
    /// Whether the tree is below an overlay.
    pub(super) is_overlaid: bool,
}

/// An object in whose place there is another.
#[derive(Debug)]
pub(super) struct StaleObject {
    /// Those of its paths where this is so.
    pub(super) paths: Vec<RootPath>,
    /// Where it has another name.
    pub(super) found: Option<RootPath>,
}

/// What becomes of lines, by their paths: they are for another one, or for none.
pub(super) type NewPlaces<'a> = HashMap<&'a RootPath, Option<&'a RootPath>>;

impl Stale {
    /// What of it is about a part of the tree.
    pub(in crate::bundle) fn within(mut self, top: &RootPath) -> Self {
        self.objects.retain(|object| object.paths.iter().any(|path| path.is_within(top)));
        self
    }

    /// Tells how much it is, or refuses it.
    pub(in crate::bundle) fn tell(&self, strictness: Strictness) -> Result<()> {
        for path in self.objects.iter().flat_map(|object| &object.paths) {
            log::debug!("{path}: no longer what was recorded");
        }
        let mut message = match self.objects.len() {
            0 => return Ok(()),
            1 => "1 object is no longer what was recorded".to_owned(),
            count => format!("{count} objects are no longer what was recorded"),
        };
        if self.is_overlaid {
            message += "; below an overlay, repack before it is mounted anew";
        }
        if strictness == Strictness::Refuse {
            return Err(Error::invalid(format!("{message} (strict)")));
        }
        log::warn!("{message}");
        Ok(())
    }

    pub(super) fn places(&self) -> NewPlaces<'_> {
        let mut places = HashMap::new();
        for StaleObject { paths, found } in &self.objects {
            places.extend(paths.iter().map(|path| (path, found.as_ref())));
        }
        places
    }
}
