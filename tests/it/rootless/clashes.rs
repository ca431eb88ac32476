// SPDX-License-Identifier: Apache-2.0
//! Members in the place of others that are still being written, where filesystems find open files
//! by their paths: each keeps what is its own, to the owner, mode, attribute and time.

use super::case::{PLACES, add_archive};
use super::filesystem::{told, with_limits};
use super::peers::debian;
use super::scene::last_layer;
use crate::harness::{Run, Sandbox, needs_root, peer};

/// A member: how it is written (as [`super::case::add_layer`] has them, and `name |` is a pipe), its
/// mode, its owner, and its size. It is as many seconds old as it has an owner.
type Member<'a> = (&'a str, u32, u64, usize);

fn add_layer(sandbox: &Sandbox, image: &str, members: &[Member<'_>]) {
    let mut layer = tar::Builder::new(Vec::new());
    for (member, mode, id, size) in members {
        let mut header = tar::Header::new_ustar();
        header.set_mode(*mode);
        header.set_uid(*id);
        header.set_gid(*id);
        header.set_mtime(*id);
        header.set_size(0);
        if let Some((name, target)) = member.split_once(" -> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            layer.append_link(&mut header, name, target).unwrap();
        } else if let Some((name, target)) = member.split_once(" = ") {
            header.set_entry_type(tar::EntryType::Link);
            layer.append_link(&mut header, name, target).unwrap();
        } else if let Some(name) = member.strip_suffix(" |") {
            header.set_entry_type(tar::EntryType::Fifo);
            layer.append_data(&mut header, name, std::io::empty()).unwrap();
        } else if member.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            layer.append_data(&mut header, member, std::io::empty()).unwrap();
        } else {
            let who = id.to_string();
            layer.append_pax_extensions([("SCHILY.xattr.user.who", who.as_bytes())]).unwrap();
            header.set_size(*size as u64);
            layer.append_data(&mut header, member, &*vec![b'x'; *size]).unwrap();
        }
    }
    add_archive(sandbox, image, layer);
}

/// Lists what is in the bundle `m/b`: type, mode, owner, time, the size of a file and its attribute.
const LIST: &str = "(cd m/b/rootfs; find . -mindepth 1 | LC_ALL=C sort | cut -c 3- | \
    while read name; do echo $(find $name -prune \\( -type f -printf \"%p %y %m %U:%G %Ts %s\" \
        -o -printf \"%p %y %m %U:%G %Ts %l\" \\)) \
    $(getfattr -h --only-values -n user.who $name 2>/dev/null); done)";

/// A file that takes a while, and one that takes none and has other rights, both in many turns.
#[test]
fn a_small_file_gets_nothing_of_a_big_one() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let names: Vec<_> =
        (b'a'..=b'h').map(|letter| (format!("F{}", char::from(letter)), letter)).collect();
    let lower: Vec<_> = names.iter().map(|(name, _)| name.to_lowercase()).collect();
    let pairs = names.iter().zip(&lower).flat_map(|((upper, letter), lower)| {
        let id = u64::from(*letter);
        [(upper.as_str(), 0o4600, 5, 1_200_000), (lower.as_str(), 0o644, id, 5)]
    });
    add_layer(&sandbox, "latest", &pairs.collect::<Vec<_>>());
    let line = |(lower, (_, id)): (&String, &(String, u8))| {
        format!("{lower} f 644 {id}:{id} {id} 5 {id}\n")
    };
    let expected: String = lower.iter().zip(&names).map(line).collect();
    for (place, run_in) in PLACES {
        let script = format!("$umoci unpack --image=img m/b; {LIST}");
        let Some(run) = run_in(&sandbox, &script) else { continue };
        let line = told(&run, 1);
        assert!(line.ends_with("emulated: 8 names that are taken for others"), "{place}: {line}");
        assert_eq!(run.stdout(), expected, "{place}");
    }
}

/// Layers, with what there is in the end and how many names are taken for others.
const CLASHES: [(&str, &[&[Member<'_>]], &str, u32); 8] = [
    ("file", &[&[("A", 0o4755, 5, 2000), ("a", 0o600, 7, 5)]], "a f 600 7:7 7 5 7\n", 1),
    ("symlink", &[&[("A", 0o4755, 5, 2000), ("a -> A", 0o777, 7, 0)]], "a l 777 7:7 7 A\n", 1),
    ("pipe", &[&[("A", 0o4755, 5, 2000), ("a |", 0o600, 7, 0)]], "a p 600 7:7 7\n", 1),
    ("directory", &[&[("A", 0o4755, 5, 2000), ("a/", 0o700, 7, 0)]], "a d 700 7:7 7\n", 1),
    (
        "directory that no member describes",
        &[&[("A", 0o4755, 5, 2000), ("a/b", 0o600, 7, 5)]],
        "a d 755 0:0 0\na/b f 600 7:7 7 5 7\n",
        1,
    ),
    // A file in a directory that is written in two ways, which gets what is said of it last.
    (
        "directory of another case",
        &[
            &[("d/", 0o755, 5, 0), ("d/f", 0o4755, 5, 2000), ("d/A", 0o4755, 5, 2000)],
            &[("d/g", 0o4755, 5, 2000), ("D/", 0o700, 7, 0), ("D/f", 0o600, 7, 5)],
            &[("D/G", 0o600, 7, 5), ("D/h", 0o4755, 5, 2000), ("d/H", 0o600, 7, 5)],
        ],
        "d d 700 7:7 7\nd/A f 4755 5:5 5 2000 5\nd/G f 600 7:7 7 5 7\nd/H f 600 7:7 7 5 7\n\
         d/f f 600 7:7 7 5 7\n",
        3,
    ),
    (
        "link to itself",
        &[&[("A", 0o4755, 5, 2000), ("a = A", 0, 0, 0), ("b = a", 0, 0, 0)]],
        "A f 4755 5:5 5 2000 5\nb f 4755 5:5 5 2000 5\n",
        1,
    ),
    (
        "link that is replaced",
        &[&[("A", 0o4755, 5, 2000), ("b = A", 0, 0, 0), ("B", 0o600, 7, 5), ("c = b", 0, 0, 0)]],
        "A f 4755 5:5 5 2000 5\nB f 600 7:7 7 5 7\nc f 600 7:7 7 5 7\n",
        2,
    ),
];

#[test]
fn whatever_takes_the_place_of_a_file_keeps_what_is_its_own() {
    if !needs_root() {
        return;
    }
    for (what, layers, expected, count) in CLASHES {
        let sandbox = Sandbox::with_image();
        for layer in layers {
            add_layer(&sandbox, "latest", layer);
        }
        // Inodes have numbers that tell that they are one, or none; a file that is open goes or hides.
        for limits in ["case", "case numbers", "case hard_remove"] {
            let script = format!("limited {limits}; $umoci unpack --image=img m/b; {LIST}");
            let Some(run) = with_limits(&sandbox, &script) else { return };
            assert!(run.status() == Some(0), "{what}, {limits}: {}", run.stderr());
            assert_eq!(run.stdout(), expected, "{what}, {limits}");
            let names = if count == 1 { "name that is" } else { "names that are" };
            let told = format!("{count} {names} taken for");
            assert!(run.stderr().contains(&told), "{what}, {limits}: {}", run.stderr());
            std::fs::remove_dir_all(sandbox.path("shown")).unwrap();
        }
    }
}

/// Where case is told, too, a filesystem may lose sight of a file that goes while it is open.
#[test]
fn a_file_that_goes_has_been_written() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let big = |name| (name, 0o4755, 5, 600_000);
    let small = |name| (name, 0o600, 7, 5);
    let dir = |name| (name, 0o755, 7, 0);
    let first = [big("f"), small("f"), big("g"), dir("g/"), dir("d/"), small("d/a"), dir("e/")];
    add_layer(&sandbox, "latest", &[&first[..], &[small("e/a"), small("k"), big("l")]].concat());
    let second = [(".wh.d", 0, 0, 0), (".wh.k", 0, 0, 0), small("e"), small("l")];
    add_layer(&sandbox, "latest", &second);
    let third = [dir("o/"), small("o/a"), ("o", 0o600, 7, 5), ("x", 0o600, 7, 2000), dir("x/")];
    add_layer(&sandbox, "latest", &third);
    let script = format!("limited hard_remove; $umoci unpack --image=img m/b; {LIST}");
    let Some(run) = with_limits(&sandbox, &script) else { return };
    let files = |name: &str| format!("{name} f 600 7:7 7 5 7\n");
    let dirs = |name: &str| format!("{name} d 755 7:7 7\n");
    let expected = [files("e"), files("f"), dirs("g"), files("l"), files("o"), dirs("x")].concat();
    assert_eq!(run.succeeds(), expected);
    assert_eq!(run.stderr(), "");
}

/// Letters that are not ASCII are the same on some filesystems only.
#[test]
fn a_hard_link_goes_to_the_file_that_a_name_means() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let files = [("\u{c9}A", 0o600, 5, 1), ("\u{e9}A", 0o600, 7, 2), ("\u{c9}", 0o600, 5, 3)];
    let links = [("l = \u{e9}a", 0, 0, 0), ("late = \u{e9}", 0, 0, 0), ("\u{e9}", 0o600, 7, 4)];
    add_layer(&sandbox, "latest", &[files, links].concat());
    let list = "(cd m/b/rootfs; stat -c \"%n %s %u\" l late)";
    let script = format!("limited case; $umoci unpack --image=img m/b; {list}");
    let Some(run) = with_limits(&sandbox, &script) else { return };
    assert_eq!(run.succeeds(), "l 2 7\nlate 4 7\n");
}

/// All of Debian, which has some names like that, as a manual page and a link to it.
#[test]
fn a_debian_image_loses_only_the_names() {
    if !needs_root() {
        return;
    }
    let Some((tar, skopeo)) = debian().zip(peer("skopeo")) else { return };
    let sandbox = Sandbox::new();
    let to = format!("oci:{}:debian", sandbox.path("img").display());
    Run::of(std::process::Command::new(skopeo).args([
        "copy",
        "-q",
        &format!("tarball:{tar}"),
        &to,
    ]))
    .succeeds();
    let script = "limited case; $umoci unpack --image=img:debian m/b\n\
        $umoci repack --image=img:same m/b\n\
        find m/b/rootfs -mindepth 1 -printf \"%P %y %m %U:%G %Ts %l\\n\"";
    let Some(run) = with_limits(&sandbox, script) else { return };
    run.succeeds();
    assert!(run.stderr().contains("names that are taken for others"), "{}", run.stderr());
    assert_eq!(last_layer(&sandbox, "same"), last_layer(&sandbox, "debian"));
    sandbox.umoci(&["unpack", "--image=img:debian", "all"]).succeeds_silently();
    let find = ["all/rootfs", "-mindepth", "1", "-printf", "%P %y %m %U:%G %Ts %l\n"];
    let all = sandbox.peer(&peer("find").unwrap(), &find).succeeds();
    let all: std::collections::BTreeSet<_> = all.lines().collect();
    let shown = run.stdout();
    let shown: std::collections::BTreeSet<_> = shown.lines().collect();
    // What is in a directory that has become one with another has that one's name above it.
    let known: std::collections::BTreeSet<_> = all.iter().map(|line| line.to_lowercase()).collect();
    let different: Vec<_> =
        shown.iter().filter(|line| !known.contains(&line.to_lowercase())).collect();
    assert!(different.is_empty(), "{different:?}");
    let missing = all.len() - shown.len();
    let told = format!("emulated: {missing} names that are taken for others");
    assert!(run.stderr().contains(&told), "{told}: {}", run.stderr());
}
