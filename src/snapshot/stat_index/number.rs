// SPDX-License-Identifier: Apache-2.0
//! The integers and byte strings of a stat index.

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn takes_what_was_put(number: u64, signed: i64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            put(number, &mut out);
            put_signed(signed, &mut out);
            put_bytes(&bytes, &mut out);
            let mut taker = Taker(&out);
            prop_assert_eq!(taker.number(), Some(number));
            prop_assert_eq!(taker.signed(), Some(signed));
            prop_assert_eq!(taker.bytes(), Some(&bytes[..]));
            prop_assert!(taker.0.is_empty());
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
