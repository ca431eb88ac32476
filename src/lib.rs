// SPDX-License-Identifier: Apache-2.0
//! Build, inspect and change OCI container images without a daemon.
//!
//! An image lives in an *image layout* on disk ([`layout`]): blobs under their
//! digests, and an index that names some of them. This crate makes layouts,
//! changes the images in them ([`image`]), unpacks an image into a *runtime
//! bundle* that `runc` can run, and makes of what has changed there a new layer
//! ([`bundle`]). It does so fast, touching each byte once, and so that nothing
//! is lost when it is killed, raced or lied to: everything that an image says
//! is taken for hostile.
//!
//! The modules, from the values up:
//!
//! * [`oci`]: digests, descriptors, manifests, configurations;
//! * [`layout`]: the store, its locks, and garbage collection;
//! * [`rootfs`]: root filesystems, reached by directory handles only; [`idmap`];
//! * [`layer`]: layers as streams, applied to and written from a root filesystem;
//! * [`snapshot`]: the recorded state of a tree, and what has changed since;
//! * [`image`]: one image, its editor and its description;
//! * [`bundle`]: from an image to a bundle and back;
//! * [`progress`]: how far any of this has come, for those who show it.
//!
//! # Example
//!
//! An image with one file, made from nothing and unpacked:
//!
//! ```
//! use umoci::bundle::{self, UnpackOptions};
//! use umoci::idmap::{IdMap, IdMaps, Owner};
//! use umoci::image::{self, Image, ImageEditor, LayerOptions};
//! use umoci::layer::{Entry, EntryKind, LayerWriter};
//! use umoci::layout::{Layout, RefName};
//! use umoci::oci::{DescriptorPath, ImageConfig};
//! use umoci::rootfs::FileTime;
//!
//! # use std::os::unix::fs::MetadataExt;
//! # fn main() -> umoci::Result<()> {
//! # let place = tempfile::tempdir()?;
//! # let (place, me) = (place.path(), place.path().metadata()?);
//! let layout = Layout::create(place.join("layout"))?;
//! let name: RefName = "hello".parse()?;
//!
//! let writer = layout.writer()?;
//! let empty = image::create(&writer, &ImageConfig::new("amd64", "linux"))?;
//! let image = Image::load(&layout, DescriptorPath::new(vec![empty])?)?;
//! let mut editor = ImageEditor::new(&writer, image);
//! editor.add_layer(&LayerOptions::default(), |output| {
//!     let mut layer = LayerWriter::new(output, Default::default());
//!     let greeting = Entry {
//!         path: b"etc/greeting".to_vec(),
//!         kind: EntryKind::File { size: 6 },
//!         mode: 0o644,
//!         owner: Owner { uid: 0, gid: 0 },
//!         mtime: FileTime::EPOCH,
//!         atime: None,
//!         xattrs: Vec::new(),
//!     };
//!     layer.add(&greeting, Some(&mut &b"hello\n"[..]))?;
//!     layer.finish().map(drop)
//! })?;
//! let changed = editor.commit()?;
//! writer.tag(&name, changed.root().clone())?;
//! drop(writer);
//!
//! let image = Image::load(&layout, layout.resolve(&name)?)?;
//! let maps = IdMaps {
//!     uid: IdMap::parse(&[format!("0:{}", me.uid())])?,
//!     gid: IdMap::parse(&[format!("0:{}", me.gid())])?,
//! };
//! let bundle = place.join("bundle");
//! bundle::unpack(&layout, &image, &bundle, &UnpackOptions { maps, ..Default::default() })?;
//! assert_eq!(std::fs::read(bundle.join("rootfs/etc/greeting"))?, b"hello\n");
//! # Ok(())
//! # }
//! ```

pub mod bundle;
pub mod error;
pub mod idmap;
pub mod image;
pub mod interrupt;
pub mod layer;
pub mod layout;
pub mod oci;
pub mod progress;
pub mod quote;
mod random;
pub mod rootfs;
pub mod snapshot;
mod sys;

pub use error::{Context, Error, ErrorKind, Result};
