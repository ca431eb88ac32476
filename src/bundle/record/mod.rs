// SPDX-License-Identifier: Apache-2.0
//! `rootless.jsonl`: what the objects of a bundle's tree are meant to be, where
//! the disk could not be told. One JSON value per line: a head, then one object
//! each, by path.
//!
//! The file speaks of the tree as it is, not of an image, so it stays good when
//! the bundle becomes one of another image. A line counts only for the object
//! that it was written for: the same inode, wherever it has been moved to, or in
//! a copy of the tree one of the same type and contents at the same path.
//! Whatever a user has put in its place inherits nothing, which is told, until the bundle becomes
//! one of an image that has it.

mod line;
mod stale;

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use self::line::{Line, Tree, is_same_time, pair};
pub(super) use self::stale::Stale;
use self::stale::{NewPlaces, StaleObject};
use super::places::Places;
use super::staging::BundleDir;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::idmap::Owner;
use crate::oci::json::{self, Trailing};
use crate::rootfs::{
    Emulated, FileTime, Kind, Native, RootPath, Rootless, Stat, is_in_user_namespace,
};
use crate::sys;

/// The name of the file in a bundle.
pub(super) const FILE_NAME: &str = "rootless.jsonl";
/// The only version of the format.
const VERSION: u32 = 1;
/// No line has as many bytes. What a layer says of an object has at most 1 MiB, of which each byte
/// takes five when it is escaped. The file may have any size: it is read by lines, and of these
/// only what is in the tree is kept.
const MAX_LINE: u64 = 16 << 20;

/// What was found on a walk: an object that something is remembered of.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) path: RootPath,
    pub(super) stat: Stat,
    pub(super) emulated: Emulated,
    /// The SHA-256 of what is in it, if that is known already.
    pub(super) contents: Option<[u8; 32]>,
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    umoci_rootless: u32,
    /// The inode number of the tree's root: another one means a copy.
    root: u64,
    /// When the root was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root_born: Option<(i64, u32)>,
    /// That of this file: another one means a copy, or a filesystem that numbers anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<u64>,
    /// The owner of this file as its writer saw it: who sees another one is in another user
    /// namespace, where the owners on disk mean something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen_as: Option<(u32, u32)>,
    /// Whether its writer was in a user namespace.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    in_namespace: bool,
}

/// Writes the record of a tree.
pub(super) fn write(
    file: &File,
    fs: &Rootless<Native>,
    mut remembered: Vec<Remembered>,
) -> Result<()> {
    remembered.sort_by(|one, other| one.path.cmp(&other.path));
    let mut places = Places::of(fs);
    let root = places.root()?;
    let mut out = BufWriter::new(file);
    let own = file.metadata()?;
    let (record, seen_as) = (Some(own.ino()), Some((own.uid(), own.gid())));
    let head = Head {
        umoci_rootless: VERSION,
        root: root.identity.ino,
        root_born: places.born(&RootPath::root())?.map(pair),
        record,
        seen_as,
        in_namespace: is_in_user_namespace(),
    };
    out.write_all(&json::to_bytes(&head)?)?;
    for object in &remembered {
        let line = json::to_bytes(&Line::of(object, &mut places)?)?;
        if line.len() as u64 >= MAX_LINE {
            let message = format!("{:?} has too many attributes to record", object.path);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        out.write_all(&line)?;
    }
    Ok(out.flush()?)
}

/// Reads the record of a bundle, if it has one, and tells `fs`, whose root is the bundle's tree.
/// Gives what of it is void.
///
/// # Errors
/// When it is no such record.
pub(super) fn load(bundle: &BundleDir, fs: &Rootless<Native>) -> Result<Stale> {
    let Some(file) = open(bundle)? else { return Ok(Stale::default()) };
    read(file, fs).at("read", bundle.path.join(FILE_NAME))
}

/// Writes the record of a bundle anew without what is stale.
///
/// # Errors
/// When it is no such record, or cannot be written; it is as it was then.
pub(super) fn renew(bundle: &BundleDir, stale: &Stale) -> Result<()> {
    let places = stale.places();
    if places.is_empty() {
        return Ok(());
    }
    let Some(file) = open(bundle)? else { return Ok(()) };
    let renewed = bundle.temporary()?;
    rewrite(file, renewed.file(), &places).at("renew", bundle.path.join(FILE_NAME))?;
    renewed.commit(Path::new(FILE_NAME))
}

/// Copies a record. Lines that are good stay as they are, byte by byte: of a tree below an overlay
/// they say more than could be found out by now.
fn rewrite(old: File, new: &File, places: &NewPlaces<'_>) -> Result<()> {
    let (was, is) = (old.metadata()?, new.metadata()?);
    let (head, mut lines) = begin(old)?;
    let mut out = BufWriter::new(new);
    out.write_all(&json::to_bytes(&head.moved(&was, &is))?)?;
    let mut bytes = Vec::new();
    while next_line(&mut lines, &mut bytes)? {
        let line: Line = json::from_slice(&bytes, Trailing::Refuse)?;
        match places.get(&line.meaning()?.0) {
            None => out.write_all(&bytes)?,
            Some(None) => {}
            Some(Some(path)) => out.write_all(&json::to_bytes(&line.at(path))?)?,
        }
    }
    Ok(out.flush()?)
}

/// What the record says of who wrote it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Witness {
    /// The owner of the record as its writer saw it.
    pub(super) then: Owner,
    /// The owner as it is seen now.
    pub(super) now: Owner,
    /// Whether the writer was in a user namespace.
    pub(super) in_namespace: bool,
}

/// Asks the record of a bundle who wrote it; `None` where it does not say.
///
/// # Errors
/// When it is no such record.
pub(super) fn witness(bundle: &BundleDir) -> Result<Option<Witness>> {
    let Some(file) = open(bundle)? else { return Ok(None) };
    let ask = || {
        let own = file.metadata()?;
        let now = Owner { uid: own.uid(), gid: own.gid() };
        let (head, _) = begin(file)?;
        let in_namespace = head.in_namespace;
        let seen_as = head.seen_as.map(|(uid, gid)| Owner { uid, gid });
        Ok::<_, Error>(seen_as.map(|then| Witness { then, now, in_namespace }))
    };
    ask().at("read", bundle.path.join(FILE_NAME))
}

fn open(bundle: &BundleDir) -> Result<Option<File>> {
    match sys::open_regular(&bundle.dir, Path::new(FILE_NAME)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        opened => opened.at("open", bundle.path.join(FILE_NAME)).map(Some),
    }
}

/// Reads the head, and gives the lines after it.
fn begin(file: File) -> Result<(Head, BufReader<File>)> {
    let mut lines = BufReader::new(file);
    let mut bytes = Vec::new();
    next_line(&mut lines, &mut bytes)?;
    let head: Head = json::from_slice(&bytes, Trailing::Refuse)?;
    if head.umoci_rootless != VERSION {
        let version = head.umoci_rootless;
        return Err(Error::unsupported(format!("unsupported version {version}")));
    }
    Ok((head, lines))
}

fn read(file: File, fs: &Rootless<Native>) -> Result<Stale> {
    let own = file.metadata()?;
    let (head, mut lines) = begin(file)?;
    let mut places = Places::of(fs);
    let root = places.root()?;
    let tree = head.tree(&root, &own, places.born(&RootPath::root())?);
    let (mut lost, mut bytes) = (HashMap::new(), Vec::new());
    while next_line(&mut lines, &mut bytes)? {
        let line: Line = json::from_slice(&bytes, Trailing::Refuse)?;
        let (path, emulated) = line.meaning()?;
        let stat = places.stat(&path)?;
        if let Some(stat) = &stat {
            let is_near = stat.identity.dev == root.identity.dev;
            let tree = if is_near { tree } else { Tree::Copied };
            if line.is_for(tree, &mut places, &path, stat)? {
                fs.remember(stat.identity, emulated);
                continue;
            }
        }
        let of = lost.entry(line.inode).or_insert_with(|| Lost::new(line, emulated));
        of.replaced.extend(stat.map(|_| path));
    }
    if tree != Tree::Copied && !lost.is_empty() {
        remember_moved(&mut places, tree, &mut lost)?;
    }
    let replaced = lost.into_values().filter(|lost| !lost.replaced.is_empty());
    Ok(Stale {
        objects: replaced.map(Lost::into_stale).collect(),
        is_overlaid: tree == Tree::Overlaid,
    })
}

/// A line for an object that is not at its path.
struct Lost {
    line: Line,
    emulated: Emulated,
    /// Those of its paths where there is another.
    replaced: Vec<RootPath>,
    /// Where it is.
    found: Option<RootPath>,
}

impl Lost {
    fn new(line: Line, emulated: Emulated) -> Self {
        Self { line, emulated, replaced: Vec::new(), found: None }
    }

    fn into_stale(self) -> StaleObject {
        StaleObject { paths: self.replaced, found: self.found }
    }
}

/// Looks for lost objects wherever else they may be, and takes out what is found.
fn remember_moved(
    places: &mut Places<'_>,
    tree: Tree,
    lost: &mut HashMap<u64, Lost>,
) -> Result<()> {
    places.each(|places, path, stat| {
        let Some(of) = lost.get_mut(&stat.identity.ino) else { return Ok(()) };
        if of.line.is_for(tree, places, path, stat)? {
            log::debug!("{path:?} is what was recorded as {}", of.line.path);
            places.fs.remember(stat.identity, of.emulated.clone());
            of.found = Some(path.clone());
            // Another name of it may always have been there: what has been put in the place of
            // this one is told all the same.
            if of.replaced.is_empty() || stat.nlink == 1 || stat.kind == Kind::Dir {
                lost.remove(&stat.identity.ino);
            }
        }
        Ok(())
    })
}

impl Head {
    fn tree(&self, root: &Stat, record: &Metadata, root_born: Option<FileTime>) -> Tree {
        let is_copy = self.root != root.identity.ino || self.record != Some(record.ino());
        match (is_copy, is_same_time(self.root_born, root_born)) {
            (true, _) => Tree::Copied,
            (false, true) => Tree::Same,
            (false, false) => Tree::Overlaid,
        }
    }

    /// The head for a record that takes the place of this one. That of a copy stays one.
    fn moved(self, was: &Metadata, is: &Metadata) -> Self {
        let is_original = self.record == Some(was.ino());
        Self {
            record: is_original.then(|| is.ino()),
            seen_as: Some((is.uid(), is.gid())),
            in_namespace: self.in_namespace || is_in_user_namespace(),
            ..self
        }
    }
}

fn next_line(lines: &mut impl BufRead, bytes: &mut Vec<u8>) -> Result<bool> {
    bytes.clear();
    let count = lines.take(MAX_LINE).read_until(b'\n', bytes)?;
    if count as u64 == MAX_LINE {
        return Err(Error::new(ErrorKind::Limit, format!("a line of {MAX_LINE} bytes")));
    }
    Ok(count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where inodes happen to have the same numbers as in the original, it must not pass for that.
    #[test]
    fn a_renewed_record_of_a_copy_is_that_of_a_copy() {
        let files = [(); 2].map(|()| tempfile::tempfile().unwrap());
        let [was, is] = files.each_ref().map(|file| file.metadata().unwrap());
        let head = |record| Head {
            umoci_rootless: VERSION,
            root: 1,
            root_born: None,
            record: Some(record),
            seen_as: None,
            in_namespace: false,
        };
        assert_eq!(head(was.ino()).moved(&was, &is).record, Some(is.ino()));
        assert_eq!(head(was.ino() + 1).moved(&was, &is).record, None);
    }
}
