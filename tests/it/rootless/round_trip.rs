// SPDX-License-Identifier: Apache-2.0
//! What an ordinary user unpacks and repacks loses nothing.

use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::Path;

use super::scene::{self, last_layer, members, set_mode, touch};
use crate::harness::{Sandbox, needs_root};

/// The words of a repack whose layers are to be compared.
fn repack<'a>(image: &'a str, bundle: &'a str) -> [&'a str; 4] {
    ["repack", "--compress=none", image, bundle]
}

/// What an ordinary user is told of the image `img:full`.
const COUNTS: &str = "4 owners in attributes, 6 owners in the record, 2 devices as empty files, \
    2 attributes in the record";

/// A sandbox with the bundle `home/b` that an ordinary user has unpacked.
fn unpacked() -> Sandbox {
    let sandbox = scene::sandbox();
    let words = ["unpack", "--rootless", "--image=img:full", "home/b"];
    assert_eq!(sandbox.umoci_as_ordinary_user(&words).emulates(), COUNTS);
    sandbox
}

#[test]
fn a_layer_of_everything_is_the_one_that_root_makes() {
    if !needs_root() {
        return;
    }
    let sandbox = unpacked();
    let unchanged = repack("--image=img:unchanged", "home/b");
    sandbox.umoci_as_ordinary_user(&unchanged).succeeds_silently();
    assert_eq!(last_layer(&sandbox, "unchanged"), last_layer(&sandbox, "full"));

    touch(&sandbox.path("home/b/rootfs"));
    touch(&sandbox.path("root/rootfs"));
    let user = repack("--image=img:user", "home/b");
    assert_eq!(sandbox.umoci_as_ordinary_user(&user).emulates(), COUNTS);
    sandbox.umoci(&repack("--image=img:root", "root")).succeeds_silently();
    assert_eq!(members(&sandbox, "user"), members(&sandbox, "root"));
    assert_eq!(last_layer(&sandbox, "user"), last_layer(&sandbox, "root"));
}

#[test]
fn permission_bits_are_those_of_the_image() {
    if !needs_root() {
        return;
    }
    let sandbox = unpacked();
    assert_eq!(sandbox.path("home/b").metadata().unwrap().mode() & 0o7777, 0o700);
    for (path, mode) in [
        ("locked", 0o040_000),
        ("locked/inner", 0o040_000),
        ("locked/inner/secret", 0o100_000),
        ("sealed", 0o040_555),
        ("bin/su", 0o104_755),
        ("dev/null", 0o100_000),
        ("dev/pipe", 0o010_644),
    ] {
        let metadata = sandbox.path("home/b/rootfs").join(path).symlink_metadata().unwrap();
        assert_eq!(metadata.mode(), mode, "{path}");
        assert_eq!((metadata.uid(), metadata.gid()), (65534, 65534), "{path}");
    }
    let before = modes(&sandbox.path("home/b/rootfs"));
    let words = ["repack", "--image=img:new", "--rehash", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).succeeds_silently();
    assert_eq!(modes(&sandbox.path("home/b/rootfs")), before);
}

/// The types, permission bits and times of a tree.
fn modes(top: &Path) -> Vec<(u32, i64)> {
    let all = scene::paths(top).into_iter().map(|path| path.symlink_metadata().unwrap());
    all.map(|of| (of.mode(), of.mtime())).collect()
}

#[test]
fn what_a_user_puts_in_the_place_of_something_inherits_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = unpacked();
    let at = |name: &str| sandbox.path("home/b/rootfs").join(name);
    std::fs::remove_file(at("dev/null")).unwrap();
    std::fs::write(at("dev/null"), "").unwrap();
    std::fs::remove_file(at("var/www/link")).unwrap();
    symlink("page", at("var/www/link")).unwrap();
    std::fs::remove_file(at("bin/ping")).unwrap();
    std::fs::write(at("bin/ping"), "bin/ping\n").unwrap();
    set_mode(at("bin/ping"), 0o755);
    // All of it may have happened within the second that the image is of.
    let time = filetime::FileTime::from_unix_time(5, 0);
    for name in ["dev/null", "var/www/link", "bin/ping"] {
        filetime::set_symlink_file_times(at(name), time, time).unwrap();
    }
    // A device that is only touched stays one, with the bits that it is given; a directory is
    // still whose it was.
    for name in ["dev/disk", "var/www"] {
        filetime::set_file_mtime(at(name), filetime::FileTime::zero()).unwrap();
    }
    set_mode(at("dev/disk"), 0o640);
    let words = ["repack", "--compress=none", "--image=img:new", "home/b"];
    let told = sandbox.umoci_as_ordinary_user(&words);
    told.succeeds();
    let told = told.stderr();
    let [replaced, counts] = told.lines().collect::<Vec<_>>()[..] else { panic!("{told}") };
    assert!(replaced.ends_with("3 objects are no longer what was recorded"), "{replaced}");
    let expected = "1 owner in an attribute, 1 owner in the record, 1 device as an empty file";
    assert!(counts.ends_with(&format!("emulated: {expected}")), "{counts}");
    let words = ["repack", "--strict", "--image=img:strict", "home/b"];
    let line = sandbox.umoci_as_ordinary_user(&words).fails();
    assert!(line.ends_with("3 objects are no longer what was recorded (strict)"), "{line}");
    sandbox.umoci(&["unpack", "--image=img:new", "check"]).succeeds_silently();
    let check = |name: &str| sandbox.path("check/rootfs").join(name).symlink_metadata().unwrap();
    assert!(check("dev/null").is_file());
    assert_eq!(check("var/www/link").uid(), 0);
    let ping = sandbox.path("check/rootfs/bin/ping");
    assert_eq!(xattr::get(ping, "security.capability").unwrap(), None);
    let disk = check("dev/disk");
    assert_eq!((disk.mode(), disk.rdev(), disk.gid()), (0o060_640, 8 << 8, 6));
}

/// As when an overlay copies one name of a file up.
#[test]
fn one_name_of_several_that_is_replaced_is_told() {
    if !needs_root() {
        return;
    }
    let sandbox = unpacked();
    let at = |name: &str| sandbox.path("home/b/rootfs").join(name);
    for name in ["dev/other", "dev/another"] {
        std::fs::hard_link(at("dev/null"), at(name)).unwrap();
    }
    std::fs::remove_file(at("dev/null")).unwrap();
    std::fs::write(at("dev/null"), "").unwrap();
    let told = sandbox.umoci_as_ordinary_user(&["repack", "--image=img:new", "home/b"]);
    told.succeeds();
    assert!(
        told.stderr().contains("1 object is no longer what was recorded\n"),
        "{}",
        told.stderr()
    );
    sandbox.umoci(&["unpack", "--image=img:new", "check"]).succeeds_silently();
    let kind = |name: &str| sandbox.path("check/rootfs").join(name).metadata().unwrap().file_type();
    assert!(kind("dev/null").is_file() && !kind("dev/other").is_file());
}

#[test]
fn a_copy_of_a_bundle_keeps_its_record() {
    if !needs_root() {
        return;
    }
    let sandbox = unpacked();
    let cp = crate::harness::peer("cp").unwrap();
    sandbox.peer(&cp, &["-a", "home/b", "home/copy"]).succeeds();
    std::fs::remove_dir_all(sandbox.path("home/b")).unwrap();
    touch(&sandbox.path("home/copy/rootfs"));
    touch(&sandbox.path("root/rootfs"));
    let user = repack("--image=img:user", "home/copy");
    assert_eq!(sandbox.umoci_as_ordinary_user(&user).emulates(), COUNTS);
    sandbox.umoci(&repack("--image=img:root", "root")).succeeds_silently();
    assert_eq!(members(&sandbox, "user"), members(&sandbox, "root"));
    assert_eq!(last_layer(&sandbox, "user"), last_layer(&sandbox, "root"));
}

/// Where no inode is what it was, size alone says little.
#[test]
fn what_is_put_into_a_copy_of_a_bundle_inherits_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = unpacked();
    let cp = crate::harness::peer("cp").unwrap();
    sandbox.peer(&cp, &["-a", "home/b", "home/copy"]).succeeds();
    let at = |name: &str| sandbox.path("home/copy/rootfs").join(name);
    std::fs::write(at("etc/gshadow"), "etc/GSHADOW\n").unwrap();
    // Its other name, which is gone, makes no difference.
    std::fs::remove_file(at("etc/gshadow-")).unwrap();
    std::fs::remove_file(at("var/www/link")).unwrap();
    symlink("PAGE", at("var/www/link")).unwrap();
    // Its permissions say that it is no device.
    set_mode(at("dev/null"), 0o644);
    touch(&sandbox.path("home/copy/rootfs"));
    let run = sandbox.umoci_as_ordinary_user(&repack("--image=img:user", "home/copy"));
    run.succeeds();
    let told = run.stderr();
    assert!(told.contains("3 objects are no longer what was recorded\n"), "{told}");
    let lines = members(&sandbox, "user");
    for name in ["etc/gshadow", "var/www/link -> PAGE", "dev/null"] {
        let line = lines.lines().find(|line| line.ends_with(name)).unwrap();
        assert!(line.contains(" 0/0 ") && !line.starts_with('c'), "{line}");
    }
}

#[test]
fn what_is_moved_stays_what_it_is() {
    if !needs_root() {
        return;
    }
    let sandbox = unpacked();
    for rootfs in ["home/b/rootfs", "root/rootfs"] {
        let at = |name: &str| sandbox.path(rootfs).join(name);
        for (from, to) in [
            ("dev/null", "dev/zero"),
            ("var/www/link", "etc/link"),
            ("bin/ping", "bin/pong"),
            ("dev", "bin/dev"),
        ] {
            std::fs::rename(at(from), at(to)).unwrap();
        }
        // What takes the old place is not what was there.
        std::fs::write(at("bin/ping"), "").unwrap();
        lchown(at("bin/ping"), Some(0), Some(0)).unwrap();
        touch(&sandbox.path(rootfs));
    }
    let ping = sandbox.path("home/b/rootfs/bin/ping");
    lchown(ping, Some(65534), Some(65534)).unwrap();
    let user = repack("--image=img:user", "home/b");
    assert_eq!(sandbox.umoci_as_ordinary_user(&user).emulates(), COUNTS);
    sandbox.umoci(&repack("--image=img:root", "root")).succeeds_silently();
    assert_eq!(members(&sandbox, "user"), members(&sandbox, "root"));
    assert_eq!(last_layer(&sandbox, "user"), last_layer(&sandbox, "root"));
}

#[test]
fn a_record_of_any_size_that_is_written_is_read() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let value = vec![1; 60_000];
    let names: Vec<_> = (0..16).map(|number| format!("SCHILY.xattr.trusted.x{number}")).collect();
    let mut layer = tar::Builder::new(Vec::new());
    layer.append_pax_extensions(names.iter().map(|name| (&**name, &value[..]))).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(0);
    layer.append_data(&mut header, "file", std::io::empty()).unwrap();
    std::fs::write(sandbox.path("layer.tar"), layer.into_inner().unwrap()).unwrap();
    sandbox.umoci(&["raw", "add-layer", "--image=img", "layer.tar"]).succeeds_silently();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    sandbox.give_to_ordinary_user("img");
    sandbox.give_to_ordinary_user("home");
    let words = ["unpack", "--rootless", "--image=img", "home/b"];
    let counts = "16 attributes in the record";
    assert_eq!(sandbox.umoci_as_ordinary_user(&words).emulates(), counts);
    touch(&sandbox.path("home/b/rootfs"));
    let words = repack("--image=img:new", "home/b");
    assert_eq!(sandbox.umoci_as_ordinary_user(&words).emulates(), counts);
}

#[test]
fn a_record_is_not_trusted() {
    if !needs_root() {
        return;
    }
    let sandbox = unpacked();
    touch(&sandbox.path("home/b/rootfs"));
    let record = sandbox.path("home/b/rootless.jsonl");
    let head = "{\"umoci_rootless\":1,\"root\":1}\n";
    let line = |node: &str| {
        format!("{head}{{\"path\":\"dev/null\",\"kind\":\"file\",\"size\":0,\"inode\":1,{node}}}\n")
    };
    for text in [
        String::new(),
        "{\"umoci_rootless\":2,\"root\":1}\n".to_owned(),
        line("\"node\":{\"kind\":\"char\",\"major\":4096,\"minor\":0}"),
        line("\"node\":{\"kind\":\"dir\",\"major\":1,\"minor\":0}"),
        line("\"node\":{\"kind\":\"door\",\"major\":1,\"minor\":0}"),
        line("\"mode\":4096,\"mode_on_disk\":0"),
        line("\"owner\":[4294967295,0]"),
        line("\"xattrs\":[[\"\",\"\"]]"),
        line("\"contents\":\"sha256:00\""),
        line(&format!("\"contents\":\"sha512:{}\"", "0".repeat(128))),
        format!("{head}not JSON\n"),
        format!("{head}{}", "x".repeat(17 << 20)),
    ] {
        std::fs::write(&record, &text).unwrap();
        let words = ["repack", "--image=img:new", "home/b"];
        let shown = text.get(..100).unwrap_or(&text).to_owned();
        let line = sandbox.umoci_as_ordinary_user(&words).fails();
        assert!(line.contains("rootless.jsonl"), "{shown}: {line}");
    }
    // Paths that lead elsewhere are those of the tree, or nothing.
    let text = format!(
        "{head}{{\"path\":\"../../umoci.json\",\"kind\":\"file\",\"size\":0,\"inode\":1,\"owner\":[1,1]}}\n"
    );
    std::fs::write(&record, text).unwrap();
    let words = ["repack", "--image=img:new", "home/b"];
    let counts = sandbox.umoci_as_ordinary_user(&words).emulates();
    assert_eq!(counts, "4 owners in attributes");
    std::fs::remove_file(&record).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &record).unwrap();
    sandbox.umoci_as_ordinary_user(&words).fails_with("rootless.jsonl");
}

#[test]
fn what_is_inserted_from_a_bundle_is_what_its_record_says() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let words = ["unpack", "--rootless", "--image=img:full", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).succeeds();
    for rootfs in ["home/b/rootfs", "root/rootfs"] {
        scene::touch(&sandbox.path(rootfs));
    }
    for (part, target) in [
        ("", "/"),
        ("/dev", "/dev"),
        ("/var/www/link", "/link"),
        ("/locked", "/locked"),
        // Behind directories that their owner has closed.
        ("/locked/inner", "/inner"),
        ("/locked/inner/secret", "/secret"),
    ] {
        let before = modes(&sandbox.path("home/b/rootfs"));
        let (source, image) = (format!("home/b/rootfs{part}"), "--image=img:full");
        let words =
            ["insert", "--rootless", "--compress=none", image, "--tag=user", &source, target];
        sandbox.umoci_as_ordinary_user(&words).emulates();
        assert_eq!(modes(&sandbox.path("home/b/rootfs")), before, "{part}");
        let source = format!("root/rootfs{part}");
        let words = ["insert", "--compress=none", image, "--tag=root", &source, target];
        sandbox.umoci(&words).succeeds_silently();
        assert_eq!(scene::members(&sandbox, "user"), scene::members(&sandbox, "root"), "{part}");
        assert_eq!(scene::last_layer(&sandbox, "user"), scene::last_layer(&sandbox, "root"));
        sandbox.give_to_ordinary_user("img");
    }
}
