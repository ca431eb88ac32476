// SPDX-License-Identifier: Apache-2.0
//! Which image a command takes.

use serde_json::json;

use super::{
    INDEX, PLATFORMS, digests, entries, index_of, multi, platform_in, push, put, run, tag_of,
};
use crate::harness::{Sandbox, go_umoci, peer};

/// The platform of this machine as an image of `multi` names it.
fn host() -> Option<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Some("linux/amd64"),
        "aarch64" => Some("linux/arm64/v8"),
        _ => None,
    }
}

#[test]
fn reading_commands_take_the_platform_that_is_given() {
    let sandbox = multi();
    for platform in PLATFORMS {
        let words = ["--image=img:multi", "--platform", platform];
        assert_eq!(platform_in(&sandbox, &words), platform);
        let stat = run(&sandbox, &[&["stat", "--json"], &words[..]].concat());
        let stat: serde_json::Value = serde_json::from_str(&stat).unwrap();
        let variant = platform.split('/').nth(2);
        assert_eq!(stat["config"]["blob"]["variant"].as_str(), variant);
        run(&sandbox, &[&["raw", "runtime-config"], &words[..], &["config.json"]].concat());
        // The same as by its own tag.
        let (digest, _) = sandbox.manifest("img", &tag_of(platform));
        assert_eq!(stat["manifest"]["descriptor"]["digest"], digest.as_str());
    }
    for (wanted, found) in [
        ("linux/arm/v8", "linux/arm/v7"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/aarch64", "linux/arm64/v8"),
        ("linux/amd64/v3", "linux/amd64"),
    ] {
        assert_eq!(platform_in(&sandbox, &["--image=img:multi", "--platform", wanted]), found);
    }
    if let Some(host) = host() {
        assert_eq!(platform_in(&sandbox, &["--image=img:multi"]), host);
    }
}

#[test]
fn a_platform_that_there_is_not() {
    let sandbox = multi();
    let before = sandbox.tree("img");
    for words in [
        &["stat"][..],
        &["config", "--author=x"],
        &["insert", "img/oci-layout", "/x"],
        &["unpack", "bundle"],
        &["raw", "unpack", "tree"],
        &["tag", "new"],
    ] {
        let flags = ["--image=img:multi", "--platform=linux/s390x"];
        sandbox.umoci(&[words, &flags].concat()).fails_with(
            "no image for linux/s390x in multi: \
             there is linux/amd64, linux/arm64/v8, linux/arm/v7, linux/arm/v6",
        );
    }
    sandbox
        .umoci(&["stat", "--image=img:amd64", "--platform=linux/arm64"])
        .fails_with("no image for linux/arm64 in amd64: there is linux/amd64");
    sandbox
        .umoci(&["stat", "--image=img:amd64", "--platform=arm64"])
        .fails_with("invalid --platform: \"arm64\" is not of the form os/arch[/variant]");
    assert_eq!(sandbox.tree("img"), before);
    // What nobody asked for is a suggestion.
    run(&sandbox, &["index", "create", "--image=img:others", "arm-v6", "arm-v7"]);
    let of_host = sandbox.umoci(&["stat", "--image=img:others"]);
    if host().is_some() {
        of_host.fails_with("there is linux/arm/v6, linux/arm/v7");
        assert_eq!(of_host.hint().unwrap(), "--platform chooses one of them.");
    }
}

#[test]
fn attestations_are_never_meant() {
    let sandbox = multi();
    let mut index = index_of(&sandbox, "multi");
    let entry = entries(&sandbox, "multi")[1].clone();
    let mut unknown = entries(&sandbox, "multi")[0].clone();
    unknown["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    let mut docker = entries(&sandbox, "multi")[2].clone();
    docker.as_object_mut().unwrap().remove("platform");
    docker["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": entry["digest"],
    });
    index["manifests"] = json!([unknown, docker, entry]);
    push(&sandbox, "attested", put(&sandbox, INDEX, &index));
    // A single image is meant, whatever machine this is.
    assert_eq!(platform_in(&sandbox, &["--image=img:attested"]), "linux/arm64/v8");
    run(&sandbox, &["config", "--image=img:attested", "--author=x"]);
    let after = entries(&sandbox, "attested");
    assert_eq!(after[..2], index["manifests"].as_array().unwrap()[..2]);
    assert_ne!(after[2]["digest"], index["manifests"][2]["digest"]);
}

#[test]
fn entries_of_the_same_name_for_different_platforms() {
    let sandbox = multi();
    for entry in entries(&sandbox, "multi") {
        push(&sandbox, "several", entry);
    }
    assert_eq!(
        platform_in(&sandbox, &["--image=img:several", "--platform=linux/arm/v6"]),
        "linux/arm/v6"
    );
    sandbox.umoci(&["tag", "--image=img:several", "x"]).fails_with("tag is ambiguous: several");
    let before = sandbox.json("img/index.json");
    run(&sandbox, &["config", "--image=img:several", "--platform=linux/arm64", "--author=x"]);
    let after = sandbox.json("img/index.json");
    let (before, after) =
        (before["manifests"].as_array().unwrap(), after["manifests"].as_array().unwrap());
    assert_eq!(before.len(), after.len());
    let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    let [at] = changed[..] else { panic!("{changed:?}") };
    assert_eq!(before[at]["platform"], after[at]["platform"]);
    assert_eq!(before[at]["annotations"], after[at]["annotations"]);
    run(&sandbox, &["index", "create", "--image=img:one", "several"]);
    assert_eq!(entries(&sandbox, "one").len(), 4);
    // The very same twice is what nothing can tell apart.
    push(&sandbox, "several", entries(&sandbox, "multi")[3].clone());
    let words = ["stat", "--image=img:several", "--platform=linux/arm/v6"];
    sandbox.umoci(&words).fails_with("tag is ambiguous: several");
}

#[test]
fn a_platform_becomes_a_tag() {
    let sandbox = multi();
    run(&sandbox, &["tag", "--image=img:multi", "all"]);
    assert_eq!(sandbox.manifest("img", "all"), sandbox.manifest("img", "multi"));
    run(&sandbox, &["tag", "--image=img:multi", "--platform=linux/arm64", "one"]);
    assert_eq!(sandbox.manifest("img", "one"), sandbox.manifest("img", "arm64-v8"));
    if let Some(umoci) = go_umoci() {
        sandbox.peer(&umoci, &["stat", "--image=img:one"]).succeeds();
    }
    run(&sandbox, &["rm", "--image=img:multi"]);
    assert!(!sandbox.umoci(&["ls", "--layout=img"]).succeeds().contains("multi"));
}

#[test]
fn images_that_others_have_put_together() {
    let Some(skopeo) = peer("skopeo") else { return };
    let sandbox = multi();
    for format in ["oci", "v2s2"] {
        let words = ["copy", "--all", "--quiet", "--format", format, "oci:img:multi", "dir:dir"];
        sandbox.peer(&skopeo, &words).succeeds();
        let words = ["copy", "--all", "--quiet", "dir:dir", &format!("oci:img:{format}")];
        sandbox.peer(&skopeo, &words).succeeds();
        for platform in PLATFORMS {
            let image = format!("--image=img:{format}");
            assert_eq!(platform_in(&sandbox, &[&image, "--platform", platform]), platform);
        }
        std::fs::remove_dir_all(sandbox.path("dir")).unwrap();
    }
}

#[test]
fn images_that_buildah_has_put_together() {
    let (Some(buildah), true) = (peer("buildah"), crate::harness::needs_root()) else { return };
    let sandbox = multi();
    let storage = ["--root", "storage", "--runroot", "run", "--storage-driver", "vfs"];
    let buildah = |words: &[&str]| {
        let words = [&storage[..], words].concat();
        sandbox.peer(&buildah, &words).succeeds()
    };
    buildah(&["manifest", "create", "list"]);
    for platform in PLATFORMS {
        buildah(&["manifest", "add", "list", &format!("oci:img:{}", tag_of(platform))]);
    }
    for (format, tag) in [("oci", "of-buildah"), ("v2s2", "of-buildah-docker")] {
        let to = format!("oci:img:{tag}");
        buildah(&["manifest", "push", "--all", "--format", format, "list", &to]);
        for platform in PLATFORMS {
            let image = format!("--image=img:{tag}");
            assert_eq!(platform_in(&sandbox, &[&image, "--platform", platform]), platform);
        }
        let listed = run(&sandbox, &["index", "list", &format!("--image=img:{tag}")]);
        assert_eq!(listed.lines().count(), 5, "{listed}");
    }
    assert_eq!(digests(&entries(&sandbox, "of-buildah")).len(), 4);
}

#[test]
fn new_images_are_for_any_platform() {
    let sandbox = Sandbox::with_layout();
    run(&sandbox, &["new", "--image=img", "--platform=linux/aarch64/v8"]);
    let config = sandbox.config("latest");
    assert_eq!((&config["architecture"], &config["variant"]), (&json!("arm64"), &json!("v8")));
    run(&sandbox, &["new", "--image=img", "--platform=freebsd/amd64"]);
    let config = sandbox.config("latest");
    assert_eq!((&config["os"], config.get("variant")), (&json!("freebsd"), None));
    sandbox.umoci(&["new", "--image=img", "--platform=x"]).fails_with("invalid --platform: ");
    sandbox
        .umoci(&["rm", "--image=img", "--platform=linux/amd64"])
        .status()
        .filter(|status| *status == 1)
        .unwrap();
}
