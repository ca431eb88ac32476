// SPDX-License-Identifier: Apache-2.0
//! `umoci index`: images for several platforms, made of images for one each.

mod add;
mod annotate;
mod create;
mod list;
mod remove;

use std::ffi::OsString;

use clap::Subcommand;
use umoci::error::{Context, Error, ErrorKind, Result};
use umoci::image::IndexEditor;
use umoci::layout::{Layout, Selector, until_unchanged};
use umoci::oci::{Descriptor, DescriptorPath};

use crate::args::{self, EntryTarget};
use crate::failure::{Failure, Outcome};
use crate::referrers::Referrers;

/// make and change images for several platforms
///
/// A tag can lead to an index: a list of images, each for its platform. Other commands take one
/// of them with --platform, as umoci-tag(1) does to give one a tag of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(create::Args),
    Add(add::Args),
    #[command(visible_alias = "rm")]
    Remove(remove::Args),
    #[command(visible_alias = "ls")]
    List(list::Args),
    Annotate(annotate::Args),
}

impl Command {
    pub(crate) fn run(&self) -> Outcome {
        match self {
            Self::Create(args) => create::run(args),
            Self::Add(args) => add::run(args),
            Self::Remove(args) => remove::run(args),
            Self::List(args) => list::run(args),
            Self::Annotate(args) => annotate::run(args),
        }
    }
}

/// Changes the index that a tag leads to.
fn change(target: &EntryTarget, edit: impl Fn(&mut IndexEditor<'_>) -> Outcome) -> Outcome {
    let layout = target.layout_to_change()?;
    until_unchanged(|| {
        let writer = layout.writer().context("write index")?;
        let entry = target.resolve(&layout)?;
        let place = target.place_of(&layout, &entry)?;
        let name = place.name();
        let mut editor =
            IndexEditor::open(&writer, &entry).map_err(|error| no_index(target, error))?;
        edit(&mut editor)?;
        let referrers = Referrers::of(&layout, &DescriptorPath::new(vec![entry.clone()])?);
        let mut new = editor.commit().context("write index")?;
        new.annotations.clone_from(&entry.annotations);
        log::info!("new index created: {}", new.digest);
        let path = DescriptorPath::new(vec![new.clone()])?;
        writer.place(&place, new).context("update tag")?;
        referrers.tell(&path, &name);
        log::info!("updated tag for index: {name}");
        Ok(())
    })
}

/// Names a tag for what it is: no index.
fn no_index(target: &EntryTarget, error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Unsupported => {
            let name = match &target.selector {
                Selector::Default => format!("{:?}", target.path),
                name => format!("tag {name}"),
            };
            let text = format!("{name} leads to an image, not to an index of images");
            Failure::from(Error::unsupported(text)).hint("`umoci index create` makes an index.")
        }
        _ => error.context("read index").into(),
    }
}

/// The words that name what is to be put into an index, at least one.
fn sources(words: &[OsString]) -> Result<Vec<Selector>> {
    if words.is_empty() {
        let message = "invalid number of positional arguments: expected at least one <tag>";
        return Err(Error::invalid(message));
    }
    words.iter().map(|word| source(word).context("invalid source tag")).collect()
}

/// A word is read as what stands behind the path in --image.
fn source(word: &OsString) -> Result<Selector> {
    let text = args::text(word)?;
    match text.parse() {
        Ok(digest) => Ok(Selector::Digest(digest)),
        Err(_) => Ok(Selector::Reference(text.parse()?)),
    }
}

/// Adds what a source leads to, and gives what it takes the place of.
fn add(editor: &mut IndexEditor<'_>, entry: &Descriptor, flatten: bool) -> Result<Vec<Descriptor>> {
    if flatten {
        return editor.add_flat(entry);
    }
    Ok(editor.add(entry)?.into_iter().collect())
}

/// What a source leads to, which may be several entries of one name.
fn entries_of(layout: &Layout, source: &Selector) -> Result<Vec<Descriptor>> {
    match layout.entry(source) {
        Err(error) if error.kind() == ErrorKind::Ambiguous => {
            let entries = layout.entries(source)?;
            if entries.is_empty() { Err(error) } else { Ok(entries) }
        }
        found => Ok(vec![found?]),
    }
}
