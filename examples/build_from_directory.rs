// SPDX-License-Identifier: Apache-2.0
//! Makes an image with one layer: the contents of a directory, owned by root.
//!
//!     cargo run --example build_from_directory -- DIRECTORY LAYOUT TAG [COMMAND]...

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use umoci::image::{self, Image, ImageEditor, InsertOptions, Insertion, LayerOptions, Lower};
use umoci::layer::Owners;
use umoci::layout::{Layout, RefName};
use umoci::oci::{Algorithm, History, ImageConfig, Timestamp};
use umoci::{Context, Error, ErrorKind, Result};

/// When the image was made, and the latest time of a file in it. A fixed time makes the
/// result depend on the directory alone.
const TIME: i64 = 1_700_000_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "build_from_directory: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut words = std::env::args_os().skip(1);
    let (Some(directory), Some(layout), Some(tag)) = (words.next(), words.next(), words.next())
    else {
        return Err(Error::invalid(
            "usage: build_from_directory DIRECTORY LAYOUT TAG [COMMAND]...",
        ));
    };
    // Paths can be any bytes. What becomes part of a document cannot.
    let command = words.map(text).collect::<Result<_>>()?;
    build(Path::new(&directory), Path::new(&layout), &text(tag)?.parse()?, command)
}

fn text(word: OsString) -> Result<String> {
    word.into_string().map_err(|word| Error::invalid(format!("{word:?} is not UTF-8")))
}

/// This machine's architecture, as images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        same => same,
    }
}

/// Makes the image and gives it a name; the layout is made if there is none.
fn build(directory: &Path, layout: &Path, name: &RefName, command: Vec<String>) -> Result<()> {
    let layout = match Layout::create(layout) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Layout::open(layout),
        created => created,
    }?;
    let created = Some(Timestamp::from_epoch_seconds(TIME)?);

    // Whoever writes holds a lock that keeps garbage collection away; others can write too.
    let writer = layout.writer()?;
    let mut config = ImageConfig::new(architecture(), "linux");
    config.created = created;
    config.config.cmd = command;
    let mut editor = ImageEditor::new(&writer, Image::blank(Algorithm::default(), config)?);
    let contents = Insertion::Source { path: directory.into(), lower: Lower::Merge };
    let history =
        History { created, created_by: "build_from_directory".into(), ..History::default() };
    let options = InsertOptions {
        layer: LayerOptions { history: Some(history), ..LayerOptions::default() },
        latest: Some(TIME),
        // Everything is root's, whoever runs this.
        owners: Owners::OfImage,
        ..InsertOptions::default()
    };
    image::insert(&mut editor, &contents, &image::Target::new("/")?, &options)
        .with_context(|| format!("pack {directory:?}"))?;

    // Everything is stored; only now does a name lead to it.
    let path = editor.commit()?;
    writer.tag(name, path.root().clone())?;
    Ok(())
}

#[test]
fn what_is_in_the_directory_is_in_the_image() -> Result<()> {
    use umoci::layout::{GcOptions, collect_garbage};
    let place = tempfile::tempdir()?;
    let (source, layout) = (place.path().join("source"), place.path().join("layout"));
    std::fs::create_dir_all(source.join("bin"))?;
    std::fs::write(source.join("bin/hello"), "#!/bin/sh\necho hello\n")?;
    for name in ["one", "two"] {
        build(&source, &layout, &name.parse()?, vec!["/bin/hello".into()])?;
    }

    let layout = Layout::open(layout)?;
    let image = Image::load(&layout, layout.resolve(&"one".parse()?)?)?;
    assert_eq!(image.config().config.cmd, ["/bin/hello"]);
    assert_eq!(image.config().architecture, architecture());
    let mut tar = Vec::new();
    let layer = &image.manifest().layers[0];
    std::io::Read::read_to_end(&mut image::open_layer(&layout, layer)?, &mut tar)?;
    assert!(tar.windows(10).any(|bytes| bytes == b"echo hello"));
    let digest =
        |name: &str| layout.resolve(&name.parse()?).map(|path| path.target().digest.clone());
    assert_eq!(digest("one")?, digest("two")?, "equal directories give equal images");
    let garbage = collect_garbage(&layout, &GcOptions::default())?;
    assert!(garbage.removed.is_empty(), "{garbage:?}");
    Ok(())
}
