// SPDX-License-Identifier: Apache-2.0
//! Changing one image of several.

use serde_json::{Value, json};

use super::{INDEX, MANIFEST, PLATFORMS, entries, index_of, multi, platform_in, push, put, run};
use crate::harness::{Sandbox, go_umoci, needs_root, peer, write};

/// What has become of `before`: only the entry `at` has another digest and size, and nothing else
/// has changed.
#[track_caller]
fn assert_only_changed(before: &[Value], after: &[Value], at: usize) {
    assert_eq!(before.len(), after.len());
    for (number, (old, new)) in before.iter().zip(after).enumerate() {
        assert_eq!(old["digest"] == new["digest"], number != at, "{number}\n{old}\n{new}");
        let mut new = new.clone();
        new["digest"] = old["digest"].clone();
        new["size"] = old["size"].clone();
        assert_eq!(*old, new);
    }
}

#[test]
fn every_editing_command_changes_its_entry_in_place() {
    let sandbox = multi();
    write(sandbox.path("layer.tar"), [0; 1024]);
    let mut document = index_of(&sandbox, "multi");
    document["annotations"] = json!({"a": "b"});
    document["unknown"] = json!([1.0]);
    document["manifests"][1]["annotations"] = json!({"entry": "c"});
    document["manifests"][1]["platform"]["features"] = json!(["x"]);
    push(&sandbox, "annotated", put(&sandbox, INDEX, &document));
    for words in [
        &["config", "--author=x"][..],
        &["insert", "layer.tar", "/x"],
        &["raw", "add-layer", "layer.tar"],
    ] {
        let before = index_of(&sandbox, "annotated");
        let flags = ["--image=img:annotated", "--platform=linux/arm64"];
        run(&sandbox, &[words, &flags].concat());
        let after = index_of(&sandbox, "annotated");
        let list = |index: &Value| index["manifests"].as_array().unwrap().clone();
        assert_only_changed(&list(&before), &list(&after), 1);
        assert_eq!(
            (&after["annotations"], &after["unknown"]),
            (&document["annotations"], &document["unknown"])
        );
    }
    assert_eq!(sandbox.umoci(&["gc", "--layout=img"]).status(), Some(0));
    for platform in PLATFORMS {
        assert_eq!(
            platform_in(&sandbox, &["--image=img:annotated", "--platform", platform]),
            platform
        );
    }
    if let Some(skopeo) = peer("skopeo") {
        for (arch, author) in [("arm64", Some("x")), ("amd64", None)] {
            let words = ["--override-arch", arch, "inspect", "--config", "oci:img:annotated"];
            let config: Value =
                serde_json::from_str(&sandbox.peer(&skopeo, &words).succeeds()).unwrap();
            assert_eq!(config["author"].as_str(), author);
            let words =
                ["--override-arch", arch, "copy", "--quiet", "oci:img:annotated", "dir:dir"];
            sandbox.peer(&skopeo, &words).succeeds();
        }
    }
}

#[test]
fn up_through_nested_indexes() {
    let sandbox = multi();
    let all = entries(&sandbox, "multi");
    let list =
        |entries: Value| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let inner = put(&sandbox, INDEX, &list(json!([all[2], all[3]])));
    let outer = put(&sandbox, INDEX, &list(json!([all[0], inner, all[1]])));
    push(&sandbox, "nested", outer);
    run(&sandbox, &["config", "--image=img:nested", "--platform=linux/arm/v6", "--author=x"]);
    let after = entries(&sandbox, "nested");
    assert_only_changed(&[all[0].clone(), inner, all[1].clone()], &after, 1);
    let digest = after[1]["digest"].as_str().unwrap();
    let inner: Value = serde_json::from_slice(&sandbox.blob(digest)).unwrap();
    assert_only_changed(
        &[all[2].clone(), all[3].clone()],
        inner["manifests"].as_array().unwrap(),
        1,
    );

    run(&sandbox, &["index", "create", "--flatten", "--image=img:flat", "nested"]);
    let platforms: Vec<Value> =
        entries(&sandbox, "flat").iter().map(|e| e["platform"].clone()).collect();
    let expected: Vec<Value> = [0, 2, 3, 1].iter().map(|at| all[*at]["platform"].clone()).collect();
    assert_eq!(platforms, expected);
}

#[test]
fn one_image_with_two_entries_becomes_two() {
    let sandbox = multi();
    let mut index = index_of(&sandbox, "multi");
    let mut same = index["manifests"][3].clone();
    same["platform"]["variant"] = "v5".into();
    index["manifests"].as_array_mut().unwrap().push(same);
    push(&sandbox, "shared", put(&sandbox, INDEX, &index));
    run(&sandbox, &["config", "--image=img:shared", "--platform=linux/arm/v6", "--author=x"]);
    assert_only_changed(index["manifests"].as_array().unwrap(), &entries(&sandbox, "shared"), 3);
}

#[test]
fn an_entry_says_what_its_image_became() {
    let sandbox = multi();
    let before = entries(&sandbox, "multi");
    run(
        &sandbox,
        &["config", "--image=img:multi", "--platform=linux/arm/v6", "--platform.variant=v5"],
    );
    let after = entries(&sandbox, "multi");
    assert_eq!(after[3]["platform"]["variant"], "v5");
    assert_eq!(after[..3], before[..3]);
}

#[test]
fn a_bundle_goes_back_to_its_place() {
    if !needs_root() {
        return;
    }
    let sandbox = multi();
    let before = entries(&sandbox, "multi");
    let bundles = [(0, "linux/amd64"), (1, "linux/arm64"), (3, "linux/arm/v6")];
    for (at, platform) in bundles {
        let bundle = format!("bundle{at}");
        run(&sandbox, &["unpack", "--image=img:multi", "--platform", platform, &bundle]);
        let record = sandbox.json(format!("{bundle}/umoci.json"));
        assert_eq!(record["from_descriptor_path"]["descriptor_walk"].as_array().unwrap().len(), 2);
        write(sandbox.path(format!("{bundle}/rootfs/new")), platform);
    }
    // Each of them finds the others as they are by then.
    for (at, _) in bundles {
        let old = entries(&sandbox, "multi");
        run(&sandbox, &["repack", "--image=img:multi", &format!("bundle{at}")]);
        assert_only_changed(&old, &entries(&sandbox, "multi"), at);
    }
    let after = entries(&sandbox, "multi");
    assert_eq!(after[2], before[2]);
    // A bundle that is repacked again is still of the image it was unpacked from.
    write(sandbox.path("bundle0/rootfs/again"), "x");
    run(&sandbox, &["repack", "--image=img:multi", "--refresh-bundle", "bundle0"]);
    assert_only_changed(&after, &entries(&sandbox, "multi"), 0);
    write(sandbox.path("bundle0/rootfs/third"), "x");
    run(&sandbox, &["repack", "--image=img:multi", "bundle0"]);
    assert_only_changed(&after, &entries(&sandbox, "multi"), 0);
    let _ = std::fs::remove_dir_all(sandbox.path("tree"));
    run(&sandbox, &["raw", "unpack", "--image=img:multi", "--platform=linux/amd64", "tree"]);
    for name in ["new", "again", "third", "platform"] {
        assert!(sandbox.path("tree").join(name).exists(), "{name}");
    }
    // To a tag that is not there go all platforms.
    run(&sandbox, &["repack", "--image=img:other", "bundle3"]);
    assert_only_changed(&before, &entries(&sandbox, "other"), 3);
    run(&sandbox, &["repack", "--image=img:other", "bundle1"]);
    let other = entries(&sandbox, "other");
    assert_eq!((&other[0], &other[2]), (&before[0], &before[2]));
    assert!(other[1] != before[1] && other[3] != before[3]);
    let words = ["repack", "--image=img:multi", "--platform=linux/arm/v6", "bundle1"];
    sandbox.umoci(&words).fails_with("the bundle is for linux/arm64/v8, not for linux/arm/v6");
}

/// Unpacks the image of a tag for a platform, and changes it.
fn changed_bundle(sandbox: &Sandbox, tag: &str, platform: &str) {
    let image = format!("--image=img:{tag}");
    run(sandbox, &["unpack", "--rootless", &image, "--platform", platform, "bundle"]);
    write(sandbox.path("bundle/rootfs/new"), platform);
}

#[track_caller]
fn assert_valid(sandbox: &Sandbox, tag: &str) {
    run(sandbox, &["validate", "--image", &format!("img:{tag}")]);
}

#[test]
fn a_bundle_whose_entry_is_gone_undoes_nothing() {
    let sandbox = multi();
    changed_bundle(&sandbox, "multi", "linux/arm64");
    run(&sandbox, &["config", "--image=img:multi", "--platform=linux/amd64", "--author=x"]);
    run(&sandbox, &["index", "annotate", "--image=img:multi", "k=v"]);
    run(&sandbox, &["index", "remove", "--image=img:multi", "linux/arm64"]);
    let before = index_of(&sandbox, "multi");
    let words = ["repack", "--image=img:multi", "--annotation=descriptor:d=e", "bundle"];
    run(&sandbox, &words);
    let mut after = index_of(&sandbox, "multi");
    let added = after["manifests"].as_array_mut().unwrap().pop().unwrap();
    assert_eq!(after, before);
    let platform = json!({"architecture": "arm64", "os": "linux", "variant": "v8"});
    assert_eq!((&added["platform"], &added["annotations"]), (&platform, &json!({"d": "e"})));
    assert_eq!(
        platform_in(&sandbox, &["--image=img:multi", "--platform=linux/arm64"]),
        "linux/arm64/v8"
    );
    assert!(sandbox.path("tree/new").exists());
    // It is found there from now on.
    write(sandbox.path("bundle/rootfs/again"), "x");
    run(&sandbox, &["repack", "--image=img:multi", "bundle"]);
    let again = index_of(&sandbox, "multi");
    assert_eq!(again["manifests"].as_array().unwrap().len(), 4);
    assert_eq!(again["manifests"][0], before["manifests"][0]);
    assert_ne!(again["manifests"][3], added);
    assert_valid(&sandbox, "multi");
}

#[test]
fn a_bundle_whose_entry_is_for_another_platform_now_gets_a_new_one() {
    let sandbox = multi();
    changed_bundle(&sandbox, "multi", "linux/arm/v6");
    let words = ["config", "--image=img:multi", "--platform=linux/arm/v6"];
    run(&sandbox, &[&words[..], &["--platform.variant=v5"]].concat());
    let before = entries(&sandbox, "multi");
    run(&sandbox, &["repack", "--image=img:multi", "bundle"]);
    let after = entries(&sandbox, "multi");
    assert_eq!(after[..4], before);
    assert_eq!((after.len(), &after[4]["platform"]["variant"]), (5, &json!("v6")));
}

/// A tag `silent` for an index that states no platforms, with the first two images of `multi`.
fn silent(sandbox: &Sandbox) {
    let mut index = index_of(sandbox, "multi");
    index["manifests"].as_array_mut().unwrap().truncate(2);
    for entry in index["manifests"].as_array_mut().unwrap() {
        entry.as_object_mut().unwrap().remove("platform");
    }
    push(sandbox, "silent", put(sandbox, INDEX, &index));
}

#[test]
fn a_bundle_of_an_index_without_platforms_finds_its_place_again() {
    let sandbox = multi();
    silent(&sandbox);
    changed_bundle(&sandbox, "silent", "linux/arm64");
    for name in ["first", "second"] {
        write(sandbox.path("bundle/rootfs").join(name), name);
        let author = format!("--author={name}");
        run(&sandbox, &["config", "--image=img:silent", "--platform=linux/amd64", &author]);
        let before = entries(&sandbox, "silent");
        run(&sandbox, &["repack", "--image=img:silent", "bundle"]);
        assert_only_changed(&before, &entries(&sandbox, "silent"), 1);
    }
}

#[test]
fn a_bundle_with_several_possible_places_has_none() {
    let sandbox = multi();
    silent(&sandbox);
    changed_bundle(&sandbox, "silent", "linux/arm64");
    for author in ["x", "y"] {
        let image = format!("--image=img:{author}");
        run(&sandbox, &["tag", "--image=img:arm64-v8", author]);
        run(&sandbox, &["config", &image, "--author", author]);
    }
    let mut both = Vec::new();
    for tag in ["x", "y"] {
        let (digest, _) = sandbox.manifest("img", tag);
        let size = sandbox.blob(&digest).len();
        both.push(json!({"mediaType": MANIFEST, "digest": digest, "size": size}));
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": both});
    push(&sandbox, "arms", put(&sandbox, INDEX, &index));
    let before = sandbox.json("img/index.json");
    let refused = sandbox.umoci(&["repack", "--image=img:arms", "bundle"]);
    refused.fails_with(
        "repack \"bundle\": find its place: tag is ambiguous: arms has several images for \
         linux/arm64/v8",
    );
    assert!(refused.stderr().contains("Give the result a tag of its own"));
    assert_eq!(sandbox.json("img/index.json"), before);
    // Entries of the same name are not replaced by what is for none of their platforms.
    for entry in entries(&sandbox, "multi").into_iter().skip(2) {
        push(&sandbox, "several", entry);
    }
    let before = sandbox.json("img/index.json");
    let refused = sandbox.umoci(&["repack", "--image=img:several", "bundle"]);
    refused.fails_with("tag is ambiguous: several has no entry for the same platform");
    assert_eq!(sandbox.json("img/index.json"), before);
}

#[test]
fn an_image_keeps_its_format_in_an_index_of_the_other() {
    for (from, to) in [("oci", "docker"), ("docker", "oci")] {
        let sandbox = multi();
        run(&sandbox, &["convert", "--image=img:multi", "--format", from]);
        changed_bundle(&sandbox, "multi", "linux/arm64");
        run(&sandbox, &["convert", "--image=img:multi", "--format", to]);
        let before = entries(&sandbox, "multi");
        run(&sandbox, &["repack", "--image=img:multi", "bundle"]);
        let mut after = entries(&sandbox, "multi");
        let digest = after[1]["digest"].as_str().unwrap();
        let manifest: Value = serde_json::from_slice(&sandbox.blob(digest)).unwrap();
        assert_eq!(after[1]["mediaType"], manifest["mediaType"]);
        assert_ne!(after[1]["mediaType"], before[1]["mediaType"]);
        after[1]["mediaType"] = before[1]["mediaType"].clone();
        assert_only_changed(&before, &after, 1);
        assert_valid(&sandbox, "multi");
    }
}

#[test]
fn one_image_in_the_place_of_several_is_told() {
    let sandbox = multi();
    let (index, _) = sandbox.manifest("img", "multi");
    let warning = |tag: &str| {
        format!(
            "umoci: warn: {tag} had images for linux/amd64, linux/arm/v6, linux/arm/v7, \
             linux/arm64/v8; it is one image now (the index {index} stays until garbage is \
             collected)\n"
        )
    };
    changed_bundle(&sandbox, "amd64", "linux/amd64");
    for words in [
        &["repack", "--image=img:told", "bundle"][..],
        &["config", "--image=img:amd64", "--tag=told", "--author=x"],
        &["insert", "--image=img:amd64", "--tag=told", "file", "/y"],
    ] {
        run(&sandbox, &["tag", "--image=img:multi", "told"]);
        let told = sandbox.umoci(words);
        told.succeeds();
        assert_eq!(told.stderr(), warning("told"), "{words:?}");
        // Once more nothing is lost.
        sandbox.umoci(words).succeeds_silently();
    }
}

#[test]
fn bundles_of_entries_of_the_same_name() {
    if !needs_root() {
        return;
    }
    let sandbox = multi();
    for entry in entries(&sandbox, "multi").into_iter().take(2) {
        push(&sandbox, "several", entry);
    }
    for (platform, bundle) in [("linux/amd64", "a"), ("linux/arm64", "b")] {
        run(&sandbox, &["unpack", "--image=img:several", "--platform", platform, bundle]);
        write(sandbox.path(format!("{bundle}/rootfs/new")), platform);
    }
    for bundle in ["a", "b", "a"] {
        run(&sandbox, &["repack", "--image=img:several", bundle]);
    }
    for platform in ["linux/amd64", "linux/arm64"] {
        let _ = std::fs::remove_dir_all(sandbox.path("tree"));
        let words = ["raw", "unpack", "--image=img:several", "--platform", platform, "tree"];
        run(&sandbox, &words);
        assert_eq!(std::fs::read_to_string(sandbox.path("tree/new")).unwrap(), platform);
    }
}

#[test]
fn several_commands_at_once_change_several_platforms() {
    let sandbox = multi();
    let children: Vec<_> = (PLATFORMS.iter().cycle().take(12).enumerate())
        .map(|(number, platform)| {
            let label = format!("--config.label=l{number}=x");
            let words = ["config", "--image=img:multi", "--platform", platform, &label];
            sandbox.command(&words).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let labels = |platform: &&str| {
        let stat = run(&sandbox, &["stat", "--json", "--image=img:multi", "--platform", platform]);
        let stat: Value = serde_json::from_str(&stat).unwrap();
        stat["config"]["blob"]["config"]["Labels"].as_object().unwrap().len()
    };
    assert_eq!(PLATFORMS.iter().map(labels).collect::<Vec<_>>(), [3; 4]);
}

#[test]
fn the_other_implementation_reads_an_index_of_one() {
    let (Some(umoci), true) = (go_umoci(), needs_root()) else { return };
    let sandbox: Sandbox = multi();
    run(&sandbox, &["index", "create", "--image=img:one", "arm-v7"]);
    sandbox.peer(&umoci, &["unpack", "--image", "img:one", "bundle"]).succeeds();
    write(sandbox.path("bundle/rootfs/new"), "x");
    run(&sandbox, &["repack", "--image=img:one", "bundle"]);
    let after = entries(&sandbox, "one");
    assert_eq!((after.len(), &after[0]["mediaType"]), (1, &json!(MANIFEST)));
    sandbox.peer(&umoci, &["unpack", "--image", "img:one", "again"]).succeeds();
    assert!(sandbox.path("again/rootfs/new").exists());
}

#[test]
fn a_second_image_for_a_platform_is_told() {
    let sandbox = multi();
    let make_arm = |image: &str, platform: &str| {
        let words = ["config", image, platform, "--architecture=arm64", "--platform.variant=v8"];
        sandbox.umoci(&words)
    };
    let told = |tag: &str, run: &crate::harness::Run| {
        assert_eq!(run.succeeds(), "");
        let starts = format!("umoci: warn: {tag} has another image for linux/arm64/v8: sha256:");
        let stderr = run.stderr();
        assert!(stderr.starts_with(&starts) && stderr.lines().count() == 1, "{stderr}");
    };
    told("multi", &make_arm("--image=img:multi", "--platform=linux/amd64"));
    // Once more nothing new is wrong.
    sandbox
        .umoci(&["config", "--image=img:multi", "--platform=linux/arm64", "--author=x"])
        .succeeds_silently();
    // Alone there is no other.
    make_arm("--image=img:amd64", "--platform=linux/amd64").succeeds_silently();
    // Entries of one tag are like those of an index.
    let mut index = sandbox.json("img/index.json");
    for entry in index["manifests"].as_array_mut().unwrap() {
        let tag = &mut entry["annotations"]["org.opencontainers.image.ref.name"];
        if *tag == "arm64-v8" || *tag == "arm-v6" {
            *tag = "arms".into();
        }
    }
    crate::harness::write(sandbox.path("img/index.json"), index.to_string());
    told("arms", &make_arm("--image=img:arms", "--platform=linux/arm/v6"));
}
