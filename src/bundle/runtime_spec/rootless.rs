// SPDX-License-Identifier: Apache-2.0
//! A runtime configuration for an ordinary user: without what only root may
//! set up. What depends on the host comes in as a value, [`Host`].

use std::path::Path;

use super::document::{Mount, Namespace, RuntimeSpec};
use crate::error::{Context, Result};
use crate::rootfs::RootPath;
use crate::sys;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What a rootless configuration depends on besides the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// The options of the mount that holds `/etc/resolv.conf` which cannot be
    /// taken off in a user namespace, so that they have to be asked for when
    /// the file is mounted there; `None` where there is no such file.
    pub resolv_conf: Option<Vec<&'static str>>,
}

impl Host {
    /// Finds out about this machine.
    pub fn read() -> Result<Self> {
        Self::at(Path::new(RESOLV_CONF))
    }

    fn at(resolv_conf: &Path) -> Result<Self> {
        if !resolv_conf.try_exists().at("look for", resolv_conf)? {
            return Ok(Self::default());
        }
        let options = sys::locked_mount_options(resolv_conf).at("statfs", resolv_conf)?;
        Ok(Self { resolv_conf: Some(options) })
    }
}

/// Turns a configuration into one that needs no privileges.
pub(super) fn apply(host: &Host, spec: &mut RuntimeSpec) {
    // Only root may set further groups.
    spec.process.user.additional_gids.clear();

    // The host's network is the only one that works without help.
    let namespaces = &mut spec.linux.namespaces;
    namespaces.retain(|namespace| !matches!(&*namespace.kind, "network" | "user"));
    namespaces.push(Namespace::new("user"));

    // sysfs belongs to the network namespace and cannot be mounted anew; the host's can.
    spec.mounts.retain(|mount| !is_within_sys(&mount.destination));
    for mount in &mut spec.mounts {
        mount.options.retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
    }
    let options = ["rbind", "nosuid", "noexec", "nodev", "ro"];
    spec.mounts.push(Mount::new("/sys", "bind", "/sys", &options));
    match &host.resolv_conf {
        Some(locked) => {
            let options = [locked, &["rbind", "ro"][..]].concat();
            spec.mounts.push(Mount::new(RESOLV_CONF, "bind", RESOLV_CONF, &options));
        }
        None => log::warn!(
            "rootless configuration: automatic bind-mount for {RESOLV_CONF:?} cannot be added as the source doesn't exist"
        ),
    }

    // Nothing is known of the control group that a user may have.
    spec.linux.resources = None;
}

fn is_within_sys(destination: &str) -> bool {
    match (RootPath::clean(destination), RootPath::clean("sys")) {
        (Ok(destination), Ok(sys)) => destination.is_within(&sys),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_missing_file() {
        assert_eq!(Host::at(Path::new("/nonexistent/resolv.conf")).unwrap(), Host::default());
        assert!(Host::at(Path::new("/proc/self/status")).unwrap().resolv_conf.is_some());
    }

    #[test]
    fn sys_is_a_component() {
        for path in ["/sys", "/sys/fs/cgroup", "/sys/", "sys/x", "//sys"] {
            assert!(is_within_sys(path), "{path}");
        }
        for path in ["/system", "/sys/../data", "/data/sys", "/"] {
            assert!(!is_within_sys(path), "{path}");
        }
    }
}
