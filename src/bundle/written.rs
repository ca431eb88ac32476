// SPDX-License-Identifier: Apache-2.0
//! [`Written`]: what an unpack knows of the files that it wrote, for the record of the tree.

use std::collections::HashMap;
use std::io;
use std::num::NonZero;

use super::record::Remembered;
use crate::error::Result;
use crate::layer::{self, Unpacked};
use crate::rootfs::{FsOps, Kind, Native, RootPath, Rootless, Stat};
use crate::snapshot::{Known, KnownEntry, XattrHint};

/// Whether the system gives every new inode attributes by itself.
fn is_labelled(fs: &dyn FsOps) -> Result<bool> {
    let root = fs.open_dir(&RootPath::root())?;
    Ok(fs.dir_xattrs(&root)?.iter().any(|xattr| crate::rootfs::is_host_label(&xattr.name)))
}

/// What the unpack knows of the files that it wrote.
pub(super) struct Written<'a> {
    fs: &'a Rootless<Native>,
    unpacked: Unpacked,
    /// In that a file is still what it was when it was finished: some filesystems change times
    /// once more when it is closed.
    finished: Trust,
    /// In that what one name of an inode is all are: some filesystems give each a number of its own.
    names: Trust,
    /// What inodes with several names are.
    linked: HashMap<NonZero<u32>, Stat>,
    labelled: bool,
    /// What the record has to say of names.
    pub(super) remembered: Vec<Remembered>,
}

impl<'a> Written<'a> {
    pub(super) fn new(fs: &'a Rootless<Native>, unpacked: Unpacked) -> Result<Self> {
        let (labelled, remembered) = (is_labelled(fs)?, Vec::new());
        let (finished, names, linked) = Default::default();
        Ok(Self { fs, unpacked, finished, names, linked, labelled, remembered })
    }

    fn stat(
        &mut self,
        written: &layer::Written,
        look: &dyn Fn() -> io::Result<Stat>,
    ) -> io::Result<Stat> {
        if let Some(finished) = written.stat {
            return self.finished.state(finished, look);
        }
        let Some(inode) = written.inode else { return look() };
        if let Some(state) = self.linked.get(&inode) {
            return self.names.state(*state, look);
        }
        let state = look()?;
        self.linked.insert(inode, state);
        Ok(state)
    }
}

/// Whether the filesystem says what is known of states anyhow: the first that it is asked for tells.
#[derive(Default)]
struct Trust(Option<bool>);

impl Trust {
    fn state(&mut self, known: Stat, look: &dyn Fn() -> io::Result<Stat>) -> io::Result<Stat> {
        if self.0 == Some(true) {
            return Ok(known);
        }
        let found = look()?;
        self.0.get_or_insert(found == known);
        Ok(found)
    }
}

impl Known for Written<'_> {
    fn entry(
        &mut self,
        path: &RootPath,
        look: &dyn Fn() -> io::Result<Stat>,
    ) -> io::Result<(Stat, KnownEntry)> {
        let written = self.unpacked.get(path);
        let stat = self.stat(&written, look)?;
        // What stands for a device is nobody's to read.
        let empty = (stat.size == 0 && stat.kind == Kind::File).then(sha256_of_nothing);
        let digest = written.digest.or(empty);
        if let Some(emulated) = self.fs.emulated(stat.identity) {
            let path = path.clone();
            self.remembered.push(Remembered { path, stat, emulated, contents: digest });
        }
        let has_none = written.has_xattrs == Some(false)
            && !self.labelled
            && !self.fs.has_owner_attribute(stat.identity);
        let xattrs = if has_none { XattrHint::None } else { XattrHint::Ask };
        Ok((stat, KnownEntry { digest, xattrs }))
    }
}

fn sha256_of_nothing() -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::new().finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idmap::IdMaps;
    use crate::layer::{ApplyOptions, FileDigests, LayerSource, unpack_layers};
    use crate::rootfs::RootlessOptions;
    use std::cell::Cell;
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use tar::EntryType::{self, Link, Regular};

    /// Files `a`, `b` and `c`, of which the last two may be links to the first, unpacked.
    fn unpacked(root: &Path, others: EntryType) -> Unpacked {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, kind) in [("a", Regular), ("b", others), ("c", others)] {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_entry_type(kind);
            if kind == Link {
                header.set_size(0);
                tar.append_link(&mut header, name, "a").unwrap();
            } else {
                header.set_size(4);
                tar.append_data(&mut header, name, &b"body"[..]).unwrap();
            }
        }
        let stream = Box::new(io::Cursor::new(tar.into_inner().unwrap()));
        let layer = LayerSource { name: "layer".to_owned(), stream, diff_id: None };
        let me = root.metadata().unwrap();
        let map = |id: u32| crate::idmap::IdMap::parse(&[format!("0:{id}")]).unwrap();
        let maps = IdMaps { uid: map(me.uid()), gid: map(me.gid()) };
        let options = ApplyOptions { maps, ..ApplyOptions::default() };
        let fs = Native::open(root).unwrap();
        unpack_layers(&fs, std::iter::once(Ok(layer)), FileDigests::Sha256, &options).unwrap()
    }

    /// What is said of each file, and how often the filesystem was asked.
    fn said(root: &Path, unpacked: Unpacked) -> (Vec<Stat>, usize) {
        let own = File::open(root).unwrap();
        let fs = Rootless::native(own, RootlessOptions::default()).unwrap();
        let dir = fs.open_dir(&RootPath::root()).unwrap();
        let mut known = Written::new(&fs, unpacked).unwrap();
        let looks = Cell::new(0);
        let stats = ["a", "b", "c"].map(|name| {
            let look = || {
                looks.set(looks.get() + 1);
                fs.stat(&dir, crate::rootfs::Name::new(name.as_bytes()).unwrap())
            };
            known.entry(&RootPath::clean(name).unwrap(), &look).unwrap().0
        });
        (stats.into(), looks.get())
    }

    #[test]
    fn states_are_taken_from_the_unpack_where_they_stay() {
        for (changes, looks) in [(false, 1), (true, 3)] {
            let root = tempfile::tempdir().unwrap();
            let unpacked = unpacked(root.path(), Regular);
            if changes {
                // As if closing the files had done it.
                for name in ["a", "b", "c"] {
                    let time = filetime::FileTime::from_unix_time(1, 0);
                    filetime::set_file_mtime(root.path().join(name), time).unwrap();
                }
            }
            let (stats, asked) = said(root.path(), unpacked);
            assert_eq!(asked, looks);
            let mtime = i64::from(changes);
            assert!(stats.iter().all(|stat| stat.mtime.seconds == mtime && stat.size == 4));
        }
    }
    #[test]
    fn one_name_of_an_inode_speaks_for_all_where_they_are_one() {
        for (are_one, looks) in [(true, 2), (false, 3)] {
            let root = tempfile::tempdir().unwrap();
            let unpacked = unpacked(root.path(), Link);
            if !are_one {
                for name in ["b", "c"] {
                    fs::copy(root.path().join("a"), root.path().join("new")).unwrap();
                    fs::rename(root.path().join("new"), root.path().join(name)).unwrap();
                }
            }
            let (stats, asked) = said(root.path(), unpacked);
            assert_eq!(asked, looks);
            let of = |name: &str| root.path().join(name).metadata().unwrap().ino();
            let inodes: Vec<_> = stats.iter().map(|stat| stat.identity.ino).collect();
            assert_eq!(inodes, ["a", "b", "c"].map(of));
        }
    }
}
