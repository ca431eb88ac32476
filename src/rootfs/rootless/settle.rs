// SPDX-License-Identifier: Apache-2.0
//! Giving an inode its owner, attributes, permission bits and times, step by
//! step, with a substitute for each step that the system refuses.

use std::fs::File;
use std::io;

use super::super::metadata::{Kind, Stat, Xattr};
use super::super::ops::{Change, Dir, FsOps};
use super::super::path::Name;
use super::super::sys::{self, XattrTarget};
use super::super::{FileTime, Owner, xattr};
use super::record::{Emulated, Substitute};
use super::{OWNER_ATTRIBUTE, Ownership, Refusals, Rootless, is_refusal, owner};

/// What is settled.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    Open(&'a File),
    Name(&'a Dir, Name<'a>),
}

impl<'a> Target<'a> {
    fn xattrs(self) -> XattrTarget<'a> {
        match self {
            Self::Open(file) => XattrTarget::Open(file),
            Self::Name(dir, name) => XattrTarget::Name(dir.as_file(), name.as_os_str()),
        }
    }

    fn stat(self) -> io::Result<Stat> {
        match self {
            Self::Open(file) => sys::stat_fd(file),
            Self::Name(dir, name) => sys::stat_at(dir, name.as_os_str()),
        }
    }

    fn chown(self, owner: Owner) -> io::Result<()> {
        match self {
            Self::Open(file) => sys::chown_fd(file, owner),
            Self::Name(dir, name) => sys::chown_at(dir, name.as_os_str(), owner),
        }
    }

    fn chmod(self, mode: u32) -> io::Result<()> {
        match self {
            Self::Open(file) => sys::chmod_fd(file, mode),
            Self::Name(dir, name) => sys::chmod_at(dir, name.as_os_str(), mode),
        }
    }

    fn set_times(self, atime: FileTime, mtime: FileTime) -> io::Result<()> {
        match self {
            Self::Open(file) => sys::set_times_fd(file, atime, mtime),
            Self::Name(dir, name) => sys::set_times_at(dir, name.as_os_str(), atime, mtime),
        }
    }
}

/// One inode that is being settled.
struct Settling<'a, F> {
    fs: &'a Rootless<F>,
    target: Target<'a>,
    stat: Stat,
    note: Emulated,
    attributed: bool,
}

impl<F: FsOps> Rootless<F> {
    /// Sets what `change` says: the plain way, or step by step if that fails or owners are not to be set.
    pub(super) fn settle(
        &self,
        target: &Target<'_>,
        change: &Change<'_>,
        plainly: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.options.interrupt.check()?;
        if self.options.ownership == Ownership::Set {
            let is_placeholder = matches!(target, Target::Name(..))
                && change.kind != Kind::Symlink
                && !self.ledger().is_empty()
                && self.on(*target, Target::stat)?.kind == Kind::File;
            if !is_placeholder {
                match plainly() {
                    Ok(()) => return self.forget(*target),
                    Err(error) if !self.has_substitute(&error) => return Err(error),
                    Err(_) => {}
                }
            }
        }
        let stat = self.on(*target, Target::stat)?;
        let note = Emulated::default();
        let settling = Settling { fs: self, target: *target, stat, note, attributed: false };
        settling.run(change)
    }

    /// What was noted of an inode that is no more may have the number of this one.
    fn forget(&self, target: Target<'_>) -> io::Result<()> {
        if self.ledger().is_empty() {
            return Ok(());
        }
        let identity = self.on(target, Target::stat)?.identity;
        let mut ledger = self.ledger();
        ledger.set(identity, Emulated::default());
        ledger.set_attributed(identity, false);
        Ok(())
    }

    fn has_substitute(&self, error: &io::Error) -> bool {
        match self.options.refusals {
            Refusals::Fail => error.kind() == io::ErrorKind::Unsupported,
            Refusals::Substitute | Refusals::Strict => {
                is_refusal(error) || error.kind() == io::ErrorKind::InvalidInput
            }
        }
    }

    /// A step on a target whose directory may be in the way.
    fn on<'t, T>(
        &self,
        target: Target<'t>,
        step: impl Fn(Target<'t>) -> io::Result<T>,
    ) -> io::Result<T> {
        match target {
            Target::Open(_) => step(target),
            Target::Name(dir, _) => self.in_dir(dir, || step(target)),
        }
    }
}

impl<F: FsOps> Settling<'_, F> {
    fn run(mut self, change: &Change<'_>) -> io::Result<()> {
        let metadata = change.metadata;
        if self.fs.options.ownership == Ownership::Set {
            self.chown(metadata.owner)?;
        }
        self.make_writable(change)?;
        if change.clear_xattrs {
            self.step(|target| xattr::clear(target.xattrs()))?;
        }
        if self.fs.options.ownership == Ownership::Record {
            self.record_owner(change)?;
        }
        // Access control lists may take away what is needed to set the others.
        let is_system = |xattr: &&Xattr| xattr.name.starts_with(b"system.");
        for xattr in metadata.xattrs.iter().filter(|xattr| !is_system(xattr)) {
            self.set_xattr(xattr)?;
        }
        for xattr in metadata.xattrs.iter().filter(is_system) {
            self.set_xattr(xattr)?;
        }
        self.set_mode(change)?;
        self.step(|target| target.set_times(metadata.atime, metadata.mtime))?;
        let mut ledger = self.fs.ledger();
        ledger.set_attributed(self.stat.identity, self.attributed);
        ledger.set(self.stat.identity, self.note);
        Ok(())
    }

    fn step<T>(&self, step: impl Fn(Target<'_>) -> io::Result<T>) -> io::Result<T> {
        self.fs.on(self.target, step)
    }

    fn chown(&mut self, owner: Owner) -> io::Result<()> {
        let Err(error) = self.step(|target| target.chown(owner)) else { return Ok(()) };
        // EINVAL: an id that the user namespace does not have.
        let refused = is_refusal(&error) || error.kind() == io::ErrorKind::InvalidInput;
        if !refused || self.fs.options.refusals == Refusals::Fail {
            return Err(error);
        }
        let Owner { uid, gid } = owner;
        let what = || format!("the owner {uid}:{gid} cannot be set and is recorded: {error}");
        self.fs.substitute(Substitute::OwnerRecord, what)?;
        self.note.owner = Some(owner);
        self.note.held_by = Some(self.stat.owner);
        Ok(())
    }

    /// Attributes of users need permission to write, which an older inode may not give.
    fn make_writable(&self, change: &Change<'_>) -> io::Result<()> {
        let is_open = matches!(self.stat.kind, Kind::File | Kind::Dir);
        let is_needed = change.clear_xattrs
            || !change.metadata.xattrs.is_empty()
            || self.fs.options.ownership == Ownership::Record
                && change.metadata.owner != Owner::default();
        if is_open && is_needed && self.stat.mode & 0o600 != 0o600 {
            self.step(|target| target.chmod(self.stat.mode | 0o600))?;
        }
        Ok(())
    }

    fn record_owner(&mut self, change: &Change<'_>) -> io::Result<()> {
        let owner = change.metadata.owner;
        if owner == Owner::default() {
            return Ok(());
        }
        let Owner { uid, gid } = owner;
        let value = owner::encode(owner);
        // Other tools stumble over an attribute that they may not read.
        let is_readable = change.metadata.mode & 0o400 != 0 && change.kind == self.stat.kind;
        let set = if is_readable {
            self.step(|target| target.xattrs().set(OWNER_ATTRIBUTE, &value))
        } else {
            Err(io::Error::from(io::ErrorKind::PermissionDenied))
        };
        match set {
            Ok(()) => {
                self.attributed = true;
                let what = || format!("the owner {uid}:{gid} is kept in an attribute");
                self.fs.substitute(Substitute::OwnerAttribute, what)
            }
            Err(error) if is_refusal(&error) => {
                self.note.owner = Some(owner);
                let what = || format!("the owner {uid}:{gid} is recorded");
                self.fs.substitute(Substitute::OwnerRecord, what)
            }
            Err(error) => Err(error),
        }
    }

    fn set_xattr(&mut self, xattr: &Xattr) -> io::Result<()> {
        if *xattr.name == *OWNER_ATTRIBUTE {
            let name = xattr.name.escape_ascii();
            if self.fs.options.ownership == Ownership::Record {
                log::warn!("ignoring the attribute {name} of a layer: it is this program's own");
                return Ok(());
            }
        }
        let Err(error) = self.step(|target| xattr::set(target.xattrs(), xattr)) else {
            return Ok(());
        };
        let is_unsupported = error.kind() == io::ErrorKind::Unsupported;
        let is_fatal = self.fs.options.refusals == Refusals::Fail && !is_unsupported;
        if !is_refusal(&error) || is_fatal {
            return Err(error);
        }
        let what = || format!("{error}; the attribute is recorded");
        self.fs.substitute(Substitute::AttributeRecord, what)?;
        self.note.xattrs.push(xattr.clone());
        Ok(())
    }

    fn set_mode(&mut self, change: &Change<'_>) -> io::Result<()> {
        let mode = change.metadata.mode;
        if self.stat.kind == Kind::Symlink {
            return Ok(());
        }
        let node = self.fs.emulated(self.stat.identity).and_then(|noted| noted.node);
        let is_placeholder = self.stat.kind == Kind::File && change.kind != Kind::File;
        if let (Some(node), true) = (node, is_placeholder) {
            self.note.node = Some(super::Node { mode, ..node });
            // Nobody is to take it for a file with something in it.
            return self.step(|target| target.chmod(0));
        }
        self.step(|target| target.chmod(mode))
    }
}
