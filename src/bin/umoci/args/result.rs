// SPDX-License-Identifier: Apache-2.0
//! `--tag`: where the result of a change goes.

use clap::Args;
use umoci::error::{Context, Result};
use umoci::layout::{Destination, EntryName, Layout, RefName, Selector};
use umoci::oci::Descriptor;

use super::EntryTarget;
use super::entry::{name_for, nameless};
use crate::failure::Outcome;

/// The flag of commands that can store their result under another tag.
#[derive(Debug, Clone, Args)]
pub(crate) struct TagArg {
    /// store the result under this tag, instead of that of --image
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

impl TagArg {
    /// Where the result of a change of `source` goes.
    pub(crate) fn result(&self, source: &EntryTarget) -> Outcome<ResultPlace> {
        let tag: Option<Result<RefName>> = self.tag.as_deref().map(str::parse);
        let tag = tag.transpose().context("invalid --tag")?;
        match &source.selector {
            Selector::Digest(digest) if tag.is_none() => Err(nameless(digest)),
            _ => Ok(ResultPlace { tag, source: source.clone() }),
        }
    }
}

/// Where the result of a change goes.
#[derive(Debug, Clone)]
pub(crate) struct ResultPlace {
    /// The tag that was given for it.
    tag: Option<RefName>,
    /// Where the image was before the change.
    source: EntryTarget,
}

impl ResultPlace {
    /// Whether it takes the place of what was changed.
    pub(crate) fn is_kept(&self) -> bool {
        self.tag.is_none()
    }

    /// The place, now that the entry that leads to the image is known.
    pub(crate) fn destination(&self, layout: &Layout, base: &Descriptor) -> Outcome<Destination> {
        let Some(tag) = &self.tag else { return self.source.place_of(layout, base) };
        let name = name_for(layout, tag)?;
        if name == EntryName::of(base) {
            return Ok(Destination::Entry(Box::new(base.clone())));
        }
        Ok(Destination::Name(name))
    }
}

#[cfg(test)]
mod tests {
    use umoci::oci::{Algorithm, Digest};

    use super::super::entry::tests::image;
    use super::*;

    #[test]
    fn a_result_goes_to_the_tag_of_its_source_or_to_a_valid_one() {
        let result = |tag: Option<&str>, value: &str| {
            let arg = TagArg { tag: tag.map(str::to_owned) };
            match arg.result(&image(value).unwrap()) {
                Ok(place) => Ok(place.tag.map_or("kept".to_owned(), |tag| tag.to_string())),
                Err(failure) => Err(failure.error().to_string()),
            }
        };
        let digest = format!("a@{}", Digest::of(Algorithm::Sha256, "x"));
        assert_eq!(result(None, "a:short").unwrap(), "kept");
        assert_eq!(result(Some("new"), "a:short").unwrap(), "new");
        assert_eq!(result(Some("new"), &digest).unwrap(), "new");
        assert!(result(None, &digest).unwrap_err().ends_with("names no tag for the result"));
        let message = "invalid --tag: tag contains invalid characters: \"\"";
        assert_eq!(result(Some(""), "a").unwrap_err(), message);
    }
}
