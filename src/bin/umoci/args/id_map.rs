// SPDX-License-Identifier: Apache-2.0
//! `--uid-map`, `--gid-map` and `--rootless`: whose ids files get.

use clap::Args;

use umoci::error::{Context, Result};
use umoci::idmap::{IdMap, IdMaps, IdRange};
use umoci::layer::Owners;
use umoci::quote::{quote, quote_if_needed};
use umoci::rootfs::Strictness;

use crate::host;

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

/// `--strict`, for commands that write or read a root filesystem.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct StrictArg {
    /// fail where something must be recorded or made up, instead of being set or read as it is
    #[arg(long)]
    strict: bool,
}

impl StrictArg {
    /// Whether something else may take the place of what cannot be had.
    pub(crate) fn strictness(self) -> Strictness {
        if self.strict { Strictness::Refuse } else { Strictness::Substitute }
    }
}

impl IdMapArgs {
    /// The maps: those that were given; without any, all ids are what they are in the image,
    /// or with `--rootless` the container's root is the caller.
    pub(crate) fn maps(&self) -> Result<IdMaps> {
        let caller = self.rootless.then(host::caller);
        let uid = map("--uid-map", &self.uid_map, caller.map(|caller| caller.uid))?;
        let gid = map("--gid-map", &self.gid_map, caller.map(|caller| caller.gid))?;
        Ok(IdMaps { uid, gid })
    }

    /// As [`IdMapArgs::maps`], for a root filesystem on disk: the container's root has to be
    /// somebody there.
    pub(crate) fn maps_of_rootfs(&self) -> Result<IdMaps> {
        let maps = self.maps()?;
        maps.uid.to_host(0).context("ensure rootuid has mapping")?;
        maps.gid.to_host(0).context("ensure rootgid has mapping")?;
        Ok(maps)
    }

    /// Who owns what is packed.
    pub(crate) fn owners(&self) -> Result<Owners> {
        let maps = self.maps()?;
        Ok(if self.rootless { Owners::OfImage } else { Owners::Mapped(maps) })
    }
}

fn map(flag: &str, values: &[String], root: Option<u32>) -> Result<IdMap> {
    if let ([], Some(root)) = (values, root) {
        return IdMap::new(vec![IdRange { container: 0, host: root, size: 1 }]);
    }
    for value in values {
        value
            .parse::<IdRange>()
            .with_context(|| format!("failure parsing {flag} {}", shown(value)))?;
    }
    IdMap::parse(values).with_context(|| format!("failure parsing {flag}"))
}

/// A value in a message, where an empty one has to be seen.
fn shown(value: &str) -> String {
    if value.is_empty() { quote(value) } else { quote_if_needed(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(uid_map: &[&str], rootless: bool) -> IdMapArgs {
        let uid_map = uid_map.iter().map(|value| (*value).to_owned()).collect();
        IdMapArgs { uid_map, gid_map: Vec::new(), rootless }
    }

    #[test]
    fn the_lists_are_independent() {
        assert_eq!(args(&[], false).maps().unwrap(), IdMaps::default());
        let maps = args(&["0:5", "1:100:10"], false).maps().unwrap();
        assert_eq!((maps.uid.to_host(3).unwrap(), maps.gid), (102, IdMap::IDENTITY));
    }

    #[test]
    fn without_maps_rootless_makes_the_caller_root() {
        let caller = host::caller();
        let maps = args(&[], true).maps().unwrap();
        assert_eq!(maps.to_host(umoci::rootfs::Owner { uid: 0, gid: 0 }).unwrap(), caller);
        assert!(maps.uid.to_host(1).is_err());
        assert_eq!(args(&["0:7"], true).maps().unwrap().uid.to_host(0).unwrap(), 7);
    }

    #[test]
    fn errors_name_the_flag() {
        for (values, text) in [
            (&["0"][..], "failure parsing --uid-map 0: invalid number of fields"),
            (&["0:0", ""], "failure parsing --uid-map \"\": invalid number of fields"),
            (&["0:x"], "failure parsing --uid-map 0:x: invalid hostID in mapping"),
            (&["0:0:9", "5:50"], "failure parsing --uid-map: ranges"),
            (&["1:1"], "ensure rootuid has mapping: container id 0 cannot be mapped"),
        ] {
            let message = args(values, false).maps_of_rootfs().unwrap_err().to_string();
            assert!(message.starts_with(text), "{message}");
        }
    }
}
