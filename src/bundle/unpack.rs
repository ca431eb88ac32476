// SPDX-License-Identifier: Apache-2.0
//! [`unpack`]: from an image in a layout to a bundle.

use std::path::Path;
use std::sync::Arc;

use super::clock::taken;
use super::emulation::Terms;
use super::metadata::{self, BundleMetadata, MtreeRecord, Privileges};
use super::passwd::Accounts;
use super::record::{self, Remembered};
use super::runtime_spec::{self, Host, RuntimeSpecOptions, runtime_spec};
use super::space::SpaceCheck;
use super::staging::{BundleDir, ROOTFS, Staging, Use};
use super::written::Written;
use super::{mtree_name, stat_index_name};
use crate::error::{Context, Result};
use crate::idmap::IdMaps;
use crate::image::{Image, RootfsOptions, refuse_unmapped, unpack_rootfs};
use crate::interrupt::Interrupt;
use crate::layer::{ApplyOptions, DirLinks, FileDigests, Limits, Unpacked};
use crate::layout::Layout;
use crate::oci::Digest;
use crate::progress::Progress;
use crate::rootfs::{
    Change, FileTime, FsOps, Keeping, Kind, Metadata, Native, Owner, RootPath, Rootless,
    Strictness, View, is_in_user_namespace,
};
use crate::snapshot::{CaptureOptions, MtreeHeader, capture};

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
    /// Whether something else may take the place of what the system refuses.
    pub strictness: Strictness,
    /// What the image may take.
    pub limits: Limits,
    /// Whether it is looked at beforehand that the image fits.
    pub space: SpaceCheck,
    /// When to stop.
    pub interrupt: Interrupt,
}

impl UnpackOptions {
    pub(super) fn terms(&self) -> Terms {
        let privileges = match self.rootless {
            Some(_) => Privileges::Rootless,
            None => Privileges::Full,
        };
        let (strictness, interrupt) = (self.strictness, self.interrupt.clone());
        Terms { privileges, strictness, interrupt, reminder: None }
    }
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
/// that cannot be run. When an owner is outside of the maps, nothing has been written, not even
/// for a while: as long as the maps do not have all ids, all layers are read twice.
pub fn unpack(
    layout: &Layout,
    image: &Image,
    bundle: &Path,
    options: &UnpackOptions,
) -> Result<()> {
    check_owners(layout, image, bundle, options).context("create runtime bundle")?;
    let bundle = BundleDir::create(bundle)?;
    let work = Unpack { layout, image, options, bundle: &bundle };
    bundle.fill(options.strictness, || work.run()).context("create runtime bundle")
}

/// Refuses owners that the maps lack before there is a directory. That takes a while, which
/// nobody is to wait for who cannot have the bundle there anyway.
fn check_owners(
    layout: &Layout,
    image: &Image,
    bundle: &Path,
    options: &UnpackOptions,
) -> Result<()> {
    let apply = apply_options(options);
    if !apply.maps.has_all_of_container()
        && let Ok(there) = BundleDir::open(bundle, Use::Shared)
    {
        there.refuse_existing(&names_of(image))?;
    }
    refuse_unmapped(layout, image, &apply).context("unpack rootfs")
}

/// The names in a bundle that have the digest of the image in them: the manifest and its index.
fn names_of(image: &Image) -> [String; 2] {
    let digest = &image.path().target().digest;
    [mtree_name(digest), stat_index_name(digest)]
}

pub(super) fn apply_options(options: &UnpackOptions) -> ApplyOptions {
    ApplyOptions {
        maps: options.terms().maps(&options.maps),
        dir_links: options.dir_links,
        limits: options.limits.clone(),
        progress: options.progress.clone(),
        ..ApplyOptions::default()
    }
}

/// Many images do not describe their root directory: it is root's, and as old as can be.
pub(super) fn prepare_root(fs: &dyn FsOps, maps: &IdMaps) -> Result<()> {
    let owner = maps.to_host(Owner::default()).context("ensure rootuid has mapping")?;
    let (atime, mtime) = (FileTime::EPOCH, FileTime::EPOCH);
    let metadata = Metadata { owner, mode: 0o755, atime, mtime, xattrs: Vec::new() };
    let change = Change { metadata: &metadata, kind: Kind::Dir, clear_xattrs: true };
    let root = fs.open_dir(&RootPath::root())?;
    let Owner { uid, gid } = owner;
    let set = fs.set_dir_metadata(&root, &change);
    set.with_context(|| format!("set owner {uid}:{gid} and mode of \"/\"")).context("set up rootfs")
}

struct Unpack<'a> {
    layout: &'a Layout,
    image: &'a Image,
    options: &'a UnpackOptions,
    bundle: &'a BundleDir,
}

impl Unpack<'_> {
    fn run(&self) -> Result<()> {
        let names = names_of(self.image);
        self.bundle.clear_interrupted()?;
        self.bundle.refuse_existing(&names)?;
        let [mtree, index] = names;
        self.options.space.check(self.image, &self.bundle.dir)?;
        let mut staging = Staging::begin(self.bundle)?;
        let terms = self.options.terms();
        let mut fs = terms.open(staging.create_rootfs()?, View::Disk)?;
        fs.probe(staging.as_file()).context("set up rootfs")?;
        let apply = apply_options(self.options);
        prepare_root(&fs, &apply.maps)?;
        let rootfs =
            RootfsOptions { apply, file_digests: FileDigests::Sha256, ..Default::default() };
        log::info!("unpack rootfs: {}", self.bundle.path.join(ROOTFS).display());
        let unpacked =
            unpack_rootfs(self.layout, self.image, &fs, &rootfs).context("unpack rootfs")?;
        log::info!("... done");
        self.write_config(&staging, &fs)?;
        // Giving the root its place sets its ctime, so the tree is taken down after that.
        fs.with_root(|| staging.publish(Path::new(ROOTFS)))??;
        log::info!("computing filesystem manifest ...");
        let (mtree_record, remembered) = self.capture(&staging, &fs, unpacked, &mtree, &index)?;
        log::info!("... done");
        self.write_metadata(&staging, mtree_record)?;
        staging.publish(Path::new(runtime_spec::FILE_NAME))?;
        staging.publish(Path::new(&mtree))?;
        staging.publish(Path::new(&index))?;
        // In a user namespace, where the owners on disk depend on who looks, it is needed as a
        // witness as well.
        let is_witness = terms.privileges == Privileges::Full && is_in_user_namespace();
        if is_witness || !remembered.is_empty() {
            let record_file = staging.create(Path::new(record::FILE_NAME))?;
            record::write(&record_file, &fs, remembered).context("write record")?;
            staging.publish(Path::new(record::FILE_NAME))?;
        }
        staging.publish(Path::new(metadata::FILE_NAME))?;
        staging.commit();
        fs.tell_substitutes(Keeping::Record);
        Ok(())
    }

    fn write_config(&self, staging: &Staging<'_>, fs: &dyn FsOps) -> Result<()> {
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
        fs: &Rootless<Native>,
        unpacked: Unpacked,
        mtree: &str,
        index: &str,
    ) -> Result<(MtreeRecord, Vec<Remembered>)> {
        let manifest = staging.create(Path::new(mtree))?;
        let index = staging.create(Path::new(index))?;
        let options = CaptureOptions {
            header: self.options.header.clone(),
            taken: taken(&index)?,
            progress: self.options.progress.clone(),
        };
        let mut known = Written::new(fs, unpacked)?;
        let captured =
            capture(fs, &mut known, &manifest, &index, &options).context("write mtree metadata")?;
        let size = manifest.metadata()?.len();
        let record = MtreeRecord { digest: Digest::from_sha256(&captured.manifest), size };
        Ok((record, known.remembered))
    }

    fn write_metadata(&self, staging: &Staging<'_>, record: MtreeRecord) -> Result<()> {
        let privileges = self.options.terms().privileges;
        let path = self.image.path().clone();
        let mut metadata = BundleMetadata::new(path, self.options.maps.clone(), privileges)?;
        metadata.mtree = Some(record);
        staging.write(Path::new(metadata::FILE_NAME), &metadata.to_bytes()?)
    }
}
