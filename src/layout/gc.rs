// SPDX-License-Identifier: Apache-2.0
//! Removal of blobs that nothing refers to, and of what killed writers left.
//!
//! Only regular files with the name of a digest are removed, from real
//! directories, and only after everything that is to stay has been verified.
//! Writers of this tool are kept out by the layout's lock. Writers of tools
//! without it may be about: those that lock a `.umoci-*` directory are waited
//! for, and a blob that any of them puts while garbage is collected stays.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::oci::{Algorithm, Digest};
use crate::sys;

use super::lock::{Held, Mode, Patience};
use super::store::{TEMP_PREFIX, remove_flat};
use super::walk::walk_index;
use super::{BLOBS, Layout};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

/// How long a writer may need from making its private directory to locking it.
const MOMENT: Duration = Duration::from_millis(20);

/// How garbage is collected.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GcOptions {}

/// What [`collect_garbage`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcReport {
    /// The blobs that were removed.
    pub removed: Vec<Digest>,
    /// How many bytes they had.
    pub bytes: u64,
    /// How many temporary directories of killed writers were removed.
    pub temporary: usize,
}

/// Removes every blob that cannot be reached from the index, tagged or not.
///
/// # Errors
/// [`ErrorKind::Busy`](crate::ErrorKind::Busy) when others write for longer than the limit. When a
/// manifest, configuration or index that is to stay is missing or damaged,
/// nothing is removed.
pub fn collect_garbage(layout: &Layout, _options: &GcOptions) -> Result<GcReport> {
    let mut patience = Patience::new(layout.lock_limit);
    loop {
        let lock = lock(layout, &mut patience)?;
        if let Some(plan) = Plan::make(layout)? {
            return plan.carry_out(layout, &lock);
        }
        // Others of this tool need not wait for those who do not know its lock.
        drop(lock);
        patience.pause(|| format!("another program, which writes to {:?}", layout.path()))?;
    }
}

fn lock(layout: &Layout, patience: &mut Patience) -> Result<File> {
    match layout.lock_blobs(Mode::Exclusive, patience)? {
        (lock, Held::Yes) => Ok(lock),
        (_, Held::Impossible) => Err(Error::unsupported(format!(
            "{:?} cannot be locked, so nothing can be removed safely",
            layout.path()
        ))),
    }
}

/// A file that may be removed: still the same one when its turn comes.
struct Candidate {
    digest: Digest,
    inode: u64,
}

/// The blobs of one algorithm.
struct BlobDir {
    dir: File,
    garbage: Vec<Candidate>,
}

struct Plan {
    dirs: Vec<BlobDir>,
    /// Private directories that nobody was using.
    abandoned: Vec<OsString>,
}

impl Plan {
    /// Finds the garbage; `None` when somebody without our lock is writing.
    ///
    /// The order matters: what is put after the list was made is not in it,
    /// and who put something before that and still has to refer to it either
    /// holds its directory, or has changed the index, when these are looked at.
    fn make(layout: &Layout) -> Result<Option<Self>> {
        let Some(abandoned) = abandoned(layout)? else { return Ok(None) };
        let mut dirs = list_blobs(layout)?;
        let index = layout.index_bytes()?;
        let reachable = mark(layout, &index)?;
        if self::abandoned(layout)?.is_none() || layout.index_bytes()? != index {
            return Ok(None);
        }
        for dir in &mut dirs {
            dir.garbage.retain(|candidate| !reachable.contains(&candidate.digest));
        }
        Ok(Some(Self { dirs, abandoned }))
    }

    fn carry_out(self, layout: &Layout, lock: &File) -> Result<GcReport> {
        let mut report = GcReport::default();
        for BlobDir { dir, garbage } in self.dirs {
            for candidate in garbage {
                let removed = remove(&dir, &candidate);
                if let Some(size) =
                    removed.with_context(|| format!("remove blob {}", candidate.digest))?
                {
                    report.bytes = report.bytes.saturating_add(size);
                    report.removed.push(candidate.digest);
                }
            }
            sys::sync_dir(&dir).context("sync blobs")?;
        }
        report.temporary = remove_abandoned(layout, self.abandoned)?;
        sys::sync_dir(lock).at("sync", layout.path())?;
        Ok(report)
    }
}

/// Removes a file if it is still the one that was seen; gives its size.
fn remove(dir: &File, candidate: &Candidate) -> io::Result<Option<u64>> {
    let name = Path::new(candidate.digest.hex());
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(error),
    };
    match sys::lstat(dir, name) {
        Ok(metadata) if metadata.is_file() && metadata.ino() == candidate.inode => {
            log::debug!("garbage collecting blob: {}", candidate.digest);
            sys::unlink(dir, name).map(|()| Some(metadata.len())).or_else(gone)
        }
        Ok(_) => Ok(None),
        Err(error) => gone(error),
    }
}

fn mark(layout: &Layout, index: &[u8]) -> Result<HashSet<Digest>> {
    let index = layout.parse_index(index)?;
    let mut reachable = HashSet::new();
    walk_index(layout, index, |descriptor| {
        reachable.insert(descriptor.digest.clone());
        Ok(())
    })
    .context("getting reachables")?;
    Ok(reachable)
}

fn list_blobs(layout: &Layout) -> Result<Vec<BlobDir>> {
    let path = layout.path().join(BLOBS);
    let blobs =
        sys::open_dir(&layout.dir, Path::new(BLOBS)).at("open as a real directory", &path)?;
    let mut dirs = Vec::new();
    for algorithm in ALGORITHMS {
        let (name, path) = (algorithm.as_str(), path.join(algorithm.as_str()));
        match sys::open_dir(&blobs, Path::new(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => {
                let dir = opened.at("open as a real directory", &path)?;
                let garbage = candidates(&dir, algorithm, &path).at("list", &path)?;
                dirs.push(BlobDir { dir, garbage });
            }
        }
    }
    Ok(dirs)
}

fn candidates(dir: &File, algorithm: Algorithm, path: &Path) -> io::Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for name in sys::list(dir)? {
        let digest = name
            .to_str()
            .and_then(|hex| format!("{}:{hex}", algorithm.as_str()).parse::<Digest>().ok());
        let metadata = match sys::lstat(dir, Path::new(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        match digest {
            Some(digest) if metadata.is_file() => {
                found.push(Candidate { digest, inode: metadata.ino() });
            }
            _ => log::warn!("{:?} is not a blob; it stays", path.join(&name)),
        }
    }
    Ok(found)
}

/// What a name like that of a writer's private directory turns out to be.
enum Temp {
    /// Its writer is at work.
    Live,
    /// Nobody holds it; now we do.
    Abandoned(File),
    /// Removed meanwhile.
    Gone,
    /// Something else.
    Other,
}

fn temp_names(layout: &Layout) -> Result<Vec<OsString>> {
    let dir = sys::open_dir(&layout.dir, Path::new(".")).at("open", layout.path())?;
    let names = sys::list(&dir).at("list", layout.path())?;
    Ok(names.into_iter().filter(|name| name.as_bytes().starts_with(TEMP_PREFIX)).collect())
}

fn examine(layout: &Layout, name: &Path) -> Result<Temp> {
    let path = layout.path().join(name);
    let file = match sys::lstat(&layout.dir, name) {
        Ok(metadata) if metadata.is_dir() => sys::open_dir(&layout.dir, name),
        Ok(metadata) if metadata.is_file() => sys::open_regular(&layout.dir, name),
        Ok(_) => return Ok(Temp::Other),
        Err(error) => Err(error),
    };
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Temp::Gone),
        opened => opened.at("see whether it is in use: open", &path)?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Temp::Abandoned(file)),
        Err(TryLockError::WouldBlock) => Ok(Temp::Live),
        Err(TryLockError::Error(error)) => Err(error).at("lock", &path),
    }
}

/// The private directories of writers that are no more; `None` when one of them is at work.
fn abandoned(layout: &Layout) -> Result<Option<Vec<OsString>>> {
    let names = temp_names(layout)?;
    if !names.is_empty() {
        // Who has just made one is about to lock it, and must not find it locked.
        std::thread::sleep(MOMENT);
    }
    for name in &names {
        if matches!(examine(layout, Path::new(name))?, Temp::Live) {
            return Ok(None);
        }
    }
    Ok(Some(names))
}

/// Removes what killed writers left; a failure is only worth a warning.
fn remove_abandoned(layout: &Layout, names: Vec<OsString>) -> Result<usize> {
    let mut count = 0;
    for name in names {
        let path = Path::new(&name);
        let removed = match examine(layout, path)? {
            Temp::Live | Temp::Gone => continue,
            Temp::Abandoned(file) if file.metadata().at("stat", path)?.is_dir() => {
                remove_flat(&layout.dir, path, &file)
            }
            Temp::Abandoned(_) => sys::unlink(&layout.dir, path),
            Temp::Other => Err(io::Error::other("neither a directory nor a file")),
        };
        match removed {
            Ok(()) => count += 1,
            Err(error) => log::warn!("{:?} stays: {error}", layout.path().join(path)),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::super::tests::{file_of, name, put_image, put_index, scratch};
    use super::*;
    use crate::ErrorKind;
    use crate::oci::{Descriptor, Manifest, media_type};

    fn collect(layout: &Layout) -> Result<GcReport> {
        let layout = layout.clone().with_lock_limit(Duration::from_millis(5));
        collect_garbage(&layout, &GcOptions::default())
    }

    /// How many files there are in `blobs/sha256`.
    fn count(layout: &Layout) -> usize {
        fs::read_dir(layout.path().join("blobs/sha256")).unwrap().count()
    }

    #[test]
    fn keeps_all_that_can_be_reached() {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let index = put_index(&writer, vec![put_image(&writer, b"nested")]);
        let untagged = put_image(&writer, b"untagged");
        writer.tag(&name("t"), put_index(&writer, vec![index])).unwrap();
        let add = |index: &mut crate::oci::Index| {
            index.manifests.push(untagged);
            Ok(())
        };
        writer.update_index(add).unwrap();
        let kept = count(&layout);
        let garbage = writer.put(b"garbage", "m").unwrap();
        put_image(&writer, b"garbage");
        drop(writer);
        let report = collect(&layout).unwrap();
        assert_eq!((report.removed.len(), count(&layout)), (3, kept));
        assert!(report.removed.contains(&garbage.digest) && report.bytes > 7);
        assert_eq!(collect(&layout).unwrap(), GcReport::default());
    }

    #[test]
    fn keeps_what_is_layer_and_config_at_once_and_missing_layers_do_not_matter() {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let config = writer.put(b"{}", media_type::IMAGE_CONFIG).unwrap();
        let mut manifest = Manifest::new(config.clone());
        manifest.layers.push(Descriptor::new(media_type::IMAGE_LAYER, config.digest, 2));
        let gone = writer.put(b"gone", media_type::IMAGE_LAYER).unwrap();
        fs::remove_file(file_of(&layout, &gone.digest)).unwrap();
        manifest.layers.push(gone);
        writer.tag(&name("t"), writer.put_document(&manifest).unwrap()).unwrap();
        drop(writer);
        assert!(collect(&layout).unwrap().removed.is_empty());
    }

    #[test]
    fn stops_before_removing_anything_when_a_document_is_damaged() {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let image = put_image(&writer, b"a");
        let manifest: Manifest = layout.document(&image).unwrap();
        let index = put_index(&writer, vec![image.clone()]);
        writer.tag(&name("t"), index.clone()).unwrap();
        writer.put(b"garbage", "m").unwrap();
        drop(writer);
        let before = count(&layout);
        for digest in [&index.digest, &image.digest, &manifest.config.digest] {
            let file = file_of(&layout, digest);
            let bytes = fs::read(&file).unwrap();
            fs::write(&file, [&bytes[..], b" "].concat()).unwrap();
            assert_eq!(collect(&layout).unwrap_err().kind(), ErrorKind::Mismatch);
            fs::remove_file(&file).unwrap();
            assert_eq!(collect(&layout).unwrap_err().kind(), ErrorKind::NotFound);
            fs::write(&file, bytes).unwrap();
            assert_eq!(count(&layout), before);
        }
        assert_eq!(collect(&layout).unwrap().removed.len(), 1);
    }

    #[test]
    fn a_missing_subject_is_fine_but_a_present_one_stays() {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        for gone in [true, false] {
            let subject = put_image(&writer, b"subject");
            let mut manifest = Manifest::new(writer.put(b"{}", media_type::IMAGE_CONFIG).unwrap());
            manifest.subject = Some(subject.clone());
            writer.tag(&name("t"), writer.put_document(&manifest).unwrap()).unwrap();
            if gone {
                fs::remove_file(file_of(&layout, &subject.digest)).unwrap();
            }
        }
        drop(writer);
        fs::remove_file(file_of(&layout, &Digest::of(Algorithm::Sha256, "subject"))).unwrap();
        assert!(collect(&layout).unwrap().removed.is_empty());
        // The same blob as an entry of the index has to be there.
        let writer = layout.writer().unwrap();
        let subject = put_image(&writer, b"subject");
        writer.tag(&name("s"), subject.clone()).unwrap();
        drop(writer);
        fs::remove_file(file_of(&layout, &subject.digest)).unwrap();
        assert!(collect(&layout).is_err());
    }

    #[test]
    fn keeps_what_images_of_other_types_refer_to() {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let config = writer.put(b"config", "c").unwrap().digest;
        let layer = writer.put(b"layer", "l").unwrap().digest;
        let docker = "application/vnd.docker.distribution.manifest.v2+json";
        let text = format!(
            "{{\"config\":{{\"mediaType\":\"c\",\"size\":6,\"digest\":\"{config}\"}},\
             \"fsLayers\":[{{\"blobSum\":\"{layer}\"}}]}}"
        );
        let manifest = writer.put(text.as_bytes(), docker).unwrap();
        let list = format!(
            "{{\"manifests\":[{{\"mediaType\":\"{docker}\",\"size\":{},\"digest\":\"{}\"}}]}}",
            manifest.size, manifest.digest
        );
        let list = writer
            .put(list.as_bytes(), "application/vnd.docker.distribution.manifest.list.v2+json")
            .unwrap();
        writer.tag(&name("docker"), list).unwrap();
        let opaque = writer.put(b"not JSON", "x/y").unwrap();
        writer.tag(&name("opaque"), opaque).unwrap();
        drop(writer);
        assert!(collect(&layout).unwrap().removed.is_empty());
        fs::remove_file(file_of(&layout, &manifest.digest)).unwrap();
        assert!(collect(&layout).is_err(), "a lost Docker image goes unnoticed");
    }

    #[test]
    fn leaves_what_is_no_blob() {
        let (dir, layout) = scratch();
        let blobs = layout.path().join("blobs/sha256");
        let hex = |letter: &str| letter.repeat(64);
        fs::write(blobs.join("junk"), "").unwrap();
        fs::write(blobs.join(hex("A")), "").unwrap();
        fs::create_dir(blobs.join(hex("b"))).unwrap();
        symlink(dir.path(), blobs.join(hex("c"))).unwrap();
        fs::create_dir(blobs.join("dir")).unwrap();
        fs::write(blobs.join("dir").join(hex("d")), "").unwrap();
        fs::write(blobs.join(hex("e")), "e").unwrap();
        fs::write(layout.path().join("README"), "").unwrap();
        fs::create_dir(layout.path().join("blobs/sha512")).unwrap();
        fs::write(layout.path().join("blobs/sha512").join(hex("ff")), "").unwrap();
        let report = collect(&layout).unwrap();
        let removed: Vec<_> = report.removed.iter().map(Digest::hex).collect();
        assert_eq!(removed, [hex("e"), hex("ff")]);
        assert_eq!(count(&layout), 5);
        assert!(layout.path().join("README").exists());
    }

    #[test]
    fn removes_nothing_through_symbolic_links() {
        for link in ["blobs", "blobs/sha256", "blobs/sha512"] {
            let (dir, layout) = scratch();
            let outside = dir.path().join("outside");
            let (place, inside) = (layout.path().join(link), outside.join("sha256"));
            fs::create_dir_all(&inside).unwrap();
            let victims: [PathBuf; 2] = [&outside, &inside].map(|dir| dir.join("e".repeat(64)));
            for victim in &victims {
                fs::write(victim, "").unwrap();
            }
            let _ = fs::remove_dir_all(&place);
            symlink(&outside, &place).unwrap();
            assert!(collect(&layout).is_err(), "{link}");
            assert!(victims.iter().all(|victim| victim.exists()));
            if link != "blobs/sha512" {
                assert!(layout.writer().unwrap().put(b"x", "m").is_err(), "{link}");
            }
        }
    }

    #[test]
    fn removes_what_killed_writers_left_and_waits_for_living_ones() {
        let (dir, layout) = scratch();
        let dead = layout.path().join(".umoci-1");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("blob-1"), "half").unwrap();
        fs::write(layout.path().join(".umoci-2"), "").unwrap();
        symlink(dir.path(), layout.path().join(".umoci-3")).unwrap();
        fs::create_dir_all(layout.path().join(".umoci-4/nested")).unwrap();
        assert_eq!(collect(&layout).unwrap().temporary, 2);
        assert!(!dead.exists() && dir.path().exists());

        let garbage = layout.writer().unwrap().put(b"garbage", "m").unwrap();
        fs::create_dir(&dead).unwrap();
        let foreign = File::open(&dead).unwrap();
        foreign.lock().unwrap();
        assert_eq!(collect(&layout).unwrap_err().kind(), ErrorKind::Busy);
        assert!(file_of(&layout, &garbage.digest).exists());
        drop(foreign);
        assert_eq!(collect(&layout).unwrap().removed, [garbage.digest]);

        let writer = layout.writer().unwrap();
        let garbage = writer.put(b"more", "m").unwrap();
        assert_eq!(collect(&layout).unwrap_err().kind(), ErrorKind::Busy);
        assert!(file_of(&layout, &garbage.digest).exists());
    }

    #[test]
    fn spares_a_blob_that_is_put_again_meanwhile() {
        let (_dir, layout) = scratch();
        let digest = layout.writer().unwrap().put(b"x", "m").unwrap().digest;
        let plan = Plan::make(&layout).unwrap().unwrap();
        let again = layout.path().join("again");
        fs::write(&again, "x").unwrap();
        fs::rename(again, file_of(&layout, &digest)).unwrap();
        let lock = sys::open_dir(&layout.dir, Path::new(".")).unwrap();
        assert!(plan.carry_out(&layout, &lock).unwrap().removed.is_empty());
    }

    #[test]
    fn many_ways_cost_no_time() {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let mut top = put_image(&writer, b"a");
        for _ in 0..40 {
            top = put_index(&writer, vec![top.clone(), top]);
        }
        writer.tag(&name("t"), top.clone()).unwrap();
        drop(writer);
        assert!(collect(&layout).unwrap().removed.is_empty());
        let writer = layout.writer().unwrap();
        for _ in 0..80 {
            top = put_index(&writer, vec![top]);
        }
        writer.tag(&name("deep"), top).unwrap();
        drop(writer);
        assert_eq!(collect(&layout).unwrap_err().kind(), ErrorKind::Limit);
    }

    /// Writers whose work overlaps never leave the layout alone by themselves.
    #[test]
    fn gets_its_turn_among_many_writers() {
        let (_dir, layout) = scratch();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let writer = layout.writer().unwrap();
                        std::thread::sleep(Duration::from_millis(20));
                        drop(writer);
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(50));
            let patient = layout.clone().with_lock_limit(Duration::from_secs(10));
            let collected: Vec<_> =
                (0..5).map(|_| collect_garbage(&patient, &GcOptions::default())).collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(collected.iter().all(Result::is_ok), "{collected:?}");
        });
    }
}
