// SPDX-License-Identifier: Apache-2.0
//! `--uid-map`, `--gid-map` and `--rootless`: whose ids files get.

use clap::Args;
use umoci::error::{Context, Result};
use umoci::idmap::{IdMap, IdMaps};

/// Flags for commands that write or read a root filesystem.
#[derive(Debug, Clone, Args)]
pub(crate) struct IdMapArgs {
    /// map a range of user ids (CONTAINER:HOST[:SIZE]); may be repeated
    #[arg(long, value_name = "CONTAINER:HOST[:SIZE]")]
    uid_map: Vec<String>,

    /// map a range of group ids (CONTAINER:HOST[:SIZE]); may be repeated
    #[arg(long, value_name = "CONTAINER:HOST[:SIZE]")]
    gid_map: Vec<String>,

    /// work without privileges: own every file, remember its owner in an attribute
    #[arg(long)]
    pub(crate) rootless: bool,
}

impl IdMapArgs {
    /// The maps that were given.
    pub(crate) fn maps(&self) -> Result<IdMaps> {
        Ok(IdMaps {
            uid: IdMap::parse(&self.uid_map).context("parsing --uid-map")?,
            gid: IdMap::parse(&self.gid_map).context("parsing --gid-map")?,
        })
    }
}
