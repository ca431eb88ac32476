// SPDX-License-Identifier: Apache-2.0
//! Groups of flags that several commands share. Each holds what was typed;
//! its methods check it and give what the library takes.

mod annotation;
mod compress;
pub(crate) mod hints;
mod history;
mod id_map;
mod limits;
mod location;
mod pair;
mod positional;

pub(crate) use annotation::{AnnotationArgs, annotate};
pub(crate) use compress::CompressArgs;
pub(crate) use history::{HistoryArgs, HistoryDefaults};
pub(crate) use id_map::{IdMapArgs, StrictArg};
pub(crate) use limits::{LimitArgs, SizeLimitArg, SpaceArg, suggest_flag};
pub(crate) use location::{
    EntryArg, EntryTarget, ImageArg, LayoutArg, ResultTag, TagArg, name_for, open, platform,
};
pub(crate) use pair::{PairName, pairs};
pub(crate) use positional::{none, one, several};
