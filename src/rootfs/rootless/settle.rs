// SPDX-License-Identifier: Apache-2.0
//! Giving an inode its owner, attributes, permission bits and times, step by
//! step, with a substitute for each step that the system refuses.

use std::borrow::Cow;
use std::io;

use super::super::metadata::{Kind, Metadata, Stat, Xattr};
use super::super::ops::{Change, FsOps};
use super::super::{Owner, xattr};
use super::access::Object;
use super::census::Substitute;
use super::record::{HeldMode, LeftOut, Note};
use super::target::Target;
use super::{OWNER_ATTRIBUTE, Ownership, Rootless, owner, reason};

/// The bit that the system may take from a file of a group that its owner is not in.
const SETGID: u32 = 0o2000;

/// Why an owner is recorded.
const NOT_IN_NAMESPACE: &str = "the user namespace does not have it";

/// One inode that is being settled.
struct Settling<'a, F> {
    fs: &'a Rootless<F>,
    target: Target<'a>,
    stat: Stat,
    note: Note,
}

impl<F: FsOps> Rootless<F> {
    /// Sets what `change` says: the plain way, or step by step where that cannot be or fails.
    /// Gives what the inode is then, where the plain way tells and there is nothing to note.
    pub(super) fn settle(
        &self,
        target: Target<'_>,
        change: &Change<'_>,
        plainly: impl FnOnce(&Change<'_>) -> io::Result<Option<Stat>>,
    ) -> io::Result<Option<Stat>> {
        self.options.interrupt.check()?;
        let (metadata, left_out) = self.settable(target, change.metadata)?;
        let change = &Change { metadata: &metadata, ..*change };
        let note = Note { left_out, ..Note::default() };
        if self.is_plain(target, change)? {
            match plainly(change) {
                Ok(stat) => return self.note_plain(target, stat, note),
                Err(error) if !self.options.refusals.has_substitute(&error) => return Err(error),
                Err(_) => {}
            }
        }
        let stat = self.with_dir_of(target, Target::stat)?;
        Settling { fs: self, target, stat, note }.run(change)?;
        Ok(None)
    }

    /// Leaves out the attributes that no layer decides, and notes a date that cannot be had.
    fn settable<'m>(
        &self,
        target: Target<'_>,
        metadata: &'m Metadata,
    ) -> io::Result<(Cow<'m, Metadata>, LeftOut)> {
        let date = self.has_other_date(target, metadata.mtime)?;
        let mut left_out = LeftOut { date, ..LeftOut::default() };
        if metadata.xattrs.iter().all(|xattr| self.who_decides(xattr).is_none()) {
            return Ok((Cow::Borrowed(metadata), left_out));
        }
        let mut own = Vec::new();
        for xattr in &metadata.xattrs {
            let name = xattr.name.escape_ascii();
            match self.who_decides(xattr) {
                None => own.push(xattr.clone()),
                Some(Substitute::HostLabel) if self.has(target, xattr)? => {}
                Some(Substitute::HostLabel) => {
                    let what = || format!("the label {name} is left out: the host gives its own");
                    self.substitute(Substitute::HostLabel, target, what)?;
                    left_out.host_labels += 1;
                }
                Some(claim) => {
                    let why = "a layer says by other means who owns a file";
                    let what = || format!("the attribute {name} is left out: {why}");
                    self.substitute(claim, target, what)?;
                    left_out.owner_claims += 1;
                }
            }
        }
        Ok((Cow::Owned(Metadata { xattrs: own, ..metadata.clone() }), left_out))
    }

    /// As what an attribute of a layer is left out, if it is.
    fn who_decides(&self, xattr: &Xattr) -> Option<Substitute> {
        if xattr::is_host_label(&xattr.name) {
            return Some(Substitute::HostLabel);
        }
        let is_recorded = self.options.ownership == Ownership::Record;
        (is_recorded && *xattr.name == *OWNER_ATTRIBUTE).then_some(Substitute::OwnerClaim)
    }

    /// Whether an inode has this attribute already.
    fn has(&self, target: Target<'_>, xattr: &Xattr) -> io::Result<bool> {
        let found = self.with_target(target, || xattr::read(target.xattrs(), &xattr.name))?;
        Ok(found.as_deref() == Some(&*xattr.value))
    }

    /// Whether all of the change may be possible as it is.
    fn is_plain(&self, target: Target<'_>, change: &Change<'_>) -> io::Result<bool> {
        let needs_user = || change.metadata.xattrs.iter().any(is_of_user);
        if self.options.ownership == Ownership::Record
            || self.lacks(|has| has.owners)
            || !self.given_ids.has(change.metadata.owner)
            || self.lacks(|has| has.modes)
            || self.lacks(|has| has.user_attributes) && needs_user()
        {
            return Ok(false);
        }
        let may_be_placeholder = matches!(target, Target::Name(..))
            && change.kind != Kind::Symlink
            && !self.ledger.has_none_emulated();
        Ok(!may_be_placeholder || self.with_dir_of(target, Target::stat)?.kind != Kind::File)
    }

    /// Notes what there is to say of an inode that was set the plain way, in place of what was
    /// noted of it before, or of one that is no more and had its number.
    fn note_plain(
        &self,
        target: Target<'_>,
        stat: Option<Stat>,
        note: Note,
    ) -> io::Result<Option<Stat>> {
        let is_nothing = note.left_out.is_empty();
        if is_nothing && self.ledger.is_empty() {
            return Ok(stat);
        }
        let found = stat.map_or_else(|| self.with_dir_of(target, Target::stat), Ok)?;
        self.ledger.settle(found.identity, note);
        Ok(stat.filter(|_| is_nothing))
    }

    /// A step that needs to get at the directory of its target alone.
    pub(super) fn with_dir_of<'t, T>(
        &self,
        target: Target<'t>,
        step: impl Fn(Target<'t>) -> io::Result<T>,
    ) -> io::Result<T> {
        match target {
            Target::Open(_) => step(target),
            Target::Name(dir, _) => self.with_dir(dir, || step(target)),
        }
    }

    /// A call that needs to get at its target itself.
    pub(super) fn with_target<T>(
        &self,
        target: Target<'_>,
        call: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        match target {
            Target::Open(file) => self.reach(&[Object::Open(file)], call),
            Target::Name(dir, name) => self.with_named(dir, name, call),
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
        for xattr in metadata.xattrs.iter().filter(|xattr| !is_of_system(xattr)) {
            self.set_xattr(xattr)?;
        }
        for xattr in metadata.xattrs.iter().filter(|xattr| is_of_system(xattr)) {
            self.set_xattr(xattr)?;
        }
        self.set_mode(change)?;
        self.step(|target| target.set_times(metadata.atime, metadata.mtime))?;
        self.fs.ledger.settle(self.stat.identity, self.note);
        Ok(())
    }

    fn step<T>(&self, step: impl Fn(Target<'_>) -> io::Result<T>) -> io::Result<T> {
        self.fs.with_dir_of(self.target, step)
    }

    fn chown(&mut self, owner: Owner) -> io::Result<()> {
        if self.stat.owner == owner {
            return Ok(());
        }
        let refusal = if self.fs.lacks(|has| has.owners) {
            "the filesystem knows no owners".to_owned()
        } else if !self.fs.given_ids.has(owner) {
            NOT_IN_NAMESPACE.to_owned()
        } else {
            match self.step(|target| target.chown(owner)) {
                Ok(()) => return Ok(()),
                Err(error) if !self.has_substitute(&error) => return Err(error),
                // EINVAL means an id, and says little.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    NOT_IN_NAMESPACE.to_owned()
                }
                Err(error) => reason(error).to_string(),
            }
        };
        let Owner { uid, gid } = owner;
        let what = || format!("the owner {uid}:{gid} is recorded: {refusal}");
        self.fs.substitute(Substitute::OwnerRecord, self.target, what)?;
        self.note.emulated.owner = Some(owner);
        self.note.emulated.held_by = Some(self.stat.owner);
        Ok(())
    }

    fn has_substitute(&self, error: &io::Error) -> bool {
        self.fs.options.refusals.has_substitute(error)
    }

    /// Attributes of users need permission to write, which an older inode may not give.
    fn make_writable(&mut self, change: &Change<'_>) -> io::Result<()> {
        let is_open = matches!(self.stat.kind, Kind::File | Kind::Dir);
        let is_needed = change.clear_xattrs
            || !change.metadata.xattrs.is_empty()
            || self.fs.options.ownership == Ownership::Record
                && change.metadata.owner != Owner::default();
        if is_open && is_needed && self.stat.mode & 0o600 != 0o600 {
            let mode = self.stat.mode | 0o600;
            match self.step(|target| target.chmod(mode)) {
                Ok(()) => self.stat.mode = mode,
                // What cannot be set because it is refused has a substitute of its own.
                Err(error) if self.has_substitute(&error) => {}
                Err(error) => return Err(error),
            }
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
            self.note.attributed = true;
            let what = || format!("the owner {uid}:{gid} is kept in an attribute");
            self.fs.substitute(Substitute::OwnerAttribute, self.target, what)
        } else {
            self.note.emulated.owner = Some(owner);
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
            Err(error) if self.has_substitute(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn set_xattr(&mut self, xattr: &Xattr) -> io::Result<()> {
        let name = xattr.name.escape_ascii();
        let refusal = if is_of_user(xattr) && self.fs.lacks(|has| has.user_attributes) {
            "the filesystem takes none of users".to_owned()
        } else {
            match self.step(|target| target.xattrs().set(&xattr.name, &xattr.value)) {
                Ok(()) => return Ok(()),
                Err(error) if self.has_substitute(&error) => reason(error).to_string(),
                Err(error) => return Err(xattr::named(xattr, error)),
            }
        };
        let what = || format!("the attribute {name} is recorded: {refusal}");
        self.fs.substitute(Substitute::AttributeRecord, self.target, what)?;
        self.note.emulated.xattrs.push(xattr.clone());
        Ok(())
    }

    fn set_mode(&mut self, change: &Change<'_>) -> io::Result<()> {
        let meant = change.metadata.mode;
        if self.stat.kind == Kind::Symlink {
            return Ok(());
        }
        let noted = self.fs.emulated(self.stat.identity);
        let is_placeholder = self.stat.kind == Kind::File && change.kind != Kind::File;
        let noted = noted.and_then(|noted| noted.node).filter(|_| is_placeholder);
        self.note.emulated.node = noted;
        if noted.is_some() {
            // Nobody is to take it for a file with something in it.
            let on_disk = self.chmod(0)?.map_or(0, |held| held.on_disk);
            self.note.emulated.mode = Some(HeldMode { meant, on_disk });
            return Ok(());
        }
        if self.has_mode(change) {
            return Ok(());
        }
        let Some(Held { on_disk, refusal }) = self.chmod(meant)? else { return Ok(()) };
        let what = || format!("the mode {meant:04o} is recorded: {refusal}");
        self.fs.substitute(Substitute::ModeRecord, self.target, what)?;
        self.note.emulated.mode = Some(HeldMode { meant, on_disk });
        Ok(())
    }

    /// Whether it is sure to have these permission bits, as most new files do: nothing has been
    /// set that changes them.
    fn has_mode(&self, change: &Change<'_>) -> bool {
        self.fs.options.ownership == Ownership::Record
            && self.stat.mode == change.metadata.mode
            && !change.clear_xattrs
            && !change.metadata.xattrs.iter().any(is_of_system)
    }

    /// Gives it permission bits, or says which it has instead.
    fn chmod(&self, mode: u32) -> io::Result<Option<Held>> {
        let refusal = if self.fs.lacks(|has| has.modes) {
            "the filesystem keeps none".to_owned()
        } else {
            match self.step(|target| target.chmod(mode)) {
                Ok(()) if mode & SETGID == 0 => return Ok(None),
                Ok(()) => "the system takes the setgid bit away".to_owned(),
                Err(error) if self.has_substitute(&error) => reason(error).to_string(),
                Err(error) => return Err(error),
            }
        };
        let on_disk = self.fs.with_dir_of(self.target, Target::stat)?.mode;
        Ok((on_disk != mode).then_some(Held { on_disk, refusal }))
    }
}

/// The permission bits of an inode that keeps them, and why it does.
struct Held {
    on_disk: u32,
    refusal: String,
}

fn is_of_user(xattr: &Xattr) -> bool {
    xattr.name.starts_with(b"user.")
}

/// Whether it may be an access control list, which changes permission bits.
fn is_of_system(xattr: &Xattr) -> bool {
    xattr.name.starts_with(b"system.")
}
