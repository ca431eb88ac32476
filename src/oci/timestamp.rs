// SPDX-License-Identifier: Apache-2.0
//! Timestamps (RFC 3339), as the image specification has them in `created`.
//!
//! A timestamp keeps its offset from UTC, so that rewriting a document does not
//! change it. Reads no clock.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::quote::quote;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const MINUTE: i64 = 60;

/// A time with nanoseconds and an offset from UTC; the year is 0 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timestamp {
    /// What a clock at this offset shows.
    local: DateTime,
    /// Minutes east of UTC, less than a day either way.
    offset: i16,
}

impl Timestamp {
    /// Makes a time in UTC from seconds since 1970.
    ///
    /// Fails for years that RFC 3339 cannot write.
    pub fn from_epoch_seconds(seconds: i64) -> Result<Self> {
        Self::from_epoch(seconds, 0, 0)
    }

    /// Makes a time from seconds and nanoseconds since 1970, shown at an offset of
    /// `offset_seconds` east of UTC. RFC 3339 has whole minutes only: the offset
    /// is cut to them, the instant stays the same.
    pub fn from_epoch(seconds: i64, nanoseconds: u32, offset_seconds: i32) -> Result<Self> {
        let out_of_range =
            || Error::invalid(format!("time {seconds} is beyond the years 0 to 9999"));
        let offset =
            i16::try_from(i64::from(offset_seconds) / MINUTE).map_err(|_| out_of_range())?;
        let seconds = seconds.checked_add(i64::from(offset) * MINUTE).ok_or_else(out_of_range)?;
        let nanoseconds = i32::try_from(nanoseconds).map_err(|_| out_of_range())?;
        EPOCH
            .checked_add(SignedDuration::from_secs(seconds))
            .and_then(|local| local.checked_add(SignedDuration::from_nanos(nanoseconds.into())))
            .ok()
            .and_then(|local| Self::new(local, offset))
            .ok_or_else(out_of_range)
    }

    /// Seconds since 1970, rounded down.
    pub fn epoch_seconds(&self) -> i64 {
        // The year is not negative, so the fraction counts upwards from the full second.
        let whole = self.local.duration_since(EPOCH)
            - SignedDuration::from_nanos(self.local.subsec_nanosecond().into());
        whole.as_secs() - i64::from(self.offset) * MINUTE
    }

    fn new(local: DateTime, offset: i16) -> Option<Self> {
        let fits = local.year() >= 0 && offset.unsigned_abs() < 24 * 60;
        fits.then_some(Self { local, offset })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.local.date(), self.local.time());
        write!(f, "{:04}-{:02}-{:02}", date.year(), date.month(), date.day())?;
        write!(f, "T{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())?;
        if time.subsec_nanosecond() != 0 {
            let fraction = format!("{:09}", time.subsec_nanosecond());
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        let (sign, minutes) = (if self.offset < 0 { '-' } else { '+' }, self.offset.unsigned_abs());
        match minutes {
            0 => f.write_str("Z"),
            _ => write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60),
        }
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Reads RFC 3339 with capital `T` and `Z`. A one-digit hour and a comma before the
    /// fraction are accepted, digits beyond nanoseconds dropped, leap seconds refused.
    fn from_str(text: &str) -> Result<Self> {
        Parser { rest: text.as_bytes() }.timestamp().ok_or_else(|| {
            Error::invalid(format!(
                "parsing time {}: not a date and time as of RFC 3339",
                quote(text)
            ))
        })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is still to be read of a timestamp.
struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn timestamp(mut self) -> Option<Timestamp> {
        let year = self.year()?;
        self.byte(b"-")?;
        let month = self.number(2, 12)?;
        self.byte(b"-")?;
        let day = self.number(2, 31)?;
        self.byte(b"T")?;
        let hour = self.hour()?;
        self.byte(b":")?;
        let minute = self.number(2, 59)?;
        self.byte(b":")?;
        let second = self.number(2, 59)?;
        let nanosecond = self.fraction()?;
        let offset = self.offset()?;
        let local = DateTime::new(year, month, day, hour, minute, second, nanosecond).ok()?;
        if self.rest.is_empty() { Timestamp::new(local, offset) } else { None }
    }

    fn byte(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first().filter(|(first, _)| allowed.contains(first))?;
        self.rest = rest;
        Some(*first)
    }

    /// Reads exactly `count` digits, one or two, whose value is at most `limit`.
    fn number(&mut self, count: usize, limit: i8) -> Option<i8> {
        let mut number: i8 = 0;
        for _ in 0..count {
            let digit = i8::try_from(self.byte(b"0123456789")? - b'0').ok()?;
            number = number * 10 + digit;
        }
        (number <= limit).then_some(number)
    }

    fn year(&mut self) -> Option<i16> {
        let century = i16::from(self.number(2, 99)?);
        Some(century * 100 + i16::from(self.number(2, 99)?))
    }

    fn hour(&mut self) -> Option<i8> {
        let digits = if self.rest.get(1) == Some(&b':') { 1 } else { 2 };
        self.number(digits, 23)
    }

    fn fraction(&mut self) -> Option<i32> {
        if self.byte(b".,").is_none() {
            return Some(0);
        }
        let mut weight = 100_000_000;
        let mut nanoseconds = i32::from(self.number(1, 9)?) * weight;
        while let Some(digit) = self.number(1, 9) {
            weight /= 10;
            nanoseconds += i32::from(digit) * weight;
        }
        Some(nanoseconds)
    }

    fn offset(&mut self) -> Option<i16> {
        let sign = match self.byte(b"Z+-")? {
            b'Z' => return Some(0),
            b'-' => -1,
            _ => 1,
        };
        let hours = self.number(2, 23)?;
        self.byte(b":")?;
        Some(sign * (i16::from(hours) * 60 + i16::from(self.number(2, 59)?)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_the_field_writes() {
        for (text, written, seconds) in [
            ("2023-11-14T22:13:20Z", "2023-11-14T22:13:20Z", 1_700_000_000),
            ("2023-11-14T22:13:20+00:00", "2023-11-14T22:13:20Z", 1_700_000_000),
            ("2023-11-14T22:13:20-00:00", "2023-11-14T22:13:20Z", 1_700_000_000),
            ("2023-11-15T07:13:20.120+09:00", "2023-11-15T07:13:20.12+09:00", 1_700_000_000),
            ("1970-01-01T0:00:00,5Z", "1970-01-01T00:00:00.5Z", 0),
            ("1969-12-31T23:59:59.999999999999Z", "1969-12-31T23:59:59.999999999Z", -1),
            ("2024-02-29T01:02:03-03:30", "2024-02-29T01:02:03-03:30", 1_709_181_123),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z", -62_167_219_200),
            ("9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59-23:59", 253_402_387_139),
        ] {
            let timestamp: Timestamp = text.parse().unwrap();
            assert_eq!(timestamp.to_string(), written);
            assert_eq!(timestamp.epoch_seconds(), seconds, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "2020-01-01",
            "2020-01-01T00:00:00",
            "2020-01-01T00:00Z",
            "2020-01-01t00:00:00Z",
            "2020-01-01T00:00:00z",
            "2020-01-01 00:00:00Z",
            "2020-01-01T00:00:60Z",
            "2020-01-01T24:00:00Z",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00+0200",
            "2020-01-01T00:00:00+24:00",
            "2020-01-01T00:00:00+02:60",
            "2020-01-01T00:00:00ZZ",
            "2020-02-30T00:00:00Z",
            "2020-13-01T00:00:00Z",
            "2020-00-01T00:00:00Z",
            "12020-01-01T00:00:00Z",
            "-001-01-01T00:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn has_limits() {
        for seconds in [i64::MIN, -62_167_219_201, 253_402_300_800, i64::MAX] {
            assert!(Timestamp::from_epoch_seconds(seconds).is_err(), "{seconds}");
        }
        assert!(Timestamp::from_epoch(0, 0, i32::MAX).is_err());
        assert!(Timestamp::from_epoch(0, u32::MAX, 0).is_err());
        let amsterdam = Timestamp::from_epoch(0, 5, 19 * 60 + 32).unwrap();
        assert_eq!(amsterdam.to_string(), "1970-01-01T00:19:00.000000005+00:19");
        assert_eq!(amsterdam.epoch_seconds(), 0);
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote(
            seconds in -62_167_132_800_i64..253_402_214_400,
            nanoseconds in 0..1_000_000_000_u32,
            minutes in -1439..1440,
        ) {
            let timestamp = Timestamp::from_epoch(seconds, nanoseconds, minutes * 60).unwrap();
            prop_assert_eq!(timestamp.to_string().parse::<Timestamp>().unwrap(), timestamp);
            prop_assert_eq!(timestamp.epoch_seconds(), seconds);
        }

        #[test]
        fn survives_any_text(text: String) {
            let _ = text.parse::<Timestamp>();
        }
    }
}
