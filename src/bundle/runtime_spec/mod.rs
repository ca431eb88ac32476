// SPDX-License-Identifier: Apache-2.0
//! `config.json`: how a runtime is to run a bundle (runtime-spec `config.md`),
//! made from an image's configuration (image-spec `conversion.md`).
//!
//! What the configuration says is the image's word. What could not be run, or
//! would cover the whole root filesystem, is refused; nothing is looked up.

mod convert;
mod document;
mod json;
mod rootless;
mod template;

pub use document::{
    Capabilities, DeviceRule, Linux, Mount, Namespace, Process, ProcessUser, Resources, Rlimit,
    Root, RuntimeSpec,
};
pub use rootless::Host;

use super::passwd::User;
use crate::error::{Context, Result};
use crate::idmap::IdMaps;
use crate::oci::ImageConfig;

/// The name of the file in a bundle.
pub const FILE_NAME: &str = "config.json";
/// The version of the runtime specification that is written: the lowest that has all that a
/// configuration of this crate uses, for runtimes that know no later one.
pub const VERSION: &str = "1.0.2";

/// How [`runtime_spec`] fits an image to the machine that it is to run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeSpecOptions {
    /// The root filesystem's directory, relative to the bundle: `rootfs`.
    pub root_path: String,
    /// The id maps of the root filesystem. With any range, the container gets
    /// a user namespace.
    pub maps: IdMaps,
    /// Set for a container that an ordinary user is to run: what depends on the host.
    pub rootless: Option<Host>,
}

impl Default for RuntimeSpecOptions {
    fn default() -> Self {
        Self { root_path: "rootfs".into(), maps: IdMaps::default(), rootless: None }
    }
}

/// Makes the runtime configuration of an image.
///
/// # Errors
/// When the image is not for Linux, or has values that no runtime takes: an
/// environment entry without name or `=`, a NUL byte, a volume that is the root.
pub fn runtime_spec(
    image: &ImageConfig,
    user: &User,
    options: &RuntimeSpecOptions,
) -> Result<RuntimeSpec> {
    let mut spec = RuntimeSpec::default();
    spec.root.path.clone_from(&options.root_path);
    spec.apply_image(image, user)?;
    map_ids(&options.maps, &mut spec.linux);
    if let Some(host) = &options.rootless {
        spec.make_rootless(host);
    }
    Ok(spec)
}

/// What every container of this crate starts from: the runtime configuration of an image that says nothing.
impl Default for RuntimeSpec {
    fn default() -> Self {
        template::runtime_spec()
    }
}

impl RuntimeSpec {
    /// Puts over this what an image says (image-spec `conversion.md`): its command line, directory and
    /// user in place of those here, its environment by name, its volumes behind the mounts, its
    /// annotations. [`runtime_spec`] does so with the default; this is for a template of the caller's.
    ///
    /// # Errors
    /// As [`runtime_spec`]; nothing is changed then.
    pub fn apply_image(&mut self, image: &ImageConfig, user: &User) -> Result<()> {
        let mut changed = self.clone();
        convert::apply(image, user, &mut changed).context("generate config.json")?;
        *self = changed;
        Ok(())
    }

    /// Leaves out, or replaces, what only root may set up.
    pub fn make_rootless(&mut self, host: &Host) {
        rootless::apply(host, self);
    }
}

fn map_ids(maps: &IdMaps, linux: &mut Linux) {
    linux.uid_mappings = maps.uid.ranges().unwrap_or_default().to_vec();
    linux.gid_mappings = maps.gid.ranges().unwrap_or_default().to_vec();
    if !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty() {
        linux.namespaces.push(Namespace::new("user"));
    }
}

#[cfg(test)]
mod tests;
