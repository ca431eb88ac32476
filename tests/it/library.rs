// SPDX-License-Identifier: Apache-2.0
//! What other programs build on the library: layouts, layers one by one, images made of both.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use umoci::bundle::{
    self, Bundle, RepackOptions, RuntimeSpecOptions, UnpackOptions, User, runtime_spec,
};
use umoci::error::ErrorKind;
use umoci::idmap::{IdMap, IdMaps};
use umoci::image::{
    self, CompressionChoice, Image, ImageEditor, LayerOptions, RootfsOptions, UnpackedLayer,
    unpack_rootfs,
};
use umoci::interrupt::Interrupt;
use umoci::layer::compress::{Compression, EncoderOptions};
use umoci::layer::{ApplyOptions, Owners, PackOptions, pack_tree};
use umoci::layout::{
    Effect, EntryName, GcOptions, KeepSince, Layout, RefName, StoredBlob, Untagged,
    collect_garbage, walk,
};
use umoci::oci::{Descriptor, DescriptorPath, History, ImageConfig, Index, Manifest, media_type};
use umoci::rootfs::Native;

struct Place {
    directory: tempfile::TempDir,
    layout: Layout,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::create(directory.path().join("layout")).unwrap();
        Self { directory, layout }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// From the image's root to whoever runs the test.
    fn maps(&self) -> IdMaps {
        let me = self.directory.path().metadata().unwrap();
        let map = |id: u32| IdMap::parse(&[format!("0:{id}")]).unwrap();
        IdMaps { uid: map(me.uid()), gid: map(me.gid()) }
    }

    fn blank(&self) -> Image {
        let writer = self.layout.writer().unwrap();
        let manifest = image::create(&writer, &ImageConfig::new("amd64", "linux")).unwrap();
        Image::load(&self.layout, DescriptorPath::new(vec![manifest]).unwrap()).unwrap()
    }

    /// A layer with one file, as a plain tar stream.
    fn layer(&self, file: &str) -> Vec<u8> {
        let tree = self.path(&format!("tree-{file}"));
        crate::harness::write(tree.join(file), file);
        let options = PackOptions { owners: Owners::Mapped(self.maps()), ..PackOptions::default() };
        pack_tree(&Native::open(&tree).unwrap(), Vec::new(), &options).unwrap()
    }

    /// An image with one layer for each file.
    fn image(&self, name: &str, files: &[&str]) -> Image {
        let writer = self.layout.writer().unwrap();
        let mut editor = ImageEditor::new(&writer, self.blank());
        for file in files {
            let layer = self.layer(file);
            editor.add_layer(&made_by("test"), |output| Ok(output.write_all(&layer)?)).unwrap();
        }
        let path = editor.commit().unwrap();
        writer.tag(&name.parse().unwrap(), path.root().clone()).unwrap();
        Image::load(&self.layout, path).unwrap()
    }

    fn apply(&self) -> ApplyOptions {
        ApplyOptions { maps: self.maps(), ..ApplyOptions::default() }
    }
}

fn made_by(what: &str) -> LayerOptions {
    let history = History { created_by: what.into(), ..History::default() };
    LayerOptions { history: Some(history), ..LayerOptions::default() }
}

fn listing(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_layout_is_made_written_read_walked_and_cleaned() {
    let place = Place::new();
    let layout = Layout::open(place.path("layout")).unwrap();
    let image = place.image("one", &["a", "b"]);
    let writer = layout.writer().unwrap();
    // Blobs by their types.
    let manifest: Manifest = layout.document(image.path().target()).unwrap();
    let config: ImageConfig = layout.document(&manifest.config).unwrap();
    assert_eq!(config.rootfs.diff_ids.len(), 2);
    let index = Index { manifests: vec![image.path().target().clone()], ..Index::default() };
    let index = writer.put_document(&index).unwrap();
    let text = writer.put(b"text", "text/plain").unwrap();
    assert_eq!(layout.read(&text).unwrap(), b"text");
    let wrong = Descriptor::new(media_type::IMAGE_INDEX, text.digest.clone(), text.size);
    assert!(layout.document::<Index>(&wrong).is_err());
    // Names.
    let name: RefName = "two".parse().unwrap();
    writer.tag(&name, index.clone()).unwrap();
    assert_eq!(layout.references().unwrap(), ["one", "two"]);
    assert_eq!(layout.resolve(&name).unwrap().walk().len(), 2);
    assert_eq!(writer.untag(&"one".parse().unwrap()).unwrap(), 1);
    drop(writer);
    // What can be reached, and what goes when that is not asked for.
    let mut reached = 0;
    walk(&layout, [index], |_| {
        reached += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(reached, 5, "index, manifest, configuration, two layers");
    let since = KeepSince(std::time::SystemTime::UNIX_EPOCH);
    let text = text.digest;
    let is_text = |blob: &StoredBlob| blob.digest == text;
    let all = GcOptions { untagged: Untagged::Drop, ..GcOptions::default() };
    let foretold =
        collect_garbage(&layout, &GcOptions { effect: Effect::Report, ..all.clone() }).unwrap();
    assert_eq!(foretold.removed.len(), 3, "the text and the blank image");
    let young = GcOptions { policies: vec![&since], ..all.clone() };
    assert_eq!(collect_garbage(&layout, &young).unwrap().removed, []);
    let some = GcOptions { policies: vec![&is_text], ..all };
    assert_eq!(collect_garbage(&layout, &some).unwrap().removed.len(), 2);
    assert!(Image::load(&layout, layout.resolve(&name).unwrap()).is_ok());
}

#[test]
fn a_layer_that_is_there_already_is_added_to_an_image() {
    let place = Place::new();
    let from = place.image("from", &["a"]);
    let writer = place.layout.writer().unwrap();
    let mut editor = ImageEditor::new(&writer, place.blank());
    // One of another image, with an annotation of its own.
    let (layer, diff_id) = from.layers().next().unwrap();
    assert_eq!(image::diff_id(&place.layout, layer).unwrap(), *diff_id);
    let mut layer = layer.clone();
    layer.annotations.insert("org.example.verity".into(), "root hash".into());
    editor.add_existing(layer.clone(), diff_id.clone(), None).unwrap();
    // One that was compressed by other means.
    let mut child = std::process::Command::new("gzip")
        .arg("-1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&place.layer("b")).unwrap();
    let mut blob = writer.blob().unwrap();
    std::io::copy(child.stdout.as_mut().unwrap(), &mut blob).unwrap();
    assert!(child.wait().unwrap().success());
    let (digest, size) = blob.commit().unwrap();
    let own = Descriptor::new(format!("{}+gzip", media_type::IMAGE_LAYER), digest, size);
    let diff_id = image::diff_id(&place.layout, &own).unwrap();
    let history = History { created_by: "gzip -1".into(), ..History::default() };
    editor.add_existing(own.clone(), diff_id, Some(history)).unwrap();
    // One that is compressed here, as the caller chooses.
    let third = place.layer("c");
    let compression = CompressionChoice::Fixed(Compression::Zstd);
    let annotations = [("org.example.key".to_owned(), "value".to_owned())].into();
    let options = LayerOptions { compression, annotations, ..made_by("test") };
    let zstd = editor.add_layer(&options, |output| Ok(output.write_all(&third)?)).unwrap();
    // The editor tells how the image is now.
    assert_eq!(editor.manifest().layers, [layer, own.clone(), zstd.clone()]);
    assert_eq!(editor.config().rootfs.diff_ids.len(), 3);
    assert!(zstd.media_type.ends_with("+zstd") && zstd.annotations.contains_key("org.example.key"));
    // What is not there is refused.
    let mut gone = own;
    gone.size += 1;
    let error = editor.add_existing(gone, zstd.digest, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let path = editor.commit().unwrap();

    let image = Image::load(&place.layout, path).unwrap();
    let tree = place.path("tree");
    std::fs::create_dir(&tree).unwrap();
    let options = RootfsOptions { apply: place.apply(), ..RootfsOptions::default() };
    unpack_rootfs(&place.layout, &image, &Native::open(&tree).unwrap(), &options).unwrap();
    assert_eq!(listing(&tree), ["a", "b", "c"]);
    assert_eq!(image.config().history.len(), 2);
}

#[test]
fn layers_are_told_of_one_by_one() {
    let place = Place::new();
    let image = place.image("image", &["a", "b", "c"]);
    let tree = place.path("tree");
    std::fs::create_dir(&tree).unwrap();
    let told = RefCell::new(Vec::new());
    let after = |layer: &UnpackedLayer<'_>| {
        let mut bodies = String::new();
        for name in listing(&tree) {
            std::fs::File::open(tree.join(name))?.read_to_string(&mut bodies)?;
        }
        told.borrow_mut().push((layer.place, layer.descriptor.digest.clone(), bodies));
        Ok(())
    };
    let options = RootfsOptions {
        apply: place.apply(),
        after_layer: Some(&after),
        ..RootfsOptions::default()
    };
    let fs = Native::open(&tree).unwrap();
    unpack_rootfs(&place.layout, &image, &fs, &options).unwrap();
    let digest = |place: usize| image.manifest().layers[place].digest.clone();
    let expected = [(0, "a"), (1, "ab"), (2, "abc")];
    let expected = expected.map(|(place, bodies)| (place, digest(place), bodies.to_owned()));
    assert_eq!(*told.borrow(), expected);

    // From the middle, over what is there.
    told.borrow_mut().clear();
    std::fs::remove_file(tree.join("b")).unwrap();
    let options = RootfsOptions { start_from: Some(digest(1)), ..options };
    unpack_rootfs(&place.layout, &image, &fs, &options).unwrap();
    let places: Vec<_> = told.borrow().iter().map(|(place, ..)| *place).collect();
    assert_eq!((places, listing(&tree)), (vec![1, 2], ["a", "b", "c"].map(str::to_owned).into()));
    let config = image.manifest().config.digest.clone();
    let options = RootfsOptions { start_from: Some(config), ..options };
    let error = unpack_rootfs(&place.layout, &image, &fs, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn nobody_is_told_of_a_layer_that_is_wrong_and_an_answer_can_stop_the_rest() {
    let place = Place::new();
    let image = place.image("image", &["a", "b", "c"]);
    let writer = place.layout.writer().unwrap();
    let mut editor = ImageEditor::new(&writer, image.clone());
    editor.config_mut().rootfs.diff_ids[1] = image.manifest().config.digest.clone();
    let wrong = Image::load(&place.layout, editor.commit().unwrap()).unwrap();
    for (image, stop, expected) in [(&wrong, 9, "diffid mismatch"), (&image, 0, "enough")] {
        let tree = tempfile::tempdir().unwrap();
        let told = RefCell::new(Vec::new());
        let after = |layer: &UnpackedLayer<'_>| {
            told.borrow_mut().push(layer.place);
            if layer.place == stop { Err(umoci::Error::invalid("enough")) } else { Ok(()) }
        };
        let options = RootfsOptions {
            apply: place.apply(),
            after_layer: Some(&after),
            ..RootfsOptions::default()
        };
        let fs = Native::open(tree.path()).unwrap();
        let error = unpack_rootfs(&place.layout, image, &fs, &options).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(*told.borrow(), [0]);
        assert!(!tree.path().join("c").exists());
    }
}

/// Opens a bundle that this process has used: a child that another test is about to start may
/// still hold the lock.
fn open_when_free(path: &Path) -> Bundle {
    loop {
        match Bundle::open(path) {
            Err(error) if error.kind() == ErrorKind::Busy => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

#[test]
fn a_repacked_image_is_the_same_from_any_number_of_threads() {
    let place = Place::new();
    let image = place.image("image", &["a"]);
    let bundle = place.path("bundle");
    let options = UnpackOptions { maps: place.maps(), ..UnpackOptions::default() };
    bundle::unpack(&place.layout, &image, &bundle, &options).unwrap();
    // As many bytes as several blocks of either compression, in files that end anywhere in one.
    for file in 0..40_u64 {
        let lines =
            (0..20_000 + 100 * file).map(|line| format!("{:x}\n", (file + 1) * line * line));
        crate::harness::write(
            bundle.join(format!("rootfs/files/{file}")),
            lines.collect::<String>(),
        );
    }
    let writer = place.layout.writer().unwrap();
    let bundle = open_when_free(&bundle);
    let repacked = |compression, threads| {
        let options = RepackOptions {
            compression: CompressionChoice::Fixed(compression),
            encoder: EncoderOptions { threads: NonZeroUsize::new(threads) },
            ..RepackOptions::default()
        };
        let image = bundle.image(&place.layout).unwrap();
        let name = EntryName::from(&"repacked".parse::<RefName>().unwrap());
        let path = bundle::repack(&bundle, &writer, image, &name, &options).unwrap();
        Image::load(&place.layout, path).unwrap().manifest().layers[1].clone()
    };
    for (compression, blocks) in [(Compression::Gzip, 512 << 10), (Compression::Zstd, 3 << 20)] {
        let one = repacked(compression, 1);
        let bytes = one.annotations.get("ci.umo.uncompressed_blob_size").unwrap();
        assert!(bytes.parse::<u64>().unwrap() > 2 * blocks, "{bytes} bytes");
        for threads in [2, 7] {
            assert_eq!(repacked(compression, threads), one, "{threads} threads");
        }
    }
}

#[test]
fn an_added_layer_is_the_same_from_any_number_of_threads() {
    let place = Place::new();
    let writer = place.layout.writer().unwrap();
    // Five blocks of either compression and more, which come in any pieces.
    let lines = (0..100_000_u64).map(|line| format!("{:x}\n", line * line));
    let bytes = lines.collect::<String>().repeat(18).into_bytes();
    assert!(bytes.len() > 5 * (3 << 20), "{} bytes", bytes.len());
    let added = |compression, threads: usize| {
        let options = LayerOptions {
            compression: CompressionChoice::Fixed(compression),
            encoder: EncoderOptions { threads: NonZeroUsize::new(threads) },
            ..made_by("test")
        };
        let mut pieces = bytes.chunks(60_000 + threads);
        let write =
            |output: &mut dyn Write| Ok(pieces.try_for_each(|piece| output.write_all(piece))?);
        ImageEditor::new(&writer, place.blank()).add_layer(&options, write).unwrap()
    };
    for compression in [Compression::Gzip, Compression::Zstd] {
        let one = added(compression, 1);
        for threads in [2, 7] {
            assert_eq!(added(compression, threads), one, "{threads} threads");
        }
    }
}

#[test]
fn a_configuration_becomes_one_for_a_runtime() {
    let mut config = ImageConfig::new("amd64", "linux");
    config.config.cmd = vec!["/bin/sh".into()];
    let user = User::without_rootfs("7:8").unwrap();
    let spec = runtime_spec(&config, &user, &RuntimeSpecOptions::default()).unwrap();
    let spec: serde_json::Value = serde_json::from_slice(&spec.to_bytes().unwrap()).unwrap();
    assert_eq!(spec["process"]["args"], serde_json::json!(["/bin/sh"]));
    assert_eq!(spec["process"]["user"], serde_json::json!({"uid": 7, "gid": 8}));
}

#[test]
fn owners_are_known_before_anything_is_made_of_an_image() {
    let place = Place::new();
    let image = place.image("image", &["a", "b"]);
    let check = |layout: &Layout| image::refuse_unmapped(layout, &image, &place.apply());
    check(&place.layout).unwrap();
    // Nobody waits to be told who has asked to stop.
    let interrupt = Interrupt::default();
    interrupt.raise();
    let stopped = Layout::open(place.path("layout")).unwrap().with_interrupt(interrupt);
    assert_eq!(check(&stopped).unwrap_err().kind(), ErrorKind::Interrupted);
    // What else is wrong with a layer is told by who unpacks it.
    let (layer, _) = image.layers().next().unwrap();
    let blob = layer.digest.to_string().replace(':', "/");
    std::fs::write(place.path("layout/blobs").join(blob), "").unwrap();
    check(&place.layout).unwrap();
}
