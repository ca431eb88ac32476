// SPDX-License-Identifier: Apache-2.0
//! Privileges that a file has for what it holds. The kernel takes capabilities from a file that
//! is written to, whoever does it, and the setuid and setgid bits unless the writer is privileged.
//! Those that are only recorded go the same way: nobody is to get them for other contents.

use std::io;

use super::super::capability;
use super::super::metadata::{Stat, Xattr};
use super::super::ops::{Dir, FsOps};
use super::super::path::Name;
use super::super::sha256::sha256;
use super::census::Substitute;
use super::record::{Emulated, HeldMode};
use super::target::Target;
use super::{Ownership, Rootless};

const SET_ID: u32 = 0o6000;
const BUFFER: usize = 16 << 10;

impl Emulated {
    /// Whether it says something that a write to the file takes away.
    pub fn has_privileges(&self) -> bool {
        self.xattrs.iter().any(is_capability) || self.mode.is_some_and(is_set_id)
    }

    /// What is left of it after somebody has written to the file.
    fn written_to(mut self, ownership: Ownership) -> Self {
        self.contents = None;
        self.xattrs.retain(|xattr| !is_capability(xattr));
        // Whoever sets owners may write to a file and leave it these bits.
        if ownership == Ownership::Record {
            self.mode = self.mode.map(|HeldMode { meant, on_disk }| {
                let kept = on_disk & SET_ID;
                HeldMode { meant: meant & (!SET_ID | kept), on_disk }
            });
        }
        self
    }
}

fn is_capability(xattr: &Xattr) -> bool {
    *xattr.name == *capability::NAME
}

fn is_set_id(mode: HeldMode) -> bool {
    mode.meant & !mode.on_disk & SET_ID != 0
}

impl<F: FsOps> Rootless<F> {
    /// The SHA-256 of what a file holds.
    pub fn sha256(&self, dir: &Dir, name: Name<'_>) -> io::Result<[u8; 32]> {
        sha256(self.open_file(dir, name)?, &mut [0; BUFFER], |_| ())
    }

    /// What is remembered of an inode and still holds.
    pub(super) fn noted(&self, target: Target<'_>, stat: &Stat) -> io::Result<Emulated> {
        let Some(emulated) = self.emulated(stat.identity) else { return Ok(Emulated::default()) };
        let (Some(contents), Target::Name(dir, name)) = (emulated.contents, target) else {
            return Ok(emulated);
        };
        let noted = if self.sha256(dir, name)? == contents {
            Emulated { contents: None, ..emulated }
        } else {
            self.without_privileges(target, &emulated)?
        };
        // It is looked at once.
        self.remember(stat.identity, noted.clone());
        Ok(noted)
    }

    fn without_privileges(&self, target: Target<'_>, recorded: &Emulated) -> io::Result<Emulated> {
        let left = recorded.clone().written_to(self.options.ownership);
        if left.xattrs != recorded.xattrs {
            let what = || "its recorded capabilities are left out: it has been written to".into();
            self.count_one(Substitute::PrivilegeLoss, target, what)?;
        }
        if left.mode != recorded.mode {
            let what =
                || "its recorded setuid or setgid bit is left out: it has been written to".into();
            self.count_one(Substitute::PrivilegeLoss, target, what)?;
        }
        Ok(left)
    }
}
