// SPDX-License-Identifier: Apache-2.0
//! `umoci raw`: the steps of other commands, each for itself.

mod unpack;

use clap::Subcommand;

use crate::failure::Outcome;

/// advanced image tooling
///
/// Single steps of what other commands do, for those who know what they are for. umoci-unpack(1)
/// and its like are enough for most purposes.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Unpack(unpack::Args),
}

impl Command {
    pub(crate) fn run(&self) -> Outcome {
        match self {
            Self::Unpack(args) => unpack::run(args),
        }
    }
}
