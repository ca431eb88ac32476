// SPDX-License-Identifier: Apache-2.0
//! `stat`, and what of an image's text reaches a terminal.

use serde_json::{Value, json};

use crate::harness::{Sandbox, go_umoci, peer};

/// A sandbox whose image has a bit of everything that `config` can give it.
fn described_image() -> Sandbox {
    let sandbox = Sandbox::with_image();
    let words = [
        "config",
        "--image=img",
        "--author=Me <m@x>",
        "--os=linux",
        "--architecture=arm64",
        "--platform.variant=v8",
        "--config.cmd=echo <hi> & bye",
        "--config.exposedports=80/tcp",
        "--config.exposedports=443",
        "--config.label=a=x,y",
        "--manifest.annotation=k=v",
        "--history.created=2020-01-01T00:00:00Z",
    ];
    sandbox.umoci(&words).succeeds_silently();
    sandbox
}

#[test]
fn the_text_is_as_it_always_was() {
    let sandbox = described_image();
    let (digest, manifest) = sandbox.manifest("img", "latest");
    let config = &manifest["config"];
    let config_digest = config["digest"].as_str().unwrap();
    let (config_size, size) = (&config["size"], sandbox.blob(&digest).len());
    let expected = format!(
        "== MANIFEST ==\n\
         Schema Version: 2\n\
         Media Type: application/vnd.oci.image.manifest.v1+json\n\
         Config:\n\
         \tDescriptor:\n\
         \t\tMedia Type: application/vnd.oci.image.config.v1+json\n\
         \t\tDigest: {config_digest}\n\
         \t\tSize: {config_size}B\n\
         Annotations:\n\
         \tk: v\n\
         Descriptor:\n\
         \tMedia Type: application/vnd.oci.image.manifest.v1+json\n\
         \tDigest: {digest}\n\
         \tSize: {size}B\n\
         \tAnnotations:\n\
         \t\torg.opencontainers.image.ref.name: latest\n\
         \n\
         == CONFIG ==\n\
         Created: 1970-01-01T00:00:00Z\n\
         Author: \"Me <m@x>\"\n\
         Platform:\n\
         \tOS: linux\n\
         \tArchitecture: arm64 (v8)\n\
         Image Config:\n\
         \tUser: \"\"\n\
         \tCommand:\n\
         \t\t\"echo <hi> & bye\"\n\
         \tExposed Ports: 443, 80/tcp\n\
         \tLabels:\n\
         \t\ta: \"x,y\"\n\
         Descriptor:\n\
         \tMedia Type: application/vnd.oci.image.config.v1+json\n\
         \tDigest: {config_digest}\n\
         \tSize: {config_size}B\n\
         \n\
         == HISTORY ==\n\
         LAYER  CREATED              CREATED BY   SIZE   COMMENT\n\
         <none> 2020-01-01T00:00:00Z umoci config <none> \n"
    );
    assert_eq!(sandbox.umoci(&["stat", "--image=img"]).succeeds(), expected);
}

#[test]
fn the_json_has_the_stored_documents_in_one_line() {
    let sandbox = described_image();
    let text = sandbox.umoci(&["stat", "--json", "--image=img"]).succeeds();
    assert_eq!(text.matches('\n').count(), 1);
    let stat: Value = serde_json::from_str(&text).unwrap();
    let (digest, manifest) = sandbox.manifest("img", "latest");
    assert_eq!(stat["manifest"]["blob"], manifest);
    assert_eq!(stat["manifest"]["descriptor"]["digest"], json!(digest));
    assert_eq!(stat["config"]["blob"], sandbox.config("latest"));
    assert_eq!(stat["config"]["descriptor"], manifest["config"]);
    assert_eq!(stat["history"][0]["created_by"], json!("umoci config"));
    assert_eq!(
        sandbox.umoci(&["stat", "--json=false", "--image=img"]).succeeds().lines().next(),
        Some("== MANIFEST ==")
    );
}

#[test]
fn the_go_program_gives_the_same_history() {
    let Some(go) = go_umoci() else { return };
    let sandbox = described_image();
    let words = ["stat", "--json", "--image", "img"];
    let theirs: Value = serde_json::from_str(&sandbox.peer(&go, &words).succeeds()).unwrap();
    let ours: Value = serde_json::from_str(&sandbox.umoci(&words).succeeds()).unwrap();
    assert_eq!(ours["history"], theirs["history"]);
}

/// `script` runs a program with a terminal for its standard output.
#[test]
fn a_terminal_gets_no_control_characters() {
    let Some(script) = peer("script") else { return };
    let sandbox = Sandbox::with_image();
    let index = std::fs::read_to_string(sandbox.path("img/index.json")).unwrap();
    let index = index.replace("latest", "\\u001b[2J\\u009b\\u202e");
    std::fs::write(sandbox.path("img/index.json"), index).unwrap();
    let line = format!("{} ls --layout img", env!("CARGO_BIN_EXE_umoci"));
    let shown = sandbox.peer(&script, &["-qec", &line, "/dev/null"]).succeeds();
    let quoted = r#""\x1b[2J\u009b\u202e""#;
    assert_eq!(shown.trim_end(), quoted);
    let piped = sandbox.umoci(&["ls", "--layout", "img"]).succeeds();
    assert_eq!(piped, format!("{quoted}\n"));
}

/// One line is one tag, in a pipe too: what goes on reading it would take the rest for others.
#[test]
fn a_tag_cannot_pose_as_several() {
    let sandbox = Sandbox::with_image();
    let index = std::fs::read_to_string(sandbox.path("img/index.json")).unwrap();
    for (name, shown) in [
        (r"a\nb", r#""a\nb""#),
        (r"a\r\u001b[1Ab", r#""a\r\x1b[1Ab""#),
        (r#"\"a\""#, r#""\"a\"""#),
        ("v1.2-rc_3:x@y+z--w/A", "v1.2-rc_3:x@y+z--w/A"),
    ] {
        std::fs::write(sandbox.path("img/index.json"), index.replace("latest", name)).unwrap();
        let tags = sandbox.umoci(&["ls", "--layout", "img"]).succeeds();
        assert_eq!(tags, format!("{shown}\n"));
    }
    let run = sandbox.umoci(&["tag", "--image=img:a\u{1b}", "b"]);
    run.fails_with(r#"tag contains invalid characters: "a\x1b""#);
}
