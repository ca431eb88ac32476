// SPDX-License-Identifier: Apache-2.0
//! Images that would fill a disk, a memory or a day, and the flags that say
//! how much an image may take.

use std::fs::{self, File};
use std::io::Write;

use serde_json::{Value, json};
use umoci::oci::{Algorithm, Hasher, media_type};

use super::archive::{Archive, flag};
use super::arena::{Arena, Layer, Limits, base};
use super::compression::{gzip, zstd};
use crate::harness::{is_slow, needs_root, needs_time};

const TERABYTE: u64 = 1 << 40;

/// The head of a file of so many bytes.
fn head(size: u64) -> Vec<u8> {
    Archive::new()
        .pax(&[("size", size.to_string().as_bytes())])
        .member("bomb", flag::FILE, |_| {}, b"")
        .open_end()
}

/// A layer whose diff id nobody will get as far as to compare.
fn layer(blob: Vec<u8>, suffix: &str) -> Layer {
    Layer::compressed(blob, suffix, b"")
}

/// `size` zeros as one frame of blocks, each of which says how often its one byte is repeated.
fn zstd_zeros(size: u64) -> Vec<u8> {
    const BLOCK: u32 = 128 << 10;
    // No contents size and no dictionary; a window of 2^17 bytes.
    let mut frame = b"\x28\xb5\x2f\xfd\x00\x38".to_vec();
    let [low, middle, high, _] = ((BLOCK << 3) | (1 << 1)).to_le_bytes();
    for _ in 0..size / u64::from(BLOCK) {
        frame.extend_from_slice(&[low, middle, high, 0]);
    }
    // A last block, of nothing.
    frame.extend_from_slice(&[1, 0, 0]);
    frame
}

/// Stores a file of zeros as members of 64 MiB, and gives the layer's descriptor.
fn put_gzip_zeros(arena: &Arena, size: u64) -> Value {
    const MEMBER: usize = 64 << 20;
    let (head, member) = (gzip(&head(size)), gzip(&vec![0; MEMBER]));
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let blob = File::create(arena.path("blob")).unwrap();
    let mut length = 0;
    let members = std::iter::repeat_n(&member, usize::try_from(size).unwrap() / MEMBER);
    for bytes in std::iter::once(&head).chain(members) {
        hasher.update(bytes);
        (&blob).write_all(bytes).unwrap();
        length += bytes.len();
    }
    let digest = hasher.finish().to_string();
    fs::rename(arena.path("blob"), arena.blob_path(&digest)).unwrap();
    let media_type = format!("{}+gzip", media_type::IMAGE_LAYER);
    json!({ "mediaType": media_type, "digest": digest, "size": length })
}

/// Asserts that an image of this layer is refused for a limit, which the hint says how to raise.
#[track_caller]
fn stopped(name: &str, layer: Layer, flags: &[&str], message: &str, hint: &str) {
    let arena = Arena::new();
    arena.tag("bad", arena.image(&[layer]));
    refused_within(&arena, name, flags, message, hint);
}

#[track_caller]
fn refused_within(arena: &Arena, name: &str, flags: &[&str], message: &str, hint: &str) {
    let unpack = format!(
        // No file may get beyond 128 MiB, whatever the program means to do.
        "ulimit -f 131072; exec {} unpack --image=img:bad {} bundle",
        env!("CARGO_BIN_EXE_umoci"),
        flags.join(" ")
    );
    let limits = Limits { seconds: 20, memory: 80 << 20 };
    let run = Arena::run_watched(arena.sandbox.program("bash", &["-c", &unpack]), limits);
    arena.refused(name, &run);
    let text = run.stderr();
    assert!(text.contains(message) && text.contains(hint), "{name}: {text}");
}

#[test]
fn bombs_are_stopped_soon() {
    if !needs_root() {
        return;
    }
    let bombs = [
        ("zstd", layer([zstd(&head(TERABYTE)), zstd_zeros(TERABYTE)].concat(), "zstd")),
        (
            "zstd behind the end",
            layer([zstd(&base().end()), zstd_zeros(TERABYTE)].concat(), "zstd"),
        ),
    ];
    let (flags, hint) = (&["--max-unpacked-size=64M"], "--max-unpacked-size");
    let message = "larger than the limit of 67108864 bytes";
    for (name, layer) in bombs {
        stopped(name, layer, flags, message, hint);
    }
    // gzip makes a thousandth of zeros at best: 64 MiB, or 1 GiB in the slow variant.
    let arena = Arena::new();
    let (mut manifest, config) = arena.parts(&[layer(Vec::new(), "gzip")]);
    let size = if is_slow() { TERABYTE } else { TERABYTE / 16 };
    manifest["layers"][0] = put_gzip_zeros(&arena, size);
    arena.tag("bad", arena.join(manifest, &config));
    refused_within(&arena, "gzip", flags, message, hint);
}

#[test]
fn bombs_are_not_validated_to_their_end() {
    let arena = Arena::new();
    let bomb = [zstd(&head(TERABYTE)), zstd_zeros(TERABYTE)].concat();
    let many = zstd(&Archive::new().dir("d").open_end().repeat(1000)).repeat(100_000);
    for (name, blob, message) in [
        ("bomb", bomb, "unpacked, it is larger than the limit of 67108864 bytes"),
        ("many", many, "more than the limit of 50000 entries"),
    ] {
        arena.tag(name, arena.image(&[layer(blob, "zstd")]));
        let image = format!("--image=img:{name}");
        let words = ["validate", &image, "--max-unpacked-size=64M", "--max-entries=50000"];
        let run = arena.run_within(&words, Limits { seconds: 20, memory: 80 << 20 });
        assert_eq!(run.status(), Some(3), "{}", run.stdout());
        assert!(run.stdout().contains("error: layers-limit: blobs/"), "{}", run.stdout());
        assert!(run.stdout().contains(message), "{}", run.stdout());
    }
}

/// What decompresses a layer to compress it anew stops as well.
#[test]
fn bombs_are_not_converted() {
    let arena = Arena::new();
    let blob = [zstd(&head(TERABYTE)), zstd_zeros(TERABYTE)].concat();
    let bomb = layer(blob, "zstd");
    arena.tag("bad", arena.image(&[bomb.clone(), bomb]));
    let words = ["convert", "--format=docker", "--image=img:bad", "--max-unpacked-size=64M"];
    let run = arena.run_within(&words, Limits { seconds: 20, memory: 80 << 20 });
    run.fails_with("larger than the limit of 67108864 bytes");
    assert_eq!(run.hint().as_deref(), Some("--max-unpacked-size raises the limit."));
    // All layers of an image count together, those that are the same too.
    let archive = base().end();
    let twice = 2 * archive.len();
    let small = Layer::compressed(zstd(&archive), "zstd", &archive);
    arena.tag("small", arena.image(&[small.clone(), small]));
    for (size, fits) in [(twice, true), (twice - 1, false)] {
        let flag = format!("--max-unpacked-size={size}");
        let words = ["convert", "--format=docker", "--image=img:small", "--tag=out", &flag];
        let run = arena.run_within(&words, Limits::default());
        if fits { drop(run.succeeds()) } else { run.fails_with("larger than the limit of") }
    }
}

/// Without a flag the default stops it, which takes its while.
#[test]
fn bombs_are_stopped_without_a_flag() {
    if !needs_root() || !needs_time() {
        return;
    }
    let arena = Arena::new();
    let blob = [zstd(&base().end()), zstd_zeros(TERABYTE)].concat();
    arena.tag("bad", arena.image(&[layer(blob, "zstd")]));
    let words = ["unpack", "--image=img:bad", "bundle"];
    let run = arena.run_within(&words, Limits { seconds: 200, memory: 80 << 20 });
    arena.refused("behind the end", &run);
    assert!(run.stderr().contains("limit of 68719476736 bytes"), "{}", run.stderr());
}

#[test]
fn members_without_number() {
    if !needs_root() {
        return;
    }
    // Frames of a thousand directories each, all of the same name.
    let frame = zstd(&Archive::new().dir("d").open_end().repeat(1000));
    stopped(
        "directories",
        layer(frame.repeat(100_000), "zstd"),
        &["--max-entries=50000"],
        "more than the limit of 50000 entries",
        "--max-entries",
    );
}

#[test]
fn limits_are_the_most_that_is_allowed() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    let archive = Archive::new().dir("a").dir("a/b").file("a/b/c", "x").end();
    let size = archive.len();
    arena.tag("bad", arena.image(&[Layer::plain(archive)]));
    let within = [
        format!("--max-unpacked-size={size}"),
        "--max-unpacked-size=3K".into(),
        "--max-unpacked-size=none".into(),
        "--max-entries=3".into(),
        "--max-path-depth=3".into(),
    ];
    let over = [
        (format!("--max-unpacked-size={}", size - 1), "larger than the limit of"),
        ("--max-entries=2".into(), "unpack entry: a/b/c: more than the limit of 2 entries"),
        ("--max-path-depth=2".into(), "unpack entry: a/b/c: path is deeper than the limit of 2"),
        ("--max-entries=x".into(), "invalid --max-entries: \"x\" is not a number"),
    ];
    for command in [&["unpack"][..], &["raw", "unpack"]] {
        let unpack = |flag: &str| {
            let words = [command, &["--image=img:bad", flag, "bundle"]].concat();
            arena.run_within(&words, Limits::default())
        };
        for flag in &within {
            unpack(flag).succeeds();
            fs::remove_dir_all(arena.path("bundle")).unwrap();
        }
        for (flag, message) in &over {
            let run = unpack(flag);
            arena.refused(flag, &run);
            assert!(run.stderr().contains(message), "{}", run.stderr());
        }
    }
}

/// The image says how much it needs. What it says is used before anything is written, and believed no further.
#[test]
fn space_is_looked_at_beforehand() {
    if !needs_root() {
        return;
    }
    let arena = Arena::new();
    let (mut manifest, config) = arena.parts(&[Layer::plain(base().end())]);
    for (said, fits) in [
        ("1152921504606846976", false),
        ("18446744073709551615", false),
        ("1", true),
        ("0", true),
        ("-1", true),
        ("1e30", true),
        ("99999999999999999999", true),
        ("", true),
    ] {
        manifest["layers"][0]["annotations"] = json!({ "ci.umo.uncompressed_blob_size": said });
        let index = fs::read(arena.path("img/index.json")).unwrap();
        arena.tag("bad", arena.join(manifest.clone(), &config));
        for command in [&["unpack"][..], &["raw", "unpack"]] {
            let unpack = |flags: &[&str]| {
                let words = [command, &["--image=img:bad"], flags, &["bundle"]].concat();
                arena.run_within(&words, Limits::default())
            };
            if fits {
                unpack(&[]).succeeds();
            } else {
                let run = unpack(&[]);
                arena.refused(said, &run);
                let text = run.stderr();
                let expected = format!("no space: the image needs {said} bytes");
                assert!(text.contains(&expected) && text.contains("--no-space-check"), "{text}");
                unpack(&["--no-space-check"]).succeeds();
            }
            fs::remove_dir_all(arena.path("bundle")).unwrap();
        }
        fs::write(arena.path("img/index.json"), index).unwrap();
    }
}
