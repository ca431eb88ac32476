// SPDX-License-Identifier: Apache-2.0
//! Changing an image: [`ImageEditor`].
//!
//! Layers are stored as they are added; configuration, manifest and the indexes
//! above it when the change is committed. Naming the result is left to the caller.

use std::collections::BTreeMap;
use std::io::Write;

use super::annotate::{Annotated, AnnotationEdit, apply, layer_place};
use super::index::IndexEditor;
use super::new_layer::{CompressionChoice, LayerOptions};
use super::stored::{Moved, StoredLayer};
use super::{Image, put};
use crate::error::{Context, Error, ErrorKind, Result, counted};
use crate::interrupt::Interruptible;
use crate::layer::compress::Compression;
use crate::layout::LayoutWriter;
use crate::oci::media_type::{Family, split_compression, with_compression};
use crate::oci::{
    Algorithm, Descriptor, DescriptorPath, Digest, History, ImageConfig, Index, Manifest, Platform,
};
use crate::progress::{Counted, Stage};

/// The annotation of a compressed layer that tells its uncompressed size, in decimal.
pub const UNCOMPRESSED_SIZE: &str = "ci.umo.uncompressed_blob_size";

/// An image in the course of being changed.
#[derive(Debug)]
pub struct ImageEditor<'a> {
    writer: &'a LayoutWriter,
    path: DescriptorPath,
    manifest: Manifest,
    config: ImageConfig,
    /// The platform before any change.
    platform: Platform,
    /// How many annotations there were before any change.
    annotation_count: usize,
    /// Changes of annotations outside of the manifest.
    annotations: Vec<AnnotationEdit>,
}

impl<'a> ImageEditor<'a> {
    /// Starts to change an image of the writer's layout, or to fill a blank one
    /// ([`Image::blank`]).
    pub fn new(writer: &'a LayoutWriter, image: Image) -> Self {
        let Image { path, manifest, config } = image;
        let platform = Platform::of(&config);
        let annotation_count = annotation_count(&manifest);
        let annotations = Vec::new();
        Self { writer, path, manifest, config, platform, annotation_count, annotations }
    }

    /// The way to the image as it was before any change.
    pub fn base(&self) -> &DescriptorPath {
        &self.path
    }

    /// The algorithm of the image's digests, and of those of what is added to it.
    pub fn algorithm(&self) -> Algorithm {
        self.path.target().digest.algorithm()
    }

    /// The algorithm of the digests of uncompressed layers.
    fn diff_id_algorithm(&self) -> Algorithm {
        let last = self.config.rootfs.diff_ids.last();
        last.map_or_else(|| self.algorithm(), Digest::algorithm)
    }

    /// The configuration as it is now.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// The configuration, to be changed. Follow up with [`ImageEditor::record`].
    pub fn config_mut(&mut self) -> &mut ImageConfig {
        &mut self.config
    }

    /// The manifest as it is now.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest's annotations, to be changed. Follow up with [`ImageEditor::record`].
    pub fn annotations_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.manifest.annotations
    }

    /// Changes an annotation, wherever the image has it.
    ///
    /// # Errors
    /// When there is no such layer, or it is the annotation that names the image. That there is
    /// no index to annotate shows when the change is committed.
    pub fn annotate(&mut self, edit: &AnnotationEdit) -> Result<()> {
        edit.check()?;
        match edit.of {
            Annotated::Manifest => edit.apply(&mut self.manifest.annotations),
            Annotated::Layer(number) => {
                let place = layer_place(number, self.manifest.layers.len())?;
                edit.apply(&mut self.manifest.layers[place].annotations);
            }
            Annotated::Index | Annotated::Descriptor => self.annotations.push(edit.clone()),
        }
        Ok(())
    }

    fn edits_of(&self, of: Annotated) -> impl Iterator<Item = &AnnotationEdit> {
        self.annotations.iter().filter(move |edit| edit.of == of)
    }

    /// The family that the manifest belongs to.
    pub fn family(&self) -> Family {
        Family::of(self.media_type()).unwrap_or_default()
    }

    /// The media type of the manifest, as it says itself or else as its descriptor does.
    fn media_type(&self) -> &str {
        match self.manifest.media_type.as_str() {
            "" => &self.path.target().media_type,
            stated => stated,
        }
    }

    /// Records a change without a layer: adds an entry to the history, and lets the
    /// manifest state its media type.
    pub fn record(&mut self, history: Option<History>) {
        self.manifest.media_type = self.media_type().to_owned();
        self.config.history.extend(history.map(|entry| History { empty_layer: true, ..entry }));
    }

    /// Adds a layer on top: `write` is handed what takes the uncompressed tar stream.
    ///
    /// The layer is stored when this returns, but belongs to no image before
    /// [`ImageEditor::commit`]. On failure the editor is as it was.
    pub fn add_layer(
        &mut self,
        options: &LayerOptions,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<Descriptor> {
        self.check_layers()?;
        let compression = self.choose(options.compression).context("add layer")?;
        let media_type = options.media_type.as_deref().unwrap_or(self.family().layer());
        let media_type = with_compression(media_type, compression.suffix());
        options.progress.begin(Stage::Packing);
        options.progress.expect_bytes(options.expected_size.unwrap_or_default());
        let interrupt = self.writer.layout().interrupt().clone();
        let write = |output: &mut dyn Write| {
            let counted = Counted::new(output, options.progress.clone());
            write(&mut Interruptible::new(counted, interrupt))
        };
        let blob = self.writer.blob_with(self.algorithm())?;
        let plain = self.diff_id_algorithm();
        let stored = StoredLayer::write(blob, plain, compression, &options.encoder, write)?;
        let descriptor = stored.descriptor(media_type, options);
        self.push_layer(descriptor.clone(), stored.diff_id, options.history.clone());
        Ok(descriptor)
    }

    /// Adds a layer on top whose blob is in the layout already: one of another image, or one
    /// that was written with [`LayoutWriter::blob`], compressed in a way of the caller's own.
    ///
    /// Its diff id is taken on trust; [`diff_id`](super::diff_id) finds it out.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when the layout has no blob of this
    /// digest and size.
    pub fn add_existing(
        &mut self,
        layer: Descriptor,
        diff_id: Digest,
        history: Option<History>,
    ) -> Result<()> {
        self.check_layers()?;
        if !self.writer.layout().contains(&layer)? {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("add layer: no blob {} of {} bytes", layer.digest, layer.size),
            ));
        }
        self.push_layer(layer, diff_id, history);
        Ok(())
    }

    fn check_layers(&self) -> Result<()> {
        let (layers, diff_ids) = (self.manifest.layers.len(), self.config.rootfs.diff_ids.len());
        if layers == diff_ids {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "add layer: image has {}, but {} in rootfs.diff_ids",
            counted(layers, "layer", "layers"),
            counted(diff_ids, "entry", "entries")
        )))
    }

    fn push_layer(&mut self, layer: Descriptor, diff_id: Digest, history: Option<History>) {
        self.config.rootfs.diff_ids.push(diff_id);
        self.manifest.layers.push(layer);
        match history {
            Some(entry) => self.config.history.push(History { empty_layer: false, ..entry }),
            None => log::warn!("new layer has no history entry -- this will confuse many tools!"),
        }
    }

    /// Stores the changed image, and every index above it with the change. Gives the
    /// new path; its root is what a name should point at.
    pub fn commit(mut self) -> Result<DescriptorPath> {
        let place = self.path.clone();
        self.commit_at(&place)
    }

    /// As [`ImageEditor::commit`], with the image in the place of the one that `place` leads to:
    /// the indexes above that one are those that are changed.
    ///
    /// Where the change is one of the platform, the entry of the index states the new one.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when annotations were added to an image in Docker's format.
    pub fn commit_at(&mut self, place: &DescriptorPath) -> Result<DescriptorPath> {
        if place.walk().len() < 2 && self.edits_of(Annotated::Index).next().is_some() {
            return Err(Error::invalid(
                "annotate index: the tag leads to the image itself, not to an index",
            ));
        }
        let manifest = self.store()?;
        let mut child = Moved::new(place.target(), &manifest);
        // What is in that place now can have another format.
        child.new.media_type = manifest.media_type;
        self.restate_platform(&mut child.new);
        child.edits = self.edits_of(Annotated::Descriptor).cloned().collect();
        apply(&child.edits, &mut child.new.annotations);
        let mut walk = vec![child.new.clone()];
        for (above, parent) in place.walk().iter().enumerate().rev().skip(1) {
            let of_index = self.edits_of(Annotated::Index).filter(|_| above == 0);
            child = self.commit_index(parent, &child, &of_index.cloned().collect::<Vec<_>>())?;
            walk.push(child.new.clone());
        }
        walk.reverse();
        DescriptorPath::new(walk)
    }

    /// As [`ImageEditor::commit`], with the image as a new entry at the end of an index, for the
    /// platform that its configuration names.
    ///
    /// # Errors
    /// [`ErrorKind::Ambiguous`] when the index has another image for that platform,
    /// [`ErrorKind::Unsupported`] when the format of the index has no place for the image.
    pub fn commit_into(&mut self, index: &Descriptor) -> Result<DescriptorPath> {
        let manifest = self.store()?;
        let mut entry = Moved::new(self.path.target(), &manifest).new;
        entry.media_type = manifest.media_type;
        for edit in self.edits_of(Annotated::Descriptor) {
            edit.apply(&mut entry.annotations);
        }
        let mut editor = IndexEditor::open(self.writer, index)?;
        if let Some(other) = editor.add(&entry)? {
            let platform = Platform::of(&self.config);
            let message = format!(
                "index {} has another image for {platform}: {}",
                index.digest, other.digest
            );
            return Err(Error::new(ErrorKind::Ambiguous, message));
        }
        for edit in self.edits_of(Annotated::Index) {
            editor.annotate(None, |annotations| edit.apply(annotations))?;
        }
        let added = editor.index().manifests.last().cloned();
        let root = Moved::new(index, &editor.commit()?).new;
        DescriptorPath::new([Some(root), added].into_iter().flatten().collect())
    }

    /// Stores configuration and manifest, and describes the manifest.
    fn store(&mut self) -> Result<Descriptor> {
        self.check_annotations()?;
        let config = put(self.writer, self.algorithm(), &self.config).context("put config blob")?;
        self.manifest.config.redirect(config.digest, config.size);
        let stored =
            put(self.writer, self.algorithm(), &self.manifest).context("put manifest blob")?;
        Ok(Descriptor { media_type: self.media_type().to_owned(), ..stored })
    }

    /// An image in Docker's format has no annotations, unless it came with some.
    fn check_annotations(&self) -> Result<()> {
        let is_docker = self.family() == Family::Docker;
        if is_docker && annotation_count(&self.manifest) > self.annotation_count {
            return Err(docker_has_no_annotations());
        }
        Ok(())
    }

    fn restate_platform(&self, entry: &mut Descriptor) {
        let Some(stated) = &mut entry.platform else { return };
        let new = Platform::of(&self.config);
        if new != self.platform {
            let other = std::mem::take(&mut stated.other);
            *stated = Platform { other, ..new };
        }
    }

    fn choose(&self, choice: CompressionChoice) -> Result<Compression> {
        let is_docker = self.family() == Family::Docker;
        match choice {
            CompressionChoice::Fixed(Compression::Zstd) if is_docker => {
                Err(Error::unsupported("Docker's image format has no zstd layers"))
            }
            CompressionChoice::Fixed(compression) => Ok(compression),
            CompressionChoice::Auto if is_docker => Ok(Compression::Gzip),
            CompressionChoice::Auto => Ok((self.manifest.layers.iter().rev())
                .find_map(|layer| match split_compression(&layer.media_type).1 {
                    "gzip" => Some(Compression::Gzip),
                    "zstd" => Some(Compression::Zstd),
                    _ => None,
                })
                .unwrap_or_default()),
        }
    }

    /// Stores an index in which `child` moved.
    fn commit_index(
        &self,
        descriptor: &Descriptor,
        child: &Moved,
        edits: &[AnnotationEdit],
    ) -> Result<Moved> {
        let mut index: Index = self.writer.layout().document(descriptor)?;
        let mut found = false;
        // One image can have several entries, for platforms that are changed one by one.
        for entry in index.manifests.iter_mut().filter(|entry| child.is_from(entry)) {
            entry.redirect(child.new.digest.clone(), child.new.size);
            entry.media_type.clone_from(&child.new.media_type);
            entry.platform.clone_from(&child.new.platform);
            apply(&child.edits, &mut entry.annotations);
            found = true;
        }
        for subject in index.subject.iter_mut().filter(|it| it.digest == child.old.digest) {
            subject.redirect(child.new.digest.clone(), child.new.size);
        }
        if !found {
            return Err(Error::invalid(format!(
                "index {} does not contain {}",
                descriptor.digest, child.old.digest
            )));
        }
        let mut all = edits.iter().chain(&child.edits);
        let is_docker = Family::of(&descriptor.media_type) == Some(Family::Docker);
        if is_docker && all.any(|edit| edit.value.is_some()) {
            return Err(docker_has_no_annotations());
        }
        apply(edits, &mut index.annotations);
        let stored =
            put(self.writer, descriptor.digest.algorithm(), &index).context("put index blob")?;
        Ok(Moved::new(descriptor, &stored))
    }
}

fn docker_has_no_annotations() -> Error {
    Error::unsupported("Docker's image format has no annotations")
}

/// The number of annotations of a manifest and its layers.
fn annotation_count(manifest: &Manifest) -> usize {
    let layers = manifest.layers.iter().map(|layer| layer.annotations.len());
    layers.sum::<usize>() + manifest.annotations.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::oci::media_type;
    use crate::oci::{Document, Platform, Timestamp};

    struct Fixture {
        _dir: tempfile::TempDir,
        layout: Layout,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::create(dir.path().join("layout")).unwrap();
            Self { _dir: dir, layout }
        }

        /// Makes the image of the known digests.
        fn image(&self) -> Image {
            let config = ImageConfig {
                created: Some(Timestamp::from_epoch_seconds(0).unwrap()),
                ..ImageConfig::new("amd64", "linux")
            };
            let writer = self.layout.writer().unwrap();
            let manifest = super::super::create(&writer, &config).unwrap();
            self.load(vec![manifest])
        }

        fn load(&self, walk: Vec<Descriptor>) -> Image {
            Image::load(&self.layout, DescriptorPath::new(walk).unwrap()).unwrap()
        }

        fn edit(&self, image: Image, edit: impl FnOnce(&mut ImageEditor<'_>)) -> Image {
            let writer = self.layout.writer().unwrap();
            let mut editor = ImageEditor::new(&writer, image);
            edit(&mut editor);
            let path = editor.commit().unwrap();
            Image::load(&self.layout, path).unwrap()
        }
    }

    fn history(created_by: &str) -> History {
        History {
            created: Some(Timestamp::from_epoch_seconds(0).unwrap()),
            created_by: created_by.into(),
            ..History::default()
        }
    }

    fn plain(created_by: &str) -> LayerOptions {
        LayerOptions {
            compression: CompressionChoice::Fixed(Compression::None),
            history: Some(history(created_by)),
            ..LayerOptions::default()
        }
    }

    fn write(bytes: &[u8]) -> impl FnOnce(&mut dyn Write) -> Result<()> {
        move |writer| Ok(writer.write_all(bytes)?)
    }

    #[test]
    fn adds_a_layer() {
        let fixture = Fixture::new();
        let image = fixture.edit(fixture.image(), |editor| {
            let options = LayerOptions {
                annotations: BTreeMap::from([("a".into(), "b".into())]),
                ..plain("umoci insert")
            };
            editor.add_layer(&options, write(b"layer")).unwrap();
        });
        let layers: Vec<_> = image.layers().collect();
        let digest = Digest::of(Algorithm::Sha256, "layer");
        assert_eq!(layers.len(), 1);
        assert_eq!(*layers[0].1, digest);
        assert_eq!(layers[0].0.media_type, media_type::IMAGE_LAYER);
        assert_eq!((&layers[0].0.digest, layers[0].0.size), (&digest, 5));
        assert_eq!(layers[0].0.annotations, BTreeMap::from([("a".into(), "b".into())]));
        assert_eq!(image.config().history[0].created_by, "umoci insert");
        assert!(!image.config().history[0].empty_layer);
        assert_eq!(fixture.layout.read(layers[0].0).unwrap(), b"layer");
    }

    #[test]
    fn compresses_as_the_layers_below() {
        let fixture = Fixture::new();
        let zeros = vec![0; 10_000];
        for (compression, suffix) in [(Compression::Gzip, "+gzip"), (Compression::Zstd, "+zstd")] {
            let fixed = LayerOptions {
                compression: CompressionChoice::Fixed(compression),
                ..LayerOptions::default()
            };
            let image = fixture.edit(fixture.image(), |editor| {
                editor.add_layer(&fixed, write(&zeros)).unwrap();
                editor.add_layer(&plain("x"), write(b"plain")).unwrap();
                editor.add_layer(&LayerOptions::default(), write(&zeros)).unwrap();
            });
            let layers: Vec<_> = image.layers().collect();
            assert_eq!(layers[0], layers[2]);
            let (layer, diff_id) = layers[2];
            assert_eq!(layer.media_type, format!("{}{suffix}", media_type::IMAGE_LAYER));
            assert_eq!(layer.annotations[UNCOMPRESSED_SIZE], "10000");
            assert_eq!(*diff_id, Digest::of(Algorithm::Sha256, &zeros));
            assert!(layers[1].0.annotations.is_empty());
        }
        let image = fixture.edit(fixture.image(), |editor| {
            editor.add_layer(&LayerOptions::default(), write(&zeros)).unwrap();
        });
        assert!(image.manifest().layers[0].media_type.ends_with("+gzip"));
    }

    #[test]
    fn a_failed_layer_changes_nothing() {
        let fixture = Fixture::new();
        let image = fixture.image();
        let writer = fixture.layout.writer().unwrap();
        let mut editor = ImageEditor::new(&writer, image.clone());
        let failed = editor.add_layer(&plain("x"), |writer| {
            writer.write_all(b"half")?;
            Err(Error::invalid("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!((editor.manifest(), editor.config()), (image.manifest(), image.config()));
        editor.config_mut().rootfs.diff_ids.push(Digest::of(Algorithm::Sha256, ""));
        let error = editor.add_layer(&plain("x"), write(b"")).unwrap_err().to_string();
        assert!(error.contains("0 layers, but 1 entry in"), "{error}");
    }

    #[test]
    fn keeps_what_it_was_not_asked_to_change() {
        let fixture = Fixture::new();
        let writer = fixture.layout.writer().unwrap();
        let config = r#"{"architecture":"arm64","os":"linux","variant":"v8","os.version":"1","config":{"Healthcheck":{"Test":[]}},"rootfs":{"type":"layers"},"x":1.0}"#;
        let mut config = writer.put(config.as_bytes(), ImageConfig::MEDIA_TYPE).unwrap();
        config.annotations.insert("k".into(), "v".into());
        config.data = Some(fixture.layout.read(&config).unwrap());
        let mut manifest = Manifest::new(config);
        manifest.media_type.clear();
        manifest.other.insert("y".into(), 2.into());
        let manifest = writer.put_document(&manifest).unwrap();
        let edited = fixture.edit(fixture.load(vec![manifest.clone()]), |editor| {
            editor.add_layer(&plain("x"), write(b"layer")).unwrap();
        });
        assert!(edited.manifest().media_type.is_empty());
        let edited = fixture.edit(fixture.load(vec![manifest]), |editor| {
            editor.config_mut().author = "me".into();
            editor.record(Some(history("umoci config")));
        });
        assert_eq!(edited.manifest().media_type, Manifest::MEDIA_TYPE);
        assert_eq!(edited.manifest().other["y"], 2);
        let descriptor = &edited.manifest().config;
        assert_eq!((&*descriptor.annotations["k"], &descriptor.data), ("v", &None));
        assert_eq!(
            String::from_utf8(fixture.layout.read(descriptor).unwrap()).unwrap(),
            "{\"author\":\"me\",\"architecture\":\"arm64\",\"os\":\"linux\",\"os.version\":\"1\",\
             \"variant\":\"v8\",\"config\":{\"Healthcheck\":{\"Test\":[]}},\
             \"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]},\"history\":[{\"created\":\
             \"1970-01-01T00:00:00Z\",\"created_by\":\"umoci config\",\"empty_layer\":true}],\"x\":1.0}\n"
        );
    }

    #[test]
    fn carries_a_change_up_through_nested_indexes() {
        let fixture = Fixture::new();
        let image = fixture.image();
        let writer = fixture.layout.writer().unwrap();
        let mut entry = image.path().target().clone();
        entry.platform = Some(Platform { os: "linux".into(), ..Platform::default() });
        entry.data = Some(fixture.layout.read(&entry).unwrap());
        entry.other.insert("x".into(), 1.into());
        let other = Descriptor::new("text/plain", Digest::of(Algorithm::Sha256, "o"), 1);
        let mut inner = Index {
            manifests: vec![other.clone(), entry.clone()],
            subject: Some(entry.clone()),
            ..Index::default()
        };
        inner.other.insert("y".into(), 2.into());
        let inner = writer.put_document(&inner).unwrap();
        let outer = Index { manifests: vec![inner.clone(), inner.clone()], ..Index::default() };
        let mut outer = writer.put_document(&outer).unwrap();
        outer.annotations.insert("k".into(), "v".into());

        let image = fixture.load(vec![outer, inner, entry]);
        let edited = fixture.edit(image, |editor| editor.record(Some(history("x"))));
        let [outer, inner, target] = edited.path().walk() else { panic!("another length") };
        assert_eq!(outer.annotations["k"], "v");
        let index: Index = fixture.layout.document(outer).unwrap();
        assert_eq!(index.manifests, [inner.clone(), inner.clone()]);
        let index: Index = fixture.layout.document(inner).unwrap();
        assert_eq!(index.manifests, [other, target.clone()]);
        assert_eq!(index.subject.as_ref(), Some(target));
        assert_eq!(index.other["y"], 2);
        assert_eq!((target.data.as_ref(), &target.other["x"]), (None, &1.into()));
        assert!(target.platform.is_some());
    }

    #[test]
    fn loads_only_images() {
        let fixture = Fixture::new();
        let image = fixture.image();
        let load = |descriptor: Descriptor| {
            let path = DescriptorPath::new(vec![descriptor]).unwrap();
            Image::load(&fixture.layout, path).unwrap_err().to_string()
        };
        let error = load(image.manifest().config.clone());
        assert_eq!(
            error,
            "descriptor does not point to ispec.MediaTypeImageManifest: not implemented: \
             application/vnd.oci.image.config.v1+json"
        );
        let writer = fixture.layout.writer().unwrap();
        let artifact = Manifest::new(writer.put(b"{}", media_type::EMPTY_JSON).unwrap());
        let error = load(writer.put_document(&artifact).unwrap());
        assert!(error.contains("config blob is not correct mediatype"), "{error}");
        assert!(error.contains(media_type::EMPTY_JSON), "{error}");
    }

    #[test]
    fn layers_need_their_digests() {
        let fixture = Fixture::new();
        let writer = fixture.layout.writer().unwrap();
        let load = |rootfs: &str| {
            let config = format!("{{\"rootfs\":{rootfs}}}");
            let config = writer.put(config.as_bytes(), ImageConfig::MEDIA_TYPE).unwrap();
            let mut manifest = Manifest::new(config.clone());
            manifest.layers.push(config);
            let walk = vec![writer.put_document(&manifest).unwrap()];
            Image::load(&fixture.layout, DescriptorPath::new(walk).unwrap())
        };
        let error = load("{\"type\":\"layers\"}").unwrap_err().to_string();
        assert_eq!(error, "config: rootfs.diff_ids has 0 entries for 1 layer");
        let error = load("{\"type\":\"foo\"}").unwrap_err().to_string();
        assert_eq!(error, "config: unsupported rootfs.type: foo");
        let digest = Digest::of(Algorithm::Sha256, "");
        let rootfs = format!("{{\"type\":\"layers\",\"diff_ids\":[\"{digest}\",\"{digest}\"]}}");
        assert_eq!(load(&rootfs).unwrap().layers().len(), 1);
    }
}
