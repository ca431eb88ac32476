// SPDX-License-Identifier: Apache-2.0
//! `.umoci-aside`, by which permission bits are put back that a command had
//! made to step aside when it was killed.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::bundle::{Bundle, TREE, mode};
use crate::driver::Target;

const FILE_NAME: &str = ".umoci-aside";

pub(crate) const TARGET: Target = Target {
    name: "aside",
    run: |input| with(|bundle| run(bundle, input)),
    words: &[
        b"DEV FILE - 0 600\n",
        b"DEV DIR - 0 700\n",
        b"DEV ROOT - 111 755\n",
        b"DEV NULL - 6777 400\n",
        b"DEV OUTSIDE - 666 640\n",
        b"DEV FILE 1.5 0 600\n",
        b" - ",
        b" ",
        b"\n",
        b"-1",
        b"10000",
        b"7777",
        b"0",
    ],
    mend: |input| with(|bundle| bundle.mend(input)),
};

fn with<T>(work: impl FnOnce(&Bundle) -> T) -> T {
    thread_local!(static BUNDLE: RefCell<Option<Bundle>> = const { RefCell::new(None) });
    BUNDLE.with_borrow_mut(|bundle| work(bundle.get_or_insert_with(Bundle::new)))
}

fn run(bundle: &Bundle, input: &[u8]) -> String {
    let file = bundle.path(FILE_NAME);
    fs::write(&file, input).unwrap();
    let notes = bundle.notes();
    bundle.check_outside();
    let changed = TREE.map(|(path, before)| {
        let now = mode(&bundle.in_tree(path));
        assert!(now == before || is_noted(bundle, input, path, before, now), "{path} {now:o}");
        if now == before { '=' } else { 'x' }
    });
    bundle.reset();
    if let Err(error) = notes {
        fs::remove_file(&file).unwrap();
        return error;
    }
    assert!(!file.exists(), "the note stays");
    format!("put back {}", changed.iter().collect::<String>().replace('=', "a"))
}

/// Whether a line says that an inode has had these permission bits.
fn is_noted(bundle: &Bundle, input: &[u8], path: &str, before: u32, now: u32) -> bool {
    let ino = bundle.in_tree(path).symlink_metadata().unwrap().ino();
    let octal = |text: &str| u32::from_str_radix(text, 8).ok();
    input.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()).any(
        |line| {
            let fields: Vec<&str> = line.split(' ').collect();
            matches!(fields[..], [_, inode, _, mode, meanwhile]
                if inode.parse() == Ok(ino) && octal(mode) == Some(now) && octal(meanwhile) == Some(before))
        },
    )
}
