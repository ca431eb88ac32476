// SPDX-License-Identifier: Apache-2.0
//! What a `config.json` says, to the byte where others may compare it.

use super::*;
use crate::idmap::IdMap;
use crate::oci::ExecutionConfig;

const ROOT: &str = include_str!("golden/root.json");
const ROOTLESS: &str = include_str!("golden/rootless.json");

fn image(config: ExecutionConfig) -> ImageConfig {
    let created = Some("2023-11-14T22:13:20Z".parse().unwrap());
    ImageConfig { created, config, ..ImageConfig::new("amd64", "linux") }
}

fn maps(uid: &[&str], gid: &[&str]) -> IdMaps {
    IdMaps { uid: IdMap::parse(uid).unwrap(), gid: IdMap::parse(gid).unwrap() }
}

fn rootless(host: Host) -> RuntimeSpecOptions {
    let maps = maps(&["0:0:1"], &["0:0:1"]);
    RuntimeSpecOptions { maps, rootless: Some(host), ..RuntimeSpecOptions::default() }
}

fn spec(config: ExecutionConfig) -> Result<RuntimeSpec> {
    runtime_spec(&image(config), &User::default(), &RuntimeSpecOptions::default())
}

fn written(spec: &RuntimeSpec) -> String {
    String::from_utf8(spec.to_bytes().unwrap()).unwrap()
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// The lines of `new` that `old` does not have, without indentation.
fn added(old: &str, new: &str) -> Vec<String> {
    let difference = new.lines().filter(|line| !old.lines().any(|other| other == *line));
    difference.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn an_image_that_says_nothing() {
    assert_eq!(written(&spec(ExecutionConfig::default()).unwrap()), ROOT);
}

#[test]
fn a_template_keeps_what_the_image_does_not_say() {
    let mut spec = RuntimeSpec { hostname: "builder".into(), ..RuntimeSpec::default() };
    spec.process.env.push("LANG=C".into());
    spec.process.args = strings(&["make"]);
    let env = strings(&["TERM=dumb", "A=1"]);
    let config = ExecutionConfig { env, working_dir: "/src".into(), ..ExecutionConfig::default() };
    spec.apply_image(&image(config), &User::default()).unwrap();
    assert_eq!((&*spec.hostname, &*spec.process.cwd), ("builder", "/src"));
    assert_eq!(spec.process.args, ["make"]);
    assert_eq!(spec.process.env[1..], ["TERM=dumb", "LANG=C", "A=1"]);

    let before = spec.clone();
    let wrong = ExecutionConfig { env: strings(&["B=2", "=x"]), ..ExecutionConfig::default() };
    spec.apply_image(&image(wrong), &User::default()).unwrap_err();
    assert_eq!(spec, before);
}

#[test]
fn an_image_that_says_nothing_without_root() {
    let options = rootless(Host { resolv_conf: Some(Vec::new()) });
    let user = User { additional_gids: vec![10], ..User::default() };
    let spec = runtime_spec(&image(ExecutionConfig::default()), &user, &options).unwrap();
    assert_eq!(written(&spec), ROOTLESS);
}

#[test]
fn a_host_without_resolv_conf_only_lacks_that_mount() {
    let with = rootless(Host { resolv_conf: Some(vec!["nodev", "noexec"]) });
    let config = ExecutionConfig {
        volumes: ["/sys/x".into(), "/system".into()].into(),
        ..ExecutionConfig::default()
    };
    let spec = |options| runtime_spec(&image(config.clone()), &User::default(), &options).unwrap();
    let (mut with, without) = (spec(with), spec(rootless(Host::default())));
    let resolv_conf = with.mounts.pop().unwrap();
    assert_eq!(resolv_conf.options, ["nodev", "noexec", "rbind", "ro"]);
    assert_eq!(with, without);
    let destinations: Vec<_> =
        without.mounts.iter().map(|mount| mount.destination.as_str()).collect();
    assert_eq!(
        destinations,
        ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/system", "/sys"]
    );
    assert!(!written(&without).contains("gid="));
}

#[test]
fn maps_ids_in_a_user_namespace() {
    let maps = maps(&["0:1000:1", "1:100000:65535"], &[]);
    let options = RuntimeSpecOptions { maps, ..RuntimeSpecOptions::default() };
    let spec =
        runtime_spec(&image(ExecutionConfig::default()), &User::default(), &options).unwrap();
    let text = written(&spec);
    assert!(!text.contains("gidMappings"));
    assert!(text.contains(concat!(
        "\t\"linux\": {\n\t\t\"uidMappings\": [\n\t\t\t{\n\t\t\t\t\"containerID\": 0,\n",
        "\t\t\t\t\"hostID\": 1000,\n\t\t\t\t\"size\": 1\n\t\t\t},\n"
    )));
    assert_eq!(spec.linux.namespaces.last().unwrap().kind, "user");
}

#[test]
fn an_empty_map_makes_no_namespace() {
    let nothing = IdMap::new(Vec::new()).unwrap();
    let maps = IdMaps { uid: nothing.clone(), gid: nothing };
    let options = RuntimeSpecOptions { maps, ..RuntimeSpecOptions::default() };
    let spec = runtime_spec(&image(ExecutionConfig::default()), &User::default(), &options);
    assert_eq!(written(&spec.unwrap()), ROOT);
}

#[test]
fn takes_the_process_from_the_image() {
    let config = ExecutionConfig {
        entrypoint: strings(&["/init", "-x"]),
        cmd: strings(&["<a> & \"b\"\u{2028}"]),
        env: strings(&["A=1", "TERM=dumb", "B==", "A=2", "PATHS=x"]),
        working_dir: "/srv/../app/".into(),
        ..ExecutionConfig::default()
    };
    let user = User { uid: 7, gid: 8, additional_gids: vec![0, 10], home: Some("/h".into()) };
    let spec = runtime_spec(&image(config), &user, &RuntimeSpecOptions::default()).unwrap();
    assert_eq!(spec.process.args[..2], ["/init", "-x"]);
    assert_eq!(spec.process.env[1..], ["TERM=dumb", "A=2", "B==", "PATHS=x", "HOME=/h"]);
    assert_eq!(spec.process.cwd, "/srv/../app/");
    let new = added(ROOT, &written(&spec));
    for line in [
        "\"uid\": 7,",
        "\"gid\": 8,",
        "\"additionalGids\": [",
        r#""\u003ca\u003e \u0026 \"b\"\u2028""#,
    ] {
        assert!(new.iter().any(|other| other == line), "{line} in {new:?}");
    }
}

#[test]
fn home_of_the_image_stays() {
    for home in ["HOME=/config", "HOME="] {
        let config = ExecutionConfig { env: strings(&[home]), ..ExecutionConfig::default() };
        let user = User { home: Some("/root".into()), ..User::default() };
        let spec = runtime_spec(&image(config), &user, &RuntimeSpecOptions::default()).unwrap();
        assert_eq!(spec.process.env[2..], [home]);
    }
}

#[test]
fn annotates_with_fields_and_labels() {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut image = image(ExecutionConfig {
        exposed_ports: ["80/tcp".into(), "53".into()].into(),
        stop_signal: "SIGINT".into(),
        labels: [label("org.opencontainers.image.author", "label"), label("empty", "")].into(),
        ..ExecutionConfig::default()
    });
    image.author = "field".into();
    image.variant = "v8".into();
    let spec = runtime_spec(&image, &User::default(), &RuntimeSpecOptions::default()).unwrap();
    let expected = [
        ("empty", ""),
        ("org.opencontainers.image.architecture", "amd64"),
        ("org.opencontainers.image.author", "label"),
        ("org.opencontainers.image.created", "2023-11-14T22:13:20Z"),
        ("org.opencontainers.image.exposedPorts", "53,80/tcp"),
        ("org.opencontainers.image.os", "linux"),
        ("org.opencontainers.image.stopSignal", "SIGINT"),
        ("org.opencontainers.image.variant", "v8"),
    ];
    let expected = expected.map(|(name, value)| label(name, value));
    assert_eq!(spec.annotations, expected.into());
}

#[test]
fn fields_that_are_missing_make_no_annotation() {
    let image = ImageConfig { os: "linux".into(), ..ImageConfig::default() };
    let spec = runtime_spec(&image, &User::default(), &RuntimeSpecOptions::default()).unwrap();
    assert_eq!(spec.annotations.len(), 1);
}

#[test]
fn mounts_volumes_inside_the_root() {
    let config = ExecutionConfig {
        volumes: ["/b/".into(), "/a/../../x".into(), "relative".into()].into(),
        ..ExecutionConfig::default()
    };
    let mounts = spec(config).unwrap().mounts;
    let options = ["rw", "nosuid", "nodev", "noexec", "relatime"];
    let expected = ["/a/../../x", "/b/", "/relative"]
        .map(|destination| Mount::new(destination, "tmpfs", "none", &options));
    assert_eq!(mounts[7..], expected);
}

#[test]
fn a_relative_working_directory_starts_at_the_root() {
    for (path, expected) in [("", "/"), ("app", "/app"), ("../..", "/../..")] {
        let config = ExecutionConfig { working_dir: path.into(), ..ExecutionConfig::default() };
        assert_eq!(spec(config).unwrap().process.cwd, expected);
    }
}

fn refusal(config: ExecutionConfig) -> String {
    spec(config).unwrap_err().to_string()
}

#[test]
fn refuses_what_cannot_be_run() {
    for (entry, expected) in [
        (
            "FOO",
            "generate config.json: parsing image.Config.Env: environment variable must contain '=': FOO",
        ),
        ("", "environment variable must contain '=': "),
        ("=x", "environment variable must have non-empty name: =x"),
        ("A=\0", "environment variable holds a NUL byte: \"A=\\x00\""),
    ] {
        let message =
            refusal(ExecutionConfig { env: strings(&[entry]), ..ExecutionConfig::default() });
        assert!(message.contains(expected), "{message}");
    }
    for volume in ["", "/", "../..", "/a/..", "./"] {
        let volumes = [volume.to_owned()].into();
        let message = refusal(ExecutionConfig { volumes, ..ExecutionConfig::default() });
        assert!(message.ends_with("covers the whole root filesystem"), "{message}");
    }
    let nul = "\0".to_owned();
    for config in [
        ExecutionConfig { working_dir: nul.clone(), ..ExecutionConfig::default() },
        ExecutionConfig { cmd: vec![nul.clone()], ..ExecutionConfig::default() },
        ExecutionConfig { entrypoint: vec![nul.clone()], ..ExecutionConfig::default() },
        ExecutionConfig { volumes: [nul].into(), ..ExecutionConfig::default() },
    ] {
        assert!(refusal(config).contains("NUL byte"));
    }
}

#[test]
fn refuses_other_systems() {
    for (os, expected) in [
        ("windows", "generate config.json: unsupported OS: windows"),
        ("", "generate config.json: unsupported OS: "),
    ] {
        let image = ImageConfig::new("amd64", os);
        let error = runtime_spec(&image, &User::default(), &RuntimeSpecOptions::default());
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
}

#[test]
fn messages_stay_short() {
    let env = vec!["x".repeat(1 << 20)];
    assert!(refusal(ExecutionConfig { env, ..ExecutionConfig::default() }).len() < 400);
}

#[test]
fn the_specification_crate_reads_it() {
    for text in [ROOT, ROOTLESS] {
        let read: oci_spec::runtime::Spec = serde_json::from_str(text).unwrap();
        assert_eq!(read.version(), VERSION);
    }
}
