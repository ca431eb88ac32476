// SPDX-License-Identifier: Apache-2.0
//! Many processes that change one layout at once, while garbage is collected.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;

use umoci::image::Image;
use umoci::layout::Layout;

use crate::harness::{Sandbox, needs_root};

const ROUNDS: usize = 6;

/// Every name leads to an image, and all of that image is there.
fn all_is_there(sandbox: &Sandbox) -> Vec<String> {
    let layout = Layout::open(sandbox.path("img")).unwrap();
    let names = layout.references().unwrap();
    for name in &names {
        let path = layout.resolve(&name.parse().unwrap()).unwrap();
        let image = Image::load(&layout, path).unwrap();
        for (layer, _) in image.layers() {
            layout.blob(layer).unwrap().verify().unwrap();
        }
    }
    names
}

fn change(sandbox: &Sandbox, writer: usize) {
    let image = format!("--image=img:w{writer}");
    sandbox.umoci(&["new", &image]).succeeds_silently();
    for round in 0..ROUNDS {
        let author = format!("--author={round}");
        sandbox.umoci(&["config", &image, &author]).succeeds_silently();
        let tag = format!("w{writer}-{round}");
        sandbox.umoci(&["tag", &image, &tag]).succeeds_silently();
        if round % 2 == 1 {
            sandbox
                .umoci(&["rm", &format!("--image=img:w{writer}-{}", round - 1)])
                .succeeds_silently();
        }
    }
}

fn repack(sandbox: &Sandbox, writer: usize) {
    let bundle = format!("bundle{writer}");
    for round in 0..ROUNDS {
        let file = sandbox.path(&bundle).join(format!("rootfs/file{round}"));
        std::fs::write(file, format!("{writer} {round}").repeat(1000)).unwrap();
        let image = format!("--image=img:r{writer}-{round}");
        sandbox.umoci(&["repack", "--refresh-bundle", &image, &bundle]).succeeds_silently();
    }
}

const CHANGERS: usize = 4;
const REPACKERS: usize = 2;

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
    scope(|outer| {
        let collector = outer.spawn(move || {
            let mut runs = 0;
            while !done.load(Ordering::Acquire) {
                sandbox.umoci(&["gc", "--layout=img"]).succeeds_silently();
                runs += 1;
            }
            runs
        });
        // A reader never sees anything half-way, but may lose what is removed meanwhile.
        let reader = outer.spawn(move || {
            while !done.load(Ordering::Acquire) {
                sandbox.umoci(&["ls", "--layout=img"]).succeeds();
                sandbox.umoci(&["stat", "--image=img"]).succeeds();
            }
        });
        let finished = scope(|inner| {
            let changers: Vec<_> =
                (0..CHANGERS).map(|writer| inner.spawn(move || change(sandbox, writer))).collect();
            let repackers: Vec<_> =
                (0..REPACKERS).map(|writer| inner.spawn(move || repack(sandbox, writer))).collect();
            changers
                .into_iter()
                .chain(repackers)
                .map(std::thread::ScopedJoinHandle::join)
                .collect::<Vec<_>>()
        });
        done.store(true, Ordering::Release);
        assert!(finished.iter().all(Result::is_ok), "a writer failed");
        assert!(collector.join().unwrap() > 1);
        reader.join().unwrap();
    });
    let mut expected = vec!["latest".to_owned()];
    for writer in 0..CHANGERS {
        expected.push(format!("w{writer}"));
        expected.extend((1..ROUNDS).step_by(2).map(|round| format!("w{writer}-{round}")));
    }
    for writer in 0..REPACKERS {
        expected.extend((0..ROUNDS).map(|round| format!("r{writer}-{round}")));
    }
    let mut names = all_is_there(sandbox);
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
    sandbox.umoci(&["gc", "--layout=img"]).succeeds_silently();
    assert_eq!(all_is_there(sandbox).len(), expected.len());
}
