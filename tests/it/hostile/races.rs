// SPDX-License-Identifier: Apache-2.0
//! Somebody inside the root filesystem who swaps directories for symbolic links
//! while it is being worked on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use umoci::bundle::{self, Bundle, RepackOptions, UnpackOptions};
use umoci::image::{CompressionChoice, Image};
use umoci::layer::compress::Compression;
use umoci::layout::Layout;

use super::archive::{Archive, flag};
use super::arena::{Arena, Layer};
use crate::harness::needs_root;

const ROUNDS: usize = 200;

/// Layers that work in a few directories in every way there is.
fn layers() -> [Layer; 2] {
    let mut lower =
        Archive::new().dir("d").dir("d/e").file("d/canary", "x").file("d/e/canary", "x");
    let mut upper = Archive::new().dir("d");
    for number in 0..12 {
        lower = lower
            .dir(&format!("d/e/dir{number}"))
            .file(&format!("d/e/file{number}"), "x")
            .link(&format!("d/link{number}"), "d/e/canary")
            .symlink(&format!("d/symlink{number}"), "x");
        upper = upper
            .dir_with_mode(&format!("d/e/dir{number}"), 0o777)
            .file(&format!("d/e/.wh.file{number}"), "")
            .member(&format!("d/pipe{number}"), flag::FIFO, |_| {}, b"")
            .device(&format!("d/e/null{number}"), 1, 3)
            .file(&format!("d/e/new{number}"), "x");
    }
    upper = upper.file("d/.wh.canary", "").file("d/e/.wh..wh..opq", "");
    [Layer::plain(lower.end()), Layer::plain(upper.end())]
}

/// Exchanges a directory with a link to the outside, and back.
struct Attacker<'a> {
    outside: &'a Path,
    stop: &'a AtomicBool,
    swaps: &'a AtomicUsize,
}

impl Attacker<'_> {
    fn run(&self, roots: impl Fn() -> Vec<PathBuf>) {
        while !self.stop.load(Ordering::Relaxed) {
            for root in roots() {
                let link = root.join("swapped");
                if symlink(self.outside, &link).is_ok() {
                    for name in ["d", "d/e"] {
                        self.swap(&link, &root.join(name));
                    }
                    let _ = fs::remove_file(&link);
                }
            }
        }
    }

    fn swap(&self, link: &Path, directory: &Path) {
        for _ in 0..2 {
            let swapped =
                renameat2(AT_FDCWD, link, AT_FDCWD, directory, RenameFlags::RENAME_EXCHANGE);
            self.swaps.fetch_add(usize::from(swapped.is_ok()), Ordering::Relaxed);
        }
    }
}

/// Runs `work` `ROUNDS` times beside an attacker on the trees that `roots` gives, and
/// asserts that the outside stays as it is.
fn under_attack(
    arena: &Arena,
    roots: impl Fn() -> Vec<PathBuf> + Sync,
    mut work: impl FnMut(usize),
) {
    let (stop, swaps) = (AtomicBool::new(false), AtomicUsize::new(0));
    let outside = arena.path("outside");
    let before: Vec<_> = canaries(arena);
    std::thread::scope(|scope| {
        let attacker = Attacker { outside: &outside, stop: &stop, swaps: &swaps };
        let roots = &roots;
        scope.spawn(move || attacker.run(roots));
        // The attacker ends even if the work panics.
        let _guard = Guard(&stop);
        (0..ROUNDS).for_each(&mut work);
    });
    assert_eq!(canaries(arena), before);
    assert!(swaps.into_inner() > ROUNDS, "there was no race");
}

struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn canaries(arena: &Arena) -> Vec<(PathBuf, String)> {
    let all = arena.surroundings().into_iter();
    all.filter(|(path, _)| path.starts_with("outside")).collect()
}

fn image(layout: &Layout, name: &str) -> Image {
    Image::load(layout, layout.resolve(&name.parse().unwrap()).unwrap()).unwrap()
}

#[test]
fn unpack() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    arena.tag("bad", arena.image(&layers()));
    let layout = Layout::open(arena.path("img")).unwrap();
    let image = image(&layout, "bad");
    let bundle = arena.path("bundle");
    let roots = || {
        let Ok(entries) = fs::read_dir(&bundle) else { return Vec::new() };
        let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
        names.flat_map(|path| [path.join("rootfs"), path]).collect()
    };
    let mut unpacked = 0;
    under_attack(&arena, roots, |_| {
        let done = bundle::unpack(&layout, &image, &bundle, &UnpackOptions::default());
        unpacked += usize::from(done.is_ok());
        // The attacker may be at work in it.
        while fs::remove_dir_all(&bundle)
            .is_err_and(|error| error.kind() != std::io::ErrorKind::NotFound)
        {}
    });
    eprintln!("{unpacked} of {ROUNDS} were unpacked all the same");
}

#[test]
fn repack() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    arena.tag("bad", arena.image(&layers()));
    arena.sandbox.umoci(&["unpack", "--image=img:bad", "bundle"]).succeeds();
    let secret = "what is outside is no part of the image";
    fs::write(arena.path("outside/new1"), secret).unwrap();
    let layout = Layout::open(arena.path("img")).unwrap();
    let rootfs = arena.path("bundle/rootfs");
    let bundle = Bundle::open(&arena.path("bundle")).unwrap();
    let options = RepackOptions {
        compression: CompressionChoice::Fixed(Compression::None),
        ..RepackOptions::default()
    };
    let mut repacked = 0;
    under_attack(
        &arena,
        || vec![rootfs.clone()],
        |round| {
            let _ = fs::write(rootfs.join(format!("new{}", round % 30)), format!("{round}"));
            let writer = layout.writer().unwrap();
            let name = "raced".parse().unwrap();
            let base = bundle.image(&layout).unwrap();
            let Ok(path) = bundle::repack(&bundle, &writer, base, &name, &options) else { return };
            repacked += 1;
            let image = Image::load(&layout, path).unwrap();
            for (layer, _) in image.layers() {
                let bytes = fs::read(arena.blob_path(&layer.digest.to_string())).unwrap();
                assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
            }
        },
    );
    eprintln!("{repacked} of {ROUNDS} were repacked all the same");
}
