// SPDX-License-Identifier: Apache-2.0
//! `umoci convert`: the same image in another format.

use std::ffi::OsString;

use umoci::error::{Context, Error, ErrorKind, Result};
use umoci::image::{ConvertOptions, IndexEntry, Loss, entries};
use umoci::layout::{Layout, until_unchanged};
use umoci::oci::media_type::{Family, Kind};
use umoci::oci::{Descriptor, DescriptorPath, Entry};

use crate::args::{self, EntryArg, SizeLimitArg, TagArg};
use crate::failure::{Failure, Outcome};
use crate::progress;
use crate::referrers::Referrers;

/// What `--format` takes.
pub(crate) const FORMATS: [(&str, Family); 2] = [("oci", Family::Oci), ("docker", Family::Docker)];

/// convert an image to the format of OCI or Docker
///
/// "<tag>" (default "latest", or the only image) names the image, with all its platforms. The
/// result gets that tag too, or "<new-tag>" if that is given. Only media types change:
/// configurations stay as they are, and with them the ids that images have in Docker. What is in
/// the wanted format already keeps its digest.
///
/// Docker's format has gzip only; other layers are compressed anew. What it cannot express is an
/// error that says what; with --lossy annotations, subjects and entries that are no images are
/// left out.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci convert [command options] --image <image-path>[:<tag>] --format <format>"
)]
pub(crate) struct Args {
    /// wanted format: oci or docker (version 2, schema 2)
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,

    /// leave out what the format has no place for
    #[arg(long)]
    lossy: bool,

    #[command(flatten)]
    limits: SizeLimitArg,

    #[command(flatten)]
    tag: TagArg,

    #[command(flatten)]
    image: EntryArg,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let family = args.family()?;
    let place = args.tag.result(&target)?;
    args::none(&args.words)?;
    let loss = if args.lossy { Loss::Accept } else { Loss::Refuse };
    let limits = args.limits.limits()?;
    let options = ConvertOptions { loss, limits, ..ConvertOptions::default() };
    let layout = target.layout_to_change()?;
    until_unchanged(|| {
        let writer = layout.writer().context("write image")?;
        let entry = target.resolve(&layout)?;
        let path = DescriptorPath::new(vec![entry.clone()])?;
        let destination = place.destination(&layout, &entry)?;
        let convert = || umoci::image::convert(&writer, &entry, family, &options);
        let made = progress::shown(&options.progress, convert).context("convert image");
        let made = made.map_err(|error| suggest(error.into(), &layout, &entry))?;
        for lost in &made.lost {
            log::warn!("left out: {lost}");
        }
        let new = DescriptorPath::new(vec![made.descriptor.clone()])?;
        if new.target().digest == entry.digest {
            log::info!("{} is in {family}'s format already", entry.digest);
        }
        let referrers = Referrers::of(&layout, &path);
        let name = destination.name();
        writer.place(&destination, made.descriptor).context("add new tag")?;
        // Under its other tag the image is still what it was.
        if place.is_kept() {
            referrers.tell(&new, &name);
        }
        log::info!("created new tag for image: {name}");
        Ok(())
    })
}

impl Args {
    fn family(&self) -> Result<Family> {
        let Some(format) = self.format.as_deref() else {
            return Err(Error::invalid("missing mandatory argument: --format"));
        };
        let named = FORMATS.into_iter().find(|(name, _)| *name == format);
        let named = named.map(|(_, family)| family);
        named.ok_or_else(|| {
            Error::invalid(format!("invalid --format: {format:?} is neither oci nor docker"))
        })
    }
}

/// Says what to do about an index that cannot be converted as it is.
fn suggest(failure: Failure, layout: &Layout, image: &Descriptor) -> Failure {
    let entries = entries(layout, image).unwrap_or_default();
    let has = |is_odd: &dyn Fn(&Descriptor) -> bool| {
        let entry = |one: &IndexEntry| match &one.entry {
            Entry::Read(entry) => is_odd(entry),
            Entry::Unread(_) => false,
        };
        entries.iter().any(entry)
    };
    let is_index = |entry: &Descriptor| Kind::of(&entry.media_type) == Kind::Index;
    let is_absent = |entry: &Descriptor| matches!(layout.contains(entry), Ok(false));
    match failure.kind() {
        ErrorKind::Unsupported if has(&is_index) => failure
            .hint("`umoci index create --flatten` makes an index of the images in nested ones."),
        ErrorKind::NotFound if has(&is_absent) => {
            failure.hint("`umoci index remove` takes out of an index what is not in the layout.")
        }
        _ => args::suggest_flag(failure),
    }
}
