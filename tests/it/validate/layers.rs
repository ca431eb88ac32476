// SPDX-License-Identifier: Apache-2.0
//! The layers of an image together: links from one into another, and what all of them take.

use std::fs;
use std::num::NonZeroUsize;

use serde_json::{Value, json};
use umoci::error::ErrorKind;
use umoci::image::validate::{Report, ValidateOptions, validate};
use umoci::layer::Limits;
use umoci::oci::{Algorithm, Digest};

use super::scene::{Blobs, CONFIG, INDEX, LAYER, MANIFEST, TAG, codes, ended, gzip, member};
use crate::harness::Sandbox;

/// A layout `img` of images, each with its layers, the lowest first, and a tag that is its number.
fn layout(images: &[Vec<Vec<u8>>]) -> Sandbox {
    let sandbox = Sandbox::new();
    let blobs = Blobs::new(&sandbox.path("img"));
    let image = |(number, layers): (usize, &Vec<Vec<u8>>)| {
        let digests: Vec<_> =
            layers.iter().map(|tar| Digest::of(Algorithm::Sha256, tar).to_string()).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": digests},
        });
        let layers: Vec<_> = layers.iter().map(|tar| blobs.put(LAYER, &gzip(tar))).collect();
        let mut entry = blobs.put_json(
            MANIFEST,
            &json!({
                "schemaVersion": 2, "mediaType": MANIFEST,
                "config": blobs.put_json(CONFIG, &config), "layers": layers,
            }),
        );
        entry["annotations"] = json!({TAG: number.to_string()});
        entry
    };
    let entries: Vec<Value> = images.iter().enumerate().map(image).collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    fs::write(sandbox.path("img/index.json"), index.to_string()).unwrap();
    fs::write(sandbox.path("img/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    sandbox
}

fn report(sandbox: &Sandbox, limits: Limits, threads: usize) -> Report {
    let threads = NonZeroUsize::new(threads);
    let options = ValidateOptions { limits, threads, ..ValidateOptions::default() };
    validate(sandbox.path("img"), &options).unwrap()
}

/// A layer of members: `name` is a file, `name/` a directory, `name>target` a hard link, and
/// `name@target` a symbolic link.
fn layer(members: &str) -> Vec<u8> {
    let one = |word: &str| match (word.split_once('>'), word.split_once('@')) {
        (Some((name, target)), _) => member(name, b'1', target, b""),
        (_, Some((name, target))) => member(name, b'2', target, b""),
        _ if word.ends_with('/') => member(word, b'5', "", b""),
        _ => member(word, b'0', "", b""),
    };
    ended(&members.split_whitespace().map(one).collect::<Vec<_>>())
}

/// A link is to nothing exactly if it cannot be made.
#[test]
fn links_lead_into_layers_below() {
    for (layers, is_there) in [
        (&["d/ d/f", "l>d/f"][..], true),
        (&["d/ d/f", "", "d/ d/l>/d//./f"], true),
        (&["f", "f l>f"], true),
        (&["l>f f"], true),
        (&["l>f", "f"], false),
        (&["f", "l>g"], false),
        (&["f", ".wh.f", "l>f"], false),
        (&["f", ".wh.f", "f", "l>f"], true),
        (&["f", ".wh.f f", "l>f"], true),
        (&["d/ d/f", ".wh.d", "l>d/f"], false),
        (&["d/ d/f", "d/ d/.wh..wh..opq", "l>d/f"], false),
        (&["d/ d/f", "d/ d/.wh..wh..opq d/f", "l>d/f"], true),
        (&["d/ d/e/ d/e/f", "d/ d/.wh..wh..opq", "l>d/e/f"], false),
        (&["f", ".wh..wh..opq", "l>f"], false),
        (&["d/ d/f e@d", "l>e/f"], true),
        (&["d/ e@d", "e/f", "l>d/f"], true),
        (&["d/ e@d", "e/x/ e/x/f", "l>d/x/f"], true),
        (&["s@nowhere", "l>s"], true),
        (&["f m>f", "l>m"], true),
        (&["f", ".wh.f l>f"], false),
    ] {
        let sandbox = layout(&[layers.iter().map(|members| layer(members)).collect()]);
        let report = report(&sandbox, Limits::default(), 2);
        let run = sandbox.umoci(&["raw", "unpack", "--rootless", "--image=img:0", "tree"]);
        assert_eq!(run.status() == Some(0), is_there, "{layers:?}: {}", run.stderr());
        // In its own layer a link may be made before the whiteout.
        let expected =
            if is_there || layers.last() == Some(&".wh.f l>f") { &[][..] } else { &["tar-link"] };
        assert_eq!(codes(&report.findings), expected, "{layers:?}: {:#?}", report.findings);
    }
}

#[test]
fn a_layer_of_several_images_has_its_links_in_all_of_them() {
    let [base, other, top] = ["f", "g", "l>f"].map(layer);
    let images = [
        vec![base.clone(), top.clone()],
        vec![other.clone(), top.clone()],
        vec![top.clone()],
        vec![other, base, top.clone()],
    ];
    let sandbox = layout(&images);
    for threads in [1, 4] {
        let report = report(&sandbox, Limits::default(), threads);
        let [finding] = &report.findings[..] else { panic!("{:#?}", report.findings) };
        let digest = Digest::of(Algorithm::Sha256, gzip(&top));
        let text = format!(
            "error: tar-link: blobs/sha256/{}: l: no layer up to this one has \"f\"",
            digest.hex()
        );
        assert_eq!(finding.to_string(), text);
    }
    // What may be in a layer that is not there is not missed.
    let sandbox = layout(&images[..2]);
    let base = Digest::of(Algorithm::Sha256, gzip(&layer("g")));
    fs::remove_file(sandbox.path("img/blobs/sha256").join(base.hex())).unwrap();
    let report = report(&sandbox, Limits::default(), 2);
    assert_eq!(codes(&report.findings), ["blob-missing"]);
}

#[test]
fn very_many_links_are_not_all_compared() {
    let words = |word: &dyn Fn(u32) -> String| (0..1001).map(word).collect::<Vec<_>>().join(" ");
    let links = words(&|number| format!("l{number}>f{number}"));
    let files = words(&|number| format!("f{number}"));
    let above = layout(&[vec![layer(&files), layer(&links)]]);
    assert_eq!(codes(&report(&above, Limits::default(), 2).findings), ["tar-unchecked"]);
    let within = layout(&[vec![layer(&format!("{links} {files}"))]]);
    assert_eq!(codes(&report(&within, Limits::default(), 2).findings), ["tar-unchecked"]);
    let few = layout(&[vec![layer(&files), layer(links.split_once(' ').unwrap().1)]]);
    assert_eq!(codes(&report(&few, Limits::default(), 2).findings), [""; 0]);
}

/// The layers of an image count together, each image for itself, and whichever is read first.
#[test]
fn limits_are_those_of_an_image() {
    let [one, two, three] = ["a /b", "c d e", "f"].map(layer);
    let size = |layers: &[&Vec<u8>]| layers.iter().map(|layer| layer.len() as u64).sum::<u64>();
    let images = [
        vec![one.clone(), two.clone()],
        vec![one.clone(), three.clone(), three.clone()],
        vec![three.clone()],
    ];
    let sandbox = layout(&images);
    let of_size = |size| Limits { unpacked_size: Some(size), ..Limits::default() };
    let of_entries = |entries| Limits { entries, ..Limits::default() };
    let larger = size(&[&one, &two]).max(size(&[&one, &three, &three]));
    for (limits, images) in [
        (of_size(larger), 0),
        (of_size(larger - 1), 1),
        (of_size(size(&[&three]) - 1), 3),
        (of_size(0), 3),
        (of_entries(5), 0),
        (of_entries(4), 1),
        (of_entries(3), 2),
        (of_entries(0), 3),
    ] {
        let found = [1, 2, 8].map(|threads| report(&sandbox, limits.clone(), threads).findings);
        assert_eq!(found[0], found[1]);
        assert_eq!(found[0], found[2]);
        let mut expected = vec!["layers-limit"; images];
        // The layer is in two images, and told of as long as one of them is read.
        if images < 2 {
            expected.insert(0, "tar-absolute");
        }
        assert_eq!(codes(&found[0]), expected, "{limits:?}: {:#?}", found[0]);
    }
    let deep = Limits { path_depth: 0, ..Limits::default() };
    assert_eq!(
        codes(&report(&sandbox, deep, 2).findings)
            .iter()
            .filter(|code| **code == "tar-limit")
            .count(),
        6
    );
}

/// What could not be read because somebody has asked to stop is no finding.
#[test]
fn who_asks_to_stop_gets_no_report() {
    let sandbox = layout(&[vec![layer("d/ d/f")]]);
    let options = ValidateOptions::default();
    options.interrupt.raise();
    let error = validate(sandbox.path("img"), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}
