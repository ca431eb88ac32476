// SPDX-License-Identifier: Apache-2.0
//! One header block: which of the tar formats it is, and its fields.

use tar::{GnuHeader, Header, OldHeader, UstarHeader};

use super::number;
use crate::error::{Error, Result};
use crate::rootfs::Device;

/// The size of all blocks of an archive.
pub(super) const BLOCK: usize = 512;

/// How the trailer of a header by star reads.
const STAR: &[u8] = b"tar\0";

/// Where a header has a prefix of the name, in formats that have one.
const PREFIX: usize = 345;

/// In a header by star, the name's prefix ends here and two times follow.
const STAR_PREFIX: usize = 131;

/// An error about a header that no reader of tar understands.
pub(super) fn invalid(what: &str) -> Error {
    Error::invalid(format!("invalid tar header: {what}"))
}

/// What a string field holds: everything before its first NUL.
pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn sum(bytes: &[u8], value: impl Fn(u8) -> i32) -> i64 {
    // The bytes of a block cannot make it wrap, and without a check many are added at once.
    bytes.iter().fold(0_i32, |sum, byte| sum.wrapping_add(value(*byte))).into()
}

/// One header block whose checksum is right.
#[derive(Debug)]
pub(super) struct Block(Header);

enum Format<'a> {
    V7,
    Ustar(&'a UstarHeader),
    Star(&'a UstarHeader),
    Gnu(&'a GnuHeader),
}

impl Block {
    /// A block that nothing has been read into yet.
    pub(super) fn empty() -> Self {
        Self(Header::new_old())
    }

    /// Becomes the block with these bytes.
    pub(super) fn read(&mut self, bytes: &[u8; BLOCK]) -> Result<()> {
        let header = &mut self.0;
        *header.as_mut_bytes() = *bytes;
        let field = &header.as_old().cksum;
        let blanks = i64::from(b' ') * 8;
        // Some old programs took bytes as signed.
        let unsigned = sum(bytes, u8::into) - sum(field, u8::into) + blanks;
        let as_signed = |byte: u8| byte.cast_signed().into();
        let signed = || sum(bytes, as_signed) - sum(field, as_signed) + blanks;
        let stated = number::field(field);
        if stated != Some(unsigned.into()) && stated != Some(signed().into()) {
            return Err(invalid("wrong checksum"));
        }
        if header.as_mut_bytes()[257..].starts_with(b"ustar\0") {
            // Whatever the version, the fields are these.
            header.as_mut_bytes()[263..265].copy_from_slice(b"00");
        }
        Ok(())
    }

    fn old(&self) -> &OldHeader {
        self.0.as_old()
    }

    fn format(&self) -> Format<'_> {
        if let Some(gnu) = self.0.as_gnu() {
            return Format::Gnu(gnu);
        }
        match self.0.as_ustar() {
            Some(ustar) if self.0.as_bytes().ends_with(STAR) => Format::Star(ustar),
            Some(ustar) => Format::Ustar(ustar),
            None => Format::V7,
        }
    }

    pub(super) fn typeflag(&self) -> u8 {
        self.old().linkflag[0]
    }

    /// The name, with the prefix that some formats have.
    ///
    /// # Errors
    /// When other readers would see a prefix where there is none, or another one.
    pub(super) fn name(&self) -> Result<Vec<u8>> {
        let name = until_nul(&self.old().name);
        Ok(match until_nul(self.prefix()?) {
            b"" => name.to_vec(),
            prefix => [prefix, b"/", name].concat(),
        })
    }

    fn prefix(&self) -> Result<&[u8]> {
        let is_plain = match self.format() {
            Format::Ustar(ustar) => return Ok(&ustar.prefix),
            Format::Star(ustar) if ustar.prefix[STAR_PREFIX - 1] == 0 => {
                return Ok(&ustar.prefix[..STAR_PREFIX]);
            }
            Format::Star(_) => false,
            // Some readers take a prefix wherever another format has one.
            Format::V7 => self.0.as_bytes()[PREFIX] == 0,
            // Two times are there, if this format's own program wrote it.
            Format::Gnu(gnu) => [&gnu.atime, &gnu.ctime]
                .iter()
                .all(|time| time[0] == 0 || number::field(*time).is_some()),
        };
        if is_plain { Ok(&[]) } else { Err(invalid("prefix of a name in a format that has none")) }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        until_nul(&self.old().linkname).to_vec()
    }

    pub(super) fn size(&self) -> Result<i128> {
        number::field(&self.old().size).ok_or_else(|| invalid("size is not a number"))
    }

    pub(super) fn mode(&self) -> Result<i128> {
        number::field(&self.old().mode).ok_or_else(|| invalid("mode is not a number"))
    }

    pub(super) fn uid(&self) -> Result<i128> {
        number::field(&self.old().uid).ok_or_else(|| invalid("uid is not a number"))
    }

    pub(super) fn gid(&self) -> Result<i128> {
        number::field(&self.old().gid).ok_or_else(|| invalid("gid is not a number"))
    }

    pub(super) fn mtime(&self) -> Result<i128> {
        number::field(&self.old().mtime).ok_or_else(|| invalid("mtime is not a number"))
    }

    /// The time of the last read, where the format has it and it is set.
    pub(super) fn atime(&self) -> Option<i128> {
        let field = match self.format() {
            Format::Star(ustar) => ustar.prefix.get(STAR_PREFIX..STAR_PREFIX + 12)?,
            Format::Gnu(gnu) => &gnu.atime,
            Format::V7 | Format::Ustar(_) => return None,
        };
        if field[0] == 0 { None } else { number::field(field) }
    }

    /// The numbers of a device, at most 12 and 20 bits.
    pub(super) fn device(&self) -> Result<Device> {
        let (major, minor) = match self.format() {
            Format::V7 => return Ok(Device::default()),
            Format::Ustar(ustar) | Format::Star(ustar) => (&ustar.dev_major, &ustar.dev_minor),
            Format::Gnu(gnu) => (&gnu.dev_major, &gnu.dev_minor),
        };
        let number = |field: &[u8], bits: u32| {
            let number = number::field(field).and_then(|number| u32::try_from(number).ok());
            number
                .filter(|number| *number < 1 << bits)
                .ok_or_else(|| invalid("device number out of range"))
        };
        Ok(Device { major: number(major, 12)?, minor: number(minor, 20)? })
    }

    /// The header as GNU tar's, which alone has the fields of an old sparse file.
    pub(super) fn gnu(&self) -> Option<&GnuHeader> {
        self.0.as_gnu()
    }
}
