// SPDX-License-Identifier: Apache-2.0
//! [`unpack`]: from an image in a layout to a bundle.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::metadata::{self, BundleMetadata, MtreeRecord, Privileges};
use super::passwd::Accounts;
use super::runtime_spec::{self, Host, RuntimeSpecOptions, runtime_spec};
use super::staging::{BundleDir, ROOTFS, Staging};
use super::{mtree_name, stat_index_name};
use crate::error::{Context, Result};
use crate::idmap::IdMaps;
use crate::image::{Image, unpack_rootfs};
use crate::layer::{ApplyOptions, DirLinks, FileDigests, Unpacked};
use crate::layout::Layout;
use crate::oci::Digest;
use crate::progress::Progress;
use crate::rootfs::{Change, FileTime, FsOps, Kind, Metadata, Native, Owner, RootPath, Stat};
use crate::snapshot::{CaptureOptions, Known, MtreeHeader, XattrHint, capture};

/// How an image is unpacked.
#[derive(Debug, Clone, Default)]
pub struct UnpackOptions {
    /// From the ids in the image to those on disk.
    pub maps: IdMaps,
    /// What happens to links to directories.
    pub dir_links: DirLinks,
    /// The head of the bundle's manifest, for people to read.
    pub header: MtreeHeader,
    /// What the machine is like, for a bundle that an ordinary user is to run.
    pub rootless: Option<Host>,
    /// Where is counted how far it is.
    pub progress: Arc<Progress>,
}

/// Unpacks an image into the directory `bundle`: `rootfs`, `config.json`,
/// `umoci.json`, and a manifest of the tree with its stat index. The directory
/// may exist, and gets mode 0700.
///
/// The bundle appears complete or not at all. It is not synced to the disk,
/// since it can be made again.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) when there is
/// a bundle already; also when the image is damaged, hostile, or of a kind
/// that cannot be run.
pub fn unpack(
    layout: &Layout,
    image: &Image,
    bundle: &Path,
    options: &UnpackOptions,
) -> Result<()> {
    let bundle = BundleDir::create(bundle)?;
    bundle.clear_interrupted()?;
    bundle.refuse_existing().context("create runtime bundle")?;
    let work = Unpack { layout, image, options, bundle: &bundle };
    work.run().context("create runtime bundle")
}

/// Unpacks only the layers of an image, over what may be in the directory
/// `rootfs` already, which may also be a link to one. Its parent must exist.
///
/// # Errors
/// As [`unpack`]. A directory that this call made is removed again; in one
/// that was there before, what has been written stays.
pub fn unpack_into(
    layout: &Layout,
    image: &Image,
    rootfs: &Path,
    options: &UnpackOptions,
) -> Result<()> {
    let made = match std::fs::create_dir(rootfs) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error).at("create rootfs", rootfs),
    };
    let open = || {
        if made { Native::open(rootfs) } else { Native::from_dir(File::open(rootfs)?) }
    };
    let unpacked =
        open().at("open rootfs", rootfs).and_then(|fs| fill(layout, image, &fs, options));
    if unpacked.is_err()
        && made
        && let Err(error) = std::fs::remove_dir_all(rootfs)
    {
        log::warn!("cannot clean up {rootfs:?}: {error}");
    }
    unpacked
}

fn fill(layout: &Layout, image: &Image, fs: &Native, options: &UnpackOptions) -> Result<()> {
    prepare_root(fs, &options.maps)?;
    unpack_rootfs(layout, image, fs, FileDigests::Skip, &apply_options(options))
        .context("unpack rootfs")?;
    Ok(())
}

fn apply_options(options: &UnpackOptions) -> ApplyOptions {
    ApplyOptions {
        maps: options.maps.clone(),
        dir_links: options.dir_links,
        progress: options.progress.clone(),
    }
}

/// Many images do not describe their root directory: it is root's, and as old as can be.
fn prepare_root(fs: &Native, maps: &IdMaps) -> Result<()> {
    let owner = maps.to_host(Owner::default()).context("ensure rootuid has mapping")?;
    let (atime, mtime) = (FileTime::EPOCH, FileTime::EPOCH);
    let metadata = Metadata { owner, mode: 0o755, atime, mtime, xattrs: Vec::new() };
    let change = Change { metadata: &metadata, kind: Kind::Dir, clear_xattrs: true };
    let root = fs.open_dir(&RootPath::root())?;
    fs.set_dir_metadata(&root, &change).context("set up rootfs")
}

struct Unpack<'a> {
    layout: &'a Layout,
    image: &'a Image,
    options: &'a UnpackOptions,
    bundle: &'a BundleDir,
}

impl Unpack<'_> {
    fn run(&self) -> Result<()> {
        let mut staging = Staging::begin(self.bundle)?;
        let fs = staging.create_rootfs()?;
        prepare_root(&fs, &self.options.maps)?;
        let apply = apply_options(self.options);
        let unpacked = unpack_rootfs(self.layout, self.image, &fs, FileDigests::Sha256, &apply)
            .context("unpack rootfs")?;
        self.write_config(&staging, &fs)?;
        // Giving the root its place sets its ctime, so the tree is taken down after that.
        staging.publish(Path::new(ROOTFS))?;
        let digest = &self.image.path().target().digest;
        let (mtree, index) = (mtree_name(digest), stat_index_name(digest));
        let record = self.capture(&staging, &fs, unpacked, &mtree, &index)?;
        self.write_metadata(&staging, record)?;
        staging.publish(Path::new(runtime_spec::FILE_NAME))?;
        staging.publish(Path::new(&mtree))?;
        staging.publish(Path::new(&index))?;
        staging.publish(Path::new(metadata::FILE_NAME))?;
        staging.commit();
        Ok(())
    }

    fn write_config(&self, staging: &Staging<'_>, fs: &Native) -> Result<()> {
        let config = self.image.config();
        let user = Accounts::read(fs)?.find(&config.config.user)?;
        let options = RuntimeSpecOptions {
            root_path: ROOTFS.into(),
            maps: self.options.maps.clone(),
            rootless: self.options.rootless.clone(),
        };
        let spec = runtime_spec(config, &user, &options)?;
        staging.write(Path::new(runtime_spec::FILE_NAME), &spec.to_bytes()?)
    }

    fn capture(
        &self,
        staging: &Staging<'_>,
        fs: &Native,
        unpacked: Unpacked,
        mtree: &str,
        index: &str,
    ) -> Result<MtreeRecord> {
        let manifest = staging.create(Path::new(mtree))?;
        let index = staging.create(Path::new(index))?;
        let taken = tick(&index, fs)?;
        let options = CaptureOptions {
            header: self.options.header.clone(),
            taken,
            progress: self.options.progress.clone(),
        };
        let mut known = Written { unpacked, labelled: is_labelled(fs)? };
        let captured =
            capture(fs, &mut known, &manifest, &index, &options).context("write mtree metadata")?;
        let size = manifest.metadata()?.len();
        Ok(MtreeRecord { digest: Digest::from_sha256(&captured.manifest), size })
    }

    fn write_metadata(&self, staging: &Staging<'_>, record: MtreeRecord) -> Result<()> {
        let privileges = match self.options.rootless {
            Some(_) => Privileges::Rootless,
            None => Privileges::Full,
        };
        let path = self.image.path().clone();
        let mut metadata = BundleMetadata::new(path, self.options.maps.clone(), privileges)?;
        metadata.mtree = Some(record);
        staging.write(Path::new(metadata::FILE_NAME), &metadata.to_bytes()?)
    }
}

/// Waits until the clock of the tree's filesystem has moved on since the tree
/// was last changed, and gives its time then: whatever changes later is later.
pub(super) fn tick(mut probe: &File, fs: &dyn FsOps) -> Result<FileTime> {
    /// Most clocks tick every 4 or 10 ms. One of whole seconds is not waited for.
    const ATTEMPTS: u32 = 20;
    let root = fs.stat_dir(&fs.open_dir(&RootPath::root())?)?;
    let mut now = FileTime::default();
    for _ in 0..ATTEMPTS {
        probe.write_all(b"\0").and_then(|()| probe.set_len(0)).context("read the clock")?;
        probe.rewind().context("read the clock")?;
        now = changed(probe)?;
        if now > root.ctime {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(now)
}

fn changed(file: &File) -> Result<FileTime> {
    let metadata = file.metadata()?;
    let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or_default();
    Ok(FileTime { seconds: metadata.mtime(), nanoseconds })
}

/// Whether the system gives every new inode attributes by itself.
fn is_labelled(fs: &dyn FsOps) -> Result<bool> {
    let root = fs.open_dir(&RootPath::root())?;
    Ok(fs.dir_xattrs(&root)?.iter().any(|xattr| crate::rootfs::is_host_label(&xattr.name)))
}

/// What the unpack knows of the files that it wrote.
struct Written {
    unpacked: Unpacked,
    labelled: bool,
}

impl Known for Written {
    fn digest_of(&mut self, path: &RootPath, _: &Stat) -> Option<[u8; 32]> {
        self.unpacked.digest_of(path)
    }

    fn xattrs_of(&mut self, path: &RootPath, _: &Stat) -> XattrHint {
        match self.unpacked.has_xattrs(path) {
            Some(false) if !self.labelled => XattrHint::None,
            _ => XattrHint::Ask,
        }
    }
}
