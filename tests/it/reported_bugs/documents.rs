// SPDX-License-Identifier: Apache-2.0
//! Manifests and configurations: odd ones, damaged ones, and what changes to them keep.

use serde_json::{Value, json};

use super::{
    INDEX, Layer, MANIFEST, add, clean_failure, edit_config, edit_manifest, image, named, put,
    put_json, quietly, set_index,
};
use crate::harness::{Sandbox, needs_root, write};

#[test]
fn case_3_history_lines_up_with_the_layers() {
    let sandbox = image([Layer::new().file("a", "")]);
    let words = ["config", "--image=img", "--history.author=a", "--history.comment=c"];
    quietly(&sandbox, &[&words[..], &["--history.created_by=b"]].concat());
    quietly(&sandbox, &["insert", "--image=img", "--whiteout", "a"]);
    quietly(&sandbox, &["config", "--image=img", "--no-history", "--author=x"]);
    let config = sandbox.config("latest");
    let history = config["history"].as_array().unwrap();
    let empty: Vec<bool> =
        history.iter().map(|entry| entry["empty_layer"] == json!(true)).collect();
    assert_eq!(empty, [false, true, false]);
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
    let words = [&words[..], &["--no-history"]].concat();
    sandbox.umoci(&words).fails_with("may not be specified together");
}

#[test]
fn case_6_a_variable_that_is_there_twice() {
    let sandbox = image([]);
    edit_config(&sandbox, |config| config["config"]["Env"] = json!(["A=1", "B=2", "A=3"]));
    quietly(&sandbox, &["raw", "config", "--image=img", "config.json"]);
    let of_runtime = |sandbox: &Sandbox| {
        let env = sandbox.json("config.json")["process"]["env"].clone();
        let env = env.as_array().unwrap().iter().map(|entry| entry.as_str().unwrap().to_owned());
        env.filter(|entry| entry.starts_with("A=")).collect::<Vec<_>>()
    };
    assert_eq!(of_runtime(&sandbox), ["A=3"]);
    quietly(&sandbox, &["config", "--image=img", "--config.env=A=4"]);
    assert_eq!(sandbox.config("latest")["config"]["Env"], json!(["A=4", "B=2"]));
}

#[test]
fn case_7_cleared_and_set_at_once() {
    let sandbox = image([]);
    let sets = |values: [&str; 7]| {
        let flags = [
            "config.cmd",
            "config.entrypoint",
            "config.label",
            "config.env",
            "config.exposedports",
            "config.volume",
            "manifest.annotation",
        ];
        let words: Vec<String> =
            flags.iter().zip(values).map(|(flag, value)| format!("--{flag}={value}")).collect();
        words
    };
    let mut words = vec!["config".to_owned(), "--image=img".to_owned()];
    words.extend(sets(["c", "e", "l=1", "V=1", "1", "/v", "a=1"]));
    sandbox.umoci(&words).succeeds_silently();
    words.truncate(2);
    words.extend(sets(["c2", "e2", "m=2", "W=2", "2", "/w", "b=2"]));
    for key in [
        "config.cmd",
        "config.entrypoint",
        "config.labels",
        "config.env",
        "config.exposedports",
        "config.volume",
        "manifest.annotations",
    ] {
        words.push(format!("--clear={key}"));
    }
    sandbox.umoci(&words).succeeds_silently();
    let expected = json!({
        "Cmd": ["c2"],
        "Entrypoint": ["e2"],
        "Labels": {"m": "2"},
        "Env": ["W=2"],
        "ExposedPorts": {"2": {}},
        "Volumes": {"/w": {}},
    });
    assert_eq!(sandbox.config("latest")["config"], expected);
    assert_eq!(sandbox.manifest("img", "latest").1["annotations"], json!({"b": "2"}));
}

#[test]
fn case_34_a_byte_that_flipped() {
    let sandbox = image([Layer::new().file("a", "contents")]);
    let (digest, manifest) = sandbox.manifest("img", "latest");
    let digest_of = |value: &Value| value["digest"].as_str().unwrap().to_owned();
    let config = digest_of(&manifest["config"]);
    let layer = digest_of(&manifest["layers"][0]);
    let unpack: &[&str] = &["raw", "unpack", "--image=img", "tree"];
    let readers: [&[&str]; 5] = [
        unpack,
        &["raw", "config", "--image=img", "config.json"],
        &["stat", "--image=img"],
        &["config", "--image=img", "--author=x"],
        &["insert", "--image=img", "--whiteout", "a"],
    ];
    for (digest, readers) in [(digest, &readers[..]), (config, &readers), (layer, &[unpack])] {
        let path = sandbox.path("img/blobs/sha256").join(&digest[7..]);
        let good = std::fs::read(&path).unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, bad).unwrap();
            for words in readers {
                sandbox.umoci(words).fails_with("mismatch");
            }
        }
        std::fs::write(&path, good).unwrap();
    }
    assert!(!sandbox.path("tree").exists() && !sandbox.path("config.json").exists());
}

#[test]
fn case_38_values_that_start_with_a_dash() {
    let sandbox = image([]);
    let words = ["config", "--image=img", "--config.cmd", "-c", "--config.cmd", "echo hi"];
    quietly(&sandbox, &words);
    assert_eq!(sandbox.config("latest")["config"]["Cmd"], json!(["-c", "echo hi"]));
}

#[test]
fn case_52_an_artifact_instead_of_an_image() {
    let sandbox = image([]);
    let layer = put(&sandbox, "application/x-thing", b"thing");
    let empty = put(&sandbox, "application/vnd.oci.empty.v1+json", b"{}");
    for config in [empty, put(&sandbox, "application/x-config", b"anything")] {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x-thing",
            "config": config, "layers": [layer],
        });
        let descriptor = put_json(&sandbox, MANIFEST, &manifest);
        set_index(&sandbox, &[named(descriptor, "latest")]);
        let text = sandbox.umoci(&["stat", "--image=img"]).succeeds();
        assert!(text.contains("Artifact Type: application/x-thing"), "{text}");
        assert!(!text.contains("== HISTORY =="), "{text}");
        let stat = sandbox.umoci(&["stat", "--json", "--image=img"]).succeeds();
        let stat: Value = serde_json::from_str(&stat).unwrap();
        assert_eq!(stat["manifest"]["blob"], manifest);
        sandbox.umoci(&["unpack", "--image=img", "bundle"]).fails_with("mediatype");
        quietly(&sandbox, &["gc", "--layout=img"]);
    }
    set_index(&sandbox, &[named(put(&sandbox, MANIFEST, b"{\"layers\":1}"), "latest")]);
    sandbox.umoci(&["stat", "--image=img"]).fails();
}

#[test]
fn case_53_documents_inside_of_descriptors() {
    let sandbox = image([]);
    let (digest, _) = sandbox.manifest("img", "latest");
    let bytes = sandbox.blob(&digest);
    // Base64 without a library: it only has to be read.
    let script = format!("base64 -w0 img/blobs/sha256/{}", &digest[7..]);
    let data = sandbox.shell(&script).succeeds();
    let descriptor = json!({
        "mediaType": MANIFEST, "digest": digest, "size": bytes.len(), "data": data,
        "annotations": {"kept": "yes"}, "artifactType": "a/b", "x-unknown": [1],
    });
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]});
    let index = put_json(&sandbox, INDEX, &index);
    set_index(&sandbox, &[named(index, "latest")]);
    std::fs::remove_file(sandbox.path("img/blobs/sha256").join(&digest[7..])).unwrap();
    sandbox.umoci(&["stat", "--image=img"]).succeeds();
    quietly(&sandbox, &["config", "--image=img", "--author=x"]);
    let entry = sandbox.json("img/index.json")["manifests"][0].clone();
    let index: Value =
        serde_json::from_slice(&sandbox.blob(entry["digest"].as_str().unwrap())).unwrap();
    let changed = &index["manifests"][0];
    assert_ne!(changed["digest"], json!(digest));
    assert_eq!(changed.get("data"), None);
    assert_eq!(changed["annotations"], json!({"kept": "yes"}));
    assert_eq!((&changed["artifactType"], &changed["x-unknown"]), (&json!("a/b"), &json!([1])));

    let mut lying = descriptor;
    lying["data"] = json!("e30=");
    set_index(&sandbox, &[named(lying, "latest")]);
    sandbox.umoci(&["stat", "--image=img"]).fails_with("mismatch");
}

#[test]
fn case_54_labels_beat_what_is_made_up() {
    let sandbox = image([]);
    let words = ["config", "--image=img", "--author=config"];
    let label = "--config.label=org.opencontainers.image.author=label";
    quietly(&sandbox, &[&words[..], &[label]].concat());
    quietly(&sandbox, &["raw", "config", "--image=img", "config.json"]);
    let annotations = sandbox.json("config.json")["annotations"].clone();
    assert_eq!(annotations["org.opencontainers.image.author"], json!("label"));
    let empty = annotations.as_object().unwrap().values().any(|value| value == "");
    assert!(!empty, "{annotations}");
}

#[test]
fn case_58_fewer_diff_ids_than_layers() {
    let sandbox = image([Layer::new().file("a", ""), Layer::new().file("b", "")]);
    for diff_ids in [None, Some(Value::Null), Some(json!([]))] {
        edit_config(&sandbox, |config| match diff_ids {
            Some(value) => config["rootfs"]["diff_ids"] = value,
            None => drop(config["rootfs"].as_object_mut().unwrap().remove("diff_ids")),
        });
        for words in [
            &["unpack", "--image=img", "bundle"][..],
            &["raw", "unpack", "--image=img", "tree"],
            &["config", "--image=img", "--author=x"],
        ] {
            clean_failure(&sandbox.umoci(words), "diff_ids");
        }
        let run = sandbox.umoci(&["stat", "--image=img"]);
        assert!(matches!(run.status(), Some(0 | 1)), "{}", run.stderr());
        assert!(!run.stderr().contains("panicked"), "{}", run.stderr());
    }
}

#[test]
fn case_60_errors_tell_what_happened() {
    let sandbox = image([Layer::new().file("a", "")]);
    let (_, manifest) = sandbox.manifest("img", "latest");
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    std::fs::remove_file(sandbox.path("img/blobs/sha256").join(&layer[7..])).unwrap();
    if needs_root() {
        let run = sandbox.umoci(&["raw", "unpack", "--image=img", "tree"]);
        run.fails_with("no such file or directory");
    }
    // The limit stands for a full disk.
    write(sandbox.path("layer.tar"), Layer::new().file("f", &"x".repeat(1 << 20)).bytes());
    let before = sandbox.tree("img");
    let script = "trap '' XFSZ; ulimit -f 100
        umoci raw add-layer --compress=none --image img layer.tar";
    let run = sandbox.shell(script);
    run.fails_with("file too large");
    assert_eq!(sandbox.tree("img"), before);
}

#[test]
fn case_79_manifests_of_docker() {
    let sandbox = image([]);
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let config = String::from_utf8(sandbox.config_bytes("img", "latest")).unwrap();
    let mut config = put(&sandbox, "", (config + " ").as_bytes());
    config["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
    let text = format!("{{ \"schemaVersion\": 2,\n \"layers\": [ ], \"config\": {config} }}");
    let descriptor = put(&sandbox, docker, text.as_bytes());
    let other = sandbox.json("img/index.json")["manifests"][0].clone();
    set_index(&sandbox, &[named(descriptor.clone(), "docker"), other]);
    quietly(&sandbox, &["config", "--image=img", "--author=x"]);
    quietly(&sandbox, &["tag", "--image=img:docker", "again"]);
    quietly(&sandbox, &["gc", "--layout=img"]);
    let tags = sandbox.umoci(&["ls", "--layout=img"]).succeeds();
    assert_eq!(tags, "docker\nlatest\nagain\n");
    assert_eq!(sandbox.manifest("img", "docker").0, descriptor["digest"].as_str().unwrap());
    if needs_root() {
        quietly(&sandbox, &["unpack", "--image=img:docker", "bundle"]);
    }
    assert_eq!(sandbox.manifest("img", "docker").0, descriptor["digest"].as_str().unwrap());
}

#[test]
fn case_22_media_types_that_nobody_knows() {
    let sandbox = image([Layer::new().file("a", "")]);
    let referenced = put(&sandbox, "application/x-unknown", b"{\"manifests\":[{}]}");
    let unknown = put(&sandbox, "application/vnd.example.index.v9+json", b"not even JSON");
    let index = sandbox.json("img/index.json")["manifests"][0].clone();
    set_index(&sandbox, &[index, referenced.clone(), named(unknown.clone(), "odd")]);
    add(&sandbox, &Layer::new().file("b", "").bytes(), &[]);
    edit_layers(&sandbox, put(&sandbox, "application/x-layer", b"x"));
    let (_, manifest) = sandbox.manifest("img", "latest");
    set_index(
        &sandbox,
        &[
            sandbox.json("img/index.json")["manifests"][0].clone(),
            referenced.clone(),
            named(unknown.clone(), "odd"),
        ],
    );
    quietly(&sandbox, &["gc", "--layout=img"]);
    assert_eq!(sandbox.umoci(&["ls", "--layout=img"]).succeeds(), "latest\nodd\n");
    let layers = manifest["layers"].as_array().unwrap();
    for descriptor in layers.iter().chain([&referenced, &unknown]) {
        sandbox.blob(descriptor["digest"].as_str().unwrap());
    }
}

fn edit_layers(sandbox: &Sandbox, layer: Value) {
    edit_manifest(sandbox, |manifest| manifest["layers"].as_array_mut().unwrap().push(layer));
}
