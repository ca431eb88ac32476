// SPDX-License-Identifier: Apache-2.0
//! [`refuse_unmapped`]: owners that id maps lack, found before anything is made of an image.

use std::io::{self, BufReader, Read};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::Image;
use super::parallel;
use super::unpack::{READ_SIZE, open_counted};
use crate::error::{Context, Result};
use crate::idmap::Owner;
use crate::interrupt::Interruptible;
use crate::layer::{ApplyOptions, Entry, EntryKind, Members, Side, Unmapped, Whiteout, classify};
use crate::layout::Layout;
use crate::oci::Descriptor;
use crate::progress::Stage;
use crate::rootfs::RootPath;

/// How many layers are read at the same time at most: each takes memory of its own.
const MOST_THREADS: usize = 4;

/// Refuses an image of which some entry has an owner that the maps lack, whatever a later layer
/// makes of it. An unpack finds that too, but only when it gets there: by then it has written
/// something, and it knows nothing of the owners that are still to come.
///
/// That is known only when all layers have been decompressed once more, so nothing is read when
/// the maps have all ids that there are.
///
/// # Errors
/// It names the first such entry and its id, how many there are, and which ids. What else is
/// wrong with a layer is no matter here: unpacking it says so.
pub fn refuse_unmapped(layout: &Layout, image: &Image, options: &ApplyOptions) -> Result<()> {
    // Directories that no layer describes are root's.
    options.maps.to_host(Owner::default()).context("ensure rootuid has mapping")?;
    if options.maps.has_all_of_container() {
        return Ok(());
    }
    let (layers, stored) = (&image.manifest.layers, image.stored_size());
    options.progress.begin(Stage::CheckingOwners);
    options.progress.expect_bytes(stored);
    let limits = options.limits.for_stored(stored);
    let left = AtomicU64::new(limits.unpacked_size.unwrap_or(u64::MAX));
    let check = Check { layout, options, left };
    let found = parallel::each(layers, threads(), |layer| layer.size, |layer| check.layer(layer))?;
    found.into_iter().fold(Unmapped::new(Side::Container), Unmapped::and).refuse()
}

fn threads() -> NonZeroUsize {
    let most = NonZeroUsize::new(MOST_THREADS).unwrap_or(NonZeroUsize::MIN);
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).min(most)
}

struct Check<'a> {
    layout: &'a Layout,
    options: &'a ApplyOptions,
    /// How many bytes all layers may still have together: what is beyond is never unpacked.
    left: AtomicU64,
}

impl Check<'_> {
    fn layer(&self, descriptor: &Descriptor) -> Result<Unmapped> {
        let ApplyOptions { maps, progress, .. } = self.options;
        let mut unmapped = Unmapped::new(Side::Container);
        let Ok(stream) = open_counted(self.layout, descriptor, progress) else {
            return Ok(unmapped);
        };
        // Whoever unpacks it is to warn of what follows the stream.
        let stream = Within { stream: stream.count_junk(), left: &self.left };
        let interrupt = self.layout.interrupt().clone();
        let stream = Interruptible::new(stream, interrupt.clone());
        let mut members = Members::new(BufReader::with_capacity(READ_SIZE, stream));
        while let Ok(Some(member)) = members.next_member() {
            if let Some(path) = owned_path(&member) {
                let layer = &descriptor.digest;
                let at = || format!("unpack layer {layer}: unpack entry: {path}");
                unmapped.look(maps, member.owner, |error| error.context(at()));
            }
        }
        interrupt.check()?;
        Ok(unmapped)
    }
}

/// The path of what gets the owner of a member. Nobody owns a whiteout, and a hard link has the
/// owner of its target.
fn owned_path(member: &Entry) -> Option<RootPath> {
    let path = RootPath::clean(&member.path).ok()?;
    let is_plain = path.name().is_none_or(|name| matches!(classify(name), Ok(Whiteout::Plain)));
    let is_owned = is_plain && !matches!(member.kind, EntryKind::Hardlink { .. });
    is_owned.then_some(path)
}

/// A stream that ends where several of them have had all that they may have together.
struct Within<'a, R> {
    stream: R,
    left: &'a AtomicU64,
}

impl<R: Read> Read for Within<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        let take = |left: u64| left.checked_sub(count as u64);
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        Ok(if taken.is_ok() { count } else { 0 })
    }
}
