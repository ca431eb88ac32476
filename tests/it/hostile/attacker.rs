// SPDX-License-Identifier: Apache-2.0
//! A process that swaps names for links to the outside, and for each other,
//! in a tree that is being worked on. It is this program of tests, started
//! again with one test that does nothing otherwise.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{
    AT_FDCWD, OFlag, OpenHow, RenameFlags, ResolveFlag, openat2, readlinkat, renameat2,
};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use serde_json::{Value, json};

/// The variable that holds the order.
const ORDER: &str = "UMOCI_TEST_ATTACK";

/// What is swapped where.
#[derive(Default)]
pub(super) struct Order {
    /// What the links lead to.
    pub(super) outside: PathBuf,
    /// The directories in which names are swapped; `*` is each directory there.
    pub(super) roots: Vec<PathBuf>,
    /// Directories that become links and are put back.
    pub(super) names: Vec<&'static str>,
    /// Names that change places.
    pub(super) pairs: Vec<(String, String)>,
}

impl Order {
    /// Starts the attack.
    pub(super) fn start(&self) -> Attacker {
        let order = json!({
            "outside": self.outside, "roots": self.roots, "names": self.names, "pairs": self.pairs,
        });
        let own = std::env::current_exe().unwrap();
        let child = Command::new(own)
            .args(["--exact", "hostile::attacker::process", "--nocapture"])
            .env(ORDER, order.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Attacker(child.unwrap())
    }
}

/// An attack that goes on until it is stopped or forgotten.
pub(super) struct Attacker(Child);

impl Attacker {
    /// Ends it, and tells how often names were swapped.
    pub(super) fn stop(mut self) -> u64 {
        drop(self.0.stdin.take());
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let swaps = text.lines().find_map(|line| line.split_once("swaps: "));
        swaps.unwrap_or_else(|| panic!("{text}")).1.trim().parse().unwrap()
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The attacker, when it is started for that.
#[test]
fn process() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let order: Value = serde_json::from_str(&order).unwrap();
    let stopped = AtomicBool::new(false);
    let mut swaps = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Whoever started it stops it, or is gone.
            let _ = std::io::stdin().read(&mut [0]);
            stopped.store(true, Ordering::Relaxed);
        });
        while !stopped.load(Ordering::Relaxed) {
            for root in texts(&order["roots"]).flat_map(|root| directories(Path::new(root))) {
                swaps += attack(&root, &order).unwrap_or(0);
            }
        }
    });
    println!("\nswaps: {swaps}");
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap())
}

/// The directories that a root means.
fn directories(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in root.components().skip(1) {
        found = match part.as_os_str().to_str() {
            Some("*") => {
                let entries = found.iter().flat_map(fs::read_dir).flatten().flatten();
                entries.map(|entry| entry.path()).collect()
            }
            _ => found.into_iter().map(|path| path.join(part)).collect(),
        };
    }
    found
}

/// Opens a directory, but not by way of a link: the outside is not to be changed from here.
fn open(path: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(AT_FDCWD, path, how)
}

fn attack(root: &Path, order: &Value) -> nix::Result<u64> {
    let dir = open(root)?;
    let link = (&dir, "swapped");
    let _ = symlinkat(order["outside"].as_str().unwrap(), &dir, link.1);
    let mut swaps = 0;
    for path in texts(&order["names"]) {
        let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
        let Ok(above) = open(&root.join(above)) else { continue };
        let name = (&above, name);
        swaps += swap(link, name) + swap(link, name);
        // What was interrupted half-way is put right.
        if is_link(name) && !is_link(link) {
            swaps += swap(link, name);
        }
    }
    for pair in order["pairs"].as_array().unwrap() {
        let mut names = texts(pair).map(|name| (&dir, name));
        swaps += swap(names.next().unwrap(), names.next().unwrap());
    }
    let _ = unlinkat(&dir, link.1, UnlinkatFlags::NoRemoveDir);
    Ok(swaps)
}

fn is_link((dir, name): (&OwnedFd, &str)) -> bool {
    readlinkat(dir, name).is_ok()
}

fn swap((one_dir, one): (&OwnedFd, &str), (other_dir, other): (&OwnedFd, &str)) -> u64 {
    renameat2(one_dir, one, other_dir, other, RenameFlags::RENAME_EXCHANGE).is_ok().into()
}
