// SPDX-License-Identifier: Apache-2.0
//! Annotations in all places that an image has for them ([`AnnotationEdit`]).

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result, counted};
use crate::layout::REF_NAME;

/// What an annotation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Annotated {
    /// The manifest: it says so itself.
    Manifest,
    /// The index that the image's name leads to, which has the manifest among its entries or below.
    Index,
    /// The manifest, but its descriptor says so: the entry of the index above it, or of `index.json`.
    Descriptor,
    /// A layer, by its descriptor in the manifest. The lowest is 0, the topmost -1.
    Layer(i64),
}

/// A change of one annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationEdit {
    /// What it is about.
    pub of: Annotated,
    /// Its name.
    pub name: String,
    /// Its new value; `None` removes it, if it is there.
    pub value: Option<String>,
}

impl AnnotationEdit {
    /// Makes the change.
    pub fn apply(&self, annotations: &mut BTreeMap<String, String>) {
        match &self.value {
            Some(value) => annotations.insert(self.name.clone(), value.clone()),
            None => annotations.remove(&self.name),
        };
    }

    /// Refuses to name an image in passing: that is what tags are for.
    pub(super) fn check(&self) -> Result<()> {
        if self.of == Annotated::Descriptor && self.name == REF_NAME {
            return Err(Error::invalid(format!("annotation {REF_NAME} is the image's tag")));
        }
        Ok(())
    }
}

/// Makes changes in their order.
pub(super) fn apply(edits: &[AnnotationEdit], annotations: &mut BTreeMap<String, String>) {
    for edit in edits {
        edit.apply(annotations);
    }
}

/// The place of a layer that is counted from the bottom, or with a minus from the top.
pub(super) fn layer_place(number: i64, layers: usize) -> Result<usize> {
    let from_top = |back: u64| usize::try_from(back).ok().and_then(|back| layers.checked_sub(back));
    let place = match number {
        0.. => usize::try_from(number).ok(),
        _ => from_top(number.unsigned_abs()),
    };
    place.filter(|place| *place < layers).ok_or_else(|| {
        let layers = counted(layers, "layer", "layers");
        let message = format!("annotate layer[{number}]: the image has {layers}");
        Error::new(ErrorKind::NotFound, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_counted_from_both_ends() {
        for (number, layers, place) in
            [(0, 1, Some(0)), (1, 1, None), (-1, 3, Some(2)), (-3, 3, Some(0)), (-4, 3, None)]
        {
            assert_eq!(layer_place(number, layers).ok(), place, "{number} of {layers}");
        }
        assert!(layer_place(0, 0).is_err() && layer_place(i64::MIN, 3).is_err());
    }
}
