// SPDX-License-Identifier: Apache-2.0
//! Manifests of trees: what is read is written again so that it reads the same.

use umoci::rootfs::{Kind, RootPath};
use umoci::snapshot::{MtreeHeader, MtreeWriter, Snapshot, SnapshotEntry, read_mtree};

use crate::driver::Target;

pub(crate) const TARGET: Target = Target {
    name: "mtree",
    run,
    words: &[
        b"#mtree\n",
        b"/set ",
        b"/unset ",
        b"type=file",
        b"type=dir",
        b"type=link",
        b"link=",
        b"uid=0",
        b"gid=",
        b"mode=0755",
        b"size=",
        b"time=1.5",
        b"tar_time=1.0",
        b"nlink=",
        b"sha256digest=",
        b"xattr.user.x=eA==",
        b"\\\n",
        b"\\040",
        b"\\",
        b"\n..\n",
        b"..",
        b". ",
        b"./a/b ",
        b"optional",
        b"sha512=",
        b"\t",
    ],
    mend: super::as_it_is,
};

fn run(input: &[u8]) -> String {
    let snapshot = match read_mtree(input) {
        Ok(snapshot) => snapshot,
        Err(error) => return error.to_string(),
    };
    let paths: Vec<_> = snapshot.entries().map(|entry| entry.path).collect();
    assert_eq!(paths.len(), snapshot.count(), "an entry is lost");
    let unique = paths.windows(2).all(|pair| pair[0] != pair[1]);
    assert!(unique, "one path twice");
    // A reader that gets its input in other pieces finds the same.
    let pieces = std::io::BufReader::with_capacity(3, input);
    assert_eq!(read_mtree(pieces).unwrap(), snapshot);
    let kinds = snapshot.entries().take(20).map(|one| format!("{:?}", one.kind));
    let kinds = kinds.collect::<Vec<_>>().join(" ");
    if !is_tree(&snapshot) {
        return format!("no tree: {kinds}");
    }
    let mut writer = MtreeWriter::new(Vec::new(), &MtreeHeader::default()).unwrap();
    write(&mut writer, &snapshot, &RootPath::root());
    let written = writer.finish().unwrap();
    let again = read_mtree(&written[..]).unwrap();
    let meaning = |snapshot: &Snapshot| snapshot.entries().map(meaning).collect::<Vec<_>>();
    assert_eq!(meaning(&again), meaning(&snapshot), "{}", written.escape_ascii());
    kinds
}

/// What counts of an entry.
fn meaning(entry: SnapshotEntry) -> SnapshotEntry {
    let is_file = entry.kind == Kind::File;
    SnapshotEntry {
        size: if is_file { entry.size } else { 0 },
        digest: entry.digest.filter(|_| is_file),
        target: entry.target.filter(|_| entry.kind == Kind::Symlink),
        xattrs: if is_file || entry.kind == Kind::Dir { entry.xattrs } else { [].into() },
        ..entry
    }
}

/// Whether everything is in a directory, as it is where a tree was walked.
fn is_tree(snapshot: &Snapshot) -> bool {
    let is_dir = |path: &RootPath| snapshot.get(path).is_some_and(|found| found.kind == Kind::Dir);
    let mut entries = snapshot.entries();
    entries.all(|entry| entry.path.parent().map_or(is_dir(&entry.path), |parent| is_dir(&parent)))
}

fn write(writer: &mut MtreeWriter<Vec<u8>>, snapshot: &Snapshot, path: &RootPath) {
    let Some(directory) = snapshot.get(path) else { return };
    writer.enter(&directory).unwrap();
    let is_dir = |entry: &SnapshotEntry| entry.kind == Kind::Dir;
    let children = || snapshot.children(path).filter(|child| !child.path.is_root());
    for leaf in children().filter(|child| !is_dir(child)) {
        writer.leaf(&leaf).unwrap();
    }
    for directory in children().filter(is_dir) {
        write(writer, snapshot, &directory.path);
    }
    writer.leave().unwrap();
}
