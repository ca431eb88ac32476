// SPDX-License-Identifier: Apache-2.0
//! Work without privileges. Cases 18, 19, 26, 31, 37, 75 and 87 are in `rootless`, where there
//! are filesystems and user namespaces to show them in.

use serde_json::Value;

use super::{bundle, quietly};
use crate::harness::{Sandbox, needs_root, peer, set_mode, write};

/// The configuration for an ordinary user, on a host that is made by a script.
fn config(sandbox: &Sandbox, host: &str) -> Option<Value> {
    let unshare = peer("unshare")?;
    let umoci = env!("CARGO_BIN_EXE_umoci");
    let script = format!(
        "set -e\n{host}\n{umoci} raw runtime-config --rootless --image=img --rootfs=bundle/rootfs config.json\n"
    );
    sandbox.peer(&unshare, &["-m", "sh", "-c", &script]).succeeds();
    Some(sandbox.json("config.json"))
}

fn mounts(config: &Value) -> Vec<Value> {
    config["mounts"].as_array().unwrap().clone()
}

#[test]
fn case_13_what_an_ordinary_user_may_not_ask_for() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|rootfs| {
        write(rootfs.join("etc/passwd"), "user:x:5:6::/:/bin/sh\n");
        write(rootfs.join("etc/group"), "more:x:7:user\n");
    });
    quietly(&sandbox, &["config", "--image=img", "--config.user=user"]);
    let Some(config) = config(&sandbox, "") else { return };
    assert_eq!(config["process"]["user"].get("additionalGids"), None);
    assert_eq!(config["linux"].get("seccomp"), None);
    assert_eq!(config["linux"].get("resources"), None);
    let types: Vec<_> = config["linux"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|namespace| namespace["type"].as_str().unwrap())
        .collect();
    assert!(types.contains(&"user") && !types.contains(&"network"), "{types:?}");
}

#[test]
fn case_36_resolv_conf_with_and_without_one() {
    if !needs_root() {
        return;
    }
    let sandbox = bundle(|_| ());
    let with = "mount -t tmpfs -o nodev,noexec none /etc; echo >/etc/resolv.conf";
    let without = "mount -t tmpfs none /etc";
    let Some(with) = config(&sandbox, with) else { return };
    let mut with = mounts(&with);
    let without = mounts(&config(&sandbox, without).unwrap());
    let resolv_conf = with.pop().unwrap();
    assert_eq!(resolv_conf["destination"], "/etc/resolv.conf");
    assert_eq!(resolv_conf["type"], "bind");
    let options = resolv_conf["options"].as_array().unwrap();
    assert!(
        ["nodev", "noexec", "rbind", "ro"].iter().all(|option| options.contains(&(*option).into()))
    );
    // Without it all of the rest is the same: nothing of it needs privileges.
    assert_eq!(with, without);
    assert!(!without.iter().any(|mount| mount["type"] == "sysfs"));
}

#[test]
fn case_46_no_permission_is_changed_that_is_not_in_the_way() {
    if !needs_root() {
        return;
    }
    let Some(strace) = crate::harness::strace() else { return };
    let sandbox = bundle(|rootfs| {
        write(rootfs.join("dir/readable"), "text");
        set_mode(rootfs.join("dir/readable"), 0o444);
        set_mode(rootfs.join("dir"), 0o555);
    });
    std::fs::create_dir(sandbox.path("home")).unwrap();
    sandbox.give_to_ordinary_user("img");
    sandbox.give_to_ordinary_user("home");
    let words = ["unpack", "--rootless", "--image=img", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).succeeds_silently();
    crate::harness::set_times(&sandbox.path("home/b/rootfs"), 1);
    let program = sandbox.copy_for_others();
    let traced = ["-f", "-qq", "-o", "home/calls", "-e", "trace=chmod,fchmod,fchmodat"];
    let words = [program.to_str().unwrap(), "repack", "--rehash", "--image=img:new", "home/b"];
    let words = [&traced[..], &words].concat();
    let mut command = sandbox.peer_of_ordinary_user(&strace, &words);
    crate::harness::Run::of(&mut command).succeeds_silently();
    assert!(sandbox.top_members("img", "new").contains(&"dir/readable".to_owned()));
    let calls = std::fs::read_to_string(sandbox.path("home/calls")).unwrap();
    assert!(!calls.contains("rootfs") && !calls.contains("0444"), "{calls}");
    assert!(!calls.contains("/proc/self/fd"), "{calls}");
}
