// SPDX-License-Identifier: Apache-2.0
//! Bundles below an overlay: what is changed there is a copy, which keeps the number of its
//! original, gets another one with the next mount, or has one of its own from the start.

use std::os::unix::fs::MetadataExt;

use super::filesystem::{layer_of_root, with_mounts};
use super::namespace::alone;
use super::scene::{self, last_layer, members};
use crate::harness::{Run, Sandbox, needs_root};

#[test]
fn what_an_overlay_copies_loses_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    layer_of_root(&sandbox);
    let script = "mkdir under m; mount -t tmpfs none under; cd under\n\
        mkdir lower upper work; chmod 777 lower upper; $user $umoci unpack --rootless --image=../img:full lower/b\n\
        mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work,index=on ../m; cd ..\n\
        find m/b/rootfs -exec touch -h -d @1234567890 {} +\n\
        $user $umoci repack --compress=none --image=img:user m/b\n";
    let Some(run) = with_mounts(&sandbox, script) else { return };
    run.succeeds();
    assert_eq!(members(&sandbox, "user"), members(&sandbox, "root"));
    assert_eq!(last_layer(&sandbox, "user"), last_layer(&sandbox, "root"));
}

/// Unpacks `full` as an ordinary user into a bundle that is below an overlay, and runs scripts with
/// that mounted at `m`, each in a user namespace of its own.
fn below_an_overlay(scripts: &[&str]) -> Option<(Sandbox, Run)> {
    let sandbox = scene::sandbox();
    layer_of_root(&sandbox);
    alone(&sandbox, &["--version"])?.succeeds();
    let setup = "mkdir under; mount -t tmpfs none under; cd under\n\
        mkdir lower upper work m; chmod 777 . *\n\
        $user $umoci unpack --rootless --image=../img:full lower/b 2>/dev/null\n\
        mount='mount -t overlay none m -o lowerdir=lower,upperdir=upper,workdir=work,userxattr'\n";
    let inside =
        |part: &&str| format!("$user unshare -rm sh -ec \"$mount; cd m/b/rootfs; {part}\"\n");
    let parts: Vec<_> = scripts.iter().map(inside).collect();
    let run = with_mounts(&sandbox, &(setup.to_owned() + &parts.concat()))?;
    Some((sandbox, run))
}

/// A change of everything but its contents.
const TOUCH: &str = "find . -exec touch -h -d @1234567890 {} +";
/// A repack; the layout is where root has made it.
const REPACK: &str = "cd ../../..; $umoci repack --compress=none --image=../img:new m/b";

/// The lines of members but for those of which there are several names, which are different files
/// below an overlay, and for those without contents to be known by.
fn known(lines: &str) -> Vec<&str> {
    lines.lines().filter(|line| !line.contains("gshadow") && !line.ends_with("dev/pipe")).collect()
}

#[test]
fn what_an_overlay_copies_is_known_by_its_contents() {
    if !needs_root() {
        return;
    }
    let both = [&format!("{TOUCH}; {REPACK}")[..]];
    for (scripts, lost) in [(&both[..], false), (&[TOUCH, REPACK], true)] {
        let Some((sandbox, run)) = below_an_overlay(scripts) else { return };
        run.succeeds();
        let told = "1 object is no longer what was recorded; \
            below an overlay, repack before it is mounted anew\n";
        assert_eq!(run.stderr().contains(told), lost, "{}", run.stderr());
        let (new, root) = (members(&sandbox, "new"), members(&sandbox, "root"));
        assert_eq!(known(&new), known(&root));
        let linked = new.lines().filter(|line| line.contains("gshadow"));
        assert_eq!(linked.filter(|line| line.contains(" 0/42 ")).count(), 2, "{new}");
        assert_eq!(new.contains(" 5/5 "), !lost, "{new}");
    }
}

#[test]
fn what_is_put_into_an_overlay_inherits_nothing() {
    if !needs_root() {
        return;
    }
    let replace = "rm dev/null etc/gshadow var/www/link bin/ping; rm -r locked\n\
        : >dev/null; echo etc/GSHADOW >etc/gshadow; ln -s PAGE var/www/link; mkdir -m 0 locked\n\
        echo bin/PING >bin/ping; chmod 0 etc/gshadow; chmod 755 bin/ping\n\
        touch -hd @5 dev/null etc/gshadow var/www/link bin/ping locked";
    let both = [&format!("{replace}; {REPACK}")[..]];
    for scripts in [&both[..], &[replace, REPACK]] {
        let Some((sandbox, run)) = below_an_overlay(scripts) else { return };
        run.succeeds();
        assert!(run.stderr().contains("5 objects are no longer"), "{}", run.stderr());
        sandbox.umoci(&["unpack", "--image=img:new", "check"]).succeeds_silently();
        for name in ["dev/null", "etc/gshadow", "var/www/link", "bin/ping", "locked"] {
            let path = sandbox.path("check/rootfs").join(name);
            let found = path.symlink_metadata().unwrap();
            assert_eq!((found.uid(), found.gid()), (0, 0), "{name}");
            assert!(found.is_file() || found.is_symlink() || found.is_dir(), "{name}");
            assert_eq!(xattr::list(path).unwrap().count(), 0, "{name}");
        }
    }
}
