// SPDX-License-Identifier: Apache-2.0
//! Many processes that change one layout at once, while garbage is collected
//! and others read.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{ScopedJoinHandle, scope};

use umoci::ErrorKind;
use umoci::layout::Layout;

use super::{HalfWritten, all_is_there, verify_all, whole_archive};
use crate::harness::{Sandbox, is_slow, needs_root};

const CHANGERS: usize = 8;
const REPACKERS: usize = 3;
/// Each joins images of its own for several platforms, and converts them.
const JOINERS: usize = 2;
const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];
/// One tag in so many stays; the others are removed in the next round.
const KEPT: usize = 3;

fn rounds() -> usize {
    if is_slow() { 200 } else { 4 }
}

fn kept() -> impl Iterator<Item = usize> {
    (0..rounds()).filter(|round| round % KEPT == 0 || round + 1 == rounds())
}

/// Changes its own image again and again, and gives it a tag of its own each time.
fn change(sandbox: &Sandbox, writer: usize) {
    let image = format!("--image=img:w{writer}");
    sandbox.umoci(&["new", &image]).succeeds_silently();
    for round in 0..rounds() {
        let author = format!("--author={writer} {round}");
        sandbox.umoci(&["config", &image, &author]).succeeds_silently();
        sandbox.umoci(&["tag", &image, &format!("w{writer}-{round}")]).succeeds_silently();
        remove_last(sandbox, 'w', writer, round);
    }
}

/// Changes its own bundle again and again, and makes an image of it each time.
fn repack(sandbox: &Sandbox, writer: usize) {
    let bundle = format!("bundle{writer}");
    for round in 0..rounds() {
        let file = sandbox.path(&bundle).join(format!("rootfs/file{}", round % 10));
        std::fs::write(file, format!("{writer} {round}").repeat(1000)).unwrap();
        let image = format!("--image=img:r{writer}-{round}");
        sandbox.umoci(&["repack", "--refresh-bundle", &image, &bundle]).succeeds_silently();
        remove_last(sandbox, 'r', writer, round);
    }
}

/// Makes images for several platforms of its own ones again and again, in either format.
fn join(sandbox: &Sandbox, writer: usize) {
    let platforms = PLATFORMS.map(|platform| (platform, format!("j{writer}-{}", &platform[6..])));
    for (platform, tag) in &platforms {
        let image = format!("--image=img:{tag}");
        sandbox.umoci(&["new", &image, "--platform", platform]).succeeds_silently();
    }
    for round in 0..rounds() {
        let umoci = |words: &[&str]| sandbox.umoci(words).succeeds_silently();
        let [(_, first), (platform, second)] = &platforms;
        umoci(&["config", &format!("--image=img:{first}"), &format!("--author={writer} {round}")]);
        let image = format!("--image=img:j{writer}-{round}");
        umoci(&["index", "create", &image, first]);
        umoci(&["index", "add", &image, second]);
        umoci(&["index", "remove", &image, platform]);
        umoci(&["index", "add", &image, second]);
        umoci(&["convert", "--format=docker", &image]);
        umoci(&["convert", "--format=oci", &image]);
        umoci(&["index", "annotate", &image, &format!("round={round}")]);
        remove_last(sandbox, 'j', writer, round);
    }
}

fn remove_last(sandbox: &Sandbox, kind: char, writer: usize, round: usize) {
    let Some(last) = round.checked_sub(1) else { return };
    if !last.is_multiple_of(KEPT) {
        sandbox.umoci(&["rm", &format!("--image=img:{kind}{writer}-{last}")]).succeeds_silently();
    }
}

/// Whatever the index names is there in whole, unless the index has named it no more since.
fn read(sandbox: &Sandbox, turn: usize) {
    let layout = Layout::open(sandbox.path("img")).unwrap();
    let entries = layout.index().unwrap().manifests;
    let entry = &entries[turn % entries.len()];
    if let Err(error) = verify_all(&layout, entry.clone()) {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let now = layout.index().unwrap().manifests;
        let is_named = now.iter().any(|now| now.digest == entry.digest);
        assert!(!is_named, "{error}, and {} is named", entry.digest);
    }
}

fn expected() -> BTreeSet<String> {
    let mut names = BTreeSet::from(["latest".to_owned()]);
    for writer in 0..CHANGERS {
        names.insert(format!("w{writer}"));
        names.extend(kept().map(|round| format!("w{writer}-{round}")));
    }
    for writer in 0..REPACKERS {
        names.extend(kept().map(|round| format!("r{writer}-{round}")));
    }
    for writer in 0..JOINERS {
        names.extend(PLATFORMS.map(|platform| format!("j{writer}-{}", &platform[6..])));
        names.extend(kept().map(|round| format!("j{writer}-{round}")));
    }
    names
}

/// Every tag means what its writer wrote.
fn check_contents(sandbox: &Sandbox) {
    for writer in 0..CHANGERS {
        for round in kept() {
            let config = sandbox.config(&format!("w{writer}-{round}"));
            assert_eq!(config["author"], format!("{writer} {round}"));
            assert_eq!(config["history"].as_array().unwrap().len(), round + 1);
        }
    }
    for writer in 0..REPACKERS {
        for round in kept() {
            let (_, manifest) = sandbox.manifest("img", &format!("r{writer}-{round}"));
            assert_eq!(manifest["layers"].as_array().unwrap().len(), round + 1);
        }
    }
    for writer in 0..JOINERS {
        for round in kept() {
            let (_, index) = sandbox.manifest("img", &format!("j{writer}-{round}"));
            assert_eq!(index["annotations"]["round"], round.to_string());
            let entries = index["manifests"].as_array().unwrap();
            assert_eq!(entries.len(), PLATFORMS.len());
            let manifest = sandbox.blob(entries[0]["digest"].as_str().unwrap());
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
            let config = sandbox.blob(manifest["config"]["digest"].as_str().unwrap());
            let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
            assert_eq!(config["author"], format!("{writer} {round}"));
        }
    }
}

/// Lets all writers do their rounds, and tells whether any has failed.
fn all_writers(sandbox: &Sandbox) -> std::thread::Result<()> {
    scope(|scope| {
        let changers = (0..CHANGERS).map(|writer| scope.spawn(move || change(sandbox, writer)));
        let changers: Vec<_> = changers.collect();
        let repackers = (0..REPACKERS).map(|writer| scope.spawn(move || repack(sandbox, writer)));
        let repackers: Vec<_> = repackers.collect();
        let joiners = (0..JOINERS).map(|writer| scope.spawn(move || join(sandbox, writer)));
        let joiners: Vec<_> = joiners.collect();
        let writers: Vec<_> = changers.into_iter().chain(repackers).chain(joiners).collect();
        let finished: Vec<_> = writers.into_iter().map(ScopedJoinHandle::join).collect();
        finished.into_iter().collect()
    })
}

#[test]
fn nobody_loses_anything() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    for writer in 0..REPACKERS {
        let bundle = format!("bundle{writer}");
        sandbox.umoci(&["unpack", "--image=img", &bundle]).succeeds_silently();
    }
    let (sandbox, done) = (&sandbox, &AtomicBool::new(false));
    let turns = &[const { AtomicUsize::new(0) }; 3];
    let until_done = move |turns: &AtomicUsize, work: &dyn Fn(usize)| {
        while !done.load(Ordering::Acquire) {
            work(turns.load(Ordering::Acquire));
            turns.fetch_add(1, Ordering::AcqRel);
        }
    };
    scope(|outer| {
        let [collections, runs, reads] = turns;
        let collector = outer.spawn(move || {
            until_done(collections, &|_| {
                sandbox.umoci(&["gc", "--layout=img"]).succeeds_silently();
            });
        });
        let programs = outer.spawn(move || {
            until_done(runs, &|_| {
                sandbox.umoci(&["ls", "--layout=img"]).succeeds();
                sandbox.umoci(&["stat", "--image=img"]).succeeds();
            });
        });
        let reader = outer.spawn(move || until_done(reads, &|turn| read(sandbox, turn)));
        let others = [collector, programs, reader];
        let finished = all_writers(sandbox);
        // Whoever was slow gets its turns beside one more writer.
        let lacks_turns = || turns.iter().any(|turns| turns.load(Ordering::Acquire) < 2);
        for round in 0.. {
            if !lacks_turns() || others.iter().any(ScopedJoinHandle::is_finished) {
                break;
            }
            let author = format!("--author={round}");
            sandbox.umoci(&["config", "--image=img", &author]).succeeds_silently();
        }
        done.store(true, Ordering::Release);
        finished.expect("a writer failed");
        for other in others {
            other.join().unwrap();
        }
        println!("{} rounds; collections, runs of readers, reads: {turns:?}", rounds());
    });
    assert_eq!(all_is_there(sandbox), expected());
    check_contents(sandbox);
    sandbox.umoci(&["gc", "--layout=img"]).succeeds_silently();
    assert_eq!(all_is_there(sandbox), expected());
}

/// The image changes while a layer for it comes through a pipe, which cannot be read twice. No
/// collector takes the layer away meanwhile.
#[test]
fn a_layer_is_added_to_what_the_image_has_become() {
    let sandbox = Sandbox::with_image();
    let writer = HalfWritten::start_with(&sandbox, &["--annotation=layer[-1]:x=y"]);
    sandbox.umoci(&["config", "--image=img", "--author=x"]).succeeds_silently();
    sandbox.umoci(&["insert", "--image=img", "--whiteout", "/x"]).succeeds_silently();
    writer.finish();
    assert_eq!(sandbox.config("latest")["author"], "x");
    let history = sandbox.config("latest")["history"].clone();
    let history: Vec<_> = history.as_array().unwrap().iter().map(|it| &it["created_by"]).collect();
    assert_eq!(history, ["umoci config", "umoci insert", "umoci raw add-layer"]);
    let layers = sandbox.layers("img", "latest");
    assert_eq!((layers.len(), &layers[1]), (2, &whole_archive()));
    let (_, manifest) = sandbox.manifest("img", "latest");
    assert_eq!(manifest["layers"][1]["annotations"]["x"], "y");
    sandbox.umoci(&["validate", "--layout=img"]).succeeds();
}

/// A layer in one format's words has no place in an image that has become one of the other.
#[test]
fn a_layer_is_not_added_to_what_was_converted() {
    let sandbox = Sandbox::with_image();
    let writer = HalfWritten::start_with(&sandbox, &[]);
    sandbox.umoci(&["convert", "--image=img", "--format=docker"]).succeeds_silently();
    let (digest, _) = sandbox.manifest("img", "latest");
    let output = writer.end();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(message, "umoci: add layer: the image was converted meanwhile\n");
    assert_eq!(sandbox.manifest("img", "latest").0, digest);
}
