// SPDX-License-Identifier: Apache-2.0
//! Groups of flags that several commands share. Each holds what was typed;
//! its methods check it and give what the library takes.

mod annotation;
mod compress;
mod entry;
mod extraction;
pub(crate) mod hints;
mod history;
mod id_map;
mod image;
mod layout;
mod limits;
mod pair;
mod positional;
mod result;

pub(crate) use annotation::{AnnotationArgs, IndexAnnotationArgs, annotate, index_edits};
pub(crate) use compress::CompressArgs;
pub(crate) use entry::{DestinationArg, EntryArg, EntryTarget, tell_name};
pub(crate) use extraction::ExtractionArgs;
pub(crate) use history::{HistoryArgs, HistoryDefaults};
pub(crate) use id_map::{IdMapArgs, StrictArg};
pub(crate) use image::{ImageArg, platform};
pub(crate) use layout::{LayoutArg, open, open_to_change};
pub(crate) use limits::{LimitArgs, SizeLimitArg, suggest_flag};
pub(crate) use pair::{PairName, pairs};
pub(crate) use positional::{none, one, several, text};
pub(crate) use result::{ResultPlace, TagArg};

use umoci::error::Error;

/// Says that a flag is missing that a command cannot do without.
fn missing(flag: &str) -> Error {
    Error::invalid(format!("missing mandatory argument: {flag}"))
}
