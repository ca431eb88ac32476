// SPDX-License-Identifier: Apache-2.0
//! `config`: what it changes, what it leaves, and that its bytes are those of
//! the Go program.

use serde_json::{Value, json};

use crate::harness::{Run, Sandbox, go_umoci};

const TIMES: [&str; 4] =
    ["--created", "2020-02-03T04:05:06.7+09:00", "--history.created", "2021-01-01T00:00:00Z"];

/// Runs `config` on `img:latest` and gives the new configuration.
#[track_caller]
fn config(sandbox: &Sandbox, flags: &[&str]) -> Value {
    sandbox.umoci(&[&["config", "--image", "img"], flags].concat()).succeeds_silently();
    sandbox.config("latest")
}

fn try_config(sandbox: &Sandbox, flags: &[&str]) -> Run {
    sandbox.umoci(&[&["config", "--image", "img"], flags].concat())
}

#[test]
fn every_flag_changes_its_member() {
    let sandbox = Sandbox::with_image();
    let flags = [
        "--config.user=u:g",
        "--config.exposedports=80/tcp",
        "--config.exposedports",
        "443",
        "--config.env",
        "A=1",
        "--config.env=B=x=y",
        "--config.env=A=2",
        "--config.entrypoint=/bin/sh",
        "--config.entrypoint",
        "-c",
        "--config.cmd",
        "-x",
        "--config.cmd=",
        "--config.volume=/data",
        "--config.label=k=v",
        "--config.label=e=",
        "--config.workingdir=/w",
        "--config.stopsignal=SIGTERM",
        "--created=2020-02-03T04:05:06+00:00",
        "--author=Me <m@x>",
        "--os=plan9",
        "--architecture=sparc",
        "--platform.variant=v9",
        "--no-history",
        "--manifest.annotation=a=b=c",
        "--manifest.annotation==v",
    ];
    let expected = json!({
        "created": "2020-02-03T04:05:06Z",
        "author": "Me <m@x>",
        "architecture": "sparc",
        "variant": "v9",
        "os": "plan9",
        "config": {
            "User": "u:g",
            "ExposedPorts": {"443": {}, "80/tcp": {}},
            "Env": ["A=2", "B=x=y"],
            "Entrypoint": ["/bin/sh", "-c"],
            "Cmd": ["-x", ""],
            "Volumes": {"/data": {}},
            "WorkingDir": "/w",
            "Labels": {"e": "", "k": "v"},
            "StopSignal": "SIGTERM",
        },
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    assert_eq!(config(&sandbox, &flags), expected);
    let (_, manifest) = sandbox.manifest("img", "latest");
    assert_eq!(manifest["annotations"], json!({"": "v", "a": "b=c"}));
}

#[test]
fn clears_come_first_and_leave_the_rest() {
    let sandbox = Sandbox::with_image();
    config(
        &sandbox,
        &["--config.env=A=1", "--config.cmd=x", "--config.label=l=1", "--manifest.annotation=a=1"],
    );
    let after = config(&sandbox, &["--config.env=B=2", "--clear=config.env", "--clear=config.cmd"]);
    assert_eq!(after["config"], json!({"Env": ["B=2"], "Labels": {"l": "1"}}));
    let (_, manifest) = sandbox.manifest("img", "latest");
    assert_eq!(manifest["annotations"], json!({"a": "1"}));
    let after = config(&sandbox, &["--clear=config.labels", "--clear=manifest.annotations"]);
    assert_eq!(after["config"], json!({"Env": ["B=2"]}));
    assert_eq!(sandbox.manifest("img", "latest").1.get("annotations"), None);
}

#[test]
fn a_variant_and_unknown_members_survive() {
    let sandbox = Sandbox::with_image();
    config(&sandbox, &["--platform.variant=v8"]);
    let after = config(&sandbox, &["--author=x"]);
    assert_eq!((&after["variant"], &after["author"]), (&json!("v8"), &json!("x")));
}

#[test]
fn history_has_the_known_defaults() {
    let sandbox = Sandbox::with_image();
    let mut command = sandbox.command(&["config", "--image=img", "--author=me"]);
    Run::of(command.env("SOURCE_DATE_EPOCH", "1700000000")).succeeds_silently();
    let by_default = json!({
        "created": "2023-11-14T22:13:20Z",
        "created_by": "umoci config",
        "author": "me",
        "empty_layer": true,
    });
    let after = sandbox.config("latest");
    assert_eq!(after["history"], json!([by_default]));
    assert_eq!(after["created"], json!("1970-01-01T00:00:00Z"), "not a matter of the epoch");

    let flags = [
        "--history.author=",
        "--history.comment=c",
        "--history.created_by=cmd",
        "--history.created=2020-02-03T04:05:06,123456789123+09:00",
    ];
    let given = json!({
        "created": "2020-02-03T04:05:06.123456789+09:00",
        "created_by": "cmd",
        "comment": "c",
        "empty_layer": true,
    });
    assert_eq!(config(&sandbox, &flags)["history"], json!([by_default, given]));
    assert_eq!(config(&sandbox, &["--no-history"])["history"].as_array().unwrap().len(), 2);
}

#[test]
fn the_result_can_have_another_tag() {
    let sandbox = Sandbox::with_image();
    let before = sandbox.manifest("img", "latest");
    sandbox.umoci(&["config", "--image=img", "--tag", "new", "--config.cmd=x"]).succeeds_silently();
    assert_eq!(sandbox.manifest("img", "latest"), before);
    assert_eq!(sandbox.config("new")["config"]["Cmd"], json!(["x"]));
    assert_eq!(sandbox.umoci(&["ls", "--layout=img"]).succeeds(), "latest\nnew\n");
}

#[test]
fn bad_values_change_nothing() {
    let sandbox = Sandbox::with_image();
    let before = sandbox.tree("");
    for (flag, message) in [
        ("--config.env=A", "config.env: must contain '=': A"),
        ("--config.env==A", "config.env: must have non-empty name: =A"),
        ("--config.label=A", "config.label: must contain '=': A"),
        ("--manifest.annotation=A", "manifest.annotation: must contain '=': A"),
        ("--clear=rootfs.diffids", "--clear=rootfs.diffids is not safe"),
        ("--clear=config.label", "unknown key to --clear: config.label"),
        ("--clear=", "unknown key to --clear: "),
        ("--created=2020-01-01", "parse --created: "),
        ("--history.created=2020-01-01T00:00:00", "parsing --history.created: "),
    ] {
        try_config(&sandbox, &[flag]).fails_with(message);
    }
    let mut command = sandbox.command(&["config", "--image=img"]);
    Run::of(command.env("SOURCE_DATE_EPOCH", "x")).fails_with("parse SOURCE_DATE_EPOCH=\"x\"");
    assert_eq!(sandbox.tree(""), before);
}

#[test]
fn an_image_without_a_time_stays_without() {
    let sandbox = Sandbox::with_layout();
    let mut command = sandbox.command(&["new", "--image", "img"]);
    Run::of(command.env("SOURCE_DATE_EPOCH", "0")).succeeds_silently();
    let text = String::from_utf8(sandbox.config_bytes("img", "latest")).unwrap();
    let text = text.replace("\"created\":\"1970-01-01T00:00:00Z\",", "");
    replace_config(&sandbox, text.as_bytes());
    let after = config(&sandbox, &["--author=x", "--no-history"]);
    assert_eq!(after.get("created"), None);
}

/// Lets `img:latest` have other bytes for its configuration.
fn replace_config(sandbox: &Sandbox, bytes: &[u8]) {
    let put = |bytes: &[u8]| {
        let digest = umoci::oci::Digest::of(umoci::oci::Algorithm::Sha256, bytes).to_string();
        let path = sandbox.path("img/blobs/sha256").join(&digest["sha256:".len()..]);
        std::fs::write(path, bytes).unwrap();
        (json!(digest), json!(bytes.len()))
    };
    let (_, mut manifest) = sandbox.manifest("img", "latest");
    (manifest["config"]["digest"], manifest["config"]["size"]) = put(bytes);
    let (digest, size) = put(manifest.to_string().as_bytes());
    let mut index = sandbox.json("img/index.json");
    let entry = &mut index["manifests"][0];
    (entry["digest"], entry["size"]) = (digest, size);
    std::fs::write(sandbox.path("img/index.json"), index.to_string()).unwrap();
}

/// Command lines whose result is the same with the Go program 0.4.7.
const SAME: [&[&str]; 11] = [
    &[],
    &["--config.user=1000:100", "--config.cmd=/bin/sh", "--os=linux", "--architecture=amd64"],
    &["--config.cmd", "-c", "--config.cmd", "echo <a> & 'b' \"c\" \\ \u{2028} \u{1} é"],
    &["--config.exposedports=80", "--config.exposedports=443/tcp", "--config.exposedports=80"],
    &["--config.volume=/b", "--config.volume=/a", "--config.label=z=1", "--config.label=a=2"],
    &["--config.env=PATH=/bin", "--config.env=A=1", "--config.env=PATH=/x", "--config.env=A="],
    &["--config.entrypoint=a", "--config.entrypoint=b", "--clear=config.cmd"],
    &["--author=A <a@b>", "--config.workingdir=/", "--config.stopsignal=9"],
    &["--manifest.annotation=b=1", "--manifest.annotation=a==", "--history.comment=<&>"],
    &["--clear=config.env", "--clear=config.labels", "--history.author=x", "--config.user="],
    &["--clear=config.exposedports", "--clear=config.volume", "--clear=config.entrypoint"],
];

#[test]
fn the_go_program_writes_the_same_bytes() {
    let Some(go) = go_umoci() else { return };
    let sandbox = Sandbox::new();
    for layout in ["ours", "theirs"] {
        sandbox.umoci(&["init", "--layout", layout]).succeeds();
        let mut command = sandbox.command(&["new", "--image", layout]);
        Run::of(command.env("SOURCE_DATE_EPOCH", "0")).succeeds();
    }
    for flags in SAME {
        let words = |layout| [&["config", "--image", layout], &TIMES[..], flags].concat();
        sandbox.umoci(&words("ours")).succeeds_silently();
        sandbox.peer(&go, &words("theirs")).succeeds();
        let text = |layout| String::from_utf8(sandbox.config_bytes(layout, "latest")).unwrap();
        assert_eq!(text("ours"), text("theirs"), "{flags:?}");
        let (_, mut ours) = sandbox.manifest("ours", "latest");
        // 0.4.7 keeps to an image specification without this member.
        ours.as_object_mut().unwrap().shift_remove("mediaType");
        let (_, mut theirs) = sandbox.manifest("theirs", "latest");
        theirs.as_object_mut().unwrap().shift_remove("mediaType");
        assert_eq!(ours, theirs, "{flags:?}");
    }
}
