// SPDX-License-Identifier: Apache-2.0
//! The time that goes into images: the clock's, or what `SOURCE_DATE_EPOCH`
//! says (reproducible-builds.org). The library reads neither.

use std::ffi::OsStr;

use jiff::Zoned;
use umoci::error::{Context, Error, Result};
use umoci::oci::Timestamp;

/// When this run takes place, as far as images are concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// The seconds of `SOURCE_DATE_EPOCH`; also the latest time of a file in a new layer.
    pub(crate) source_date_epoch: Option<i64>,
    /// That time, or the present one.
    pub(crate) now: Timestamp,
}

impl Clock {
    /// Reads the environment and the clock.
    pub(crate) fn read() -> Result<Self> {
        let source_date_epoch = match std::env::var_os("SOURCE_DATE_EPOCH") {
            None => None,
            Some(text) => {
                seconds(&text).with_context(|| format!("parse SOURCE_DATE_EPOCH={text:?}"))?
            }
        };
        let now = match source_date_epoch {
            Some(seconds) => Timestamp::from_epoch_seconds(seconds).context("SOURCE_DATE_EPOCH")?,
            None => present()?,
        };
        Ok(Self { source_date_epoch, now })
    }
}

/// Reads a signed number of seconds; no text is no number.
fn seconds(text: &OsStr) -> Result<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    let text = text.to_str().unwrap_or("?");
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::invalid("invalid syntax"));
    }
    text.parse().map(Some).map_err(|_| Error::invalid("value out of range"))
}

fn present() -> Result<Timestamp> {
    let now = Zoned::now();
    let (seconds, nanoseconds) = (now.timestamp().as_second(), now.timestamp().subsec_nanosecond());
    // Before 1970 the fraction is negative.
    let (seconds, nanoseconds) = match u32::try_from(nanoseconds) {
        Ok(nanoseconds) => (seconds, nanoseconds),
        Err(_) => (seconds - 1, 1_000_000_000 - nanoseconds.unsigned_abs()),
    };
    Timestamp::from_epoch(seconds, nanoseconds, now.offset().seconds()).context("read the clock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs() {
        let read = |text: &str| seconds(OsStr::new(text)).map_err(|error| error.to_string());
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("1700000000"), Ok(Some(1_700_000_000)));
        assert_eq!(read("-1"), Ok(Some(-1)));
        assert_eq!(read("+5"), Ok(Some(5)));
        for text in ["abc", " 1", "1 ", "1.5", "0x10", "-", "1_000"] {
            assert_eq!(read(text), Err("invalid syntax".to_owned()), "{text:?}");
        }
        assert_eq!(read("9223372036854775808"), Err("value out of range".to_owned()));
    }

    #[test]
    fn the_present_is_not_long_ago() {
        assert!(present().unwrap().epoch_seconds() > 1_700_000_000);
    }
}
