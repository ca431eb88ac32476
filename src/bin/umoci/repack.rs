// SPDX-License-Identifier: Apache-2.0
//! `umoci repack`: from a changed bundle to an image with one more layer.

use std::ffi::OsString;
use std::path::Path;

use umoci::bundle::{self, Bundle, Refresh, RepackOptions, Volumes};
use umoci::error::{Context, Error, ErrorKind, Result};
use umoci::image::Image;
use umoci::oci::Platform;
use umoci::snapshot::Trust;

use crate::args::{
    self, AnnotationArgs, CompressArgs, DestinationArg, HistoryArgs, HistoryDefaults, StrictArg,
};
use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::referrers::Referrers;
use crate::{host, progress, publish};

/// make an image of a bundle and what was changed in it
///
/// "<bundle>" was made by umoci-unpack(1) from an image of the same layout. The changes to its
/// root filesystem become a layer on top of that image; the result gets the tag "<new-tag>"
/// (default "latest"), which is replaced if it exists.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci repack [command options] --image <image-path>[:<new-tag>] <bundle>"
)]
pub(crate) struct Args {
    /// ignore changes to this path and below it; may be repeated
    #[arg(long, value_name = "PATH")]
    mask_path: Vec<String>,

    /// do not ignore changes below the image's volumes
    #[arg(long)]
    no_mask_volumes: bool,

    /// let the bundle be one of the new image, so that it can be repacked again
    #[arg(long)]
    refresh_bundle: bool,

    /// read every file again, whatever its size and times say
    #[arg(long)]
    rehash: bool,

    #[command(flatten)]
    strict: StrictArg,

    #[command(flatten)]
    annotations: AnnotationArgs,

    #[command(flatten)]
    compress: CompressArgs,

    #[command(flatten)]
    history: HistoryArgs,

    #[command(flatten)]
    image: DestinationArg,

    /// platform that the bundle must be for, as 'os/arch[/variant]'
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,

    /// directory of the bundle
    #[arg(value_name = "BUNDLE", value_hint = clap::ValueHint::DirPath)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    args.history.check()?;
    let compression = args.compress.choice()?;
    let annotations = args.annotations.edits()?;
    let path = Path::new(args::one(&args.words, "bundle", "bundle path")?);
    let clock = Clock::read()?;
    let defaults = HistoryDefaults { created_by: "umoci repack", created: clock.now };
    let history = args.history.entry(&defaults)?;

    let layout = target.layout_to_change()?;
    let bundle = open(path)?;
    bundle.check_ids().with_context(|| format!("repack {path:?}")).map_err(elsewhere)?;
    let writer = layout.writer().context("write image")?;
    let image = bundle.image(&layout).map_err(gone)?;
    args.check_platform(&image)?;
    let name = target.name(&layout)?;
    let options = RepackOptions {
        compression,
        annotations,
        history: history.map(|entry| entry.by(&image.config().author)),
        latest: clock.source_date_epoch,
        interrupt: layout.interrupt().clone(),
        ..args.options(path)
    };
    let referrers = Referrers::find(&layout, image.path(), &name);
    let repack = || bundle::repack(&bundle, &writer, image, &name, &options);
    let made =
        progress::shown(&options.progress, repack).with_context(|| format!("repack {path:?}"));
    let made = made.map_err(no_place)?;
    publish::tell(&made, &name);
    referrers.tell(&made, &name);
    Ok(())
}

fn open(path: &Path) -> Outcome<Bundle> {
    let bundle = Bundle::open(path).with_context(|| format!("repack {path:?}"));
    bundle.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::from(error)
            .hint(format!("There is no bundle that `umoci unpack` made in {path:?}.")),
        _ => error.into(),
    })
}

/// Says where a bundle can be repacked whose owners on disk mean nothing here.
fn elsewhere(error: Error) -> Failure {
    let is_elsewhere = error.kind() == ErrorKind::ForeignOwner;
    let failure = Failure::from(error);
    if !is_elsewhere {
        return failure;
    }
    failure.hint(
        "Repack it as the user who unpacked it, and in the same user namespace (`unshare -r`, or \
         none); for what is unpacked with --rootless that is no matter.",
    )
}

/// Says where else an image can go that has no place under its tag.
fn no_place(error: Error) -> Failure {
    if error.kind() != ErrorKind::Ambiguous {
        return elsewhere(error);
    }
    Failure::from(error).hint(
        "Give the result a tag of its own; `umoci index` shows and changes what the other one has.",
    )
}

/// Says why the image of a bundle may be missing.
fn gone(error: Error) -> Failure {
    let is_missing = error.kind() == ErrorKind::NotFound;
    let failure = Failure::from(error.context("read the image of the bundle"));
    if !is_missing {
        return failure;
    }
    failure.hint("The layout has that image no longer: `umoci gc` deletes what no tag leads to.")
}

impl Args {
    /// The bundle has its platform. If one is given, it must be that.
    fn check_platform(&self, image: &Image) -> Result<()> {
        let found = Platform::of(image.config());
        match args::platform(self.platform.as_deref())? {
            Some(wanted) if wanted.rank(&found).is_none() => {
                Err(Error::invalid(format!("the bundle is for {found}, not for {wanted}")))
            }
            _ => Ok(()),
        }
    }

    /// What the flags alone say.
    fn options(&self, bundle: &Path) -> RepackOptions {
        RepackOptions {
            mask_paths: self.mask_path.clone(),
            volumes: if self.no_mask_volumes { Volumes::Pack } else { Volumes::Mask },
            trust: if self.rehash { Trust::Contents } else { Trust::StatIndex },
            strictness: self.strict.strictness(),
            refresh: if self.refresh_bundle { Refresh::Renew } else { Refresh::Keep },
            header: host::mtree_header(&bundle.join("rootfs")),
            ..RepackOptions::default()
        }
    }
}
