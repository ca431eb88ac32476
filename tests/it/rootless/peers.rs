// SPDX-License-Identifier: Apache-2.0
//! Bundles of an ordinary user with other programs: the Go program of the same
//! name, and a runtime.

use super::scene::{self, members};
use crate::harness::{Run, go_umoci, needs_root, peer, skip};

/// Owner and name of each member, without what the two programs are known to do differently.
fn owners(text: &str) -> Vec<String> {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.map(|words| format!("{} {}", words[1], words[5..].join(" "))).collect()
}

#[test]
fn the_go_program_repacks_what_is_unpacked_here() {
    if !needs_root() {
        return;
    }
    let Some(go) = go_umoci() else { return };
    let sandbox = scene::sandbox();
    let words = ["unpack", "--rootless", "--image=img:full", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).succeeds_silently();
    let words = ["repack", "--image=img:none", "home/b"];
    Run::of(&mut sandbox.peer_of_ordinary_user(&go, &words)).succeeds();
    // Nothing has changed, so there is no layer.
    assert_eq!(scene::last_layer(&sandbox, "none"), scene::last_layer(&sandbox, "full"));

    let page = sandbox.path("home/b/rootfs/var/www/page");
    filetime::set_file_mtime(page, filetime::FileTime::zero()).unwrap();
    let words = ["repack", "--image=img:one", "home/b"];
    Run::of(&mut sandbox.peer_of_ordinary_user(&go, &words)).succeeds();
    assert_eq!(owners(&members(&sandbox, "one")), ["33/33 var/www/page"]);
}

#[test]
fn a_bundle_of_the_go_program_is_repacked_here() {
    if !needs_root() {
        return;
    }
    let Some(go) = go_umoci() else { return };
    let sandbox = scene::sandbox();
    let words = ["unpack", "--rootless", "--image=img:full", "home/b"];
    let run = Run::of(&mut sandbox.peer_of_ordinary_user(&go, &words));
    run.succeeds();
    let words = ["repack", "--image=img:none", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).succeeds_silently();
    assert_eq!(scene::last_layer(&sandbox, "none"), scene::last_layer(&sandbox, "full"));

    let su = sandbox.path("home/b/rootfs/bin/su");
    filetime::set_file_mtime(su, filetime::FileTime::zero()).unwrap();
    let words = ["repack", "--image=img:one", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).succeeds_silently();
    assert_eq!(owners(&members(&sandbox, "one")), ["7/0 bin/su"]);
}

#[test]
fn a_bundle_runs_with_runc() {
    if !needs_root() {
        return;
    }
    let (Some(runc), Some(busybox)) = (peer("runc"), peer("busybox")) else { return };
    let sandbox = scene::sandbox();
    std::fs::copy(busybox, sandbox.path("root/rootfs/bin/sh")).unwrap();
    sandbox.umoci(&["repack", "--image=img:shell", "root"]).succeeds_silently();
    let words = ["config", "--image=img:shell", "--config.cmd=/bin/sh", "--config.cmd=-c"];
    let script = "--config.cmd=id -u; cat /etc/passwd";
    sandbox.umoci(&[&words[..], &[script]].concat()).succeeds_silently();
    sandbox.give_to_ordinary_user("img");
    let words = ["unpack", "--rootless", "--image=img:shell", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).succeeds_silently();
    // The test has no terminal.
    let config = sandbox.path("home/b/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"terminal\": true", "\"terminal\": false")).unwrap();
    std::fs::create_dir(sandbox.path("home/state")).unwrap();
    sandbox.give_to_ordinary_user("home/state");
    let state = sandbox.path("home/state");
    let words =
        ["--rootless=true", "--root", state.to_str().unwrap(), "run", "-b", "home/b", "umoci-test"];
    let run = Run::of(&mut sandbox.peer_of_ordinary_user(&runc, &words));
    if run.status() != Some(0) {
        let _: Option<()> =
            skip(&format!("a machine where runc works without root: {}", run.stderr()));
        return;
    }
    assert_eq!(run.stdout(), "0\netc/passwd\n");
}
