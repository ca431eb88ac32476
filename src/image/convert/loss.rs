// SPDX-License-Identifier: Apache-2.0
//! What Docker's format has no place for: an error, or left out where that may be.

use std::collections::BTreeMap;

use super::{Converter, Loss};
use crate::error::{Error, Result};
use crate::image::editor::UNCOMPRESSED_SIZE;
use crate::oci::Descriptor;

impl Converter<'_> {
    pub(super) fn cannot(&self, what: &str, of: &Descriptor) -> Error {
        let Self { family, .. } = self;
        Error::unsupported(format!(
            "{family}'s image format has no place for {what}, as {} has it",
            of.digest
        ))
    }

    /// Leaves something out, if that may be.
    pub(super) fn lose(&mut self, of: &Descriptor, what: &str) -> Result<()> {
        if self.options.loss == Loss::Refuse {
            return Err(self.cannot(what, of));
        }
        self.lost.push(format!("{what} of {}", of.digest));
        Ok(())
    }

    pub(super) fn drop_extras(
        &mut self,
        of: &Descriptor,
        annotations: &mut BTreeMap<String, String>,
    ) -> Result<()> {
        if self.is_docker() {
            annotations.remove(UNCOMPRESSED_SIZE);
            for name in std::mem::take(annotations).into_keys() {
                self.lose(of, &format!("the annotation {name:?}"))?;
            }
        }
        Ok(())
    }

    pub(super) fn drop_value<T>(
        &mut self,
        of: &Descriptor,
        what: &str,
        value: &mut Option<T>,
    ) -> Result<()> {
        if self.is_docker() && value.take().is_some() {
            self.lose(of, what)?;
        }
        Ok(())
    }

    pub(super) fn drop_text(&mut self, of: &Descriptor, text: &mut String) -> Result<()> {
        if self.is_docker() && !std::mem::take(text).is_empty() {
            self.lose(of, "a type of artifact")?;
        }
        Ok(())
    }
}
