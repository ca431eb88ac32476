// SPDX-License-Identifier: Apache-2.0
//! Numbers as tar writes them: octal and base-256 fields of a header, decimals
//! and times of PAX records. A value that is not exactly a number is none, and
//! no value is cut to fit.

use crate::rootfs::FileTime;

/// A numeric field of a header block; empty means 0.
pub(super) fn field(bytes: &[u8]) -> Option<i128> {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => base_256(bytes),
        _ => octal(bytes),
    }
}

/// Octal digits with blanks or NULs before and behind. As with names, what
/// follows the first NUL behind the digits is not part of the field.
fn octal(bytes: &[u8]) -> Option<i128> {
    let start = bytes.iter().position(|byte| !matches!(byte, b' ' | 0)).unwrap_or(bytes.len());
    let digits = bytes.get(start..)?.split(|byte| *byte == 0).next()?.trim_ascii_end();
    // No field has as many digits as 64 bits have.
    let value = digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    });
    value.map(i128::from)
}

/// Two's complement, whose first bit is the mark and not part of the value.
fn base_256(bytes: &[u8]) -> Option<i128> {
    let (first, rest) = bytes.split_first()?;
    let sign =
        if first & 0x40 == 0 { i128::from(first & 0x3f) } else { i128::from(first | 0x80) - 256 };
    rest.iter().try_fold(sign, |value, byte| value.checked_mul(256)?.checked_add(i128::from(*byte)))
}

/// A decimal of a PAX record, perhaps negative.
pub(super) fn decimal(text: &[u8]) -> Option<i128> {
    match text.strip_prefix(b"-") {
        Some(digits) => unsigned(digits).map(|value| -value),
        None => unsigned(text),
    }
}

fn unsigned(digits: &[u8]) -> Option<i128> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_i128, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(i128::from(digit - b'0')),
        _ => None,
    })
}

/// Seconds of a PAX record with a fraction, of which nine digits count.
pub(super) fn time(text: &[u8]) -> Option<FileTime> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(unsigned(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanoseconds = fraction.iter().chain([b'0'; 9].iter()).take(9);
    let nanoseconds = nanoseconds.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanoseconds) {
        (false, _) => FileTime { seconds, nanoseconds },
        (true, 0) => FileTime { seconds: -seconds, nanoseconds },
        // Times count down from the second below.
        (true, _) => FileTime {
            seconds: (-seconds).checked_sub(1)?,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields_may_be_padded() {
        for (bytes, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"000644 \0", 0o644),
            (b"   644  ", 0o644),
            (b"77777777", 0o77_777_777),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
            (b"644\0junk", 0o644),
        ] {
            assert_eq!(field(bytes), Some(value), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_a_number_is_none() {
        for bytes in [&b"0000648\0"[..], b"-000001\0", b"+1", b"0x1f", b"1 1", b"abc"] {
            assert_eq!(field(bytes), None, "{}", bytes.escape_ascii());
        }
        for text in [&b""[..], b"-", b"+1", b" 1", b"1 ", b"1e3", b"0x1", &[b'9'; 60]] {
            assert_eq!(decimal(text), None, "{}", text.escape_ascii());
        }
        for text in [&b""[..], b".5", b"-", b"1.x", b"1.2.3", b"1.-2", b"9223372036854775808"] {
            assert_eq!(time(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn base_256_has_a_sign() {
        assert_eq!(field(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(field(&[0xff; 12]), Some(-1));
        assert_eq!(field(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]), Some(-256));
        assert_eq!(field(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), Some(0xffff_ffff));
        let widest = [0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(field(&widest), Some((1 << 94) - 1));
    }

    #[test]
    fn times_count_up_from_their_second() {
        let at = |seconds, nanoseconds| Some(FileTime { seconds, nanoseconds });
        assert_eq!(time(b"1.5"), at(1, 500_000_000));
        assert_eq!(time(b"-0.5"), at(-1, 500_000_000));
        assert_eq!(time(b"-1"), at(-1, 0));
        assert_eq!(time(b"-1."), at(-1, 0));
        assert_eq!(time(b"7.1234567899"), at(7, 123_456_789));
    }
}
