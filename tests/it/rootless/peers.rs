// SPDX-License-Identifier: Apache-2.0
//! Bundles of an ordinary user with other programs: the Go program of the same
//! name, and a runtime.

use std::io::{self, Write};
use std::path::Path;

use super::scene::{self, members};
use crate::harness::{Run, Sandbox, go_umoci, needs_root, peer, skip};

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
    sandbox.umoci_as_ordinary_user(&words).emulates();
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
    let counts = sandbox.umoci_as_ordinary_user(&words).emulates();
    assert_eq!(counts, "1 owner in an attribute");
    assert_eq!(owners(&members(&sandbox, "one")), ["7/0 bin/su"]);
}

/// The tar of a Debian root filesystem, if `hack/debian-rootfs.sh` has made it.
pub(super) fn debian() -> Option<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/debian/bookworm-minbase.tar");
    let found = Path::new(path).exists().then(|| path.to_owned());
    found.or_else(|| skip("target/debian/bookworm-minbase.tar (hack/debian-rootfs.sh)"))
}

#[test]
fn a_debian_image_runs_and_loses_nothing() {
    if !needs_root() {
        return;
    }
    let Some(debian) = debian() else { return };
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["raw", "add-layer", "--compress=none", "--image=img", &debian]).succeeds();
    let script = "--config.cmd=id -u; cat /etc/debian_version";
    let words = ["config", "--image=img", "--config.cmd=/bin/sh", "--config.cmd=-c", script];
    sandbox.umoci(&words).succeeds_silently();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    sandbox.give_to_ordinary_user("img");
    sandbox.give_to_ordinary_user("home");
    let words = ["unpack", "--rootless", "--image=img", "home/b"];
    let counts = sandbox.umoci_as_ordinary_user(&words).emulates();
    // Not every runtime works on every machine: crun refuses cgroups in hybrid mode.
    let ran = ["runc", "crun"].into_iter().filter_map(peer).filter(|one| runs(&sandbox, one));
    if ran.count() == 0 {
        let _: Option<()> = skip("a machine where runc or crun works without root");
    }

    sandbox.umoci(&["unpack", "--image=img", "root"]).succeeds_silently();
    scene::touch(&sandbox.path("home/b/rootfs"));
    scene::touch(&sandbox.path("root/rootfs"));
    let words = ["repack", "--compress=none", "--image=img:user", "home/b"];
    assert_eq!(sandbox.umoci_as_ordinary_user(&words).emulates(), counts);
    let words = ["repack", "--compress=none", "--image=img:root", "root"];
    sandbox.umoci(&words).succeeds_silently();
    let lines = |tag| members(&sandbox, tag).lines().map(str::to_owned).collect::<Vec<_>>();
    let (user, root) = (lines("user"), lines("root"));
    let differ = user.iter().zip(&root).find(|(user, root)| user != root);
    assert_eq!((differ, user.len()), (None, root.len()));
    assert_eq!(scene::last_layer(&sandbox, "user"), scene::last_layer(&sandbox, "root"));
}

/// Whether the runtime can run a container here; if so, it runs this one.
fn runs(sandbox: &Sandbox, runtime: &Path) -> bool {
    // The test has no terminal.
    let config = sandbox.path("home/b/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let mut spec: serde_json::Value = serde_json::from_str(&text).unwrap();
    spec["process"]["terminal"] = false.into();
    std::fs::write(&config, spec.to_string()).unwrap();
    let state = sandbox.path("home/state");
    let state = state.to_str().unwrap();
    let is_crun = runtime.ends_with("crun");
    let cgroups = if is_crun { "--cgroup-manager=disabled" } else { "--rootless=true" };
    let words = [cgroups, "--root", state, "run", "-b", "home/b", "umoci-test"];
    let run = Run::of(&mut sandbox.peer_of_ordinary_user(runtime, &words));
    if run.status() != Some(0) {
        let why = run.stderr();
        let _ = writeln!(io::stderr(), "{runtime:?} does not work here without root: {why}");
        return false;
    }
    let text = run.stdout();
    assert!(text.starts_with("0\n12."), "{text}");
    true
}
