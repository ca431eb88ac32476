// SPDX-License-Identifier: Apache-2.0
//! [`insert`]: a layer made of a file or directory of this machine, or of a
//! single whiteout, without unpacking the image.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::editor::ImageEditor;
use super::new_layer::LayerOptions;
use super::source_lock::SourceLock;
use crate::error::{Context, Result};
use crate::interrupt::Interrupt;
use crate::layer::{
    LayerOptions as TarOptions, LayerWriter, OwnerCheck, Owners, RootName, TreePacker,
    expected_size,
};
use crate::oci::Descriptor;
use crate::rootfs::{
    Keeping, Native, Ownership, Reminder, RootPath, Rootless, RootlessOptions, Strictness,
    TreeNotes, View, open_dir,
};
use crate::sys;

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
    /// What is known of the tree that the source is in.
    pub notes: TreeNotes,
    /// When to stop.
    pub interrupt: Interrupt,
}

impl InsertOptions {
    fn open(&self, root: File, place: PathBuf) -> Result<Rootless<Native>> {
        let ownership = match self.owners {
            Owners::Mapped(_) => Ownership::Set,
            Owners::OfImage => Ownership::Record,
        };
        let (interrupt, reminder) = (self.interrupt.clone(), self.reminder(&root, &place)?);
        let default = RootlessOptions::new(ownership, self.strictness);
        let (view, default) = (View::Image, RootlessOptions { reminder, place, ..default });
        let fs = Rootless::native(root, RootlessOptions { view, interrupt, ..default })?;
        for (identity, emulated) in &self.notes.emulated {
            fs.remember(*identity, emulated.clone());
        }
        Ok(fs)
    }

    /// Who is asked before permission bits step aside below the directory `root`: the bundle
    /// that it is in, or others who may be reading. In root's way they hardly are, but he must
    /// not see those that have stepped aside for others.
    fn reminder(&self, root: &File, path: &Path) -> Result<Option<Arc<dyn Reminder>>> {
        if self.notes.reminder.is_some() {
            return Ok(self.notes.reminder.clone());
        }
        let root = root.try_clone().at("open", path)?;
        Ok(Some(Arc::new(SourceLock::share(root, path, self.interrupt.clone())?)))
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
            let check = OwnerCheck::new(&source.fs, &options.owners).with_place(&source.place);
            check.all_below(&source.path)?;
            let expected_size = file_size(path).map(|size| expected_size([size].into_iter()));
            let layer = LayerOptions { expected_size, ..options.layer.clone() };
            let layer =
                editor.add_layer(&layer, |output| source.pack(output, target, *lower, options))?;
            source.fs.tell_substitutes(Keeping::Record);
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

/// How many bytes a source has that is a file, if that can be seen without more ado.
fn file_size(path: &Path) -> Option<u64> {
    let metadata = path.components().as_path().symlink_metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// Something on this machine, in a directory that can be opened.
#[derive(Debug)]
struct Source {
    fs: Rootless<Native>,
    /// The directory.
    place: PathBuf,
    /// What is meant, below the directory.
    path: RootPath,
}

impl Source {
    fn open(path: &Path, options: &InsertOptions) -> Result<Self> {
        // Somebody else may have opened what is meant for a moment only: that is waited for.
        let above = path.parent().map(named);
        let above = above.and_then(|above| Some((above, sys::open_any_dir(above).ok()?)));
        let gate = above.map(|(above, dir)| options.reminder(&dir, above)).transpose()?;
        let (place, root) = Self::nearest(path)?;
        let fs = options.open(root, place.clone())?;
        drop(gate);
        let rest = path.strip_prefix(&place).unwrap_or(Path::new(""));
        let rest = RootPath::clean(rest.as_os_str().as_encoded_bytes())?;
        Ok(Self { fs, place, path: rest })
    }

    /// The directory that is meant, or else the last one on the way to it that can be opened:
    /// those behind it may be closed to their owner, who is to get in nevertheless. Only the
    /// links on the way are followed.
    fn nearest(path: &Path) -> Result<(PathBuf, File)> {
        use std::io::ErrorKind::PermissionDenied;
        let is_dir = match path.components().as_path().symlink_metadata() {
            Err(error) if error.kind() == PermissionDenied => false,
            found => found.at("lstat", path)?.is_dir(),
        };
        // What ends in `.` or `..`, and the root, is a directory without a name of its own.
        let mut opened = if is_dir || path.file_name().is_none() {
            open_dir(path)
        } else {
            Err(PermissionDenied.into())
        };
        let mut place = path;
        while let Err(error) = &opened
            && error.kind() == PermissionDenied
            && let Some(above) = place.parent()
        {
            place = above;
            opened = File::open(named(place));
        }
        Ok((place.to_owned(), opened.at("open", named(place))?))
    }

    fn pack(
        &self,
        output: &mut dyn Write,
        target: &Target,
        lower: Lower,
        options: &InsertOptions,
    ) -> Result<()> {
        let mut packer = TreePacker::new(&self.fs, &options.owners, writer(output, options))
            .with_root_name(target.root_name)
            .with_place(&self.place);
        if lower == Lower::Hide {
            packer.opaque(&target.path)?;
        }
        packer.add_tree(&self.path, &target.path)?;
        packer.finish().map(drop)
    }
}

/// The path of a directory, which is the working directory if it is empty.
fn named(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}
