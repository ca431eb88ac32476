// SPDX-License-Identifier: Apache-2.0
//! Where results go in layouts in which a tag has several images, as Docker makes them: what has
//! another full name is another image, and is never lost.

use std::fs;

use serde_json::{Value, json};

use crate::addresses::{FULL, TAG, author, digest, entries, layout, means, write_index};
use crate::harness::{Sandbox, needs_root, write};

const A: &str = "docker.io/library/a:latest";
const B: &str = "docker.io/library/b:latest";

/// Two images with the same tag, as `docker save a b` makes them.
fn saved() -> Sandbox {
    layout(&[("a", json!({TAG: "latest", FULL: A})), ("b", json!({TAG: "latest", FULL: B}))])
}

/// One image with two full names, as `docker tag a b; docker save a b` makes it.
fn twins() -> Sandbox {
    let sandbox = layout(&[("a", json!({TAG: "latest", FULL: A}))]);
    let mut index = sandbox.json("img/index.json");
    let mut twin = index["manifests"][0].clone();
    twin["annotations"][FULL] = B.into();
    index["manifests"].as_array_mut().unwrap().push(twin);
    write_index(&sandbox, &index);
    sandbox
}

/// The author and the annotations of each entry.
fn state(sandbox: &Sandbox) -> Vec<(String, Value)> {
    let entry = |at: usize| {
        let (author, _) = author(sandbox, &format!("img@{}", digest(sandbox, at)));
        (author, entries(sandbox)[at]["annotations"].clone())
    };
    (0..entries(sandbox).len()).map(entry).collect()
}

fn named(author: &str, full: &str) -> (String, Value) {
    (author.to_owned(), json!({TAG: "latest", FULL: full}))
}

#[test]
fn a_change_of_one_full_name_leaves_the_others() {
    for (image, tag) in [("b", None), (B, None), ("a", Some("b")), (A, Some(B))] {
        for make in [saved, twins] {
            let sandbox = make();
            let image = format!("img:{image}");
            let mut words = vec!["config", "--image", &image, "--author", "x"];
            words.extend(tag.iter().flat_map(|tag| ["--tag", tag]));
            sandbox.umoci(&words).succeeds();
            assert_eq!(state(&sandbox), [named("a", A), named("x", B)], "{words:?}");
        }
    }
    for make in [saved, twins] {
        let sandbox = make();
        let words = ["convert", "--image=img:a", "--format=docker", "--lossy"];
        sandbox.umoci(&words).succeeds();
        let found = state(&sandbox);
        assert!(found.contains(&named("a", A)), "{found:?}");
        let [first, last] = [&entries(&sandbox)[0], &entries(&sandbox)[1]];
        assert_eq!(
            (&first["annotations"][FULL], &last["annotations"][FULL]),
            (&json!(B), &json!(A))
        );
        assert!(first["mediaType"].as_str().unwrap().contains("oci"));
        assert!(last["mediaType"].as_str().unwrap().contains("docker"));
        sandbox.umoci(&["new", "--image=img:b"]).succeeds();
        assert_eq!(entries(&sandbox).len(), 2);
        means(&sandbox, &format!("img:{A}"), "a");
    }
}

#[test]
fn a_tag_of_several_images_is_refused_with_their_names() {
    let both = format!("tag is ambiguous: latest: it can mean {A}, {B}");
    let one = format!("--image=img:{B}");
    for make in [saved, twins] {
        let sandbox = make();
        let before = sandbox.tree("img");
        for words in [
            &["stat", "--image=img:latest"][..],
            &["stat", "--image=img:latest", "--platform=linux/amd64"],
            &["config", "--image=img:latest", "--author=x"],
            &["config", &one, "--author=x", "--tag=latest"],
            &["config", "--image=img", "--author=x"],
            &["convert", "--image=img:latest", "--format=docker"],
            &["new", "--image=img:latest"],
            &["new", "--image=img"],
            &["tag", &one, "latest"],
            &["rm", "--image=img:latest"],
            &["rm", "--image=img"],
            &["validate", "--image=img:latest"],
        ] {
            sandbox.umoci(words).fails_with(&both);
        }
        assert_eq!(sandbox.tree("img"), before);
    }
    // The digest tells which one is meant, unless it has both names.
    let sandbox = saved();
    means(&sandbox, &format!("img:latest@{}", digest(&sandbox, 1)), "b");
    let sandbox = twins();
    let image = format!("--image=img:latest@{}", digest(&sandbox, 1));
    sandbox.umoci(&["config", &image, "--author=x"]).fails_with(&both);
}

#[test]
fn a_bundle_goes_to_the_full_name_that_is_meant() {
    if !needs_root() {
        return;
    }
    let both = format!("tag is ambiguous: latest: it can mean {A}, {B}");
    for make in [saved, twins] {
        let sandbox = make();
        sandbox.umoci(&["unpack", "--image=img:a", "bundle"]).succeeds();
        write(sandbox.path("bundle/rootfs/new"), "x");
        sandbox.umoci(&["repack", "--image=img:latest", "bundle"]).fails_with(&both);
        sandbox.umoci(&["repack", "--image=img", "bundle"]).fails_with(&both);
        let other = digest(&sandbox, 1);
        let said = format!("umoci: a is {A} here\n");
        for _ in 0..2 {
            let run = sandbox.umoci(&["repack", "--image=img:a", "--refresh-bundle", "bundle"]);
            run.succeeds();
            assert_eq!(run.stderr(), said);
            assert_eq!(entries(&sandbox).len(), 2);
            assert_eq!(state(&sandbox).last().unwrap().1, json!({TAG: "latest", FULL: A}));
            assert_eq!(digest(&sandbox, 0), other);
        }
        let manifest: Value = serde_json::from_slice(&sandbox.blob(&digest(&sandbox, 1))).unwrap();
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
        let record = sandbox.json("bundle/umoci.json");
        let root = &record["from_descriptor_path"]["descriptor_walk"][0];
        assert_eq!(root["annotations"], json!({TAG: "latest", FULL: A}));
    }
}

#[test]
fn a_short_name_is_that_of_the_image_which_has_it() {
    let full = "docker.io/library/app:1";
    let sandbox = layout(&[("a", json!({TAG: "1", FULL: full})), ("b", json!({TAG: "b"}))]);
    let said = format!("umoci: app:1 is {full} here\n");
    for words in [
        &["tag", "--image=img:b", "app:1"][..],
        &["config", "--image=img:b", "--author=c", "--tag=app:1"],
        &["new", "--image=img:app:1"],
        &["index", "create", "--image=img:app:1", "b"],
    ] {
        let run = sandbox.umoci(words);
        run.succeeds();
        assert_eq!(run.stderr(), said, "{words:?}");
        let found = entries(&sandbox);
        assert_eq!(found.len(), 2, "{words:?}");
        assert_eq!(found[1]["annotations"], json!({TAG: "1", FULL: full}), "{words:?}");
    }
    // The tag alone is enough, and is no short form.
    sandbox.umoci(&["config", "--image=img:b", "--author=d", "--tag=1"]).succeeds_silently();
    assert_eq!(author(&sandbox, &format!("img:{full}")).0, "d");
    // Names that nothing is called by are new tags.
    sandbox.umoci(&["tag", "--image=img:b", "other:1"]).succeeds_silently();
    assert_eq!(entries(&sandbox)[2]["annotations"], json!({TAG: "other:1"}));
}

#[test]
fn removing_removes_what_is_meant() {
    for name in ["a", A, "library/a:latest"] {
        for make in [saved, twins] {
            let sandbox = make();
            sandbox.umoci(&["rm", "--image", &format!("img:{name}")]).succeeds();
            let found = entries(&sandbox);
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(found[0]["annotations"][FULL], B, "{name}");
        }
    }
    let sandbox = saved();
    sandbox.umoci(&["rm", "--image=img:c"]).succeeds_silently();
    assert_eq!(state(&sandbox), [named("a", A), named("b", B)]);
    let first = digest(&sandbox, 0);
    sandbox.umoci(&["rm", "--image", &format!("img:latest@{first}")]).succeeds();
    assert_eq!(state(&sandbox), [named("b", B)]);
    sandbox
        .umoci(&["rm", "--image", &format!("img:latest@{first}")])
        .fails_with("does not lead there");
}

#[test]
fn an_entry_without_a_tag_is_removed_by_its_digest() {
    let sandbox = layout(&[("a", json!({})), ("b", json!({TAG: "b"}))]);
    let image = |at| format!("--image=img@{}", digest(&sandbox, at));
    let (nameless, tagged) = (image(0), image(1));
    sandbox.umoci(&["rm", &tagged]).fails_with("is not a tag");
    sandbox.umoci(&["rm", &nameless]).succeeds_silently();
    assert_eq!(state(&sandbox), [("b".to_owned(), json!({TAG: "b"}))]);
    sandbox.umoci(&["rm", &nameless]).fails_with("no image has the digest");
}

#[test]
fn a_digest_makes_no_tag() {
    let sandbox = layout(&[("a", json!({TAG: "a"}))]);
    let name = format!("x@{}", digest(&sandbox, 0));
    let image = format!("--image=img:{name}");
    let before = fs::read(sandbox.path("img/index.json")).unwrap();
    for words in [&["new", &image][..], &["index", "create", &image, "a"]] {
        sandbox.umoci(words).fails_with(&format!("{name} is not a tag"));
    }
    assert_eq!(fs::read(sandbox.path("img/index.json")).unwrap(), before);
}
