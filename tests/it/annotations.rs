// SPDX-License-Identifier: Apache-2.0
//! What images say of themselves: annotations in all their places, and the members of a
//! configuration that only others know.

use serde_json::{Value, json};

use crate::garbage::{push, put};
use crate::harness::{Sandbox, needs_root, peer, write};

const NAME: &str = "org.opencontainers.image.ref.name";

/// Adds a layer with one file.
fn insert(sandbox: &Sandbox, flags: &[&str]) {
    write(sandbox.path("file"), "x");
    let words = ["insert", "--image=img", "file", "/file"];
    sandbox.umoci(&[&words, flags].concat()).succeeds_silently();
}

/// The annotations of the entry of a tag, without its name.
fn of_entry(sandbox: &Sandbox, tag: &str) -> Value {
    let index = sandbox.json("img/index.json");
    let entries = index["manifests"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["annotations"][NAME] == tag).unwrap();
    let mut annotations = entry["annotations"].clone();
    annotations.as_object_mut().unwrap().remove(NAME);
    annotations
}

#[test]
fn every_command_that_changes_an_image_annotates_it() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    insert(&sandbox, &[]);
    sandbox.shell("tar cf layer.tar file").succeeds();
    sandbox.umoci(&["unpack", "--image=img", "bundle"]).succeeds_silently();
    write(sandbox.path("bundle/rootfs/new"), "x");
    let flags = [
        "--annotation=plain=1",
        "--annotation",
        "manifest:org.example.url=http://x?a=b",
        "--annotation=descriptor:d=2",
        "--annotation=layer[-1]:top=3",
        "--annotation=layer[0]:bottom=4",
    ];
    for (layers, words) in [
        (1, &["config", "--image=img:latest", "--tag=new"][..]),
        (2, &["insert", "--image=img", "--tag=new", "file", "/again"]),
        (2, &["raw", "add-layer", "--image=img", "--tag=new", "layer.tar"]),
        (2, &["repack", "--image=img:new", "bundle"]),
    ] {
        sandbox.umoci(&[words, &flags].concat()).succeeds_silently();
        let (_, manifest) = sandbox.manifest("img", "new");
        let own = json!({"plain": "1", "org.example.url": "http://x?a=b"});
        assert_eq!(manifest["annotations"], own, "{words:?}");
        assert_eq!(of_entry(&sandbox, "new"), json!({"d": "2"}), "{words:?}");
        let found = manifest["layers"].as_array().unwrap();
        assert_eq!(found.len(), layers, "{words:?}");
        assert_eq!(found[layers - 1]["annotations"]["top"], "3", "{words:?}");
        assert_eq!(found[0]["annotations"]["bottom"], "4", "{words:?}");
        sandbox.umoci(&["rm", "--image=img:new"]).succeeds_silently();
    }
}

#[test]
fn annotations_are_removed_one_by_one() {
    let sandbox = Sandbox::with_image();
    insert(&sandbox, &["--annotation=a=1", "--annotation=b=2", "--annotation=descriptor:c=3"]);
    let layer = ["--annotation=layer[0]:d=4", "--remove-annotation=layer[0]:gone"];
    sandbox.umoci(&[&["config", "--image=img"], &layer[..]].concat()).succeeds_silently();
    let remove = [
        "config",
        "--image=img",
        "--remove-annotation=a",
        "--remove-annotation=manifest:b",
        "--annotation=b=again",
        "--remove-annotation=descriptor:c",
        "--remove-annotation=layer[-1]:d",
        "--remove-annotation=nothing",
    ];
    sandbox.umoci(&remove).succeeds_silently();
    let (_, manifest) = sandbox.manifest("img", "latest");
    assert_eq!(manifest["annotations"], json!({"b": "again"}));
    assert_eq!(of_entry(&sandbox, "latest"), json!({}));
    assert_eq!(manifest["layers"][0]["annotations"].get("d"), None);
    assert_eq!(sandbox.umoci(&["ls", "--layout=img"]).succeeds(), "latest\n");
}

#[test]
fn what_cannot_be_annotated_changes_nothing() {
    let sandbox = Sandbox::with_image();
    let index = sandbox.json("img/index.json");
    write(sandbox.path("file"), "x");
    let name = format!("descriptor:{NAME}");
    for (flag, message) in [
        ("--annotation=layer[1]:a=b", "annotate layer[1]: the image has 1 layer".to_owned()),
        ("--annotation=layer[-2]:a=b", "annotate layer[-2]: the image has 1 layer".to_owned()),
        ("--annotation=layer[top]:a=b", "layer[top] is not the number of a layer".to_owned()),
        (
            "--annotation=index:a=b",
            "annotate index: the tag leads to the image itself, not to an index".to_owned(),
        ),
        ("--remove-annotation=index:a", "annotate index: ".to_owned()),
        ("--annotation=a", "--annotation: must contain '=': a".to_owned()),
        (&*format!("--annotation={name}=x"), format!("annotation {NAME} is the image's tag")),
        (&*format!("--remove-annotation={name}"), format!("annotation {NAME} is the image's tag")),
    ] {
        sandbox.umoci(&["insert", "--image=img", flag, "file", "/f"]).fails_with(&message);
        assert_eq!(sandbox.json("img/index.json"), index, "{flag}");
    }
}

/// A tag for two platforms.
pub(crate) fn multi_platform() -> Sandbox {
    let sandbox = Sandbox::with_image();
    for architecture in ["amd64", "arm64"] {
        let flag = format!("--architecture={architecture}");
        let tag = format!("--tag={architecture}");
        sandbox.umoci(&["config", "--image=img", "--os=linux", &flag, &tag]).succeeds_silently();
    }
    let create = ["index", "create", "--image=img:multi", "amd64", "arm64"];
    sandbox.umoci(&create).succeeds_silently();
    for tag in ["img:amd64", "img:arm64"] {
        sandbox.umoci(&["rm", "--image", tag]).succeeds_silently();
    }
    sandbox
}

#[test]
fn an_index_and_one_of_its_entries_are_annotated() {
    let sandbox = multi_platform();
    let flags = [
        "--annotation=index:i=1",
        "--annotation=descriptor:d=2",
        "--annotation=manifest:m=3",
        "--platform.os.version=5.10",
        "--os-feature=sse4",
    ];
    let words = ["config", "--image=img:multi", "--platform=linux/arm64"];
    sandbox.umoci(&[&words[..], &flags].concat()).succeeds_silently();
    let (_, index) = sandbox.manifest("img", "multi");
    assert_eq!(index["annotations"], json!({"i": "1"}));
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!((entries.len(), entries[0].get("annotations")), (2, None));
    assert_eq!(entries[1]["annotations"], json!({"d": "2"}));
    let platform = json!({
        "architecture": "arm64",
        "os": "linux",
        "os.version": "5.10",
        "os.features": ["sse4"],
    });
    assert_eq!(entries[1]["platform"], platform);
    let digest = entries[1]["digest"].as_str().unwrap();
    let manifest: Value = serde_json::from_slice(&sandbox.blob(digest)).unwrap();
    assert_eq!(manifest["annotations"], json!({"m": "3"}));
    assert_eq!(of_entry(&sandbox, "multi"), json!({}));
    if let Some(skopeo) = peer("skopeo") {
        let copy = ["copy", "-q", "--all", "oci:img:multi", "oci:copy:multi"];
        sandbox.peer(&skopeo, &copy).succeeds();
        assert_eq!(sandbox.manifest("copy", "multi").1, index);
    }
    let words = [&words[..], &["--remove-annotation=index:i", "--clear=platform.os.features"]];
    sandbox.umoci(&words.concat()).succeeds_silently();
    let (_, index) = sandbox.manifest("img", "multi");
    assert_eq!(index.get("annotations"), None);
    assert_eq!(index["manifests"][1]["platform"].get("os.features"), None);
}

#[test]
fn what_only_docker_knows_is_kept_to_the_byte() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let own = concat!(
        r#""Healthcheck":{"Test":["CMD-SHELL","curl -f http://x/ || exit 1"],"Interval":30000000000,"#,
        r#""Timeout":15000000000.50,"Retries":3,"StartPeriod":9223372036854775807},"#,
        r#""OnBuild":["RUN a \u0026\u0026 b","ADD . /"],"Shell":["powershell","-Command"],"#,
        r#""MacAddress":"","Tty":false"#,
    );
    let config = format!(r#"{{"architecture":"amd64","os":"linux","config":{{{own}}},"#)
        + r#""rootfs":{"type":"layers","diff_ids":[]},"docker_version":"20.10","container":"abc"}"#;
    let (_, mut manifest) = sandbox.manifest("img", "latest");
    let media_type = "application/vnd.oci.image.config.v1+json";
    manifest["config"] = put(&sandbox, media_type, config.as_bytes());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let mut entry = put(&sandbox, media_type, manifest.to_string().as_bytes());
    entry["annotations"] = json!({NAME: "docker"});
    push(&sandbox, entry);

    write(sandbox.path("file"), "x");
    sandbox.shell("tar cf layer.tar file").succeeds();
    sandbox.umoci(&["unpack", "--image=img:docker", "bundle"]).succeeds_silently();
    write(sandbox.path("bundle/rootfs/new"), "x");
    for words in [
        &["repack", "--image=img:repacked", "bundle"][..],
        &["config", "--image=img:docker", "--tag=docker", "--config.env=A=1", "--remove-label=x"],
        &["config", "--image=img:docker", "--clear=config.env", "--config.user=1"],
        &["insert", "--image=img:docker", "file", "/file"],
        &["raw", "add-layer", "--image=img:docker", "layer.tar"],
    ] {
        sandbox.umoci(words).succeeds_silently();
        let tag = if words[0] == "repack" { "repacked" } else { "docker" };
        let config = String::from_utf8(sandbox.config_bytes("img", tag)).unwrap();
        assert!(config.contains(own), "{words:?}\n{config}");
        assert!(config.contains(r#""docker_version":"20.10","container":"abc""#), "{config}");
    }
}
