// SPDX-License-Identifier: Apache-2.0
//! `umoci config`: change an image's configuration.

mod settings;

use std::ffi::OsString;

use umoci::error::Context;
use umoci::image::{Image, ImageEditor};
use umoci::layout::until_unchanged;
use umoci::oci::Platform;

use crate::args::{self, AnnotationArgs, HistoryArgs, HistoryDefaults, ImageArg, TagArg, annotate};
use crate::clock::Clock;
use crate::failure::Outcome;
use crate::publish::publish;
use crate::twins::warn_of_twins;

use settings::Settings;
#[cfg(test)]
pub(crate) use settings::clearable;

/// change the configuration of an image
///
/// "<tag>" (default "latest", or the only image) names the image to start from. The result gets
/// that tag too, or "<new-tag>" if that is given. First everything that --clear names is cleared,
/// then the other flags are applied. Flags that add something can be repeated.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci config [command options] --image <image-path>[:<tag>] [--tag <new-tag>]"
)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    annotations: AnnotationArgs,

    #[command(flatten)]
    tag: TagArg,

    #[command(flatten)]
    history: HistoryArgs,

    #[command(flatten)]
    image: ImageArg,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    args.history.check()?;
    let tag = args.tag.result(&target.place)?;
    args::none(&args.words)?;
    let edits = args.settings.edits()?;
    let annotations = args.annotations.edits()?;
    let defaults = HistoryDefaults { created_by: "umoci config", created: Clock::read()?.now };
    let history = args.history.entry(&defaults)?;

    let layout = target.layout_to_change()?;
    until_unchanged(|| {
        let writer = layout.writer().context("write image")?;
        let image = Image::load(&layout, target.resolve(&layout)?).context("read image")?;
        let before = Platform::of(image.config());
        let mut editor = ImageEditor::new(&writer, image);
        edits.apply(editor.config_mut());
        edits.annotate(editor.annotations_mut());
        annotate(&mut editor, &annotations)?;
        let history = history.clone().map(|entry| entry.by(&editor.config().author));
        editor.record(history);
        let was_for_another = Platform::of(editor.config()) != before;
        let (path, name) = publish(&writer, editor, &tag)?;
        if was_for_another {
            warn_of_twins(&layout, &path, &name);
        }
        Ok(())
    })
}
