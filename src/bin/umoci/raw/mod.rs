// SPDX-License-Identifier: Apache-2.0
//! `umoci raw`: the steps of other commands, each for itself.

mod add_layer;
mod archive;
mod mtree_validate;
mod runtime_config;
mod unpack;

use clap::Subcommand;

use crate::failure::Outcome;

/// advanced image tooling
///
/// Single steps of what other commands do, for those who know what they are for. umoci-unpack(1)
/// and its like are enough for most purposes.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    AddLayer(Box<add_layer::Args>),
    #[command(visible_alias = "config")]
    RuntimeConfig(runtime_config::Args),
    Unpack(unpack::Args),
    #[command(hide = true)]
    MtreeValidate(mtree_validate::Args),
}

impl Command {
    pub(crate) fn run(&self) -> Outcome {
        match self {
            Self::AddLayer(args) => add_layer::run(args),
            Self::RuntimeConfig(args) => runtime_config::run(args),
            Self::Unpack(args) => unpack::run(args),
            Self::MtreeValidate(args) => mtree_validate::run(args),
        }
    }
}
