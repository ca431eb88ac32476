// SPDX-License-Identifier: Apache-2.0
//! How images are addressed: by tag, digest, full name and short form, and what `ls` tells of them.

use std::fs;

use serde_json::{Value, json};
use umoci::oci::{Algorithm, Digest};

use crate::harness::{Run, Sandbox, peer};

pub(crate) const TAG: &str = "org.opencontainers.image.ref.name";
pub(crate) const FULL: &str = "io.containerd.image.name";
const ALPINE: &str = "docker.io/library/alpine:3.20";

/// A layout with images for these authors; each entry has these annotations.
pub(crate) fn layout(images: &[(&str, Value)]) -> Sandbox {
    let sandbox = Sandbox::with_layout();
    for (author, _) in images {
        let tag = format!("img:{author}");
        let script =
            format!("umoci new --image {tag} && umoci config --image {tag} --author {author}");
        sandbox.shell(&script).succeeds();
    }
    let mut index = sandbox.json("img/index.json");
    for (entry, (_, annotations)) in
        index["manifests"].as_array_mut().unwrap().iter_mut().zip(images)
    {
        entry["annotations"] = annotations.clone();
    }
    write_index(&sandbox, &index);
    sandbox
}

pub(crate) fn write_index(sandbox: &Sandbox, index: &Value) {
    fs::write(sandbox.path("img/index.json"), index.to_string()).unwrap();
}

pub(crate) fn entries(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.json("img/index.json")["manifests"].as_array().unwrap().clone()
}

pub(crate) fn digest(sandbox: &Sandbox, at: usize) -> String {
    entries(sandbox)[at]["digest"].as_str().unwrap().to_owned()
}

fn stat(sandbox: &Sandbox, image: &str) -> Run {
    sandbox.umoci(&["stat", "--image", image, "--json"])
}

/// The author of what an address means, and what was said about it.
#[track_caller]
pub(crate) fn author(sandbox: &Sandbox, image: &str) -> (String, String) {
    let run = stat(sandbox, image);
    let stat: Value = serde_json::from_str(&run.succeeds()).unwrap();
    (stat["config"]["blob"]["author"].as_str().unwrap().to_owned(), run.stderr())
}

#[track_caller]
pub(crate) fn means(sandbox: &Sandbox, image: &str, expected: &str) {
    assert_eq!(author(sandbox, image), (expected.to_owned(), String::new()), "{image}");
}

#[test]
fn an_image_has_a_digest() {
    let sandbox = layout(&[("a", json!({TAG: "a"})), ("b", json!({}))]);
    let (a, b) = (digest(&sandbox, 0), digest(&sandbox, 1));
    means(&sandbox, &format!("img@{a}"), "a");
    means(&sandbox, &format!("img@{b}"), "b");
    means(&sandbox, &format!("img:a@{a}"), "a");
    let text = format!("a@{b} does not lead there, but to {a}");
    stat(&sandbox, &format!("img:a@{b}")).fails_with(&text);
    stat(&sandbox, &format!("img:c@{b}")).fails_with("tag not found: c@sha256:");
    let other = Digest::of(Algorithm::Sha256, "x");
    stat(&sandbox, &format!("img@{other}")).fails_with(&format!("no image has the digest {other}"));
    stat(&sandbox, "img@sha256:0").fails_with("invalid digest");
    // Whatever is called exactly like that goes before.
    let mut index = sandbox.json("img/index.json");
    index["manifests"][1]["annotations"] = json!({TAG: format!("a@{a}")});
    write_index(&sandbox, &index);
    means(&sandbox, &format!("img:a@{a}"), "b");
}

#[test]
fn a_digest_is_found_in_nested_indexes() {
    let sandbox = layout(&[("a", json!({})), ("b", json!({}))]);
    let list = json!({"schemaVersion": 2, "manifests": entries(&sandbox)});
    let bytes = list.to_string();
    let sum = Digest::of(Algorithm::Sha256, &bytes);
    fs::write(sandbox.path("img/blobs/sha256").join(sum.hex()), &bytes).unwrap();
    let (a, b) = (digest(&sandbox, 0), digest(&sandbox, 1));
    let entry = json!({
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": sum.to_string(),
        "size": bytes.len(),
        "annotations": {TAG: "list"},
    });
    write_index(&sandbox, &json!({"schemaVersion": 2, "manifests": [entry]}));
    stat(&sandbox, "img:list").fails_with("tag is ambiguous: list");
    for address in [format!("img@{b}"), format!("img:list@{b}"), format!("img:list@{b}")] {
        means(&sandbox, &address, "b");
    }
    means(&sandbox, &format!("img@{a}"), "a");
    // Under its tag it stays in its index; under a tag of its own it is one image.
    let change = |image: &str, more: &[&str]| {
        let words = ["config", "--image", image, "--author", "new"];
        sandbox.umoci(&[&words[..], more].concat())
    };
    change(&format!("img@{a}"), &["--tag", "one"]).succeeds();
    means(&sandbox, "img:one", "new");
    stat(&sandbox, "img:list").fails_with("tag is ambiguous: list");
    change(&format!("img:list@{b}"), &[]).succeeds();
    means(&sandbox, &format!("img@{a}"), "a");
    stat(&sandbox, &format!("img@{b}")).fails_with("no image has the digest");
    assert_eq!(entries(&sandbox).len(), 2);
}

#[test]
fn what_is_made_of_a_digest_needs_a_tag() {
    let sandbox = layout(&[("a", json!({TAG: "a"})), ("b", json!({}))]);
    let address = format!("img@{}", digest(&sandbox, 0));
    let before = sandbox.tree("img");
    fs::write(sandbox.path("file"), "x").unwrap();
    for words in [
        &["config", "--image", &address, "--author", "x"][..],
        &["insert", "--image", &address, "file", "/file"],
    ] {
        let run = sandbox.umoci(words);
        run.fails_with("names no tag for the result");
        assert_eq!(run.hint().unwrap(), "--tag gives it one.");
    }
    for words in [&["new", "--image", &address][..], &["rm", "--image", &address]] {
        let run = sandbox.umoci(words);
        run.fails_with("is not a tag");
        assert_eq!(run.hint().unwrap(), "This command needs path:tag.");
    }
    assert_eq!(sandbox.tree("img"), before);
    sandbox.umoci(&["config", "--image", &address, "--author", "x", "--tag", "c"]).succeeds();
    means(&sandbox, "img:a", "a");
    means(&sandbox, "img:c", "x");
    let untagged = format!("img@{}", digest(&sandbox, 1));
    sandbox.umoci(&["tag", "--image", &untagged, "d"]).succeeds();
    means(&sandbox, "img:d", "b");
}

#[test]
fn without_a_tag_it_is_latest_or_the_only_one() {
    let sandbox = Sandbox::with_layout();
    stat(&sandbox, "img").fails_with("tag not found: latest");
    let sandbox = layout(&[("a", json!({TAG: "v1"}))]);
    means(&sandbox, "img", "a");
    sandbox.umoci(&["config", "--image", "img", "--author", "b"]).succeeds();
    means(&sandbox, "img:v1", "b");
    // What makes a tag or takes one away means `latest`, as ever.
    sandbox.umoci(&["rm", "--image", "img"]).succeeds();
    means(&sandbox, "img", "b");
    sandbox.umoci(&["new", "--image", "img"]).succeeds();
    assert_eq!(sandbox.umoci(&["ls", "--layout", "img"]).succeeds(), "v1\nlatest\n");
    sandbox.umoci(&["config", "--image", "img", "--author", "c"]).succeeds();
    means(&sandbox, "img:v1", "b");
    means(&sandbox, "img", "c");
    let sandbox = layout(&[("a", json!({TAG: "a"})), ("b", json!({TAG: "b"}))]);
    stat(&sandbox, "img").fails_with("tag not found: latest");
    // As crane makes it: nothing has a name.
    let sandbox = layout(&[("a", json!({}))]);
    means(&sandbox, "img", "a");
    sandbox.umoci(&["config", "--image", "img", "--author", "b"]).succeeds();
    means(&sandbox, "img", "b");
    assert_eq!(entries(&sandbox)[0].get("annotations"), None);
    sandbox.umoci(&["config", "--image", "img", "--author", "c", "--tag", "x"]).succeeds();
    means(&sandbox, "img:x", "c");
    means(&sandbox, &format!("img@{}", digest(&sandbox, 0)), "b");
}

/// What changes an image leaves it under its tag; what gives or takes away a tag means `latest`.
#[test]
fn without_a_tag_the_only_image_is_changed_in_its_place() {
    let tags = |words: &str| {
        let sandbox = layout(&[("a", json!({TAG: "a"}))]);
        let script = format!(
            "printf x >f; tar cf f.tar f; umoci unpack --rootless --image img bundle
             before=$(cat img/index.json); umoci {words}
             umoci ls --layout img | tr '\\n' ' '; [ \"$before\" = \"$(cat img/index.json)\" ] || echo changed"
        );
        sandbox.shell(&script).succeeds().trim_end().to_owned()
    };
    for words in [
        "config --image img --author=x",
        "insert --rootless --image img f /f",
        "raw add-layer --image img f.tar",
        "convert --image img --format docker",
    ] {
        assert_eq!(tags(words), "a changed", "{words}");
        assert_eq!(tags(&format!("{words} --tag=b")), "a b changed", "{words}");
    }
    for words in ["new --image img", "repack --image img bundle", "index create --image img a"] {
        assert_eq!(tags(words), "a latest changed", "{words}");
    }
    assert_eq!(tags("tag --image img b"), "a b changed");
    assert_eq!(tags("rm --image img"), "a");
    let sandbox = layout(&[("a", json!({TAG: "a"}))]);
    let run = sandbox.umoci(&["index", "list", "--image=img"]);
    run.fails_with("\"img\" leads to an image, not to an index of images");
}

#[test]
fn what_is_about_the_only_image_does_not_count() {
    let sandbox = layout(&[("a", json!({}))]);
    let image = entries(&sandbox)[0].clone();
    let digest = digest(&sandbox, 0);
    crate::garbage::attach(&sandbox, &image, "application/spdx+json");
    let mut signature =
        crate::garbage::put(&sandbox, image["mediaType"].as_str().unwrap(), digest.as_bytes());
    signature["annotations"] = json!({TAG: format!("{}.sig", digest.replace(':', "-"))});
    crate::garbage::push(&sandbox, signature);
    means(&sandbox, "img", "a");
    // A second entry of the image says what it is called, as after a copy to a tag.
    let mut named = image.clone();
    named["annotations"] = json!({TAG: "v1"});
    crate::garbage::push(&sandbox, named.clone());
    crate::garbage::push(&sandbox, image);
    means(&sandbox, "img", "a");
    let change = || sandbox.umoci(&["config", "--image", "img", "--author", "b", "--tag", "new"]);
    change().succeeds_silently();
    means(&sandbox, "img:new", "b");
    sandbox.umoci(&["rm", "--image", "img:new"]).succeeds();
    // Of two names it is not known which one a change is for.
    named["annotations"] = json!({TAG: "v2"});
    crate::garbage::push(&sandbox, named);
    means(&sandbox, "img", "a");
    let before = fs::read(sandbox.path("img/index.json")).unwrap();
    for words in [
        &["config", "--image=img", "--author=b"][..],
        &["convert", "--image=img", "--format=docker"],
    ] {
        let run = sandbox.umoci(words);
        run.fails_with("several tags lead to the only image: v1, v2");
        assert_eq!(run.hint().unwrap(), "--image path:tag says which one is meant.");
    }
    assert_eq!(fs::read(sandbox.path("img/index.json")).unwrap(), before);
}

#[test]
fn without_a_tag_and_with_several_images_it_says_what_there_is() {
    // The image of other tools, and what was made of it under a tag.
    let sandbox = layout(&[("a", json!({}))]);
    sandbox.umoci(&["config", "--image", "img", "--author", "b", "--tag", "x"]).succeeds();
    let text =
        format!("tag not found: latest, nor is there only one image: {}, x", digest(&sandbox, 0));
    let hint = "`umoci ls --long --layout img` shows the images that there are.";
    for words in [&["stat", "--image=img"][..], &["convert", "--image=img", "--format=docker"]] {
        let run = sandbox.umoci(words);
        run.fails_with(&text);
        assert_eq!(run.hint().unwrap(), hint);
    }
    let sandbox = layout(&[("a", json!({})), ("b", json!({}))]);
    let text =
        format!("several images have no tag: {}, {}", digest(&sandbox, 0), digest(&sandbox, 1));
    let run = stat(&sandbox, "img");
    run.fails_with(&text);
    assert_eq!(run.hint().unwrap(), hint);
    // For different platforms they are as one.
    sandbox
        .umoci(&[
            "config",
            "--image",
            &format!("img@{}", digest(&sandbox, 1)),
            "--tag=c",
            "--architecture=s390x",
        ])
        .succeeds();
    let mut index = sandbox.json("img/index.json");
    let list = index["manifests"].as_array_mut().unwrap();
    list.remove(1);
    list[1].as_object_mut().unwrap().remove("annotations");
    write_index(&sandbox, &index);
    means(&sandbox, "img", "a");
    let other = ["--image=img", "--platform=linux/s390x"];
    sandbox.umoci(&[&["config", "--author=c"], &other[..]].concat()).succeeds_silently();
    let found = sandbox.umoci(&[&["stat", "--json"], &other[..]].concat()).succeeds();
    assert!(found.contains("\"author\":\"c\""), "{found}");
    means(&sandbox, "img", "a");
    assert_eq!(entries(&sandbox).len(), 2);
}

#[test]
fn a_tag_with_an_entry_for_each_platform_can_become_one_index() {
    let sandbox = layout(&[("a", json!({TAG: "t"})), ("b", json!({TAG: "b"}))]);
    sandbox.umoci(&["config", "--image=img:b", "--architecture=s390x"]).succeeds();
    let mut index = sandbox.json("img/index.json");
    index["manifests"][1]["annotations"] = json!({TAG: "t"});
    write_index(&sandbox, &index);
    let hint = "`umoci index create --image img:t t` makes one index of them.";
    for words in [
        &["convert", "--image=img:t", "--format=docker"][..],
        &["index", "list", "--image=img:t"],
        &["tag", "--image=img:t", "u"],
    ] {
        let run = sandbox.umoci(words);
        run.fails_with("tag is ambiguous: t");
        assert_eq!(run.hint().unwrap(), hint, "{words:?}");
    }
    sandbox.shell("umoci index create --image img:t t").succeeds();
    sandbox.umoci(&["tag", "--image=img:t", "u"]).succeeds();
    // Two of one platform are no index.
    let sandbox = layout(&[("a", json!({TAG: "t"})), ("b", json!({TAG: "t"}))]);
    let run = sandbox.umoci(&["convert", "--image=img:t", "--format=docker"]);
    run.fails_with("tag is ambiguous: t");
    assert_eq!(
        run.hint().unwrap(),
        "`umoci ls --long --layout img` shows the images that there are."
    );
}

#[test]
fn what_is_no_layout_is_told_from_one() {
    let sandbox = layout(&[("a", json!({TAG: "a"}))]);
    sandbox
        .shell("mkdir other; touch other/version other/manifest.json; tar -cf docker.tar other; tar -cf oci.tar -C img oci-layout index.json blobs")
        .succeeds();
    let makes = |form: &str| format!("`skopeo copy {form} oci:PATH:TAG` makes it a layout.");
    for (words, hint) in [
        (["stat", "--image", "other:x"], makes("dir:other")),
        (["stat", "--image", "docker.tar:x"], makes("docker-archive:docker.tar")),
        (["stat", "--image", "oci.tar"], makes("oci-archive:oci.tar")),
        (["ls", "--layout", "oci.tar"], makes("oci-archive:oci.tar")),
        (["ls", "--layout", "oci:img"], "--layout takes a path alone: --layout img".to_owned()),
        (["ls", "--layout", "oci:img:a"], "--layout takes a path alone: --layout img".to_owned()),
        (["ls", "--layout", "img:a"], "--layout takes a path alone: --layout img".to_owned()),
        (
            ["ls", "--layout", "docker-archive:x"],
            "`skopeo copy` brings an image into a layout (oci:PATH:TAG) first.".to_owned(),
        ),
        (["ls", "--layout", "none"], "There is no image layout in \"none\".".to_owned()),
    ] {
        let run = sandbox.umoci(&words);
        run.fails();
        assert_eq!(run.hint().unwrap(), hint, "{words:?}");
    }
}

#[test]
fn full_names_and_their_short_forms() {
    for annotations in [json!({TAG: ALPINE}), json!({TAG: "3.20", FULL: ALPINE})] {
        let sandbox = layout(&[("a", annotations), ("b", json!({TAG: "other"}))]);
        means(&sandbox, &format!("img:{ALPINE}"), "a");
        for short in ["alpine:3.20", "library/alpine:3.20", "docker.io/alpine:3.20"] {
            let said = format!("umoci: {short} is {ALPINE} here\n");
            assert_eq!(author(&sandbox, &format!("img:{short}")), ("a".to_owned(), said));
        }
        stat(&sandbox, "img:alpine").fails_with("tag not found: alpine");
        stat(&sandbox, "img:alpine:3.2").fails_with("tag not found");
        // The result stays where the image was.
        sandbox.umoci(&["config", "--image", "img:alpine:3.20", "--author", "c"]).succeeds();
        means(&sandbox, &format!("img:{ALPINE}"), "c");
        assert_eq!(entries(&sandbox).len(), 2);
        // Another tag is not called like that as well.
        sandbox.umoci(&["tag", "--image", &format!("img:{ALPINE}"), "new"]).succeeds();
        let all = entries(&sandbox);
        assert_eq!(all.last().unwrap()["annotations"], json!({TAG: "new"}));
        means(&sandbox, &format!("img:{ALPINE}"), "c");
    }
}

#[test]
fn a_short_form_that_means_several_lists_them() {
    let quay = "quay.io/x/alpine:3.20";
    let sandbox = layout(&[
        ("a", json!({TAG: "3.20", FULL: ALPINE})),
        ("b", json!({TAG: "3.20", FULL: quay})),
    ]);
    let both = format!("it can mean {ALPINE}, {quay}");
    stat(&sandbox, "img:alpine:3.20").fails_with(&format!("tag is ambiguous: alpine:3.20: {both}"));
    stat(&sandbox, "img:3.20").fails_with(&format!("tag is ambiguous: 3.20: {both}"));
    means(&sandbox, &format!("img:{quay}"), "b");
    // A change of one leaves the other alone.
    sandbox.umoci(&["config", "--image", &format!("img:{quay}"), "--author", "c"]).succeeds();
    means(&sandbox, &format!("img:{quay}"), "c");
    means(&sandbox, &format!("img:{ALPINE}"), "a");
}

#[test]
fn names_of_skopeo_and_podman_are_found() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = layout(&[("a", json!({TAG: "a"}))]);
    let target = format!("oci:other:{ALPINE}");
    sandbox.peer(&skopeo, &["copy", "-q", "oci:img:a", &target]).succeeds();
    means(&sandbox, &format!("other:{ALPINE}"), "a");
    let (found, said) = author(&sandbox, "other:alpine:3.20");
    assert!(found == "a" && said.contains(ALPINE), "{said}");
}

#[test]
fn one_image_is_validated_by_any_address() {
    let sandbox = layout(&[("a", json!({TAG: "3.20", FULL: ALPINE})), ("b", json!({}))]);
    let bad = digest(&sandbox, 1);
    fs::write(sandbox.path("img/blobs").join(bad.replace(':', "/")), "{}").unwrap();
    let status = |image: &str| sandbox.umoci(&["validate", "--image", image]).status();
    for image in ["img:3.20", "img:alpine:3.20", &format!("img@{}", digest(&sandbox, 0))] {
        assert_eq!(status(image), Some(0), "{image}");
    }
    assert_eq!(status(&format!("img@{bad}")), Some(3));
    assert_eq!(status("img"), Some(1));
}

#[test]
fn ls_tells_more_on_request() {
    let sandbox = layout(&[("a", json!({TAG: "3.20", FULL: ALPINE})), ("b", json!({}))]);
    let ls = |flag: &str| {
        let mut command = sandbox.command(&["ls", "--layout", "img", flag]);
        Run::of(command.env("SOURCE_DATE_EPOCH", "4102444800")).succeeds()
    };
    let platform = sandbox.umoci(&["stat", "--image", "img:3.20"]).succeeds();
    let arch = if platform.contains("amd64") { "linux/amd64" } else { "linux/arm64" };
    let text = ls("--long");
    let lines: Vec<&str> = text.lines().collect();
    let columns = |line: &str| -> Vec<String> {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.map(str::to_owned).collect()
    };
    assert_eq!(columns(lines[0]), ["TAG", "DIGEST", "PLATFORM", "SIZE", "CREATED"]);
    let first = columns(lines[1]);
    assert_eq!(first[..3], [format!("3.20 ({ALPINE})"), digest(&sandbox, 0), arch.to_owned()]);
    assert!(first[3].ends_with(" B") && first[4].ends_with(" years ago"), "{first:?}");
    assert_eq!(columns(lines[2])[..2], ["-".to_owned(), digest(&sandbox, 1)]);
    let found: Value = serde_json::from_str(&ls("--json")).unwrap();
    assert_eq!(found["version"], 1);
    let found = found["entries"].clone();
    assert_eq!(found[0]["tag"], "3.20");
    assert_eq!(found[0]["full_name"], ALPINE);
    let (os, arch) = arch.split_once('/').unwrap();
    assert_eq!(found[0]["platforms"], json!([{"architecture": arch, "os": os}]));
    assert_eq!(found[0]["descriptor"], entries(&sandbox)[0]);
    assert_eq!((&found[1]["tag"], &found[1]["problem"]), (&Value::Null, &Value::Null));
    assert_eq!(found[1]["digest"], json!(digest(&sandbox, 1)));
    assert!(found[0]["size"].as_u64().unwrap() > 300 && found[0]["created"].is_string());
    // Plain output stays as it is, and damage behind one entry does not hide the others.
    assert_eq!(sandbox.umoci(&["ls", "--layout", "img"]).succeeds(), "3.20\n");
    let bad = digest(&sandbox, 0);
    fs::write(sandbox.path("img/blobs").join(bad.replace(':', "/")), "{}").unwrap();
    let run = sandbox.umoci(&["ls", "--layout", "img", "--long"]);
    assert_eq!(run.succeeds().lines().count(), 3);
    assert!(run.stderr().contains(&bad), "{}", run.stderr());
    let found: Value = serde_json::from_str(&ls("--json")).unwrap();
    let found = &found["entries"];
    assert!(found[0]["problem"].is_string() && found[1]["problem"].is_null());
}
