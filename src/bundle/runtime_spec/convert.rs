// SPDX-License-Identifier: Apache-2.0
//! From an image's configuration to a runtime's (image-spec `conversion.md`).

use std::collections::BTreeMap;

use super::document::{Mount, ProcessUser, RuntimeSpec};
use crate::bundle::passwd::User;
use crate::error::{Context, Error, Result};
use crate::oci::{ExecutionConfig, ImageConfig};
use crate::quote::{excerpt, quote, quote_if_needed};
use crate::rootfs::RootPath;

/// Puts what the image says into `spec`.
pub(super) fn apply(image: &ImageConfig, user: &User, spec: &mut RuntimeSpec) -> Result<()> {
    if image.os != "linux" {
        return Err(Error::unsupported(format!("unsupported OS: {}", shown(&image.os))));
    }
    let config = &image.config;
    spec.process.cwd = working_dir(&config.working_dir)?;
    set_environment(&config.env, user, &mut spec.process.env)?;
    set_args(config, &mut spec.process.args)?;
    spec.process.user =
        ProcessUser { uid: user.uid, gid: user.gid, additional_gids: user.additional_gids.clone() };
    for volume in &config.volumes {
        spec.mounts.push(volume_mount(volume)?);
    }
    annotate(image, spec);
    Ok(())
}

/// What is absolute stays as it is written; runtimes refuse a relative path,
/// so it is taken from the root, as it is when an image is run elsewhere.
fn working_dir(path: &str) -> Result<String> {
    without_nul("image.Config.WorkingDir", path)?;
    Ok(absolute(path))
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn set_environment(entries: &[String], user: &User, env: &mut Vec<String>) -> Result<()> {
    let names = env.iter().map(|entry| entry.split('=').next().unwrap_or_default().to_owned());
    let mut places: BTreeMap<String, usize> = names.zip(0..).collect();
    for entry in entries {
        let name = variable_name(entry).context("parsing image.Config.Env")?;
        if let Some(old) = places.get(name).and_then(|place| env.get_mut(*place)) {
            old.clone_from(entry);
        } else {
            places.insert(name.to_owned(), env.len());
            env.push(entry.clone());
        }
    }
    if let Some(home) = user.home.as_ref().filter(|_| !places.contains_key("HOME")) {
        without_nul("home directory", home)?;
        env.push(format!("HOME={home}"));
    }
    Ok(())
}

fn variable_name(entry: &str) -> Result<&str> {
    without_nul("environment variable", entry)?;
    match entry.split_once('=') {
        Some(("", _)) => Err(Error::invalid(format!(
            "environment variable must have non-empty name: {}",
            shown(entry)
        ))),
        Some((name, _)) => Ok(name),
        None => {
            Err(Error::invalid(format!("environment variable must contain '=': {}", shown(entry))))
        }
    }
}

fn set_args(config: &ExecutionConfig, args: &mut Vec<String>) -> Result<()> {
    let words = || config.entrypoint.iter().chain(&config.cmd);
    words().try_for_each(|word| without_nul("command line", word))?;
    if words().next().is_some() {
        *args = words().cloned().collect();
    }
    Ok(())
}

/// A volume is a fresh tmpfs. It is refused where it would hide the whole rootfs.
fn volume_mount(volume: &str) -> Result<Mount> {
    without_nul("image.Config.Volumes", volume)?;
    if RootPath::clean(volume)?.is_root() {
        let message = format!("volume {} covers the whole root filesystem", quoted(volume));
        return Err(Error::invalid(message));
    }
    let options = ["rw", "nosuid", "nodev", "noexec", "relatime"];
    Ok(Mount::new(absolute(volume), "tmpfs", "none", &options))
}

fn annotate(image: &ImageConfig, spec: &mut RuntimeSpec) {
    let config = &image.config;
    let ports: Vec<&str> = config.exposed_ports.iter().map(String::as_str).collect();
    let made = [
        ("os", image.os.clone()),
        ("architecture", image.architecture.clone()),
        ("variant", image.variant.clone()),
        ("author", image.author.clone()),
        ("created", image.created.map(|created| created.to_string()).unwrap_or_default()),
        ("stopSignal", config.stop_signal.clone()),
        ("exposedPorts", ports.join(",")),
    ];
    for (name, value) in made.into_iter().filter(|(_, value)| !value.is_empty()) {
        spec.annotations.insert(format!("org.opencontainers.image.{name}"), value);
    }
    // Labels come last: what an image's author says beats what is made up from other fields.
    let labels = config.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
    spec.annotations.extend(labels);
}

fn without_nul(what: &str, text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::invalid(format!("{what} holds a NUL byte: {}", quoted(text))));
    }
    Ok(())
}

/// Text of the image for a message: plain text stays plain.
fn shown(text: &str) -> String {
    quote_if_needed(&*excerpt(text))
}

fn quoted(text: &str) -> String {
    quote(&*excerpt(text))
}
