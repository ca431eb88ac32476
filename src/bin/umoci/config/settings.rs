// SPDX-License-Identifier: Apache-2.0
//! What `umoci config` can set and clear, first as typed, then as [`Edits`].

use std::collections::BTreeMap;

use clap::Args;
use umoci::error::{Context, Error, Result};
use umoci::oci::{ExecutionConfig, ImageConfig, Timestamp};
use umoci::quote::{quote, quote_if_needed};

use crate::args::{PairName, pairs};

/// The flags that set or clear something.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Settings {
    /// user that the command runs as
    #[arg(long = "config.user", value_name = "USER[:GROUP]")]
    user: Option<String>,

    /// add a port that the command serves
    #[arg(long = "config.exposedports", value_name = "PORT[/PROTOCOL]")]
    exposed_ports: Vec<String>,

    /// set a variable of the environment (NAME=VALUE)
    #[arg(long = "config.env", value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// first words of the command; all of them together replace the present ones
    #[arg(long = "config.entrypoint", value_name = "WORD")]
    entrypoint: Vec<String>,

    /// further words of the command; all of them together replace the present ones
    #[arg(long = "config.cmd", value_name = "WORD")]
    cmd: Vec<String>,

    /// add a directory whose contents are data and no part of the image
    #[arg(long = "config.volume", value_name = "PATH")]
    volumes: Vec<String>,

    /// set a label (NAME=VALUE)
    #[arg(long = "config.label", value_name = "NAME=VALUE")]
    labels: Vec<String>,

    /// directory that the command starts in
    #[arg(long = "config.workingdir", value_name = "PATH")]
    working_dir: Option<String>,

    /// signal that stops the command
    #[arg(long = "config.stopsignal", value_name = "SIGNAL")]
    stop_signal: Option<String>,

    /// time when the image was made (RFC 3339)
    #[arg(long, value_name = "TIME")]
    created: Option<String>,

    /// who made the image
    #[arg(long, value_name = "TEXT")]
    author: Option<String>,

    /// operating system of the image
    #[arg(long = "platform.os", visible_alias = "os", value_name = "OS")]
    os: Option<String>,

    /// processor architecture of the image
    #[arg(long = "platform.arch", visible_alias = "architecture", value_name = "ARCHITECTURE")]
    architecture: Option<String>,

    /// variant of the processor architecture
    #[arg(long = "platform.variant", value_name = "VARIANT")]
    variant: Option<String>,

    /// version of the operating system
    #[arg(long = "platform.os.version", visible_alias = "os-version", value_name = "VERSION")]
    os_version: Option<String>,

    /// add a feature that the operating system must have
    #[arg(long = "platform.os.feature", visible_alias = "os-feature", value_name = "FEATURE")]
    os_features: Vec<String>,

    /// remove a variable of the environment, if it is there
    #[arg(long = "remove-env", value_name = "NAME")]
    removed_env: Vec<String>,

    /// remove a label, if it is there
    #[arg(long = "remove-label", value_name = "NAME")]
    removed_labels: Vec<String>,

    /// set an annotation of the manifest (NAME=VALUE)
    #[arg(long = "manifest.annotation", value_name = "NAME=VALUE")]
    annotations: Vec<String>,

    /// clear one of config.labels, manifest.annotations, config.exposedports, config.env, config.volume, config.cmd, config.entrypoint, platform.os.features
    #[arg(long, value_name = "KEY")]
    clear: Vec<String>,
}

impl Settings {
    /// Checks the values of all flags.
    pub(crate) fn edits(&self) -> Result<Edits> {
        names("remove-env", &self.removed_env)?;
        if let Some(text) = self.removed_env.iter().find(|name| name.contains('=')) {
            return Err(Error::invalid(format!(
                "remove-env: takes a name without value: {}",
                quote(text)
            )));
        }
        names("remove-label", &self.removed_labels)?;
        let created = self.created.as_deref().map(|text| text.parse().context("parse --created"));
        Ok(Edits {
            clear: self.clear.iter().map(|key| Clear::named(key)).collect::<Result<_>>()?,
            env: pairs("config.env", &self.env, PairName::Required)?,
            labels: pairs("config.label", &self.labels, PairName::Required)?,
            annotations: pairs("manifest.annotation", &self.annotations, PairName::MayBeEmpty)?,
            created: created.transpose()?,
            settings: self.clone(),
        })
    }
}

/// What `--clear` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clear {
    Labels,
    Annotations,
    ExposedPorts,
    Env,
    Volumes,
    Cmd,
    Entrypoint,
    OsFeatures,
}

/// What `--clear` takes.
const CLEARABLE: [(&str, Clear); 8] = [
    ("config.labels", Clear::Labels),
    ("manifest.annotations", Clear::Annotations),
    ("config.exposedports", Clear::ExposedPorts),
    ("config.env", Clear::Env),
    ("config.volume", Clear::Volumes),
    ("config.cmd", Clear::Cmd),
    ("config.entrypoint", Clear::Entrypoint),
    ("platform.os.features", Clear::OsFeatures),
];

/// The words that `--clear` takes.
#[cfg(test)]
pub(crate) fn clearable() -> impl Iterator<Item = &'static str> {
    CLEARABLE.into_iter().map(|(key, _)| key)
}

impl Clear {
    fn named(key: &str) -> Result<Self> {
        if key == "rootfs.diffids" {
            return Err(Error::invalid("--clear=rootfs.diffids is not safe"));
        }
        let named = CLEARABLE.into_iter().find(|(known, _)| *known == key);
        let named = named.map(|(_, clear)| clear);
        named.ok_or_else(|| {
            Error::invalid(format!("unknown key to --clear: {}", quote_if_needed(key)))
        })
    }
}

/// Checked changes to a configuration and to the annotations of its manifest.
#[derive(Debug, Clone)]
pub(crate) struct Edits {
    clear: Vec<Clear>,
    env: Vec<(String, String)>,
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    created: Option<Timestamp>,
    /// The flags whose values need no check.
    settings: Settings,
}

impl Edits {
    /// Changes a configuration: first what is cleared or removed, then what is set.
    pub(crate) fn apply(&self, image: &mut ImageConfig) {
        for key in &self.clear {
            clear(*key, image);
        }
        self.remove(&mut image.config);
        self.set_image(image);
        self.set_execution(&mut image.config);
    }

    /// Changes the manifest's annotations likewise.
    pub(crate) fn annotate(&self, annotations: &mut BTreeMap<String, String>) {
        if self.clear.contains(&Clear::Annotations) {
            annotations.clear();
        }
        annotations.extend(self.annotations.iter().cloned());
    }

    fn remove(&self, config: &mut ExecutionConfig) {
        let removed = &self.settings.removed_env;
        config.env.retain(|entry| !removed.iter().any(|name| variable_name(entry) == name));
        for name in &self.settings.removed_labels {
            config.labels.remove(name);
        }
    }

    fn set_image(&self, image: &mut ImageConfig) {
        let settings = &self.settings;
        set(&mut image.author, settings.author.as_ref());
        set(&mut image.os, settings.os.as_ref());
        set(&mut image.architecture, settings.architecture.as_ref());
        set(&mut image.variant, settings.variant.as_ref());
        set(&mut image.os_version, settings.os_version.as_ref());
        for feature in &settings.os_features {
            if !image.os_features.contains(feature) {
                image.os_features.push(feature.clone());
            }
        }
        if self.created.is_some() {
            image.created = self.created;
        }
    }

    fn set_execution(&self, config: &mut ExecutionConfig) {
        let settings = &self.settings;
        set(&mut config.user, settings.user.as_ref());
        set(&mut config.working_dir, settings.working_dir.as_ref());
        set(&mut config.stop_signal, settings.stop_signal.as_ref());
        config.exposed_ports.extend(settings.exposed_ports.iter().cloned());
        config.volumes.extend(settings.volumes.iter().cloned());
        config.labels.extend(self.labels.iter().cloned());
        for (name, value) in &self.env {
            set_variable(&mut config.env, name, value);
        }
        if !settings.entrypoint.is_empty() {
            config.entrypoint.clone_from(&settings.entrypoint);
        }
        if !settings.cmd.is_empty() {
            config.cmd.clone_from(&settings.cmd);
        }
    }
}

/// Refuses names that nothing can have.
fn names(flag: &str, names: &[String]) -> Result<()> {
    match names.iter().find(|name| name.is_empty()) {
        Some(_) => Err(Error::invalid(format!("{flag}: must have non-empty name: \"\""))),
        None => Ok(()),
    }
}

/// An entry without a value is all name.
fn variable_name(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

fn clear(key: Clear, image: &mut ImageConfig) {
    let config = &mut image.config;
    match key {
        Clear::Labels => config.labels.clear(),
        // Of the manifest, not of the configuration: see `Edits::annotate`.
        Clear::Annotations => {}
        Clear::ExposedPorts => config.exposed_ports.clear(),
        Clear::Env => config.env.clear(),
        Clear::Volumes => config.volumes.clear(),
        Clear::Cmd => config.cmd.clear(),
        Clear::Entrypoint => config.entrypoint.clear(),
        Clear::OsFeatures => image.os_features.clear(),
    }
}

fn set(field: &mut String, value: Option<&String>) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}

/// Replaces the variable in its place, or adds it at the end.
fn set_variable(env: &mut Vec<String>, name: &str, value: &str) {
    let mut entry = Some(format!("{name}={value}"));
    // Images can have a name twice. The first place is where it stays.
    env.retain_mut(|present| {
        if variable_name(present) != name {
            return true;
        }
        let first = entry.take();
        let keep = first.is_some();
        if let Some(entry) = first {
            *present = entry;
        }
        keep
    });
    env.extend(entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn apply(settings: &Settings, image: &mut ImageConfig) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::from([("old".to_owned(), "x".to_owned())]);
        let edits = settings.edits().unwrap();
        edits.apply(image);
        edits.annotate(&mut annotations);
        annotations
    }

    #[test]
    fn clears_come_before_sets_in_any_order() {
        let mut image = ImageConfig::new("amd64", "linux");
        image.config.env = strings(&["A=1"]);
        image.config.cmd = strings(&["old"]);
        image.config.labels.insert("l".into(), "1".into());
        let settings = Settings {
            env: strings(&["B=2"]),
            clear: strings(&["config.env", "config.labels", "manifest.annotations"]),
            annotations: strings(&["=empty", "new=a=b"]),
            ..Settings::default()
        };
        let annotations = apply(&settings, &mut image);
        assert_eq!(image.config.env, ["B=2"]);
        assert_eq!(image.config.cmd, ["old"]);
        assert!(image.config.labels.is_empty());
        assert_eq!(annotations.get("new").map(String::as_str), Some("a=b"));
        assert_eq!(annotations.get("").map(String::as_str), Some("empty"));
        assert!(!annotations.contains_key("old"));
    }

    #[test]
    fn variables_keep_their_place() {
        let mut env = strings(&["A=1", "B=2", "BARE", "A2=3"]);
        set_variable(&mut env, "A", "x=y");
        set_variable(&mut env, "BARE", "");
        set_variable(&mut env, "C", "");
        assert_eq!(env, ["A=x=y", "B=2", "BARE=", "A2=3", "C="]);
    }

    #[test]
    fn lists_are_replaced_and_texts_can_be_emptied() {
        let mut image = ImageConfig::new("amd64", "linux");
        image.config.entrypoint = strings(&["/a", "b"]);
        image.config.user = "root".into();
        image.variant = "v8".into();
        let settings = Settings {
            entrypoint: strings(&["", "-c"]),
            user: Some(String::new()),
            os: Some("plan9".into()),
            ..Settings::default()
        };
        apply(&settings, &mut image);
        assert_eq!(image.config.entrypoint, ["", "-c"]);
        assert_eq!(image.config.user, "");
        assert_eq!((image.os.as_str(), image.variant.as_str()), ("plan9", "v8"));
        assert_eq!(image.created, None);
    }

    #[test]
    fn single_variables_and_labels_are_removed() {
        let mut image = ImageConfig::new("amd64", "windows");
        image.config.env = strings(&["A=1", "AB=2", "A=3", "BARE", "KEPT=A"]);
        image.config.labels = [("l".to_owned(), "1".to_owned())].into();
        image.os_features = strings(&["old"]);
        let settings = Settings {
            removed_env: strings(&["A", "BARE", "gone"]),
            removed_labels: strings(&["l", "gone"]),
            labels: strings(&["m=2"]),
            env: strings(&["A=4"]),
            os_version: Some("10.0".into()),
            os_features: strings(&["win32k", "old", "win32k"]),
            ..Settings::default()
        };
        apply(&settings, &mut image);
        assert_eq!(image.config.env, ["AB=2", "KEPT=A", "A=4"]);
        assert_eq!(image.config.labels, [("m".to_owned(), "2".to_owned())].into());
        assert_eq!((&*image.os_version, image.os_features), ("10.0", strings(&["old", "win32k"])));
    }

    #[test]
    fn bad_values_have_the_known_texts() {
        let error = |settings: Settings| settings.edits().unwrap_err().to_string();
        let env = |text: &str| Settings { env: strings(&[text]), ..Settings::default() };
        assert_eq!(error(env("A")), "config.env: must contain '=': A");
        assert_eq!(error(env("=A")), "config.env: must have non-empty name: =A");
        let clear = |text: &str| Settings { clear: strings(&[text]), ..Settings::default() };
        assert_eq!(error(clear("rootfs.diffids")), "--clear=rootfs.diffids is not safe");
        assert_eq!(error(clear("")), "unknown key to --clear: ");
        let annotation = Settings { annotations: strings(&["x"]), ..Settings::default() };
        assert_eq!(error(annotation), "manifest.annotation: must contain '=': x");
        let removed =
            |text: &str| Settings { removed_env: strings(&[text]), ..Settings::default() };
        assert_eq!(error(removed("")), "remove-env: must have non-empty name: \"\"");
        assert_eq!(error(removed("A=1")), "remove-env: takes a name without value: \"A=1\"");
        let created = Settings { created: Some("now".into()), ..Settings::default() };
        assert!(error(created).starts_with("parse --created: "));
    }
}
