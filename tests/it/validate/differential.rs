// SPDX-License-Identifier: Apache-2.0
//! Beside the crate `oci-spec`, another reader of the same documents: what it refuses is an
//! error here too. The specification's JSON schemas are not to be had where tests run.

use std::fs;

use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};
use serde_json::{Value, json};

use super::scene::{
    Blobs, CONFIG, Damage, INDEX, LAYER, MANIFEST, Scene, TAG, archive, gzip, image_config,
};
use umoci::image::validate::{ValidateOptions, validate};

/// Documents like `document` with one value removed or replaced by one of another sort.
fn variations(document: &Value) -> Vec<Value> {
    let mut pointers = Vec::new();
    collect(document, "", &mut pointers);
    let mut found = vec![document.clone()];
    for pointer in pointers {
        for new in
            [json!("x"), json!(-1), json!(1.5), json!([]), json!({}), json!(true), json!(["x"])]
        {
            let mut changed = document.clone();
            *changed.pointer_mut(&pointer).unwrap() = new;
            found.push(changed);
        }
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut changed = document.clone();
        if let Some(members) = changed.pointer_mut(parent).unwrap().as_object_mut() {
            members.remove(&name.replace("~1", "/").replace("~0", "~"));
            found.push(changed);
        }
    }
    found
}

fn collect(value: &Value, pointer: &str, found: &mut Vec<String>) {
    let mut visit = |name: String, value: &Value| {
        let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        found.push(pointer.clone());
        collect(value, &pointer, found);
    };
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| visit(name.clone(), value));
        }
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(at, value)| visit(at.to_string(), value));
        }
        _ => {}
    }
}

/// The three documents of an image, and how many errors a layout of them has.
struct Documents {
    config: Value,
    manifest: Value,
    index: Value,
}

impl Documents {
    fn new() -> Self {
        let scene = Scene::new(&Damage::Nothing);
        let read = |path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
        let mut config = image_config(&archive());
        config["author"] = json!("somebody");
        config["config"]["User"] = json!("0:0");
        config["config"]["WorkingDir"] = json!("/");
        config["config"]["Labels"] = json!({"a": "b"});
        config["config"]["Volumes"] = json!({"/v": {}});
        config["config"]["ExposedPorts"] = json!({"80/tcp": {}});
        let mut manifest = read(&scene.manifest);
        manifest["annotations"] = json!({"a": "b"});
        manifest["artifactType"] = json!("a/b");
        let mut index = read(&scene.path("index.json"));
        index["manifests"][0]["platform"] = json!({"os": "linux", "architecture": "amd64"});
        Self { config, manifest, index }
    }

    fn errors(&self) -> u64 {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(directory.path());
        blobs.put(LAYER, &gzip(&archive()));
        let point = |at: &mut Value, to: Value| {
            if at["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:"))
                && at["size"].is_u64()
            {
                at["digest"] = to["digest"].clone();
                at["size"] = to["size"].clone();
            }
        };
        let (mut manifest, mut index) = (self.manifest.clone(), self.index.clone());
        if let Some(config) = manifest.get_mut("config") {
            point(config, blobs.put_json(CONFIG, &self.config));
        }
        if let Some(entry) = index.pointer_mut("/manifests/0") {
            point(entry, blobs.put_json(MANIFEST, &manifest));
        }
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("index.json", &index.to_string());
        write("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        validate(directory.path(), &ValidateOptions::default()).unwrap().errors
    }
}

#[test]
fn what_another_reader_refuses_is_an_error() {
    let base = Documents::new();
    assert_eq!(base.errors(), 0);
    let mut refused = 0;
    let mut check = |document: &Value, accepted: bool, errors: &dyn Fn() -> u64| {
        if !accepted {
            refused += 1;
            assert!(errors() > 0, "{document:#}");
        }
    };
    for config in variations(&base.config) {
        let accepted = ImageConfiguration::from_reader(config.to_string().as_bytes()).is_ok();
        check(&config, accepted, &|| {
            Documents { config: config.clone(), ..Documents::new() }.errors()
        });
    }
    for manifest in variations(&base.manifest) {
        let accepted = ImageManifest::from_reader(manifest.to_string().as_bytes()).is_ok();
        check(&manifest, accepted, &|| {
            Documents { manifest: manifest.clone(), ..Documents::new() }.errors()
        });
    }
    for index in variations(&base.index) {
        let accepted = ImageIndex::from_reader(index.to_string().as_bytes()).is_ok();
        check(&index, accepted, &|| {
            Documents { index: index.clone(), ..Documents::new() }.errors()
        });
    }
    assert!(refused > 200, "{refused}");
    assert!(
        base.index["manifests"][0]["annotations"][TAG].is_string()
            && base.index["mediaType"] == INDEX
    );
}
