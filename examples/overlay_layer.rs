// SPDX-License-Identifier: Apache-2.0
//! Unpacks one layer in the form of a directory that overlayfs stacks upon
//! those of the layers below, or packs such a directory back into a layer.
//!
//! ```text
//! overlay_layer unpack DIRECTORY <layer.tar
//! overlay_layer pack DIRECTORY >layer.tar
//! ```
//!
//! The attributes are `user.overlay.*`, for which nobody has to be root. Mount the
//! directories, the highest first, with
//! `mount -t overlay -o userxattr,lowerdir=THIRD:SECOND:FIRST overlay ROOTFS`.

use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use umoci::idmap::{IdMap, IdMaps};
use umoci::layer::{ApplyOptions, DiskFormat, Owners, PackOptions, pack_tree, unpack_layer};
use umoci::rootfs::{Native, OverlayNamespace};

const FORMAT: DiskFormat = DiskFormat::Overlay(OverlayNamespace::User);

/// An ordinary user is root in the layer, and can be nobody else.
fn maps(directory: &Path) -> umoci::Result<IdMaps> {
    let owner = directory.metadata()?;
    if owner.uid() == 0 {
        return Ok(IdMaps::default());
    }
    let map = |id| IdMap::parse(&[format!("0:{id}:1")]);
    Ok(IdMaps { uid: map(owner.uid())?, gid: map(owner.gid())? })
}

fn unpack(directory: &Path, layer: impl Read + Send) -> umoci::Result<()> {
    std::fs::create_dir_all(directory)?;
    let fs = Native::open(directory)?;
    let maps = maps(directory)?;
    let options = ApplyOptions { format: FORMAT, maps, ..Default::default() };
    unpack_layer(&fs, layer, &options)
}

fn pack(directory: &Path, layer: impl Write) -> umoci::Result<()> {
    let fs = Native::open(directory)?;
    let owners = Owners::Mapped(maps(directory)?);
    let options = PackOptions { format: FORMAT, owners, ..Default::default() };
    let output = BufWriter::with_capacity(1 << 20, layer);
    Ok(pack_tree(&fs, output, &options)?.flush()?)
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let done = match &*arguments {
        [verb, directory] if verb == "unpack" => unpack(Path::new(directory), std::io::stdin()),
        [verb, directory] if verb == "pack" => pack(Path::new(directory), std::io::stdout().lock()),
        _ => Err(umoci::Error::invalid("usage: overlay_layer unpack|pack DIRECTORY")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "overlay_layer: {error}");
            ExitCode::FAILURE
        }
    }
}

#[test]
fn what_is_packed_is_unpacked_again() -> umoci::Result<()> {
    let place = tempfile::tempdir()?;
    let (source, copy) = (place.path().join("source"), place.path().join("copy"));
    std::fs::create_dir_all(source.join("etc"))?;
    std::fs::write(source.join("etc/motd"), "hello")?;
    std::os::unix::fs::symlink("motd", source.join("etc/issue"))?;
    let (mut layer, mut again) = (Vec::new(), Vec::new());
    pack(&source, &mut layer)?;
    unpack(&copy, &*layer)?;
    assert_eq!(std::fs::read(copy.join("etc/issue"))?, b"hello");
    pack(&copy, &mut again)?;
    assert!(layer == again, "a round trip changes nothing");
    Ok(())
}
