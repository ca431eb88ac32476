// SPDX-License-Identifier: Apache-2.0
//! `umoci insert`: one more layer, made of a file or directory or of a whiteout.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use umoci::bundle::{Privileges, tree_notes_at};
use umoci::error::{Context, Error, ErrorKind, Result};
use umoci::image::{Image, ImageEditor, InsertOptions, Insertion, LayerOptions, Lower, Target};
use umoci::layout::until_unchanged;
use umoci::rootfs::TreeNotes;

use crate::args::{
    self, AnnotationArgs, CompressArgs, HistoryArgs, HistoryDefaults, IdMapArgs, ImageArg,
    StrictArg, TagArg, annotate,
};
use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::progress;
use crate::publish::update;

/// insert content into an image
///
/// "<source>", a file or a directory with all that is in it, becomes "<target>" in the image that
/// "<tag>" names (default "latest", or the only image). A symlink is inserted as the link it is.
/// What the image has in a directory "<target>" stays where nothing replaces it; with --opaque it
/// is gone. With --whiteout nothing is inserted, and what the image has at "<target>" is gone.
///
/// The result gets the same tag, or "<new-tag>" if that is given. It is the old image with one
/// more layer: what was replaced can still be found in the layers below.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci insert [command options] --image <image-path>[:<tag>] [--opaque] <source> <target>\n   umoci insert [command options] --image <image-path>[:<tag>] --whiteout <target>"
)]
pub(crate) struct Args {
    /// remove the target instead of inserting something
    #[arg(long)]
    whiteout: bool,

    /// hide what the image has in the target directory
    #[arg(long)]
    opaque: bool,

    #[command(flatten)]
    annotations: AnnotationArgs,

    #[command(flatten)]
    compress: CompressArgs,

    #[command(flatten)]
    tag: TagArg,

    #[command(flatten)]
    history: HistoryArgs,

    #[command(flatten)]
    ids: IdMapArgs,

    #[command(flatten)]
    strict: StrictArg,

    #[command(flatten)]
    image: ImageArg,

    /// what to insert, and its path in the image
    #[arg(value_name = "SOURCE TARGET", value_hint = clap::ValueHint::AnyPath)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let compression = args.compress.choice()?;
    let annotations = args.annotations.edits()?;
    args.history.check()?;
    let tag = args.tag.result(&target.place)?;
    let (insertion, place) = args.insertion()?;
    let clock = Clock::read()?;
    let defaults = HistoryDefaults { created_by: "umoci insert", created: clock.now };
    let history = args.history.entry(&defaults)?;
    let owners = args.ids.owners()?;

    let layout = target.layout_to_change()?;
    let options = InsertOptions {
        layer: LayerOptions {
            compression,
            // NOTE(compat): who made the image is no default for who inserts something.
            history: history.map(|entry| entry.by("")),
            ..LayerOptions::default()
        },
        latest: clock.source_date_epoch,
        owners,
        strictness: args.strict.strictness(),
        notes: args.tree_notes(&insertion)?,
        interrupt: layout.interrupt().clone(),
    };
    until_unchanged(|| {
        let writer = layout.writer().context("write image")?;
        let image = Image::load(&layout, target.resolve(&layout)?).context("read image")?;
        let mut editor = ImageEditor::new(&writer, image);
        let insert = || umoci::image::insert(&mut editor, &insertion, &place, &options);
        progress::shown(&options.layer.progress, insert)
            .context("add diff layer")
            .map_err(|error| args.suggest(error))?;
        annotate(&mut editor, &annotations)?;
        update(&writer, editor, &tag)
    })
}

impl Args {
    /// What the bundle that the source is in, if it is, says of it.
    fn tree_notes(&self, insertion: &Insertion) -> Result<TreeNotes> {
        let Insertion::Source { path, .. } = insertion else { return Ok(TreeNotes::default()) };
        let rootless = self.ids.rootless;
        let privileges = if rootless { Privileges::Rootless } else { Privileges::Full };
        tree_notes_at(path, privileges, self.strict.strictness())
    }

    /// Says where --rootless may help.
    fn suggest(&self, error: Error) -> Failure {
        let is_foreign = error.kind() == ErrorKind::ForeignOwner;
        let failure = Failure::from(error).suggest_rootless(self.ids.rootless);
        if is_foreign && !self.ids.rootless {
            return failure.hint("With --rootless all that is inserted is root's.");
        }
        failure
    }

    fn insertion(&self) -> Result<(Insertion, Target)> {
        if self.whiteout {
            let [target] = args::several(&self.words)?;
            return Ok((Insertion::Whiteout, Target::new(target.as_bytes())?));
        }
        let [source, target] = args::several(&self.words)?;
        let lower = if self.opaque { Lower::Hide } else { Lower::Merge };
        let source = Insertion::Source { path: source.into(), lower };
        Ok((source, Target::new(target.as_bytes())?))
    }
}
