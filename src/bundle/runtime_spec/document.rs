// SPDX-License-Identifier: Apache-2.0
//! The part of the runtime specification's `config.json` that this crate
//! writes. The order of members is that of the file.

use std::collections::BTreeMap;

use serde::Serialize;

use super::json;
use crate::error::Result;
use crate::idmap::IdRange;

/// A runtime configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeSpec {
    /// The version of the specification.
    pub oci_version: String,
    /// What to run.
    pub process: Process,
    /// In which root filesystem.
    pub root: Root,
    /// The host name inside.
    pub hostname: String,
    /// What to mount, in this order.
    pub mounts: Vec<Mount>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    pub linux: Linux,
}

impl RuntimeSpec {
    /// Writes the file's contents: indented with tabs, one newline at the end.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        json::to_indented_bytes(self)
    }
}

/// The process of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Who it runs as.
    pub user: ProcessUser,
    /// Its command line.
    pub args: Vec<String>,
    /// Its environment, as `NAME=value`.
    pub env: Vec<String>,
    /// Its working directory, absolute.
    pub cwd: String,
    /// Its capabilities.
    pub capabilities: Capabilities,
    /// Its resource limits.
    pub rlimits: Vec<Rlimit>,
    /// Whether it can gain no privileges.
    pub no_new_privileges: bool,
}

/// Who a process runs as, by ids inside the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessUser {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The ids of further groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
}

/// The sets of capabilities of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The bounding set.
    pub bounding: Vec<String>,
    /// The effective set.
    pub effective: Vec<String>,
    /// The inheritable set.
    pub inheritable: Vec<String>,
    /// The permitted set.
    pub permitted: Vec<String>,
    /// The ambient set.
    pub ambient: Vec<String>,
}

/// A resource limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rlimit {
    /// Its name, such as `RLIMIT_NOFILE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The hard limit.
    pub hard: u64,
    /// The soft limit.
    pub soft: u64,
}

/// A root filesystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Root {
    /// Its directory, relative to the bundle.
    pub path: String,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Where, inside the container.
    pub destination: String,
    /// The type of the filesystem.
    #[serde(rename = "type")]
    pub kind: String,
    /// What.
    pub source: String,
    /// How.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Mount {
    /// Makes a mount.
    pub fn new(destination: impl Into<String>, kind: &str, source: &str, options: &[&str]) -> Self {
        Self {
            destination: destination.into(),
            kind: kind.into(),
            source: source.into(),
            options: options.iter().map(|option| (*option).into()).collect(),
        }
    }
}

/// What only Linux has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// The user ids of the user namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdRange>,
    /// The group ids of the user namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdRange>,
    /// Limits of the control group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The namespaces that are made for the container.
    pub namespaces: Vec<Namespace>,
    /// Paths that cannot be read.
    pub masked_paths: Vec<String>,
    /// Paths that cannot be written.
    pub readonly_paths: Vec<String>,
}

/// Limits of a control group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Which devices may be used.
    pub devices: Vec<DeviceRule>,
}

/// Allows or forbids the use of devices; without numbers, of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceRule {
    /// Whether it allows.
    pub allow: bool,
    /// What: some of `r`, `w` and `m`.
    pub access: String,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// Its type, such as `mount`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Namespace {
    /// Makes a new namespace of a type.
    pub fn new(kind: &str) -> Self {
        Self { kind: kind.into() }
    }
}
