// SPDX-License-Identifier: Apache-2.0
//! The way of an image through several programs: skopeo brings it, umoci
//! unpacks it, runc runs it, umoci repacks it, skopeo takes it away.

use std::path::Path;

use serde_json::{Value, json};

use super::fixture::Fixture;
use crate::harness::{Run, Sandbox, peer, skip};

#[test]
fn an_image_is_fetched_changed_by_running_it_and_delivered() {
    let Some(fixture) = Fixture::get() else { return };
    let (Some(skopeo), Some(runc)) = (peer("skopeo"), peer("runc")) else { return };
    let sandbox = fixture.sandbox();
    let copy = |from: &str, to: &str| sandbox.peer(&skopeo, &["copy", "-q", from, to]).succeeds();
    copy("oci:img:single", "oci:work:debian");
    sandbox.umoci(&["unpack", "--image=work:debian", "bundle"]).succeeds_silently();
    if !runc_works(&sandbox, &runc) {
        return;
    }
    let script = "id -un && echo made in $A >/made && rm -r /usr/share/doc/bash";
    let run = run(&sandbox, &runc, "bundle", &["/bin/sh", "-c", script]);
    assert_eq!(run.succeeds(), "root\n");
    sandbox.umoci(&["repack", "--image=work:changed", "bundle"]).succeeds_silently();
    let words = ["--config.cmd=/bin/cat", "--config.cmd=/made", "--config.label=made=yes"];
    sandbox.umoci(&[&["config", "--image=work:changed"], &words[..]].concat()).succeeds_silently();

    let (digest, manifest) = sandbox.manifest("work", "changed");
    let inspect = |words: &[&str]| -> Value {
        let words = [&["inspect", "oci:work:changed"], words].concat();
        serde_json::from_str(&sandbox.peer(&skopeo, &words).succeeds()).unwrap()
    };
    let summary = inspect(&[]);
    assert_eq!(summary["Digest"], json!(digest));
    assert_eq!(summary["Labels"], json!({ "made": "yes" }));
    let layers = manifest["layers"].as_array().unwrap().iter().map(|layer| &layer["digest"]);
    assert_eq!(summary["Layers"], json!(layers.collect::<Vec<_>>()));
    let config: Value = serde_json::from_slice(&sandbox.config_bytes("work", "changed")).unwrap();
    assert_eq!(inspect(&["--config"]), config);

    copy("oci:work:changed", "docker-archive:out.tar:debian:changed");
    copy("docker-archive:out.tar:debian:changed", "oci:delivered:changed");
    sandbox.umoci(&["unpack", "--image=delivered:changed", "again"]).succeeds_silently();
    let args = sandbox.json("again/config.json")["process"]["args"].clone();
    assert_eq!(args, json!(["/bin/cat", "/made"]));
    let run = self::run(&sandbox, &runc, "again", &["/bin/cat", "/made"]);
    assert_eq!(run.succeeds(), "made in B\n");
    assert!(!sandbox.path("again/rootfs/usr/share/doc/bash").exists());
}

#[test]
fn an_image_for_several_platforms_in_the_format_of_docker_is_run_and_changed() {
    let Some(fixture) = Fixture::get() else { return };
    let (Some(skopeo), Some(runc)) = (peer("skopeo"), peer("runc")) else { return };
    let sandbox = fixture.sandbox();
    let umoci = |words: &[&str]| sandbox.umoci(words).succeeds_silently();
    sandbox.peer(&skopeo, &["copy", "-q", "oci:img:single", "oci:work:debian"]).succeeds();
    std::fs::write(sandbox.path("made"), "inserted\n").unwrap();
    umoci(&["insert", "--image=work:debian", "--compress=zstd", "made", "/inserted"]);
    umoci(&["new", "--image=work:other", "--platform=linux/s390x"]);
    umoci(&["index", "create", "--image=work:all", "other", "debian"]);
    umoci(&["convert", "--format=docker", "--image=work:all"]);
    umoci(&["unpack", "--image=work:all", "bundle"]);
    if !runc_works(&sandbox, &runc) {
        return;
    }
    let script = "cat /inserted && echo changed >/changed";
    let run = run(&sandbox, &runc, "bundle", &["/bin/sh", "-c", script]);
    assert_eq!(run.succeeds(), "inserted\n");
    umoci(&["repack", "--image=work:all", "bundle"]);
    umoci(&["unpack", "--image=work:all", "again"]);
    let run = self::run(&sandbox, &runc, "again", &["/bin/cat", "/changed"]);
    assert_eq!(run.succeeds(), "changed\n");
    let (_, list) = sandbox.manifest("work", "all");
    let docker = "application/vnd.docker.distribution.manifest";
    assert_eq!(list["mediaType"], format!("{docker}.list.v2+json"));
    for entry in list["manifests"].as_array().unwrap() {
        assert_eq!(entry["mediaType"], format!("{docker}.v2+json"));
    }
}

/// Whether runc can run anything here, tried with a configuration of its own.
fn runc_works(sandbox: &Sandbox, runc: &Path) -> bool {
    std::fs::create_dir(sandbox.path("probe")).unwrap();
    sandbox.peer(runc, &["spec", "--bundle", "probe"]).succeeds();
    edit(sandbox, "probe", |config| {
        config["root"]["path"] = json!(sandbox.path("bundle/rootfs"));
    });
    let works = run(sandbox, runc, "probe", &["/bin/true"]).status() == Some(0);
    works || skip::<()>("a machine on which runc can run").is_some()
}

/// Runs a program in a bundle, without a terminal.
fn run(sandbox: &Sandbox, runc: &Path, bundle: &str, args: &[&str]) -> Run {
    edit(sandbox, bundle, |config| {
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(args);
    });
    let name = format!("umoci-test-{}-{bundle}", std::process::id());
    sandbox.peer(runc, &["--root", "state", "run", "--bundle", bundle, &name])
}

fn edit(sandbox: &Sandbox, bundle: &str, change: impl FnOnce(&mut Value)) {
    let name = format!("{bundle}/config.json");
    let mut config = sandbox.json(&name);
    change(&mut config);
    std::fs::write(sandbox.path(name), config.to_string()).unwrap();
}
