// SPDX-License-Identifier: Apache-2.0
//! Values of the form `NAME=VALUE`.

use umoci::error::{Error, Result};
use umoci::quote::quote_if_needed;

/// Whether the name of a pair may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PairName {
    /// It may not.
    Required,
    /// It may.
    MayBeEmpty,
}

/// Splits each value at its first `=`.
pub(crate) fn pairs(
    flag: &str,
    values: &[String],
    name_rule: PairName,
) -> Result<Vec<(String, String)>> {
    let split = |text: &String| {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Error::invalid(format!(
                "{flag}: must contain '=': {}",
                quote_if_needed(text)
            )));
        };
        if name.is_empty() && name_rule == PairName::Required {
            return Err(Error::invalid(format!(
                "{flag}: must have non-empty name: {}",
                quote_if_needed(text)
            )));
        }
        Ok((name.to_owned(), value.to_owned()))
    };
    values.iter().map(split).collect()
}
