// SPDX-License-Identifier: Apache-2.0
//! What is known of many names in few bytes: integers are LEB128, signed ones
//! zigzag, byte strings have their length before them.

use crate::rootfs::{Device, FileTime, Identity, Kind, Owner, Stat, Xattr};

/// The byte of a type. No type is 0, nor anything beyond three bits.
pub(super) fn code_of(kind: Kind) -> u8 {
    match kind {
        Kind::File => 1,
        Kind::Dir => 2,
        Kind::Symlink => 3,
        Kind::CharDevice => 4,
        Kind::BlockDevice => 5,
        Kind::Fifo => 6,
        Kind::Socket => 7,
    }
}

/// The type of a byte.
pub(super) fn kind_of(code: u8) -> Option<Kind> {
    Some(match code {
        1 => Kind::File,
        2 => Kind::Dir,
        3 => Kind::Symlink,
        4 => Kind::CharDevice,
        5 => Kind::BlockDevice,
        6 => Kind::Fifo,
        7 => Kind::Socket,
        _ => return None,
    })
}

/// Appends an unsigned number.
pub(super) fn put(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

/// Appends a signed number.
pub(super) fn put_signed(number: i64, out: &mut Vec<u8>) {
    put((number << 1 ^ number >> 63).cast_unsigned(), out);
}

/// Appends bytes with their length.
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends an owner.
pub(super) fn put_owner(owner: Owner, out: &mut Vec<u8>) {
    put(owner.uid.into(), out);
    put(owner.gid.into(), out);
}

/// Appends a time.
pub(super) fn put_time(time: FileTime, out: &mut Vec<u8>) {
    put_signed(time.seconds, out);
    put(time.nanoseconds.into(), out);
}

/// Appends all that `stat` said.
pub(super) fn put_stat(stat: &Stat, out: &mut Vec<u8>) {
    let Stat { kind, mode, owner, size, nlink, identity, device, atime, mtime, ctime } = *stat;
    out.push(code_of(kind));
    put(mode.into(), out);
    put_owner(owner, out);
    let Device { major, minor } = device;
    for number in [size, nlink, identity.dev, identity.ino, major.into(), minor.into()] {
        put(number, out);
    }
    for time in [atime, mtime, ctime] {
        put_time(time, out);
    }
}

/// Appends extended attributes with their number.
pub(super) fn put_xattrs(xattrs: &[Xattr], out: &mut Vec<u8>) {
    put(xattrs.len() as u64, out);
    for xattr in xattrs {
        put_bytes(&xattr.name, out);
        put_bytes(&xattr.value, out);
    }
}

/// Takes the same off the front of bytes; `None` when they are not that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taker<'a>(pub(super) &'a [u8]);

impl<'a> Taker<'a> {
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        Some(*self.take(1)?.first()?)
    }

    /// A type by its byte.
    pub(super) fn kind(&mut self) -> Option<Kind> {
        kind_of(self.byte()?)
    }

    pub(super) fn number32(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.take(count)
    }

    pub(super) fn owner(&mut self) -> Option<Owner> {
        Some(Owner { uid: self.number32()?, gid: self.number32()? })
    }

    pub(super) fn time(&mut self) -> Option<FileTime> {
        Some(FileTime { seconds: self.signed()?, nanoseconds: self.number32()? })
    }

    pub(super) fn stat(&mut self) -> Option<Stat> {
        Some(Stat {
            kind: self.kind()?,
            mode: self.number32()?,
            owner: self.owner()?,
            size: self.number()?,
            nlink: self.number()?,
            identity: Identity { dev: self.number()?, ino: self.number()? },
            device: Device { major: self.number32()?, minor: self.number32()? },
            atime: self.time()?,
            mtime: self.time()?,
            ctime: self.time()?,
        })
    }

    pub(super) fn xattrs(&mut self) -> Option<Vec<Xattr>> {
        let mut xattrs = Vec::new();
        for _ in 0..self.number()? {
            xattrs.push(Xattr { name: self.bytes()?.into(), value: self.bytes()?.into() });
        }
        Some(xattrs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn takes_what_was_put(number: u64, signed: i64, bytes: Vec<u8>, small: [u32; 4]) {
            let mut out = Vec::new();
            put(number, &mut out);
            put_signed(signed, &mut out);
            put_bytes(&bytes, &mut out);
            let [uid, gid, nanoseconds, major] = small;
            let time = FileTime { seconds: signed, nanoseconds };
            let stat = Stat {
                kind: Kind::Fifo,
                mode: 0o7777,
                owner: Owner { uid, gid },
                size: number,
                nlink: 7,
                identity: Identity { dev: 8, ino: number },
                device: Device { major, minor: uid },
                atime: time,
                mtime: FileTime::EPOCH,
                ctime: FileTime { seconds: 9, nanoseconds: 10 },
            };
            put_stat(&stat, &mut out);
            let xattrs = [Xattr { name: b"user.a"[..].into(), value: bytes.clone().into() }];
            put_xattrs(&xattrs, &mut out);
            let mut taker = Taker(&out);
            prop_assert_eq!(taker.number(), Some(number));
            prop_assert_eq!(taker.signed(), Some(signed));
            prop_assert_eq!(taker.bytes(), Some(&bytes[..]));
            prop_assert_eq!(taker.stat(), Some(stat));
            prop_assert_eq!(taker.xattrs(), Some(xattrs.to_vec()));
            prop_assert!(taker.0.is_empty());
        }
    }

    #[test]
    fn every_type_has_a_byte_of_its_own() {
        for code in 0..=u8::MAX {
            let kind = kind_of(code);
            assert_eq!(kind.is_some(), (1..8).contains(&code));
            assert!(kind.is_none_or(|kind| code_of(kind) == code));
        }
    }

    #[test]
    fn ends() {
        for number in [0, 127, 128, u64::MAX] {
            let mut out = Vec::new();
            put(number, &mut out);
            assert_eq!(Taker(&out).number(), Some(number));
        }
        for bytes in [
            &b""[..],
            b"\x80",
            &[0xff; 9],
            &[0xff; 11],
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        ] {
            assert_eq!(Taker(bytes).number(), None);
        }
        assert_eq!(Taker(b"\x05abcd").bytes(), None);
    }
}
