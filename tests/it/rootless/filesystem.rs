// SPDX-License-Identifier: Apache-2.0
//! Filesystems that cannot do everything.

use super::scene::{self, last_layer, members, touch};
use crate::harness::{Run, Sandbox, needs_root, peer};

/// Runs a script with mounts of its own, in which `$umoci` is the program.
fn with_mounts(sandbox: &Sandbox, script: &str) -> Option<Run> {
    let unshare = peer("unshare")?;
    let script = format!("set -e\numoci={}\n{script}", sandbox.copy_for_others().display());
    Some(sandbox.peer(&unshare, &["-m", "sh", "-c", &script]))
}

#[test]
fn a_filesystem_without_attributes_loses_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    touch(&sandbox.path("root/rootfs"));
    let words = ["repack", "--compress=none", "--image=img:root", "root"];
    sandbox.umoci(&words).succeeds_silently();
    sandbox.give_to_ordinary_user("img");
    // An ordinary user, and root.
    for (tag, user, flag) in [
        ("user", "setpriv --reuid 65534 --regid 65534 --clear-groups", "--rootless"),
        ("plain", "", ""),
    ] {
        let script = format!(
            "mount -t ramfs none home && chown 65534:65534 home\n\
             {user} $umoci --log=info unpack {flag} --image=img:full home/b\n\
             find home/b/rootfs -exec touch -h -d @1234567890 {{}} +\n\
             {user} $umoci repack --compress=none --image=img:{tag} home/b\n"
        );
        let Some(run) = with_mounts(&sandbox, &script) else { return };
        run.succeeds();
        let told = run.stderr();
        let summaries = told.lines().filter(|line| line.contains("emulated:")).count();
        assert_eq!(summaries, 1, "{told}");
        assert!(told.contains("in the record"), "{told}");
        assert_eq!(members(&sandbox, tag), members(&sandbox, "root"));
        assert_eq!(last_layer(&sandbox, tag), last_layer(&sandbox, "root"));
    }
}

#[test]
fn a_link_that_cannot_be_is_a_copy() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["unpack", "--image=img", "first"]).succeeds_silently();
    let at = |name: &str| sandbox.path("first/rootfs").join(name);
    for dir in ["a", "b"] {
        std::fs::create_dir(at(dir)).unwrap();
    }
    std::fs::write(at("a/file"), vec![7; 3 << 20]).unwrap();
    std::os::unix::fs::lchown(at("a/file"), Some(5), Some(6)).unwrap();
    scene::set_mode(at("a/file"), 0o640);
    std::fs::hard_link(at("a/file"), at("b/link")).unwrap();
    sandbox.umoci(&["repack", "--image=img:linked", "first"]).succeeds_silently();
    let script = "mkdir -p tree/b && mount -t tmpfs none tree/b\n\
        $umoci raw unpack FLAG --image=img:linked tree\n\
        cmp tree/a/file tree/b/link && stat -c '%u %g %a %h' tree/b/link\n";
    let Some(run) = with_mounts(&sandbox, &script.replace("FLAG", "")) else { return };
    assert_eq!(run.succeeds(), "5 6 640 1\n");
    let told = run.stderr();
    assert!(told.contains("1 hard link as a copy"), "{told}");
    let strict = with_mounts(&sandbox, &script.replace("FLAG", "--strict")).unwrap();
    assert_ne!(strict.status(), Some(0));
    assert!(
        strict.stderr().contains("a copy takes the place of the hard link"),
        "{}",
        strict.stderr()
    );
}
