// SPDX-License-Identifier: Apache-2.0
//! Layouts as their users see them, and what the tests of this module share.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;
use crate::oci::media_type;
use crate::oci::{Algorithm, ImageConfig, Manifest};

/// A new layout and the directory to keep while it is used.
pub(super) fn scratch() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path().join("layout")).unwrap();
    (dir, layout.with_lock_limit(Duration::from_secs(30)))
}

pub(super) fn name(text: &str) -> RefName {
    text.parse().unwrap()
}

/// Stores an image of one layer with these contents.
pub(super) fn put_image(writer: &LayoutWriter, layer: &[u8]) -> Descriptor {
    let mut config = ImageConfig::new("amd64", "linux");
    config.author = String::from_utf8_lossy(layer).into_owned();
    let config = writer.put_document(&config).unwrap();
    let layer = writer.put(layer, media_type::IMAGE_LAYER).unwrap();
    let mut manifest = Manifest::new(config);
    manifest.layers.push(layer);
    writer.put_document(&manifest).unwrap()
}

pub(super) fn put_index(writer: &LayoutWriter, manifests: Vec<Descriptor>) -> Descriptor {
    writer.put_document(&Index { manifests, ..Index::default() }).unwrap()
}

/// Where a blob's file is.
pub(super) fn file_of(layout: &Layout, digest: &Digest) -> PathBuf {
    layout.path().join(blob_path(digest))
}

/// The names directly in a layout.
fn listing(layout: &Layout) -> Vec<String> {
    let entries = fs::read_dir(layout.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn sum(layout: &Layout, file: &str) -> String {
    let bytes = fs::read(layout.path().join(file)).unwrap();
    Digest::of(Algorithm::Sha256, bytes).hex().to_owned()
}

#[test]
fn makes_the_same_files_as_ever() {
    let (_dir, layout) = scratch();
    assert_eq!(
        sum(&layout, INDEX_FILE),
        "3d60eec733f106e03a571223c6adb85a3dabd53590ae0d8339e8ea2de2d32c56"
    );
    assert_eq!(
        sum(&layout, LAYOUT_FILE),
        "561356159fc692da9a55978e206a495b7835abcc4778fa9d13138a0530304878"
    );
    assert_eq!(listing(&layout), ["blobs", "index.json", "oci-layout"]);
    assert!(layout.path().join("blobs/sha256").is_dir());
}

#[test]
fn makes_no_layout_where_something_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("dir")).unwrap();
    fs::write(path("file"), "").unwrap();
    symlink("nowhere", path("link")).unwrap();
    for taken in ["dir", "file", "link"] {
        let error = Layout::create(path(taken)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{taken}");
        assert!(error.to_string().starts_with("image layout creation: path already exists: "));
    }
    assert!(Layout::create(path("file/below")).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "temporary files stayed");
}

#[test]
fn makes_layouts_of_any_name_and_below_missing_directories() {
    let dir = tempfile::tempdir().unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"a\xff\n:b");
    let long = "n".repeat(255);
    for path in [PathBuf::from("x/y/z"), odd.into(), long.into(), "slash/".into(), "p/../q".into()]
    {
        let layout = Layout::create(dir.path().join(path)).unwrap();
        let writer = layout.writer().unwrap();
        writer.tag(&name("t"), put_image(&writer, b"x")).unwrap();
        assert_eq!(layout.references().unwrap(), ["t"]);
    }
}

#[test]
fn tells_what_is_no_layout() {
    let failure = |change: &dyn Fn(&Path)| {
        let (_dir, layout) = scratch();
        change(layout.path());
        Layout::open(layout.path()).unwrap_err().to_string()
    };
    let text = failure(&|path| fs::remove_dir_all(path).unwrap());
    assert!(text.starts_with("open CAS: validate: read oci-layout: invalid image detected: open"));
    let text = failure(&|path| fs::remove_file(path.join("oci-layout")).unwrap());
    assert!(text.starts_with("open CAS: validate: read oci-layout: invalid image detected: open"));
    let marker =
        |text: &'static str| move |path: &Path| fs::write(path.join("oci-layout"), text).unwrap();
    assert!(failure(&marker("{} x")).starts_with("open CAS: validate: parse oci-layout: "));
    assert!(failure(&marker("{}")).contains("layout version is not supported: invalid image"));
    let text = failure(&marker("{\"imageLayoutVersion\":\"2.0.0\"}"));
    assert!(text.contains("layout version is not supported: invalid image detected"));
    let text = failure(&|path| fs::remove_dir_all(path.join("blobs")).unwrap());
    assert!(text.contains("check blobdir: invalid image detected"), "{text}");
    let text = failure(&|path| {
        fs::remove_dir_all(path.join("blobs")).unwrap();
        fs::write(path.join("blobs"), "").unwrap();
    });
    assert!(text.contains("blobdir is not a directory: invalid image detected"), "{text}");
    let text = failure(&|path| fs::remove_file(path.join("index.json")).unwrap());
    assert!(text.contains("check index: invalid image detected"), "{text}");
    let text = failure(&|path| {
        fs::remove_file(path.join("index.json")).unwrap();
        fs::create_dir(path.join("index.json")).unwrap();
    });
    assert!(text.contains("index is a directory: invalid image detected"), "{text}");
}

#[test]
fn never_blocks_on_or_follows_what_is_no_file() {
    let (_dir, layout) = scratch();
    let descriptor = Descriptor::new("m", Digest::of(Algorithm::Sha256, "x"), 1);
    let blob = file_of(&layout, &descriptor.digest);
    symlink("/dev/zero", &blob).unwrap();
    assert!(layout.read(&descriptor).unwrap_err().to_string().contains("not a regular file"));
    fs::remove_file(&blob).unwrap();
    let index = layout.path().join(INDEX_FILE);
    for place in [&blob, &index] {
        let _ = fs::remove_file(place);
        nix::unistd::mkfifo(place, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    assert!(layout.read(&descriptor).unwrap_err().to_string().contains("not a regular file"));
    assert!(layout.index().unwrap_err().to_string().contains("not a regular file"));
    fs::remove_file(&index).unwrap();
    symlink(layout.path().join(LAYOUT_FILE), &index).unwrap();
    assert!(layout.writer().unwrap().untag(&name("t")).is_err());
    assert!(fs::symlink_metadata(&index).unwrap().is_symlink());
}

#[test]
fn reads_blobs_of_every_algorithm() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
        let mut blob = writer.blob_with(algorithm).unwrap();
        io::Write::write_all(&mut blob, b"hello").unwrap();
        let (digest, size) = blob.commit().unwrap();
        assert_eq!(digest.algorithm(), algorithm);
        assert_eq!(layout.read(&Descriptor::new("m", digest, size)).unwrap(), b"hello");
    }
}

#[test]
fn finds_flipped_bits_and_repairs_them() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let descriptor = writer.put(b"hello", "m").unwrap();
    let blob = file_of(&layout, &descriptor.digest);
    for damaged in [&b"hellp"[..], b"hell", b"hello!", b""] {
        fs::write(&blob, damaged).unwrap();
        assert_eq!(layout.read(&descriptor).unwrap_err().kind(), ErrorKind::Mismatch);
        assert_eq!(writer.put(b"hello", "m").unwrap(), descriptor);
        assert_eq!(layout.read(&descriptor).unwrap(), b"hello");
    }
    fs::remove_file(&blob).unwrap();
    let error = layout.read(&descriptor).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().starts_with("open blob: open "), "{error}");
    assert!(error.to_string().ends_with(": no such file or directory"), "{error}");
}

#[test]
fn prefers_embedded_data_and_verifies_it() {
    let (_dir, layout) = scratch();
    let mut descriptor = Descriptor::new("m", Digest::of(Algorithm::Sha512, "x"), 1);
    descriptor.data = Some(b"x".to_vec());
    assert_eq!(layout.read(&descriptor).unwrap(), b"x");
    descriptor.data = Some(Vec::new());
    let text = layout.read(&descriptor).unwrap_err().to_string();
    assert!(text.starts_with("invalid embedded descriptor data: expected sha512:"), "{text}");
    assert!(text.ends_with(": verified reader digest mismatch"), "{text}");
    descriptor.data = Some(b"x".to_vec());
    descriptor.size = 2;
    let text = layout.read(&descriptor).unwrap_err().to_string();
    assert!(text.ends_with("expected 2 bytes not 1 bytes: verified reader size mismatch"));
}

#[test]
fn refuses_documents_that_are_too_large_or_of_another_type() {
    let (_dir, layout) = scratch();
    let digest = Digest::of(Algorithm::Sha256, "{}");
    let large = Descriptor::new(media_type::IMAGE_MANIFEST, digest.clone(), (4 << 20) + 1);
    assert_eq!(layout.document::<Manifest>(&large).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(layout.document::<Index>(&large).unwrap_err().kind(), ErrorKind::Unsupported);
    let mut empty = Descriptor::new(media_type::EMPTY_JSON, digest, 2);
    empty.data = Some(b"{}".to_vec());
    assert_eq!(layout.read(&empty).unwrap(), b"{}");
    empty.size = 3;
    let text = layout.read(&empty).unwrap_err().to_string();
    assert_eq!(text, "invalid descriptor: empty json blob is invalid");
}

#[test]
fn tags_replace_move_to_the_end_and_keep_annotations() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let mut image = put_image(&writer, b"a");
    image.annotations.insert("org.example".into(), "kept".into());
    for tag in ["a", "b", "a"] {
        writer.tag(&name(tag), image.clone()).unwrap();
    }
    assert_eq!(layout.references().unwrap(), ["b", "a"]);
    assert_eq!(layout.index().unwrap().manifests[1].annotations["org.example"], "kept");
    assert_eq!(writer.untag(&name("c")).unwrap(), 0);
    assert_eq!(writer.untag(&name("a")).unwrap(), 1);
    assert_eq!(writer.untag(&name("b")).unwrap(), 1);
    let text = fs::read_to_string(layout.path().join(INDEX_FILE)).unwrap();
    assert!(text.ends_with("\"manifests\":[]}\n"), "{text}");
}

#[test]
fn what_is_called_so_is_replaced_under_its_own_name() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let [old, new] = [&b"old"[..], b"new"].map(|layer| put_image(&writer, layer));
    let full = "docker.io/library/alpine:3.20";
    writer.tag(&name(full), old).unwrap();
    let tagged = |tag: &str| writer.tag_as(&name(tag), new.clone()).map(|name| name.to_string());
    assert_eq!(tagged("alpine:3.20").unwrap(), full);
    assert_eq!(layout.references().unwrap(), [full]);
    assert_eq!(layout.index().unwrap().manifests[0].digest, new.digest);
    assert_eq!(tagged("other").unwrap(), "other");
    assert_eq!(layout.references().unwrap(), [full, "other"]);
    writer.tag(&name("quay.io/x/alpine:3.20"), new.clone()).unwrap();
    let before = fs::read(layout.path().join(INDEX_FILE)).unwrap();
    assert_eq!(tagged("alpine:3.20").unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(fs::read(layout.path().join(INDEX_FILE)).unwrap(), before);
}

#[test]
fn several_entries_of_one_name_are_all_replaced() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let mut image = put_image(&writer, b"a");
    image.annotations.insert(REF_NAME.into(), "t".into());
    writer
        .update_index(|index| {
            index.manifests = vec![image.clone(), image.clone(), image.clone()];
            Ok(())
        })
        .unwrap();
    assert_eq!(layout.resolve(&name("t")).unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(writer.tag(&name("t"), image).unwrap().len(), 3);
    assert_eq!(layout.references().unwrap(), ["t"]);
}

#[test]
fn editing_the_index_loses_nothing() {
    let (_dir, layout) = scratch();
    let digest = Digest::of(Algorithm::Sha256, "{}");
    let entry = format!("{{\"mediaType\":\"m\",\"digest\":\"{digest}\",\"size\":2,\"zz\":[1.0]}}");
    let before = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\
         \"manifests\":[{entry}],\"annotations\":{{\"k\":\"v\"}},\"x-unknown\":{{\"b\":1,\"a\":2}}}}\n"
    );
    fs::write(layout.path().join(INDEX_FILE), &before).unwrap();
    let writer = layout.writer().unwrap();
    let added = Descriptor::new("m", digest.clone(), 2);
    writer.tag(&name("t"), added).unwrap();
    let after = fs::read_to_string(layout.path().join(INDEX_FILE)).unwrap();
    let tagged = format!(
        "{entry},{{\"mediaType\":\"m\",\"digest\":\"{digest}\",\"size\":2,\
         \"annotations\":{{\"{REF_NAME}\":\"t\"}}}}"
    );
    assert_eq!(after, before.replace(&entry, &tagged));
    writer.untag(&name("t")).unwrap();
    assert_eq!(fs::read_to_string(layout.path().join(INDEX_FILE)).unwrap(), before);
}

#[test]
fn a_failed_change_writes_nothing() {
    let (_dir, layout) = scratch();
    let before = sum(&layout, INDEX_FILE);
    let writer = layout.writer().unwrap();
    let failed: Result<()> = writer.update_index(|index| {
        index.manifests.push(Descriptor::new("m", Digest::of(Algorithm::Sha256, ""), 0));
        Err(Error::invalid("no"))
    });
    failed.unwrap_err();
    let mut blob = writer.blob().unwrap();
    io::Write::write_all(&mut blob, b"never committed").unwrap();
    drop((blob, writer));
    assert_eq!(sum(&layout, INDEX_FILE), before);
    assert_eq!(listing(&layout), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(fs::read_dir(layout.path().join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn new_files_are_readable_and_the_index_keeps_its_mode() {
    let (_dir, layout) = scratch();
    let fresh = layout.path().join(INDEX_FILE);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let masked = mode(&fresh);
    assert!(masked & 0o111 == 0 && masked & 0o600 == 0o600 && masked & 0o022 == 0);
    let writer = layout.writer().unwrap();
    let image = put_image(&writer, b"a");
    assert_eq!(mode(&file_of(&layout, &image.digest)), masked);
    for kept in [0o640, 0o600, 0o664] {
        fs::set_permissions(&fresh, fs::Permissions::from_mode(kept)).unwrap();
        writer.tag(&name(&format!("t{kept}")), image.clone()).unwrap();
        assert_eq!(mode(&fresh), kept);
    }
}

#[test]
fn new_files_belong_to_the_owner_of_the_layout() {
    if !sys::is_root() {
        return;
    }
    let (_dir, layout) = scratch();
    std::os::unix::fs::chown(layout.path(), Some(1000), Some(1001)).unwrap();
    let writer = layout.writer().unwrap();
    let image = put_image(&writer, b"a");
    let mut large = writer.blob_with(Algorithm::Sha512).unwrap();
    io::Write::write_all(&mut large, b"x").unwrap();
    let (digest, _) = large.commit().unwrap();
    let blob = file_of(&layout, &image.digest);
    writer.tag(&name("t"), image).unwrap();
    let new_dir = layout.path().join("blobs/sha512");
    for path in [blob, layout.path().join(INDEX_FILE), new_dir, file_of(&layout, &digest)] {
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1000, 1001), "{path:?}");
    }
}

#[test]
fn reading_needs_no_lock_and_leaves_no_trace() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let image = put_image(&writer, b"a");
    writer.tag(&name("t"), image).unwrap();
    drop(writer);
    let _everything = layout
        .lock_blobs(Mode::Exclusive, &mut Patience::new(Duration::ZERO, Interrupt::default()));
    let _index = layout.lock_index().unwrap();
    let changed = fs::metadata(layout.path()).unwrap().mtime_nsec();
    let reader = Layout::open(layout.path()).unwrap().with_lock_limit(Duration::ZERO);
    let path = reader.resolve(&name("t")).unwrap();
    reader.document::<Manifest>(path.target()).unwrap();
    assert_eq!(fs::metadata(layout.path()).unwrap().mtime_nsec(), changed);
    assert_eq!(reader.writer().unwrap_err().kind(), ErrorKind::Busy);
}

#[test]
fn writers_that_race_lose_nothing() {
    const WRITERS: usize = 4;
    const TAGS: usize = 12;
    let (_dir, layout) = scratch();
    let path = layout.path();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|id| {
                scope.spawn(move || {
                    for round in 0..TAGS {
                        let writer = Layout::open(path).unwrap().writer().unwrap();
                        let image = put_image(&writer, format!("{id}-{round}").as_bytes());
                        // The same blobs are written by all of them at once, too.
                        put_image(&writer, b"shared");
                        writer.tag(&name(&format!("t{id}-{round}")), image).unwrap();
                    }
                })
            })
            .collect();
        let collector = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let layout = Layout::open(path).unwrap();
                collect_garbage(&layout, &GcOptions::default()).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        collector.join().unwrap();
    });
    assert_eq!(layout.references().unwrap().len(), WRITERS * TAGS);
    for tag in layout.references().unwrap() {
        let path = layout.resolve(&name(&tag)).unwrap();
        let manifest: Manifest = layout.document(path.target()).unwrap();
        layout.document::<ImageConfig>(&manifest.config).unwrap();
        let layer = layout.read(&manifest.layers[0]).unwrap();
        assert_eq!(format!("t{}", String::from_utf8(layer).unwrap()), tag);
    }
    assert_eq!(listing(&layout), ["blobs", "index.json", "oci-layout"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any sequence of tagging and untagging leaves what a plain list would.
    #[test]
    fn tags_behave_as_a_list(steps in prop::collection::vec((any::<bool>(), 0..4_u8), 0..24)) {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let mut expected: Vec<String> = Vec::new();
        for (add, number) in steps {
            let tag = format!("t{number}");
            expected.retain(|other| *other != tag);
            if add {
                let digest = Digest::of(Algorithm::Sha256, [number]);
                writer.tag(&name(&tag), Descriptor::new("m", digest, 1)).unwrap();
                expected.push(tag);
            } else {
                writer.untag(&name(&tag)).unwrap();
            }
            prop_assert_eq!(layout.references().unwrap(), expected.clone());
        }
    }
}
