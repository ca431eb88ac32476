// SPDX-License-Identifier: Apache-2.0
//! Image configurations (image-spec `config.md`).

use super::code::Code;
use super::descriptor::parse_digest;
use super::fields::{Fields, Need};
use super::finding::Place;
use crate::oci::{Digest, Platform, RootFs, Timestamp};
use crate::quote::quote;

/// What a configuration says that has to agree with other documents.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) place: Place,
    pub(super) platform: Platform,
    /// One for each layer; nothing where it cannot be read. `None` without a list.
    pub(super) diff_ids: Option<Vec<Option<Digest>>>,
    /// How many layers the history tells of, if there is one.
    pub(super) history: Option<usize>,
}

const KNOWN: &[&str] = &[
    "created",
    "author",
    "architecture",
    "os",
    "os.version",
    "os.features",
    "variant",
    "config",
    "rootfs",
    "history",
];
const KNOWN_OF_EXECUTION: &[&str] = &[
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
];

/// Checks a configuration.
pub(super) fn check(mut fields: Fields<'_, '_>) -> Config {
    fields.check_case(KNOWN);
    timestamp(&mut fields);
    for name in ["author", "os.version"] {
        fields.string(name, Need::Optional);
    }
    fields.strings("os.features");
    let mut text = |name, need| fields.string(name, need).unwrap_or_default().to_owned();
    let platform = Platform::new(
        text("os", Need::Required),
        text("architecture", Need::Required),
        text("variant", Need::Optional),
    );
    if let Some(fields) = fields.object("config", Need::Optional) {
        execution(fields);
    }
    let diff_ids = fields.object("rootfs", Need::Required).and_then(rootfs);
    let history = history(&mut fields);
    Config { place: fields.place, platform, diff_ids, history }
}

fn timestamp(fields: &mut Fields<'_, '_>) {
    if let Some(text) = fields.string("created", Need::Optional)
        && let Err(error) = text.parse::<Timestamp>()
    {
        fields.add_at("created", Code::JsonValue, error.to_string());
    }
}

fn rootfs(mut fields: Fields<'_, '_>) -> Option<Vec<Option<Digest>>> {
    if let Some(kind) = fields.string("type", Need::Required)
        && kind != RootFs::LAYERS
    {
        fields.add_at("type", Code::RootFsType, format!("the type is {}", quote(kind)));
    }
    let values = fields.array("diff_ids", Need::Required)?;
    let place = fields.place.at("diff_ids");
    let diff_ids = values.iter().enumerate().map(|(at, value)| {
        let place = place.at(at);
        match value.as_str() {
            Some(text) => parse_digest(text, &place, fields.findings),
            None => {
                fields.findings.add(Code::JsonType, &place, "not a string");
                None
            }
        }
    });
    Some(diff_ids.collect())
}

fn history(fields: &mut Fields<'_, '_>) -> Option<usize> {
    let values = fields.array("history", Need::Optional)?;
    let mut layers = 0;
    for (at, value) in values.iter().enumerate() {
        let place = fields.place.at("history").at(at);
        let Some(members) = value.as_object() else {
            fields.findings.add(Code::JsonType, &place, "not an object");
            continue;
        };
        let mut entry = Fields { members, place, findings: fields.findings };
        timestamp(&mut entry);
        for name in ["created_by", "author", "comment"] {
            entry.string(name, Need::Optional);
        }
        layers += usize::from(!entry.flag("empty_layer").unwrap_or_default());
    }
    Some(layers)
}

/// How a container is run: the member `config`.
fn execution(mut fields: Fields<'_, '_>) {
    fields.check_case(KNOWN_OF_EXECUTION);
    for name in ["User", "WorkingDir"] {
        fields.string(name, Need::Optional);
    }
    for name in ["Entrypoint", "Cmd"] {
        fields.strings(name);
    }
    fields.flag("ArgsEscaped");
    fields.string_map("Labels");
    for (at, variable) in fields.strings("Env").into_iter().enumerate() {
        if !matches!(variable.split_once('='), Some((name, _)) if !name.is_empty()) {
            let place = fields.place.at("Env").at(at);
            let message = format!("{} is not NAME=VALUE", quote(variable));
            fields.findings.add(Code::ConfigValue, &place, message);
        }
    }
    if let Some(signal) = fields.string("StopSignal", Need::Optional)
        && !signal.is_empty()
        && !is_signal(signal)
    {
        let message = format!("{} does not name a signal", quote(signal));
        fields.add_at("StopSignal", Code::ConfigValue, message);
    }
    set(&mut fields, "ExposedPorts", "a port", is_port);
    set(&mut fields, "Volumes", "an absolute path", |path| !path.is_empty());
}

/// A set of strings: an object whose values are objects.
fn set(fields: &mut Fields<'_, '_>, name: &str, what: &str, is_right: fn(&str) -> bool) {
    let Some(set) = fields.object(name, Need::Optional) else { return };
    for (key, value) in set.members {
        let place = set.place.at(key);
        if !value.is_object() {
            set.findings.add(Code::JsonType, &place, "not an object");
        }
        if !is_right(key) {
            set.findings.add(Code::ConfigValue, &place, format!("{} is not {what}", quote(key)));
        }
    }
}

/// `SIGKILL`, `KILL`, `SIGRTMIN+3`, or a number.
fn is_signal(text: &str) -> bool {
    let (name, offset) = text.split_once('+').unwrap_or((text, "0"));
    let is_number = |text: &str| text.parse::<u8>().is_ok();
    is_number(text)
        || (name.starts_with(|first: char| first.is_ascii_uppercase())
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            && is_number(offset))
}

/// `80`, `80/tcp`, `8000-8010/udp`.
fn is_port(text: &str) -> bool {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    [first, last].iter().all(|port| port.parse::<u16>().is_ok())
        && matches!(protocol, "tcp" | "udp" | "sctp")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Findings;
    use super::*;

    fn codes(text: &str) -> Vec<Code> {
        let mut findings = Findings::default();
        let members = serde_json::from_str(text).unwrap();
        check(Fields { members: &members, place: Place::file("f"), findings: &mut findings });
        findings.kept.into_iter().map(|found| found.code).collect()
    }

    #[test]
    fn says_what_is_wrong_with_a_configuration() {
        let with = |more: &str| {
            format!(
                r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":[]}}{more}}}"#
            )
        };
        let execution = |more: &str| with(&format!(r#","config":{{{more}}}"#));
        for (text, expected) in [
            (with(r#","x":1,"created":"2020-01-01T00:00:00+01:00""#), &[][..]),
            (execution(r#""Env":["A=","B=c"],"StopSignal":"SIGRTMIN+3","Cmd":null,"x":1"#), &[]),
            (execution(r#""ExposedPorts":{"80/tcp":{},"1-2/udp":{}},"Volumes":{"/v":{}}"#), &[]),
            (with(r#","created":"yesterday""#), &[Code::JsonValue]),
            (with(r#","history":[1]"#), &[Code::JsonType]),
            (
                with(r#","history":[{"created":"x","empty_layer":1}]"#),
                &[Code::JsonValue, Code::JsonType],
            ),
            (with(r#","OS":"x""#), &[Code::JsonCase]),
            (execution(r#""Env":["A"]"#), &[Code::ConfigValue]),
            (execution(r#""Env":["=A"]"#), &[Code::ConfigValue]),
            (execution(r#""StopSignal":"kill me""#), &[Code::ConfigValue]),
            (execution(r#""ExposedPorts":{"http":{}}"#), &[Code::ConfigValue]),
            (execution(r#""Volumes":["/v"]"#), &[Code::JsonType]),
            (execution(r#""Labels":{"a":1}"#), &[Code::JsonType]),
            (with("").replace("layers", "other"), &[Code::RootFsType]),
            (with("").replace("[]", "[\"sha256:0\"]"), &[Code::DigestInvalid]),
            (with("").replace("[]", "[1]"), &[Code::JsonType]),
            (with("").replace("[]", "{}"), &[Code::JsonType]),
            (with("").replace("\"os\"", "\"oz\""), &[Code::JsonMissing]),
        ] {
            assert_eq!(codes(&text), expected, "{text}");
        }
    }
}
