// SPDX-License-Identifier: Apache-2.0
//! `umoci raw add-layer`: a layer from an archive as it is.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use umoci::error::{Context, Error, ErrorKind, Result};
use umoci::image::{CompressionChoice, Contents, Image, ImageEditor, LayerOptions, add_archive};
use umoci::layer::compress::Compression;
use umoci::oci::media_type::{Kind, is_layer, split_compression};
use umoci::quote::quote;

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
/// With --media-type the file is in another format, such as a filesystem image. It is stored as
/// it is, and only tools that know the media type can unpack the image.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci raw add-layer [command options] --image <image-path>[:<tag>] <new-layer.tar>"
)]
pub(crate) struct Args {
    /// media type of a layer that is stored as it is
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

    let layout = target.layout()?;
    let writer = layout.writer().context("write image")?;
    let image = Image::load(&layout, target.resolve(&layout)?).context("read image")?;
    let history = history.map(|entry| entry.by(&image.config().author));
    let mut archive = open(path)?;
    let mut editor = ImageEditor::new(&writer, image);
    let options = LayerOptions { history, ..options };
    let add = || add_archive(&mut editor, &mut archive, contents, &options);
    progress::shown(&options.progress, add)
        .with_context(|| format!("add layer {path:?}"))
        .map_err(|error| args.suggest_media_type(error))?;
    annotate(&mut editor, &annotations)?;
    publish(&writer, editor, &tag)?;
    Ok(())
}

/// Opens the archive; `-` is standard input.
fn open(path: &OsStr) -> Result<Box<dyn Read>> {
    if path == "-" {
        let mut input = BufReader::new(std::io::stdin());
        // A file may be empty. A pipe that is had its writer fail.
        if input.fill_buf().context("read standard input")?.is_empty() {
            return Err(Error::invalid("new layer archive: standard input is empty"));
        }
        return Ok(Box::new(input));
    }
    let file = File::open(path).at("open", path).context("open new layer archive")?;
    if file.metadata().at("stat", path)?.is_dir() {
        return Err(Error::invalid(format!("new layer archive is a directory: {path:?}")));
    }
    Ok(Box::new(file))
}

impl Args {
    /// Adds the hint that other formats need their media type.
    fn suggest_media_type(&self, error: Error) -> Failure {
        let hint = "A layer of another format is added with --media-type.";
        let is_other = error.kind() == ErrorKind::Format && self.media_type.is_none();
        let failure = Failure::from(error);
        if is_other { failure.hint(hint) } else { failure }
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
