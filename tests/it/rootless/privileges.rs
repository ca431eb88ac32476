// SPDX-License-Identifier: Apache-2.0
//! Capabilities that are only recorded go where the kernel takes real ones away: when somebody
//! writes to the file.

use std::path::Path;

use super::filesystem::{with_limits, with_mounts};
use super::scene::{CAPABILITY, last_layer, members, set_mode, touch};
use crate::harness::{Run, Sandbox, needs_root};

/// What is done to a file of that name, and whether it keeps its capabilities.
const DEEDS: [(&str, &str, bool); 9] = [
    ("appended", "echo more >>appended", false),
    ("chmodded", "chmod 700 chmodded", true),
    ("emptied", ": >emptied", false),
    ("linked", "ln linked another", true),
    ("renamed", "mv renamed moved", true),
    ("replaced", "cp replaced new; rm replaced; mv new replaced", false),
    ("rewritten", "tr a-z A-Z <rewritten >../upper; cat ../upper >rewritten; rm ../upper", false),
    ("shortened", "truncate -s 3 shortened", false),
    ("touched", "touch -d @1 touched", true),
];

/// A sandbox in which `root` and `home/b` are bundles of files with capabilities, of root and of an
/// ordinary user.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["unpack", "--image=img", "first"]).succeeds_silently();
    std::fs::create_dir(sandbox.path("first/rootfs/bin")).unwrap();
    for (name, ..) in DEEDS {
        let path = sandbox.path("first/rootfs/bin").join(name);
        std::fs::write(&path, format!("the program {name}\n")).unwrap();
        set_mode(&path, 0o755);
        xattr::set(path, "security.capability", CAPABILITY).unwrap();
    }
    sandbox.umoci(&["repack", "--image=img:full", "first"]).succeeds_silently();
    sandbox.umoci(&["unpack", "--image=img:full", "root"]).succeeds_silently();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    sandbox.give_to_ordinary_user("img");
    sandbox.give_to_ordinary_user("home");
    let words = ["unpack", "--rootless", "--image=img:full", "home/b"];
    assert_eq!(sandbox.umoci_as_ordinary_user(&words).emulates(), "9 attributes in the record");
    sandbox
}

/// Does something in the `bin` of both bundles, as their owners.
fn in_both(sandbox: &Sandbox, deeds: &str) -> Option<Run> {
    let script =
        format!("(cd root/rootfs/bin; {deeds})\ncd home/b/rootfs/bin; $user sh -ec '{deeds}'");
    with_mounts(sandbox, &script)
}

/// The files of an image that have capabilities.
fn capable(sandbox: &Sandbox, tag: &str) -> Vec<String> {
    let bundle = format!("check-{tag}");
    sandbox.umoci(&["unpack", &format!("--image=img:{tag}"), &bundle]).succeeds_silently();
    let has = |path: &Path| xattr::get(path, "security.capability").unwrap().is_some();
    let paths = super::scene::paths(&sandbox.path(&bundle).join("rootfs/bin"));
    let names = paths.iter().filter(|path| has(path)).map(|path| path.file_name().unwrap());
    names.map(|name| name.to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_record_loses_capabilities_where_the_kernel_takes_them_away() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox();
    let deeds: Vec<_> = DEEDS.iter().map(|(_, deed, _)| *deed).collect();
    let Some(run) = in_both(&sandbox, &deeds.join("; ")) else { return };
    run.succeeds();
    let kept: Vec<_> = DEEDS.iter().filter(|(.., keeps)| *keeps).map(|(name, ..)| *name).collect();
    assert_eq!(kept, ["chmodded", "linked", "renamed", "touched"]);
    for rootfs in ["root/rootfs", "home/b/rootfs"] {
        touch(&sandbox.path(rootfs));
    }
    let words = ["repack", "--compress=none", "--image=img:root", "root"];
    sandbox.umoci(&words).succeeds_silently();
    sandbox.give_to_ordinary_user("img");
    let of_root = capable(&sandbox, "root");
    assert_eq!(of_root, ["another", "chmodded", "linked", "moved", "touched"]);

    let words = ["repack", "--compress=none", "--image=img:user", "home/b"];
    let run = sandbox.umoci_as_ordinary_user(&words);
    run.succeeds();
    let told = run.stderr();
    let lines: Vec<_> = told.lines().collect();
    let what = "its recorded capabilities are left out: it has been written to";
    let expected = [
        "umoci: warn: 1 object is no longer what was recorded".to_owned(),
        format!("umoci: warn: \"bin/appended\": {what}; more of this kind are counted only"),
        "umoci: warn: emulated: 4 attributes in the record, 4 privileges left out".to_owned(),
    ];
    assert_eq!(lines, expected);
    assert_eq!(capable(&sandbox, "user"), of_root);
    assert_eq!(members(&sandbox, "user"), members(&sandbox, "root"));
    assert_eq!(last_layer(&sandbox, "user"), last_layer(&sandbox, "root"));
}

#[test]
fn what_is_inserted_has_no_capabilities_for_other_contents() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox();
    let Some(run) = in_both(&sandbox, "echo other >rewritten; touch touched") else { return };
    run.succeeds();
    for (name, left) in
        [("touched", "1 attribute in the record"), ("rewritten", "1 privilege left out")]
    {
        let source = format!("home/b/rootfs/bin/{name}");
        let words =
            ["insert", "--rootless", "--image=img:full", "--tag", name, &source, "/bin/new"];
        let run = sandbox.umoci_as_ordinary_user(&words);
        run.succeeds();
        let told = run.stderr();
        assert!(told.ends_with(&format!("emulated: {left}\n")), "{told}");
        assert_eq!(capable(&sandbox, name).contains(&"new".to_owned()), name == "touched");
    }
    let source = "home/b/rootfs/bin/rewritten";
    let words = ["insert", "--rootless", "--strict", "--image=img:full", source, "/bin/new"];
    let line = sandbox.umoci_as_ordinary_user(&words).fails();
    assert!(line.contains(source) && line.ends_with("it has been written to (strict)"), "{line}");
}

/// A copy has the sizes of the original, and nothing else to know it by.
#[test]
fn a_copy_has_no_capabilities_for_other_contents() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox();
    let cp = crate::harness::peer("cp").unwrap();
    sandbox.peer(&cp, &["-a", "home/b", "home/copy"]).succeeds();
    let contents = std::fs::read_to_string(sandbox.path("home/copy/rootfs/bin/rewritten")).unwrap();
    std::fs::write(sandbox.path("home/copy/rootfs/bin/rewritten"), contents.to_uppercase())
        .unwrap();
    touch(&sandbox.path("home/copy/rootfs"));
    let words = ["repack", "--image=img:user", "home/copy"];
    sandbox.umoci_as_ordinary_user(&words).succeeds();
    let mut expected: Vec<_> = DEEDS.iter().map(|(name, ..)| *name).collect();
    expected.retain(|name| *name != "rewritten");
    assert_eq!(capable(&sandbox, "user"), expected);
}

/// Root may write to a file and leave it its setuid bit, an ordinary user may not.
#[test]
fn a_recorded_setuid_bit_goes_when_an_ordinary_user_writes() {
    if !needs_root() {
        return;
    }
    let sandbox = sandbox();
    let su = sandbox.path("root/rootfs/bin/su");
    std::fs::write(&su, "su").unwrap();
    set_mode(&su, 0o4755);
    let words = ["repack", "--image=img:setuid", "root"];
    sandbox.umoci(&words).succeeds_silently();
    sandbox.give_to_ordinary_user("img");
    for (tag, user, flag, listed) in
        [("user", "$user", "--rootless", "-rwxr-xr-x"), ("plain", "", "", "-rwsr-xr-x")]
    {
        let script = format!(
            "limited modes; chmod 777 shown\n\
             {user} $umoci unpack {flag} --image=img:setuid m/{tag}\n\
             test \"$(stat -c %a m/{tag}/rootfs/bin/su)\" != 4755\n\
             {user} sh -c 'echo SU >m/{tag}/rootfs/bin/su'\n\
             {user} $umoci repack --compress=none --image=img:{tag} m/{tag}\n"
        );
        let Some(run) = with_limits(&sandbox, &script) else { return };
        run.succeeds();
        let lines = members(&sandbox, tag);
        let line = lines.lines().find(|line| line.ends_with("bin/su")).unwrap();
        assert!(line.starts_with(listed), "{tag}: {lines}\n{}", run.stderr());
        std::fs::remove_dir_all(sandbox.path("shown")).unwrap();
    }
}
