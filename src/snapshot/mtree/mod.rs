// SPDX-License-Identifier: Apache-2.0
//! mtree manifests (`mtree(5)`), in the form that go-mtree gives them, so that
//! a bundle can be repacked by either tool.
//!
//! A manifest is a text of one line per name. A directory's line makes it the
//! current one, `..` leaves it, `/set` gives values that later lines leave out.

mod keywords;
mod lines;
mod place;
mod read;
mod records;
mod write;

pub(crate) use keywords::{parse_type, type_name};
pub(super) use keywords::{parse_xattr, xattr_word};
pub(super) use records::{Record, read_records};

pub use read::read_mtree;
pub use write::{MtreeHeader, MtreeWriter};

#[cfg(test)]
pub(super) mod testing {
    use crate::rootfs::{Kind, Owner, RootPath};
    use crate::snapshot::{MtreeHeader, MtreeWriter, Snapshot, SnapshotEntry};

    /// An entry of an empty file.
    pub(in crate::snapshot) fn file(path: &str) -> SnapshotEntry {
        SnapshotEntry {
            path: RootPath::clean(path).unwrap(),
            kind: Kind::File,
            mode: 0o644,
            owner: Owner::default(),
            size: 0,
            nlink: 1,
            mtime: 1_700_000_000,
            target: None,
            digest: Some([0; 32]),
            xattrs: Box::default(),
        }
    }

    /// An entry of a directory.
    pub(in crate::snapshot) fn directory(path: &str) -> SnapshotEntry {
        SnapshotEntry {
            kind: Kind::Dir,
            mode: 0o755,
            size: 4096,
            nlink: 2,
            digest: None,
            ..file(path)
        }
    }

    /// Writes a whole snapshot whose directories all have entries.
    pub(in crate::snapshot) fn write(snapshot: &Snapshot) -> Vec<u8> {
        let header = MtreeHeader::default();
        let mut writer = MtreeWriter::new(Vec::new(), &header).unwrap();
        write_directory(&mut writer, snapshot, &RootPath::root());
        writer.finish().unwrap()
    }

    fn write_directory(writer: &mut MtreeWriter<Vec<u8>>, snapshot: &Snapshot, path: &RootPath) {
        writer.enter(&snapshot.get(path).unwrap()).unwrap();
        let (directories, leaves): (Vec<_>, Vec<_>) =
            snapshot.children(path).partition(|entry| entry.kind == Kind::Dir);
        for entry in leaves {
            writer.leaf(&entry).unwrap();
        }
        for entry in directories {
            write_directory(writer, snapshot, &entry.path);
        }
        writer.leave().unwrap();
    }
}
