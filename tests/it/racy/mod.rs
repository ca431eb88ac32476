// SPDX-License-Identifier: Apache-2.0
//! Edits of a bundle that look like none: of the same size, and with the old time of the last
//! change. Whatever is done, and wherever the bundle is, the new layer has what was edited, with its
//! new bytes, and nothing of what was not.

mod edits;
mod filesystems;
mod places;

use std::collections::BTreeMap;
use std::io::Read;

use crate::harness::{Run, Sandbox};

/// What a script of these tests can call. `edit FILE` writes other bytes into a file, as many as it
/// has, and puts the time of its last change back to the nanosecond. The bundle is `$b`, and `$d` is
/// the directory in it. A program in `$meanwhile` is what runs the repack. `pause` waits
/// until the clock of the filesystem has ticked, for which that says in `$tick` how long it takes.
const FUNCTIONS: &str = "pause() { sleep ${tick:-0.1}; }\n\
    edit() { touch -r $1 old; printf AFTER! | dd of=$1 conv=notrunc status=none\n\
    touch -r old $1; }\n\
    unpack() { $umoci unpack --image=img m/b; b=m/b d=m/b/rootfs/d; }\n\
    refresh() { $umoci repack --refresh-bundle --no-history --image=img $b; }\n\
    repack() { $meanwhile $umoci repack --compress=none --image=img:$1 $b; }\n";

/// What a repack adds after `edit $d/edited`, and nothing else.
const EDITED: &[(&str, &str)] = &[("d/edited", "AFTER!")];

/// A sandbox with an image whose first layer has files of six bytes in the directory `d`, and whose
/// second gives one of them another name and replaces another by one that looks the same.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_image();
    sandbox.add_any_layer(&layer(&[
        ("d/edited", "before"),
        ("d/linked", "before"),
        ("d/neighbour", "beside"),
        ("d/other", "before"),
        ("d/replaced", "first!"),
    ]));
    sandbox.add_any_layer(&layer(&[("d/link", ""), ("d/replaced", "second")]));
    std::fs::create_dir(sandbox.path("m")).unwrap();
    sandbox
}

/// A layer of files of the same age, where one without contents is another name of `d/linked`.
fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    for (name, contents) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(1_500_000_000);
        header.set_size(contents.len() as u64);
        if contents.is_empty() {
            header.set_entry_type(tar::EntryType::Link);
            layer.append_link(&mut header, name, "d/linked").unwrap();
        } else {
            layer.append_data(&mut header, name, contents.as_bytes()).unwrap();
        }
    }
    layer.into_inner().unwrap()
}

/// What the layer that a repack has made of the image says of each name that is no directory: what
/// is in the file, or of which name it is another. Nothing where no layer was made.
fn added(sandbox: &Sandbox, tag: &str) -> BTreeMap<String, String> {
    let layers = sandbox.layers("img", tag);
    let Some(layer) = layers.get(2) else { return BTreeMap::new() };
    let mut archive = tar::Archive::new(&layer[..]);
    let members = archive.entries().unwrap().map(|member| {
        let mut member = member.unwrap();
        let name = member.path().unwrap().to_str().unwrap().to_owned();
        let mut contents = String::new();
        member.read_to_string(&mut contents).unwrap();
        let link = member.link_name().unwrap();
        let link = link.map(|target| format!("= {}", target.display()));
        (member.header().entry_type(), name, link.unwrap_or(contents))
    });
    let files = members.filter(|(kind, ..)| !kind.is_dir());
    files.map(|(_, name, contents)| (name, contents)).collect()
}

/// What `added` gives where so much has been edited.
fn files(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    expected.iter().map(|(name, contents)| ((*name).into(), (*contents).into())).collect()
}

/// A way to run a script with mounts of its own.
type Place = fn(&Sandbox, &str) -> Option<Run>;

/// Unpacks the image, carries a script out, and asserts that a repack then adds what is expected.
/// Before that, where nothing has been edited, it adds nothing.
#[track_caller]
fn repack_adds(place: Place, [mount, change]: [&str; 2], expected: &[(&str, &str)]) {
    let sandbox = sandbox();
    let script = format!("{FUNCTIONS}{mount}\nunpack; repack same\n{change}\nrepack new");
    let Some(run) = place(&sandbox, &script) else { return };
    run.succeeds();
    assert_eq!(added(&sandbox, "same"), files(&[]), "{mount}: not edited yet");
    assert_eq!(added(&sandbox, "new"), files(expected), "{mount}: {change}");
}
