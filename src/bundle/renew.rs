// SPDX-License-Identifier: Apache-2.0
//! [`Renewal`]: a bundle that has been repacked becomes one of the new image.

use std::io::Write;
use std::path::Path;

use super::clock::{taken, tick};
use super::metadata::{self, BundleMetadata, MtreeRecord, Privileges};
use super::record::{self, Stale};
use super::repack::{Bundle, Record, RepackOptions};
use super::staging::{BundleDir, Use};
use super::temp_file::TempFile;
use super::{mtree_name, stat_index_name};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::EntryName;
use crate::oci::{DescriptorPath, Digest};
use crate::rootfs::{FileTime, FsOps};
use crate::snapshot::{CaptureOptions, Captured, Known, NothingKnown, Trust, Unchanged, capture};

/// A bundle that is to become one of the new image.
pub(super) struct Renewal<'a> {
    mtree: TempFile<'a>,
    index: TempFile<'a>,
    /// The filesystem's time before the tree was compared, if it can be told
    /// apart from that of what was done shortly before.
    start: Option<FileTime>,
}

impl<'a> Renewal<'a> {
    pub(super) fn begin(dir: &'a BundleDir) -> Result<Self> {
        dir.lock(Use::Alone)?;
        dir.clear_interrupted()?;
        let (mtree, index) = (dir.temporary()?, dir.temporary()?);
        let start = tick(index.file())?;
        Ok(Self { mtree, index, start })
    }

    /// Takes the tree down anew and makes it the state of the new image. The new
    /// files come before `umoci.json` says that they count, the old ones go after.
    pub(super) fn finish(
        self,
        bundle: &Bundle,
        fs: &dyn FsOps,
        record: &Record,
        from: DescriptorPath,
        stale: &Stale,
        options: &RepackOptions,
    ) -> Result<()> {
        let old = bundle.metadata.from.target().digest.clone();
        let new = from.target().digest.clone();
        let dir = &bundle.dir;
        log::info!("computing filesystem manifest ...");
        let captured = self.capture(bundle, fs, record, options)?;
        log::info!("... done");
        let size = self.mtree.file().metadata()?.len();
        let mut metadata = bundle.metadata.clone();
        if old == new {
            // The files keep their names, and until all are new none vouches for another.
            metadata.mtree = None;
            write_metadata(dir, &metadata)?;
        }
        self.mtree.commit(Path::new(&mtree_name(&new)))?;
        self.index.commit(Path::new(&stat_index_name(&new)))?;
        metadata.from = from;
        let digest = Digest::from_sha256(&captured.manifest);
        metadata.mtree = Some(MtreeRecord { digest, size });
        write_metadata(dir, &metadata)?;
        // What was told is in the new image. Until here the next one would have to tell it again.
        record::renew(dir, stale)?;
        if old != new {
            dir.remove(Path::new(&mtree_name(&old)))?;
            dir.remove(Path::new(&stat_index_name(&old)))?;
        }
        Ok(())
    }

    fn capture(
        &self,
        bundle: &Bundle,
        fs: &dyn FsOps,
        record: &Record,
        options: &RepackOptions,
    ) -> Result<Captured> {
        let capture_options = CaptureOptions {
            header: options.header.clone(),
            taken: taken(self.index.file())?,
            progress: options.progress.clone(),
        };
        let snapshot = record.index.as_ref().map(|_| record.snapshot()).transpose()?;
        let mut nothing = NothingKnown;
        let mut unchanged = match (&snapshot, &record.index) {
            (Some(snapshot), Some(index)) if options.trust == Trust::StatIndex => {
                Some(Unchanged::new(snapshot, index))
            }
            _ => None,
        };
        let known: &mut dyn Known = match &mut unchanged {
            Some(unchanged) => unchanged,
            None => &mut nothing,
        };
        let (mtree, index) = (self.mtree.file(), self.index.file());
        let captured = capture(fs, known, mtree, index, &capture_options)?;
        self.refuse_late_changes(bundle, &captured)?;
        Ok(captured)
    }

    /// What was changed while the layer was made is in no layer, and must not
    /// pass for something that is.
    fn refuse_late_changes(&self, bundle: &Bundle, captured: &Captured) -> Result<()> {
        // Without privileges, looking at a tree may change permission bits for a moment.
        let quiet = bundle.metadata.privileges == Privileges::Full;
        match self.start {
            Some(start) if quiet && captured.newest >= start => Err(Error::new(
                ErrorKind::Busy,
                "the root filesystem was changed while it was repacked; \
                 the bundle stays one of the old image",
            )),
            _ => Ok(()),
        }
    }
}

fn write_metadata(dir: &BundleDir, metadata: &BundleMetadata) -> Result<()> {
    let file = dir.temporary()?;
    file.file().write_all(&metadata.to_bytes()?)?;
    file.commit(Path::new(metadata::FILE_NAME))
}

/// The path as a later lookup of `name` would give it.
pub(super) fn named(path: &DescriptorPath, name: &EntryName) -> Result<DescriptorPath> {
    let mut walk = path.walk().to_vec();
    if let Some(root) = walk.first_mut() {
        name.give_to(root);
    }
    DescriptorPath::new(walk)
}
