// SPDX-License-Identifier: Apache-2.0
//! `umoci index create`: several tags become one.

use std::ffi::OsString;

use umoci::error::{Context, Error};
use umoci::image::{Annotated, IndexEditor};
use umoci::layout::Destination;

use super::{add, entries_of, sources};
use crate::args::{DestinationArg, index_edits};
use crate::failure::Outcome;

/// make an image for several platforms
///
/// Each "<source-tag>" names an image in the same layout. Together they become one image, in the
/// order in which they are given, with the tag "<tag>" (default "latest"), which is replaced if
/// it exists. The platform of each is that of its configuration; no two may be for the same one.
/// A source that is for several platforms itself is nested, or with --flatten its images are
/// taken one by one, for the platforms that it states. If all images are in Docker's format, the result is so too, unless it gets annotations.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci index create [command options] --image <image-path>[:<tag>] <source-tag>..."
)]
pub(crate) struct Args {
    /// put in the place of nested indexes what is in them
    #[arg(long)]
    flatten: bool,

    /// set an annotation of the index ([index:]NAME=VALUE); may be repeated
    #[arg(long = "annotation", value_name = "[OF:]NAME=VALUE")]
    annotations: Vec<String>,

    #[command(flatten)]
    image: DestinationArg,

    /// tags of the images
    #[arg(value_name = "SOURCE-TAG")]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let annotations = index_edits(&args.annotations, &[], Annotated::Index)?;
    let tags = sources(&args.words)?;
    let layout = target.layout_to_change()?;
    let writer = layout.writer().context("create index")?;
    let name = target.name(&layout)?;
    let mut editor = IndexEditor::new(&writer);
    for source in &tags {
        for entry in entries_of(&layout, source).context("create index")? {
            let replaced = add(&mut editor, &entry, args.flatten);
            let replaced = replaced.with_context(|| format!("add {source} to index"))?;
            if let Some(platform) = replaced.into_iter().find_map(|old| old.platform) {
                let message =
                    format!("create index: {source} is for {platform}, as another source is");
                return Err(Error::invalid(message).into());
            }
        }
    }
    for edit in &annotations {
        editor.annotate(None, |found| edit.apply(found)).context("create index")?;
    }
    let new = editor.commit().context("create index")?;
    log::info!("new index created: {}", new.digest);
    writer.place(&Destination::Name(name.clone()), new).context("add new tag")?;
    log::info!("created new tag for index: {name}");
    Ok(())
}
