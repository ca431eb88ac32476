// SPDX-License-Identifier: Apache-2.0
//! [`insert`]: a layer made of a file or directory of this machine, or of a
//! single whiteout, without unpacking the image.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::editor::{ImageEditor, LayerOptions};
use crate::error::{Context, Result};
use crate::interrupt::Interrupt;
use crate::layer::{
    LayerOptions as TarOptions, LayerWriter, OwnerCheck, Owners, RootName, TreePacker,
};
use crate::oci::Descriptor;
use crate::rootfs::{
    Emulated, Identity, Native, Ownership, RootPath, Rootless, RootlessOptions, Strictness, View,
    open_own_dir,
};

/// What is put at a place in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insertion {
    /// A file, or a directory with all that is in it. A symbolic link is put there as the
    /// link it is.
    Source {
        /// Where it is on this machine.
        path: PathBuf,
        /// What becomes of what lower layers have below the place.
        lower: Lower,
    },
    /// Nothing: whatever lower layers have at the place is gone.
    Whiteout,
}

/// What becomes of what lower layers have in a directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lower {
    /// It stays where nothing replaces it.
    #[default]
    Merge,
    /// It is gone.
    Hide,
}

/// A place in an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    path: RootPath,
    root_name: RootName,
}

impl Target {
    /// Reads a path, from the root of the image whether it starts with `/` or not; `..` never
    /// leads out.
    ///
    /// # Errors
    /// When the path holds a NUL byte.
    pub fn new(path: impl AsRef<[u8]>) -> Result<Self> {
        let path = path.as_ref();
        // NOTE(compat): the root is spelled in the layer as it was here.
        let root_name = if path.starts_with(b"/") { RootName::Slash } else { RootName::Dot };
        Ok(Self { path: RootPath::clean(path)?, root_name })
    }
}

/// How something is inserted.
#[derive(Debug, Clone, Default)]
pub struct InsertOptions {
    /// How the layer is added.
    pub layer: LayerOptions,
    /// The latest time of a member, in seconds since the epoch (`SOURCE_DATE_EPOCH`).
    pub latest: Option<i64>,
    /// Who owns what is inserted. With [`Owners::OfImage`] it is root, or whom an attribute
    /// of the file names.
    pub owners: Owners,
    /// Whether something else than what is on disk may become part of the layer.
    pub strictness: Strictness,
    /// What is remembered of inodes of the source that are not what they are meant to be.
    pub emulated: Vec<(Identity, Emulated)>,
    /// When to stop.
    pub interrupt: Interrupt,
}

impl InsertOptions {
    fn open(&self, root: File) -> Result<Rootless<Native>> {
        let ownership = match self.owners {
            Owners::Mapped(_) => Ownership::Set,
            Owners::OfImage => Ownership::Record,
        };
        let interrupt = self.interrupt.clone();
        let (view, refusals) = (View::Image, self.strictness.into());
        let default = RootlessOptions::default();
        let rootless = RootlessOptions { ownership, refusals, view, interrupt, ..default };
        let fs = Rootless::native(root, rootless)?;
        for (identity, emulated) in &self.emulated {
            fs.remember(*identity, emulated.clone());
        }
        Ok(fs)
    }
}

/// Adds a layer with one insertion to an image.
///
/// # Errors
/// When the source is missing or holds what no layer can (a socket, a name that would be read
/// as a whiteout, an owner outside the maps), when a file is to become the root, and for a
/// whiteout of the root. The editor is then as it was.
pub fn insert(
    editor: &mut ImageEditor<'_>,
    insertion: &Insertion,
    target: &Target,
    options: &InsertOptions,
) -> Result<Descriptor> {
    let add = |editor: &mut ImageEditor<'_>| match insertion {
        Insertion::Whiteout => editor.add_layer(&options.layer, |output| {
            let mut layer = writer(output, options);
            layer.whiteout(&target.path)?;
            layer.finish().map(drop)
        }),
        Insertion::Source { path, lower } => {
            let source = Source::open(path, options)?;
            OwnerCheck::new(&source.fs, &options.owners).all_below(&source.path)?;
            let layer = editor
                .add_layer(&options.layer, |output| source.pack(output, target, *lower, options))?;
            source.fs.tell_substitutes();
            Ok(layer)
        }
    };
    add(editor).context("generate insert layer")
}

fn writer<'a>(
    output: &'a mut dyn Write,
    options: &InsertOptions,
) -> LayerWriter<&'a mut dyn Write> {
    LayerWriter::new(
        output,
        TarOptions { latest: options.latest, progress: options.layer.progress.clone() },
    )
}

/// Something on this machine: a tree, or a name in the root of one.
#[derive(Debug)]
struct Source {
    fs: Rootless<Native>,
    path: RootPath,
}

impl Source {
    fn open(path: &Path, options: &InsertOptions) -> Result<Self> {
        // What ends in `.` or `..`, and the root, is a directory without a name of its own.
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            let fs = options.open(File::open(path).at("open", path)?)?;
            return Ok(Self { fs, path: RootPath::root() });
        };
        let above = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let above = File::open(above).at("open", above)?;
        // Without a `/` at its end, which would follow a link.
        if parent.join(name).symlink_metadata().at("lstat", path)?.is_dir() {
            let root = open_own_dir(&above, Path::new(name)).at("open", path)?;
            return Ok(Self { fs: options.open(root)?, path: RootPath::root() });
        }
        Ok(Self { fs: options.open(above)?, path: RootPath::clean(name.as_encoded_bytes())? })
    }

    fn pack(
        &self,
        output: &mut dyn Write,
        target: &Target,
        lower: Lower,
        options: &InsertOptions,
    ) -> Result<()> {
        let mut packer = TreePacker::new(&self.fs, &options.owners, writer(output, options))
            .with_root_name(target.root_name);
        if lower == Lower::Hide {
            packer.opaque(&target.path)?;
        }
        packer.add_tree(&self.path, &target.path)?;
        packer.finish().map(drop)
    }
}
