// SPDX-License-Identifier: Apache-2.0
//! The form of [`Stat`] that people read. Scripts cut values out of it, so it
//! keeps its layout to the byte.
//!
//! Everything that an image says goes through [`quote`], so that it can
//! neither steer a terminal nor pass for another line.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use super::{HistoryStat, ImageStat, Stat};
use crate::oci::{Descriptor, ExecutionConfig, ImageConfig, Manifest};
use crate::quote::{quote, quote_if_needed};

const NONE: &str = "<none>";
/// How much of embedded data is shown.
const DUMP_LIMIT: usize = 256;
const DUMP_WIDTH: usize = 16;

impl Stat {
    /// The form for people.
    pub fn to_text(&self) -> String {
        let mut text = Text::default();
        text.line("== MANIFEST ==");
        text.manifest(&self.manifest);
        text.descriptor(&self.manifest_descriptor);
        if let Some(config) = &self.config {
            text.line("\n== CONFIG ==");
            if let Some(image) = &config.image {
                text.config(&image.config);
            }
            text.descriptor(&self.manifest.config);
            if let Some(image) = &config.image {
                text.line("\n== HISTORY ==");
                text.history(image);
            }
        }
        text.out
    }
}

/// Lines that are indented by tabs.
#[derive(Default)]
struct Text {
    out: String,
    depth: usize,
}

impl Text {
    fn manifest(&mut self, manifest: &Manifest) {
        self.line(format_args!("Schema Version: {}", manifest.schema_version));
        self.value("Media Type", &manifest.media_type);
        self.value_if_any("Artifact Type", &manifest.artifact_type);
        self.section("Config:", |text| text.descriptor(&manifest.config));
        if !manifest.layers.is_empty() {
            self.section("Layers:", |text| {
                for layer in &manifest.layers {
                    text.descriptor(layer);
                }
            });
        }
        if let Some(subject) = &manifest.subject {
            self.section("Subject:", |text| text.descriptor(subject));
        }
        self.map("Annotations", &manifest.annotations);
    }

    fn descriptor(&mut self, descriptor: &Descriptor) {
        self.section("Descriptor:", |text| {
            text.value("Media Type", &descriptor.media_type);
            text.value_if_any("Artifact Type", &descriptor.artifact_type);
            text.line(format_args!("Digest: {}", descriptor.digest));
            text.line(format_args!("Size: {}", HumanSize(descriptor.size)));
            if let Some(of) = &descriptor.platform {
                text.platform(&Platform {
                    os: &of.os,
                    os_version: &of.os_version,
                    os_features: &of.os_features,
                    architecture: &of.architecture,
                    variant: &of.variant,
                });
            }
            text.list("URLs", &descriptor.urls);
            text.map("Annotations", &descriptor.annotations);
            text.data(descriptor.data.as_deref().unwrap_or_default());
        });
    }

    fn platform(&mut self, platform: &Platform<'_>) {
        self.section("Platform:", |text| {
            text.value("OS", platform.os);
            text.value_if_any("OS Version", platform.os_version);
            text.joined("OS Features", platform.os_features);
            let architecture = quote_value(platform.architecture);
            match platform.variant {
                "" => text.line(format_args!("Architecture: {architecture}")),
                variant => {
                    let variant = quote_value(variant);
                    text.line(format_args!("Architecture: {architecture} ({variant})"));
                }
            }
        });
    }

    fn data(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let (shown, omitted) = data.split_at(data.len().min(DUMP_LIMIT));
        self.section(format_args!("Data: ({} bytes)", data.len()), |text| {
            for (number, bytes) in shown.chunks(DUMP_WIDTH).enumerate() {
                text.line(DumpLine { offset: number * DUMP_WIDTH, bytes });
            }
            if !omitted.is_empty() {
                text.line(format_args!("....  (extra {} bytes omitted)", omitted.len()));
            }
        });
    }

    fn config(&mut self, config: &ImageConfig) {
        if let Some(created) = &config.created {
            self.line(format_args!("Created: {created}"));
        }
        self.value("Author", &config.author);
        self.platform(&Platform {
            os: &config.os,
            os_version: &config.os_version,
            os_features: &config.os_features,
            architecture: &config.architecture,
            variant: &config.variant,
        });
        self.section("Image Config:", |text| text.execution(&config.config));
    }

    fn execution(&mut self, config: &ExecutionConfig) {
        let escaped = if config.args_escaped { " (escaped)" } else { "" };
        self.value("User", &config.user);
        self.list(format_args!("Entrypoint{escaped}"), &config.entrypoint);
        match config.cmd.as_slice() {
            [] => self.line(format_args!("Command{escaped}: (empty)")),
            words => self.list(format_args!("Command{escaped}"), words),
        }
        self.value_if_any("Working Directory", &config.working_dir);
        self.list("Environment", &config.env);
        self.value_if_any("Stop Signal", &config.stop_signal);
        self.joined("Exposed Ports", &config.exposed_ports);
        self.joined("Volumes", &config.volumes);
        self.map("Labels", &config.labels);
    }

    fn history(&mut self, image: &ImageStat) {
        let header = ["LAYER", "CREATED", "CREATED BY", "SIZE", "COMMENT"].map(str::to_owned);
        let rows: Vec<_> =
            std::iter::once(header).chain(image.history.iter().map(history_row)).collect();
        let width = |column: usize| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let [layer, created, created_by, size] = [0, 1, 2, 3].map(width);
        for row in &rows {
            self.line(format_args!(
                "{:layer$} {:created$} {:created_by$} {:size$} {}",
                row[0], row[1], row[2], row[3], row[4]
            ));
        }
    }

    fn line(&mut self, line: impl Display) {
        for _ in 0..self.depth {
            self.out.push('\t');
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "{line}");
    }

    fn section(&mut self, title: impl Display, body: impl FnOnce(&mut Self)) {
        self.line(title);
        self.depth += 1;
        body(self);
        self.depth -= 1;
    }

    fn value(&mut self, name: &str, value: &str) {
        self.line(format_args!("{name}: {}", quote_value(value)));
    }

    fn value_if_any(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.value(name, value);
        }
    }

    /// One element per line.
    fn list(&mut self, name: impl Display, elements: &[String]) {
        if !elements.is_empty() {
            self.section(format_args!("{name}:"), |text| {
                for element in elements {
                    text.line(quote_precisely(element));
                }
            });
        }
    }

    /// All elements in one line.
    fn joined<'a>(&mut self, name: &str, elements: impl IntoIterator<Item = &'a String>) {
        let elements: Vec<_> = elements.into_iter().map(|element| quote_value(element)).collect();
        if !elements.is_empty() {
            self.line(format_args!("{name}: {}", elements.join(", ")));
        }
    }

    fn map(&mut self, name: &str, map: &BTreeMap<String, String>) {
        if !map.is_empty() {
            self.section(format_args!("{name}:"), |text| {
                for (key, value) in map {
                    text.value(&quote_precisely(key), value);
                }
            });
        }
    }
}

/// The platform of a descriptor or of a configuration.
struct Platform<'a> {
    os: &'a str,
    os_version: &'a str,
    os_features: &'a [String],
    architecture: &'a str,
    variant: &'a str,
}

fn history_row(history: &HistoryStat) -> [String; 5] {
    let (entry, layer) = (&history.entry, history.layer.as_ref());
    let or_none = |value: Option<String>| value.unwrap_or_else(|| NONE.to_owned());
    [
        or_none(layer.map(|layer| layer.digest.to_string())),
        or_none(entry.created.map(|created| created.to_string())),
        quote_if_needed(&entry.created_by),
        or_none(layer.map(|layer| HumanSize(layer.size).to_string())),
        quote_if_needed(&entry.comment),
    ]
}

/// Quotes so that the value's ends can be seen.
fn quote_precisely(value: &str) -> String {
    if value.is_empty() || value.contains(char::is_whitespace) {
        quote(value)
    } else {
        quote_if_needed(value)
    }
}

/// As [`quote_precisely`], for places where a comma would be taken for a separator.
fn quote_value(value: &str) -> String {
    if value.contains(',') { quote(value) } else { quote_precisely(value) }
}

/// A number of bytes with four significant digits and a decimal unit.
struct HumanSize(u64);

impl Display for HumanSize {
    #[expect(clippy::cast_precision_loss, reason = "only four digits are shown")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
        let (mut size, mut unit) = (self.0 as f64, 0);
        while size >= 1000.0 && unit < UNITS.len() - 1 {
            size /= 1000.0;
            unit += 1;
        }
        let decimals = match size {
            ..10.0 => 3,
            ..100.0 => 2,
            _ => 1,
        };
        let digits = format!("{size:.decimals$}");
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        f.write_str(digits)?;
        f.write_str(UNITS[unit])
    }
}

/// A line of a hex dump: offset, bytes in pairs, and the text where it is ASCII.
struct DumpLine<'a> {
    offset: usize,
    bytes: &'a [u8],
}

impl Display for DumpLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}: ", self.offset)?;
        for at in 0..DUMP_WIDTH {
            if at % 2 == 0 && at > 0 {
                f.write_char(' ')?;
            }
            match self.bytes.get(at) {
                Some(byte) => write!(f, "{byte:02x}")?,
                None => f.write_str("  ")?,
            }
        }
        f.write_str("  ")?;
        self.bytes.iter().try_for_each(|byte| match byte {
            0x20..=0x7e => f.write_char(char::from(*byte)),
            _ => f.write_char('.'),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_four_digits() {
        for (size, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1107, "1.107kB"),
            (12_345, "12.35kB"),
            (99_995, "100kB"),
            (100_000, "100kB"),
            (999_949, "999.9kB"),
            (999_999, "1000kB"),
            (1_234_567, "1.235MB"),
            (1 << 62, "4.612EB"),
            (u64::MAX, "18.45EB"),
        ] {
            assert_eq!(HumanSize(size).to_string(), text);
        }
    }

    #[test]
    fn dumps_are_ascii() {
        let line = |offset, bytes| DumpLine { offset, bytes }.to_string();
        assert_eq!(line(0, b"{}"), format!("0000: 7b7d{}{{}}", " ".repeat(37)));
        assert_eq!(
            line(0x10, b"0123456789abc\xe9\x1b "),
            "0010: 3031 3233 3435 3637 3839 6162 63e9 1b20  0123456789abc.. "
        );
        assert!(line(0xf0, b"abc").starts_with("00f0: 6162 63  "));
    }

    #[test]
    fn quotes_by_place() {
        for (value, precisely, in_a_list) in [
            ("a", "a", "a"),
            ("", "\"\"", "\"\""),
            ("a b", "\"a b\"", "\"a b\""),
            ("a,b", "a,b", "\"a,b\""),
            ("\u{3000}", "\"\\u3000\"", "\"\\u3000\""),
            ("\u{1b}[2J", "\"\\x1b[2J\"", "\"\\x1b[2J\""),
        ] {
            assert_eq!((&*quote_precisely(value), &*quote_value(value)), (precisely, in_a_list));
        }
    }
}
