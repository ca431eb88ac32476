// SPDX-License-Identifier: Apache-2.0
//! `umoci raw add-layer`: a layer from an archive as it is.

use std::ffi::OsString;

use umoci::error::{Context, Error, ErrorKind, Result};
use umoci::image::{CompressionChoice, Contents, Image, ImageEditor, LayerOptions, add_archive};
use umoci::layer::compress::Compression;
use umoci::layout::until_unchanged;
use umoci::oci::media_type::{Family, Kind, is_layer, split_compression};
use umoci::oci::{Descriptor, Digest, History};
use umoci::quote::quote;

use super::archive::Archive;
use crate::args::{
    self, AnnotationArgs, CompressArgs, HistoryArgs, HistoryDefaults, ImageArg, PairName, TagArg,
    annotate, pairs,
};
use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::progress;
use crate::publish::publish;

/// add a layer archive verbatim to an image
///
/// "<new-layer.tar>", an uncompressed tar archive, becomes one more layer of the image that
/// "<tag>" names (default "latest", or the only image); "-" stands for standard input. It is
/// looked through, but nothing in it is changed. The result gets the same tag, or "<new-tag>" if
/// that is given.
///
/// With --media-type the layer is of another type. If that is not one of tar archives, the file is
/// a filesystem image or the like: it is stored as it is, and only tools that know the type can
/// unpack the image. If it is one, the file is looked through and compressed as without the flag.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci raw add-layer [command options] --image <image-path>[:<tag>] <new-layer.tar>"
)]
pub(crate) struct Args {
    /// media type of the layer; the file is stored as it is unless that is one of tar archives
    #[arg(long, value_name = "TYPE")]
    media_type: Option<String>,

    /// annotation of the new layer's descriptor (NAME=VALUE); may be repeated
    #[arg(long = "layer.annotation", value_name = "NAME=VALUE")]
    layer_annotations: Vec<String>,

    #[command(flatten)]
    annotations: AnnotationArgs,

    #[command(flatten)]
    compress: CompressArgs,

    #[command(flatten)]
    tag: TagArg,

    #[command(flatten)]
    history: HistoryArgs,

    #[command(flatten)]
    image: ImageArg,

    /// the archive
    #[arg(value_name = "NEW-LAYER.TAR", value_hint = clap::ValueHint::FilePath)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let (contents, options) = args.layer()?;
    let annotations = args.annotations.edits()?;
    args.history.check()?;
    let tag = args.tag.result(&target.place)?;
    let path = args::one(&args.words, "newlayer.tar", "<new-layer.tar> path")?;
    let defaults =
        HistoryDefaults { created_by: "umoci raw add-layer", created: Clock::read()?.now };
    let history = args.history.entry(&defaults)?;

    let layout = target.layout_to_change()?;
    // Until the layer belongs to an image, however often that is tried, nobody collects garbage.
    let writer = layout.writer().context("write image")?;
    let mut stored: Option<Stored> = None;
    until_unchanged(|| {
        let image = Image::load(&layout, target.resolve(&layout)?).context("read image")?;
        let history = history.clone().map(|entry| entry.by(&image.config().author));
        let mut editor = ImageEditor::new(&writer, image);
        if let Some(stored) = &stored {
            stored.add_to(&mut editor, history)?;
        } else {
            let mut archive = Archive::open(path, layout.interrupt().clone())?;
            let expected_size = archive.size();
            let options = LayerOptions { history, expected_size, ..options.clone() };
            let add = || add_archive(&mut editor, archive.stream(), contents, &options);
            let added = progress::shown(&options.progress, add);
            let added = added.with_context(|| format!("add layer {path:?}"));
            let layer = added.map_err(|error| args.suggest(error, &archive))?;
            stored = Some(Stored::on_top(&editor, layer)?);
        }
        annotate(&mut editor, &annotations)?;
        publish(&writer, editor, &tag)?;
        Ok(())
    })
}

/// A layer that is in the layout, to be added to an image anew.
struct Stored {
    layer: Descriptor,
    diff_id: Digest,
    /// The format of the image that it was added to first.
    family: Family,
}

impl Stored {
    /// The layer that has just been added.
    fn on_top(editor: &ImageEditor<'_>, layer: Descriptor) -> Result<Self> {
        let diff_id = editor.config().rootfs.diff_ids.last().cloned();
        let diff_id = diff_id.ok_or_else(|| Error::invalid("the new layer has no diff id"))?;
        Ok(Self { layer, diff_id, family: editor.family() })
    }

    fn add_to(&self, editor: &mut ImageEditor<'_>, history: Option<History>) -> Result<()> {
        // Each format has its own words for what a layer is.
        if editor.family() != self.family {
            return Err(Error::unsupported("add layer: the image was converted meanwhile"));
        }
        editor.add_existing(self.layer.clone(), self.diff_id.clone(), history)
    }
}

impl Args {
    /// Says how what is no archive is added.
    fn suggest(&self, error: Error, archive: &Archive<'_>) -> Failure {
        let is_other = error.kind() == ErrorKind::Format;
        let failure = Failure::from(error);
        match archive.decompressed() {
            Some(command) if is_other => failure.hint(format!("`{command}` adds what is in it.")),
            _ if is_other && self.media_type.is_none() => {
                failure.hint("A layer of another format is added with --media-type.")
            }
            _ => failure,
        }
    }

    /// What the layer holds, and how it is added but for its history.
    fn layer(&self) -> Result<(Contents, LayerOptions)> {
        let compression = self.compress.choice()?;
        let annotations = pairs("layer.annotation", &self.layer_annotations, PairName::Required)?;
        let options = LayerOptions {
            compression,
            annotations: annotations.into_iter().collect(),
            ..LayerOptions::default()
        };
        let Some(media_type) = &self.media_type else { return Ok((Contents::Tar, options)) };
        check_media_type(media_type).context("invalid --media-type")?;
        let options = LayerOptions { media_type: Some(media_type.clone()), ..options };
        if is_layer(media_type) {
            return Ok((Contents::Tar, options));
        }
        if !matches!(
            compression,
            CompressionChoice::Auto | CompressionChoice::Fixed(Compression::None)
        ) {
            let message = "--compress: a layer with --media-type is stored as it is";
            return Err(Error::invalid(message));
        }
        Ok((Contents::Opaque, options))
    }
}

/// Refuses what is no media type, and what would be taken for something other than the bytes
/// of a layer whose diff id is their digest.
fn check_media_type(text: &str) -> Result<()> {
    let is_part = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.len() <= 127
            && part.bytes().all(allowed)
    };
    if !text.split_once('/').is_some_and(|(kind, subtype)| is_part(kind) && is_part(subtype)) {
        return Err(Error::invalid(format!("{} is not a media type", quote(text))));
    }
    match Kind::of(text) {
        Kind::Layer if !split_compression(text).1.is_empty() => {
            let message = format!("{text}: tar archives are compressed here, see --compress");
            Err(Error::invalid(message))
        }
        Kind::Layer | Kind::Other => Ok(()),
        _ => Err(Error::invalid(format!("{text}: not the type of a layer"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for text in [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.example.layer.squashfs+zstd+verity",
            "application/vnd.erofs",
        ] {
            assert!(check_media_type(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "squashfs",
            "/",
            "a/",
            "a/b/c",
            "a/b c",
            "a/b\n",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.empty.v1+json",
        ] {
            assert!(check_media_type(text).is_err(), "{text:?}");
        }
    }
}
