// SPDX-License-Identifier: Apache-2.0
//! Giving an inode its owner, attributes, permission bits and times, step by
//! step, with a substitute for each step that the system refuses.

use std::io;

use super::super::metadata::{Kind, Stat, Xattr};
use super::super::ops::{Change, FsOps};
use super::super::{Owner, xattr};
use super::record::{Emulated, Node, Substitute};
use super::target::Target;
use super::{OWNER_ATTRIBUTE, Ownership, Refusals, Rootless, is_refusal, owner, reason};

/// One inode that is being settled.
struct Settling<'a, F> {
    fs: &'a Rootless<F>,
    target: Target<'a>,
    stat: Stat,
    note: Emulated,
    attributed: bool,
}

impl<F: FsOps> Rootless<F> {
    /// Sets what `change` says: the plain way, or step by step where that cannot be or fails.
    pub(super) fn settle(
        &self,
        target: Target<'_>,
        change: &Change<'_>,
        plainly: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.options.interrupt.check()?;
        if self.is_plain(target, change)? {
            match plainly() {
                Ok(()) => return self.forget(target),
                Err(error) if !self.has_substitute(&error) => return Err(error),
                Err(_) => {}
            }
        }
        let stat = self.on(target, Target::stat)?;
        let note = Emulated::default();
        Settling { fs: self, target, stat, note, attributed: false }.run(change)
    }

    /// Whether all of the change may be possible as it is.
    fn is_plain(&self, target: Target<'_>, change: &Change<'_>) -> io::Result<bool> {
        let needs_user = || change.metadata.xattrs.iter().any(is_of_user);
        if self.options.ownership == Ownership::Record
            || self.lacks(|has| has.owners)
            || self.lacks(|has| has.user_attributes) && needs_user()
        {
            return Ok(false);
        }
        let may_be_placeholder = matches!(target, Target::Name(..))
            && change.kind != Kind::Symlink
            && !self.ledger.is_empty();
        Ok(!may_be_placeholder || self.on(target, Target::stat)?.kind != Kind::File)
    }

    /// What was noted of an inode that is no more may have the number of this one.
    fn forget(&self, target: Target<'_>) -> io::Result<()> {
        if self.ledger.is_empty() {
            return Ok(());
        }
        let identity = self.on(target, Target::stat)?.identity;
        self.ledger.settle(identity, Emulated::default(), false);
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
    pub(super) fn on<'t, T>(
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
        self.fs.ledger.settle(self.stat.identity, self.note, self.attributed);
        Ok(())
    }

    fn step<T>(&self, step: impl Fn(Target<'_>) -> io::Result<T>) -> io::Result<T> {
        self.fs.on(self.target, step)
    }

    fn chown(&mut self, owner: Owner) -> io::Result<()> {
        if self.stat.owner == owner {
            return Ok(());
        }
        let refusal = if self.fs.lacks(|has| has.owners) {
            "the filesystem knows no owners".to_owned()
        } else {
            match self.step(|target| target.chown(owner)) {
                Ok(()) => return Ok(()),
                Err(error) if self.may_record_owner(&error) => reason(error).to_string(),
                Err(error) => return Err(error),
            }
        };
        let Owner { uid, gid } = owner;
        let what = || format!("the owner {uid}:{gid} is recorded: {refusal}");
        self.fs.substitute(Substitute::OwnerRecord, self.target, what)?;
        self.note.owner = Some(owner);
        self.note.held_by = Some(self.stat.owner);
        Ok(())
    }

    fn may_record_owner(&self, error: &io::Error) -> bool {
        // EINVAL: an id that the user namespace does not have.
        let refused = is_refusal(error) || error.kind() == io::ErrorKind::InvalidInput;
        refused && self.fs.options.refusals != Refusals::Fail
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
        if self.set_owner_attribute(owner, change)? {
            self.attributed = true;
            let what = || format!("the owner {uid}:{gid} is kept in an attribute");
            self.fs.substitute(Substitute::OwnerAttribute, self.target, what)
        } else {
            self.note.owner = Some(owner);
            let what = || format!("the owner {uid}:{gid} is recorded");
            self.fs.substitute(Substitute::OwnerRecord, self.target, what)
        }
    }

    /// Whether the attribute could be set.
    fn set_owner_attribute(&self, owner: Owner, change: &Change<'_>) -> io::Result<bool> {
        // Other tools stumble over an attribute that they may not read.
        let is_readable = change.metadata.mode & 0o400 != 0 && change.kind == self.stat.kind;
        if !is_readable || self.fs.lacks(|has| has.user_attributes) {
            return Ok(false);
        }
        let value = owner::encode(owner);
        match self.step(|target| target.xattrs().set(OWNER_ATTRIBUTE, &value)) {
            Ok(()) => Ok(true),
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn set_xattr(&mut self, xattr: &Xattr) -> io::Result<()> {
        let name = xattr.name.escape_ascii();
        if *xattr.name == *OWNER_ATTRIBUTE && self.fs.options.ownership == Ownership::Record {
            log::warn!("ignoring the attribute {name} of a layer: it is this program's own");
            return Ok(());
        }
        let refusal = if is_of_user(xattr) && self.fs.lacks(|has| has.user_attributes) {
            "the filesystem takes none of users".to_owned()
        } else {
            match self.step(|target| target.xattrs().set(&xattr.name, &xattr.value)) {
                Ok(()) => return Ok(()),
                Err(error) if self.may_record_xattr(&error) => reason(error).to_string(),
                Err(error) => return Err(xattr::named(xattr, &error)),
            }
        };
        let what = || format!("the attribute {name} is recorded: {refusal}");
        self.fs.substitute(Substitute::AttributeRecord, self.target, what)?;
        self.note.xattrs.push(xattr.clone());
        Ok(())
    }

    fn may_record_xattr(&self, error: &io::Error) -> bool {
        match self.fs.options.refusals {
            Refusals::Fail => error.kind() == io::ErrorKind::Unsupported,
            Refusals::Substitute | Refusals::Strict => is_refusal(error),
        }
    }

    fn set_mode(&mut self, change: &Change<'_>) -> io::Result<()> {
        let mode = change.metadata.mode;
        if self.stat.kind == Kind::Symlink {
            return Ok(());
        }
        let node = self.fs.emulated(self.stat.identity).and_then(|noted| noted.node);
        let is_placeholder = self.stat.kind == Kind::File && change.kind != Kind::File;
        if let (Some(node), true) = (node, is_placeholder) {
            self.note.node = Some(Node { mode, ..node });
            // Nobody is to take it for a file with something in it.
            return self.step(|target| target.chmod(0));
        }
        self.step(|target| target.chmod(mode))
    }
}

fn is_of_user(xattr: &Xattr) -> bool {
    xattr.name.starts_with(b"user.")
}
