// SPDX-License-Identifier: Apache-2.0
//! The value of the attribute `user.rootlesscontainers`, in which several
//! tools keep the owner of a file that could not be given to it: a protocol
//! buffers message with the user id as field 1 and the group id as field 2.

use std::io;

use super::super::Owner;

/// The name of the attribute.
pub const OWNER_ATTRIBUTE: &[u8] = b"user.rootlesscontainers";

/// The id that stands for "as it is", which is root's.
const UNCHANGED: u32 = u32::MAX;
/// Field 1 and field 2, both of the type "varint".
const UID_TAG: u8 = 0x08;
const GID_TAG: u8 = 0x10;
/// The longest varint of 64 bits.
const MAX_VARINT: usize = 10;

/// Writes an owner.
pub(super) fn encode(owner: Owner) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12);
    for (tag, id) in [(UID_TAG, owner.uid), (GID_TAG, owner.gid)] {
        bytes.push(tag);
        put_varint(&mut bytes, if id == 0 { UNCHANGED } else { id });
    }
    bytes
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u32) {
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

/// Reads an owner. Fields may be missing, and come in any order.
///
/// # Errors
/// When it is no such message, or has an id of more than 32 bits.
pub(super) fn decode(bytes: &[u8]) -> io::Result<Owner> {
    let invalid = || {
        let message = "unmarshal rootlesscontainers payload: malformed message";
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    let mut owner = Owner::default();
    let mut rest = bytes;
    while let [tag, tail @ ..] = rest {
        let (number, tail) = take_varint(tail).ok_or_else(invalid)?;
        let id = u32::try_from(number).map_err(|_| invalid())?;
        let id = if id == UNCHANGED { 0 } else { id };
        match *tag {
            UID_TAG => owner.uid = id,
            GID_TAG => owner.gid = id,
            _ => return Err(invalid()),
        }
        rest = tail;
    }
    Ok(owner)
}

fn take_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(MAX_VARINT) {
        let shift = u32::try_from(at * 7).ok()?;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values() {
        for (uid, gid, bytes) in [
            (992, 123, &[0x08, 0xe0, 0x07, 0x10, 0x7b][..]),
            (0, 456, &[0x08, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x10, 0xc8, 0x03]),
            (98, 0, &[0x08, 0x62, 0x10, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            (492, 218, &[0x08, 0xec, 0x03, 0x10, 0xda, 0x01]),
        ] {
            assert_eq!(encode(Owner { uid, gid }), bytes);
            assert_eq!(decode(bytes).unwrap(), Owner { uid, gid });
        }
        assert_eq!(decode(b"").unwrap(), Owner::default());
        assert_eq!(decode(&[0x10, 5]).unwrap(), Owner { uid: 0, gid: 5 });
    }

    #[test]
    fn refuses_what_is_no_owner() {
        for bytes in [&b"\x08"[..], b"\x08\x80", b"x", b"\x18\x01", b"\x08\xff\xff\xff\xff\x1f"] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
        assert!(decode(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(uid in 0..u32::MAX, gid in 0..u32::MAX) {
            let owner = Owner { uid, gid };
            prop_assert_eq!(decode(&encode(owner)).unwrap(), owner);
        }

        #[test]
        fn takes_any_bytes(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
