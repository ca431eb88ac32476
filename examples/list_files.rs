// SPDX-License-Identifier: Apache-2.0
//! Lists every file of an image with the layer that it comes from, without unpacking it.
//!
//!     cargo run --example list_files -- LAYOUT TAG

#![expect(clippy::print_stdout, reason = "it is what this is for")]

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

use umoci::image::{self, Image};
use umoci::layer::{Entry, EntryKind, Members, Whiteout, classify};
use umoci::layout::Layout;
use umoci::rootfs::RootPath;
use umoci::{Error, Result};

/// A file, and the layer that it comes from, counted from 0.
struct Found {
    layer: usize,
    entry: Entry,
}

/// The files of an image, as upper layers leave them.
#[derive(Default)]
struct Files(BTreeMap<RootPath, Found>);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "list_files: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (Some(layout), Some(tag)) = (words.next(), words.next()) else {
        return Err(Error::invalid("usage: list_files LAYOUT TAG"));
    };
    for (path, Found { layer, entry }) in list(Path::new(&layout), &tag)?.0 {
        println!("{layer:>3} {}", line(&path, &entry));
    }
    Ok(())
}

/// What is said of a file. Names are any bytes, and what a terminal would obey must not reach it.
fn line(path: &RootPath, entry: &Entry) -> String {
    let (letter, size, target) = match &entry.kind {
        EntryKind::File { size } => ('-', *size, None),
        EntryKind::Dir => ('d', 0, None),
        EntryKind::Symlink { target } => ('l', 0, Some(("->", target))),
        EntryKind::Hardlink { target } => ('h', 0, Some(("=", target))),
        EntryKind::CharDevice(_) => ('c', 0, None),
        EntryKind::BlockDevice(_) => ('b', 0, None),
        EntryKind::Fifo => ('p', 0, None),
    };
    let line = format!("{letter}{:04o} {size:>10} {}", entry.mode, path.as_bytes().escape_ascii());
    match target {
        Some((sign, target)) => format!("{line} {sign} {}", target.escape_ascii()),
        None => line,
    }
}

/// Reads the layers of an image, the lowest first.
fn list(layout: &Path, tag: &str) -> Result<Files> {
    let layout = Layout::open(layout)?;
    let image = Image::load(&layout, layout.resolve(&tag.parse()?)?)?;
    let mut files = Files::default();
    for (layer, (descriptor, _)) in image.layers().enumerate() {
        let stream = BufReader::with_capacity(256 << 10, image::open_layer(&layout, descriptor)?);
        let mut members = Members::new(stream);
        while let Some(entry) = members.next_member()? {
            files.apply(layer, entry)?;
        }
        // The digest is verified at the end of the blob, which comes after that of the archive.
        io::copy(&mut members.into_inner(), &mut io::sink())?;
    }
    Ok(files)
}

impl Files {
    /// Does what a member of a layer says.
    fn apply(&mut self, layer: usize, entry: Entry) -> Result<()> {
        let path = RootPath::clean(&entry.path)?;
        let Some((parent, name)) = path.split() else { return Ok(()) };
        match classify(name)? {
            Whiteout::Removed(name) => self.remove(&parent.join(name), layer),
            Whiteout::Opaque => self.remove_below(&parent, layer),
            Whiteout::Plain => {
                let replaced =
                    self.0.get(&path).is_some_and(|old| old.entry.kind == EntryKind::Dir);
                if replaced && entry.kind != EntryKind::Dir {
                    self.remove_below(&path, layer);
                }
                self.0.insert(path, Found { layer, entry });
            }
        }
        Ok(())
    }

    /// A whiteout hides what lower layers have, never what its own layer has.
    fn remove(&mut self, path: &RootPath, layer: usize) {
        self.0.retain(|other, found| found.layer == layer || !other.is_within(path));
    }

    fn remove_below(&mut self, path: &RootPath, layer: usize) {
        self.0
            .retain(|other, found| found.layer == layer || other == path || !other.is_within(path));
    }
}

#[test]
fn upper_layers_hide_what_is_below() -> Result<()> {
    use umoci::image::{ImageEditor, InsertOptions, Insertion, Lower, Target};
    use umoci::oci::{DescriptorPath, ImageConfig};

    let place = tempfile::tempdir()?;
    let source = place.path().join("source");
    std::fs::create_dir_all(source.join("etc"))?;
    for name in ["etc/kept", "etc/gone", "one"] {
        std::fs::write(source.join(name), name)?;
    }
    std::os::unix::fs::symlink("kept", source.join("etc/link"))?;
    let layout = Layout::create(place.path().join("layout"))?;
    let writer = layout.writer()?;
    let blank = image::create(&writer, &ImageConfig::new("amd64", "linux"))?;
    let image = Image::load(&layout, DescriptorPath::new(vec![blank])?)?;
    let mut editor = ImageEditor::new(&writer, image);
    let tree = Insertion::Source { path: source.clone(), lower: Lower::Merge };
    let file = Insertion::Source { path: source.join("one"), lower: Lower::Merge };
    for (insertion, target) in
        [(tree, "/"), (Insertion::Whiteout, "etc/gone"), (file, "etc/../new")]
    {
        let options = InsertOptions::default();
        image::insert(&mut editor, &insertion, &Target::new(target)?, &options)?;
    }
    writer.tag(&"x".parse()?, editor.commit()?.root().clone())?;

    let files = list(layout.path(), "x")?.0;
    let lines: Vec<_> = files.iter().map(|(path, found)| line(path, &found.entry)).collect();
    assert!(lines[1].starts_with('-') && lines[1].ends_with(" 8 etc/kept"), "{lines:?}");
    assert_eq!(lines[2], "l0777          0 etc/link -> kept");
    let files: Vec<_> = files.iter().map(|(path, found)| (path.as_bytes(), found.layer)).collect();
    let expected: [(&[u8], usize); 5] =
        [(b"etc", 0), (b"etc/kept", 0), (b"etc/link", 0), (b"new", 2), (b"one", 0)];
    assert_eq!(files, expected);
    Ok(())
}
