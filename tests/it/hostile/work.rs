// SPDX-License-Identifier: Apache-2.0
//! Layers that ask for the same work again and again, in the hope that each
//! time it is as much as all that came before.

use super::archive::Archive;
use super::arena::Answer::{Refuse, Succeed};
use super::arena::{Attack, base, each};

const MANY: usize = 20_000;

/// Members that are made `MANY` times, by their number.
fn many(archive: Archive, add: impl Fn(Archive, usize) -> Archive) -> Archive {
    (0..MANY).fold(archive, add)
}

#[test]
fn whiteouts_of_what_stays() {
    each(|_| {
        let file = |tar: Archive, number| tar.file(&format!("d/{number}"), "");
        let full = || many(Archive::new().dir("d"), file);
        let upper = |name: &str| [base(), many(full(), |tar, _| tar.file(name, ""))];
        vec![
            Attack::new("opaque", Succeed, upper("d/.wh..wh..opq")).within(30, 300),
            Attack::new("of the directory", Succeed, upper(".wh.d")).within(30, 300),
        ]
    });
}

/// Names between `a` and `a/b` are no part of `a`.
#[test]
fn links_among_names_alike() {
    each(|_| {
        let alike = many(Archive::new(), |tar, number| tar.dir(&format!("a-{number}")));
        let replaced = (0..MANY / 5).fold(alike, |tar, _| tar.symlink("a", "x"));
        vec![Attack::new("replaced", Succeed, [replaced]).within(40, 300)]
    });
}

/// Links that lead through thousands of components each, to the next.
#[test]
fn ways_without_end() {
    each(|_| {
        let mut archive = Archive::new().dir("d");
        for number in 0..200 {
            let target = format!("{}l{}", "d/../".repeat(700), number + 1);
            let name = format!("l{number}");
            archive = archive.pax(&[("linkpath", target.as_bytes())]).symlink(&name, "x");
        }
        for number in 0..200 {
            archive = archive.file(&format!("l0/{number}/f"), "x");
        }
        vec![Attack::new("links", Refuse, [archive]).within(10, 100)]
    });
}

/// The same with more directories than are kept open, each of them within what one path may take.
#[test]
fn ways_that_are_long_each_time() {
    each(|_| {
        let mut archive = Archive::new().dir("a");
        for number in 0..32 {
            let target = format!("{}d{number}", "a/../".repeat(670));
            archive = archive
                .dir(&format!("d{number}"))
                .pax(&[("linkpath", target.as_bytes())])
                .symlink(&format!("k{number}"), "x")
                .symlink(&format!("l{number}"), &format!("k{number}"));
        }
        let member = |tar: Archive, number| tar.file(&format!("l{}/{number}", number % 32), "");
        let few = (0..200).fold(archive.clone(), member);
        vec![
            Attack::new("many", Refuse, [many(archive, member)]).within(20, 300),
            Attack::new("few", Succeed, [few]).within(10, 300),
        ]
    });
}
