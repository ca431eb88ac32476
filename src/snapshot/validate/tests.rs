// SPDX-License-Identifier: Apache-2.0
//! Trees against manifests that were taken of them before something was done.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::rootfs::Native;
use crate::snapshot::{CaptureOptions, NothingKnown, capture};

fn tree() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("d")).unwrap();
    for name in ["a", "d/sp ace", "d/x"] {
        fs::write(place.path().join(name), name).unwrap();
        fs::set_permissions(place.path().join(name), PermissionsExt::from_mode(0o644)).unwrap();
        filetime::set_file_mtime(
            place.path().join(name),
            filetime::FileTime::from_unix_time(1_000_000_000, 5),
        )
        .unwrap();
    }
    symlink("sp ace", place.path().join("d/l")).unwrap();
    place
}

fn manifest(tree: &Path) -> String {
    let mut manifest = Vec::new();
    let fs = Native::open(tree).unwrap();
    let options = CaptureOptions::default();
    capture(&fs, &mut NothingKnown, &mut manifest, std::io::sink(), &options).unwrap();
    String::from_utf8(manifest).unwrap()
}

fn check(tree: &Path, manifest: &str, options: &ValidateOptions) -> Result<Vec<String>> {
    let differences = validate(&Native::open(tree).unwrap(), manifest.as_bytes(), options)?;
    Ok(differences.iter().map(ToString::to_string).collect())
}

fn only(names: &str) -> ValidateOptions {
    let keywords = names.split_whitespace().map(|name| Keyword::named(name).unwrap()).collect();
    ValidateOptions { keywords: Some(keywords), ..ValidateOptions::default() }
}

#[test]
fn a_tree_is_what_was_just_written_of_it() {
    let tree = tree();
    let manifest = manifest(tree.path());
    for options in [ValidateOptions::default(), only("size uid time"), only(""), only("sha256")] {
        assert!(check(tree.path(), &manifest, &options).unwrap().is_empty(), "{options:?}");
    }
}

#[test]
fn what_was_done_is_told_by_path() {
    let tree = tree();
    let manifest = manifest(tree.path());
    let at = |name: &str| tree.path().join(name);
    fs::remove_file(at("d/x")).unwrap();
    fs::write(at("d/new\n"), "").unwrap();
    fs::set_permissions(at("a"), PermissionsExt::from_mode(0o600)).unwrap();
    fs::remove_file(at("d/l")).unwrap();
    symlink("x", at("d/l")).unwrap();
    let found = check(tree.path(), &manifest, &only("mode link")).unwrap();
    assert_eq!(
        found,
        [
            "\"a\": keyword \"mode\": expected 0644; got 0600",
            "\"d/l\": keyword \"link\": expected sp\\\\040ace; got x",
            "\"d/new\\n\": unexpected path",
            "\"d/x\": missing path",
        ]
    );
    assert_eq!(check(tree.path(), &manifest, &only("")).unwrap().len(), 2);
}

#[test]
fn keywords_that_are_asked_for_have_to_be_there() {
    let tree = tree();
    let text = "/set type=file\n. type=dir\na mode=0644\nd type=dir\nl type=link\nsp\\040ace\nx\n";
    let options = ValidateOptions { added: vec![Keyword::Sha512], ..only("mode") };
    let found = check(tree.path(), text, &options).unwrap();
    assert_eq!(found.len(), 6, "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("\"d/x\": keyword \"mode\": expected ; got")));
    assert!(found[1].starts_with("\"a\": keyword \"sha512digest\": expected ; got "), "{found:?}");
}

#[test]
fn times_of_whole_seconds_can_be_compared_with_others() {
    let tree = tree();
    let text = |time: &str| format!(". type=dir\na type=file {time}\n");
    let of_a = |time: &str, names: &str| {
        let found = check(tree.path(), &text(time), &only(names)).unwrap();
        found.into_iter().find(|line| line.starts_with("\"a\""))
    };
    for (time, names) in [
        ("time=1000000000.000000005", "time"),
        ("time=1000000000.000000005", "tar_time"),
        ("tar_time=1000000000.000000000", "time"),
        ("tar_time=1000000000.0", "tar_time"),
    ] {
        assert_eq!(of_a(time, names), None);
    }
    assert_eq!(
        of_a("time=1000000000.0", "time").unwrap(),
        "\"a\": keyword \"time\": expected 1000000000.0; got 1000000000.000000005"
    );
    assert!(of_a("time=1000000001.0", "tar_time").is_some());
}

#[test]
fn attributes_are_compared_one_by_one() {
    let tree = tree();
    let file = tree.path().join("a");
    if xattr::set(&file, "user.one", b"1").is_err() {
        eprintln!("skipped: no extended attributes here");
        return;
    }
    let manifest = manifest(tree.path());
    xattr::set(&file, "user.one", b"2").unwrap();
    let found = check(tree.path(), &manifest, &ValidateOptions::default()).unwrap();
    assert_eq!(found, ["\"a\": keyword \"xattr.user.one\": expected MQ==; got Mg=="]);
    xattr::remove(&file, "user.one").unwrap();
    let found = check(tree.path(), &manifest, &ValidateOptions::default()).unwrap();
    assert_eq!(found, ["\"a\": keyword \"xattr.user.one\": expected MQ==; got "]);
}

#[test]
fn what_cannot_be_checked_is_no_silent_success() {
    let tree = tree();
    for (word, reason) in [
        ("md5=00", "keyword \"md5\" cannot be checked"),
        ("bogus=1", "unknown keyword \"bogus\""),
        ("optional", "cannot be checked"),
    ] {
        let text = format!(". type=dir\na type=file {word}\n");
        let error = check(tree.path(), &text, &ValidateOptions::default()).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert!(check(tree.path(), &text, &only("size")).is_ok());
    }
    assert!(check(tree.path(), "a\n", &only("")).is_err(), "no type");
}

#[test]
fn what_is_compared_is_counted() {
    let tree = tree();
    let options = ValidateOptions::default();
    assert!(check(tree.path(), &manifest(tree.path()), &options).unwrap().is_empty());
    let state = options.progress.state();
    assert!(state.entries > 3 && state.entries == state.expected_entries, "{state:?}");
    assert!(state.bytes > 0, "{state:?}");
}
