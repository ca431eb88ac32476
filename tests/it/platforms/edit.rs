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
