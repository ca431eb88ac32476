// SPDX-License-Identifier: Apache-2.0
//! [`Rootless`]: a root filesystem for an ordinary user, for root in a user
//! namespace, and on filesystems that cannot do everything.
//!
//! What the system refuses gets a substitute: permission bits that are in the
//! way step aside for a call, owners go into an attribute or are remembered,
//! empty files stand for devices. Reading gives back what was meant.

mod access;
mod aside;
mod calls;
mod case;
mod census;
mod dates;
mod meant;
mod owner;
mod privileges;
mod probe;
mod record;
mod settle;
mod stranger;
mod target;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use self::access::{Afterwards, open_own_dir};
pub use self::aside::{Aside, Reminder, TreeNotes};
pub use self::census::{Census, Keeping, Substitute};
pub use self::owner::OWNER_ATTRIBUTE;
pub(crate) use self::probe::is_probe;
pub use self::record::{Emulated, HeldMode, Node};

use self::access::{Access, Object};
use self::probe::{Abilities, Ability};
use self::record::Ledger;
use self::target::Target;
use super::metadata::{FileTime, Identity, Stat};
use super::namespace::{GivenIds, Namespace};
use super::native::Native;
use super::ops::{Dir, FsOps};
use super::path::{Name, RootPath};
use super::sys;
use crate::interrupt::Interrupt;

/// How files get their owners.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ownership {
    /// They are given to them.
    #[default]
    Set,
    /// Everything belongs to the caller. The real owner, if it is not root, is
    /// kept in an attribute or remembered; owners are as in the image.
    Record,
}

/// What happens when the system refuses something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Refusals {
    /// It is an error, but for what the filesystem does not have at all.
    #[default]
    Fail,
    /// A substitute takes its place.
    Substitute,
    /// It is an error, whatever it is; and so is a substitute without a refusal. At once, even if
    /// a later layer would replace or remove the object again: nobody who works on the tree
    /// meanwhile meets anything made up, and a tree that was there before is not changed more than
    /// need be. Whoever wants to know only what has stayed in the end has the counts.
    Strict,
}

/// Whether something else may take the place of what cannot be had: owners that are recorded,
/// empty files for devices, and so on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strictness {
    /// It may, and is told.
    #[default]
    Substitute,
    /// It is an error.
    Refuse,
}

impl Refusals {
    /// What a user means who asks for owners to be set or recorded, and for substitutes or none.
    pub fn of(ownership: Ownership, strictness: Strictness) -> Self {
        match (strictness, ownership) {
            (Strictness::Refuse, _) => Self::Strict,
            (Strictness::Substitute, Ownership::Record) => Self::Substitute,
            // Root is refused something by the filesystem or the user namespace. Somebody
            // else has forgotten to say that no privileges are to be used.
            (Strictness::Substitute, Ownership::Set) if sys::is_root() => Self::Substitute,
            (Strictness::Substitute, Ownership::Set) => Self::Fail,
        }
    }

    /// Whether a substitute takes the place of what the system refuses with this error; if
    /// strictly there is none, that is told in the same way.
    fn has_substitute(self, error: &io::Error) -> bool {
        use io::ErrorKind::{
            CrossesDevices, InvalidInput, PermissionDenied, TooManyLinks, Unsupported,
        };
        match error.kind() {
            Unsupported => true,
            // EINVAL is an id that the user namespace lacks.
            PermissionDenied | InvalidInput | TooManyLinks | CrossesDevices => self != Self::Fail,
            _ => false,
        }
    }
}

/// What reading a tree gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum View {
    /// What is on the disk.
    #[default]
    Disk,
    /// What is meant: real owners and devices.
    Image,
}

/// How [`Rootless`] works.
#[derive(Debug, Clone, Default)]
pub struct RootlessOptions {
    /// How files get their owners.
    pub ownership: Ownership,
    /// What happens when the system refuses something.
    pub refusals: Refusals,
    /// What reading gives.
    pub view: View,
    /// What becomes of permission bits that were in the way.
    pub afterwards: Afterwards,
    /// Who remembers them, should this process be killed before it puts them back.
    pub reminder: Option<Arc<dyn Reminder>>,
    /// What the root is called in messages, as where it is no image's; empty if it has no name.
    pub place: PathBuf,
    /// When to stop.
    pub interrupt: Interrupt,
}

impl RootlessOptions {
    /// As [`Refusals::of`], for a tree as it is on disk.
    pub fn new(ownership: Ownership, strictness: Strictness) -> Self {
        let refusals = Refusals::of(ownership, strictness);
        Self { ownership, refusals, ..Self::default() }
    }
}

/// Makes do where the system refuses, and remembers it.
#[derive(Debug)]
pub struct Rootless<F> {
    inner: F,
    root: File,
    access: Access,
    abilities: Abilities,
    namespace: Namespace,
    given_ids: GivenIds,
    options: RootlessOptions,
    ledger: Ledger,
}

impl Rootless<Native> {
    /// Takes an open directory as the root of a filesystem of plain system calls.
    pub fn native(root: File, options: RootlessOptions) -> io::Result<Self> {
        let own = root.try_clone()?;
        Self::new(Native::from_dir(root)?, own, options)
    }
}

impl<F: FsOps> Rootless<F> {
    /// Decorates `inner`, whose root is the open directory `root`.
    pub fn new(inner: F, root: File, options: RootlessOptions) -> io::Result<Self> {
        let access = Access::new(root.try_clone()?, options.afterwards, options.reminder.clone());
        // What is on disk is compared with what was on disk, whatever it is shown as.
        let namespace = match options.view {
            View::Image => Namespace::read(),
            View::Disk => Namespace::default(),
        };
        let (abilities, given_ids) = (Abilities::default(), GivenIds::default());
        let ledger = Ledger::default();
        Ok(Self { inner, root, access, abilities, namespace, given_ids, options, ledger })
    }

    /// Finds out what the filesystem of the tree can do, by trying it in `dir`, a directory on
    /// it that is empty or the tree itself, and which owners there are in the user namespace.
    /// What can never be gets its substitute at once.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] when it has other names for files than those that they are
    /// given, so that no tree on it is that of an image.
    pub fn probe(&mut self, dir: &File) -> io::Result<()> {
        if self.options.refusals != Refusals::Fail {
            self.abilities = Abilities::probe(dir);
            self.given_ids = GivenIds::read();
        }
        if self.lacks(|has| has.names) {
            let message = "the filesystem does not keep upper and lower case of names";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        Ok(())
    }

    /// From now on the work goes on to its end, whoever asks to stop.
    pub fn ignore_interrupts(&mut self) {
        self.options.interrupt = Interrupt::default();
    }

    /// How much is not as it should be: of a tree on the disk in what was written, as it is now,
    /// and of what is meant in what was read. What layers have replaced or removed since is in
    /// neither.
    pub fn census(&self) -> Census {
        match self.options.view {
            View::Disk => self.ledger.written(),
            View::Image => self.ledger.read(),
        }
    }

    /// What is remembered of an inode.
    pub fn emulated(&self, identity: Identity) -> Option<Emulated> {
        self.ledger.get(identity)
    }

    /// What is remembered of all inodes, in no order.
    pub fn all_emulated(&self) -> Vec<(Identity, Emulated)> {
        self.ledger.all()
    }

    /// Remembers an inode from an earlier run.
    pub fn remember(&self, identity: Identity, emulated: Emulated) {
        self.ledger.set(identity, emulated);
    }

    /// Whether the owner of an inode went into an attribute.
    pub fn has_owner_attribute(&self, identity: Identity) -> bool {
        self.ledger.is_attributed(identity)
    }

    /// What a name is on disk, whatever the view; without a name, the directory itself.
    pub fn stat_on_disk(&self, dir: &Dir, name: Option<Name<'_>>) -> io::Result<Stat> {
        self.with_dir(dir, || match name {
            Some(name) => self.inner.stat(dir, name),
            None => self.inner.stat_dir(dir),
        })
    }

    /// When a name's inode was made, if that can be told; without a name, the directory itself.
    pub fn born(&self, dir: &Dir, name: Option<Name<'_>>) -> io::Result<Option<FileTime>> {
        self.with_dir(dir, || match name {
            Some(name) => sys::born_at(dir, name.as_os_str()),
            None => sys::born(dir),
        })
    }

    /// Whether a substitute is an error.
    pub fn is_strict(&self) -> bool {
        self.options.refusals == Refusals::Strict
    }

    /// Makes a call for which the root itself has to be writable, as moving it elsewhere. All
    /// other calls wait until it is done, so it must not make any itself.
    pub fn with_root<T>(&self, call: impl FnOnce() -> T) -> io::Result<T> {
        self.access.with_root(call)
    }

    /// A call that is about a name, and needs to get at the directory alone.
    fn with_dir<T>(&self, dir: &Dir, call: impl Fn() -> io::Result<T>) -> io::Result<T> {
        self.reach(&[Object::Dir(dir)], call)
    }

    /// A call that also needs to get at what the name is.
    fn with_named<T>(
        &self,
        dir: &Dir,
        name: Name<'_>,
        call: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        self.reach(&[Object::Dir(dir), Object::Named(dir, name)], call)
    }

    fn reach<T>(&self, objects: &[Object<'_>], call: impl Fn() -> io::Result<T>) -> io::Result<T> {
        self.options.interrupt.check()?;
        self.access.reach(objects, call)
    }

    fn open_dir_on_disk(&self, path: &RootPath) -> io::Result<Dir> {
        self.options.interrupt.check()?;
        self.access.open_dir(&self.inner, path)
    }

    fn lacks(&self, ability: impl Fn(&Abilities) -> Ability) -> bool {
        ability(&self.abilities) == Ability::Missing
    }

    /// Tells of a substitute, or refuses it.
    fn substitute(
        &self,
        substitute: Substitute,
        target: Target<'_>,
        what: impl Fn() -> String,
    ) -> io::Result<()> {
        if self.options.refusals == Refusals::Strict {
            return Err(io::Error::other(format!("{} (strict)", what())));
        }
        let told = || format!("{}: {}", self.shown(target), what());
        if self.ledger.is_first(substitute) && !self.expects(substitute) {
            log::warn!("{}; more of this kind are counted only", told());
        } else {
            log::debug!("{}", told());
        }
        Ok(())
    }

    /// Where a target is, for messages.
    fn shown(&self, target: Target<'_>) -> String {
        target.shown(&self.root, &self.options.place)
    }

    /// Whether the caller has asked for it, or it gives back what was there.
    fn expects(&self, substitute: Substitute) -> bool {
        let is_reading = self.options.view == View::Image;
        match substitute {
            Substitute::OwnerAttribute
            | Substitute::OwnerRecord
            | Substitute::Placeholder
            | Substitute::FifoPlaceholder
            | Substitute::AttributeRecord => {
                self.options.ownership == Ownership::Record || is_reading
            }
            Substitute::ModeRecord => is_reading,
            Substitute::Copy
            | Substitute::SameName
            | Substitute::NearestDate
            | Substitute::HostLabel
            | Substitute::OwnerClaim
            | Substitute::AttributeLoss
            | Substitute::PrivilegeLoss => false,
        }
    }
}

/// The system's text as messages have it.
fn reason(error: io::Error) -> crate::error::Error {
    error.into()
}

#[cfg(test)]
mod tests;
