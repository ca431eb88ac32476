// SPDX-License-Identifier: Apache-2.0
//! Whether an image fits, found out before anything is written. What it is
//! going to need is what the image itself says, so this is a help for the
//! honest; what the image must not take is the business of
//! [`Limits`](crate::layer::Limits).

use std::fs::File;

use crate::error::{Bound, Error, Result};
use crate::image::Image;
use crate::sys;

/// Whether the free space of the filesystem is looked at before an image is unpacked there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpaceCheck {
    /// It has to be as much as the layers have together when they are unpacked.
    #[default]
    Check,
    /// It is not looked at: the filesystem compresses, or layers replace much of each other.
    Skip,
}

impl SpaceCheck {
    /// Refuses an image that says itself that the filesystem of `directory` is too full for it.
    pub(super) fn check(self, image: &Image, directory: &File) -> Result<()> {
        if self == Self::Skip {
            return Ok(());
        }
        match sys::free_space(directory) {
            Ok(Some(free)) => require(image.expected_size(), free),
            Ok(None) => Ok(()),
            Err(error) => {
                log::debug!("cannot tell how much space is free: {error}");
                Ok(())
            }
        }
    }
}

fn require(needed: u64, free: u64) -> Result<()> {
    if needed <= free {
        return Ok(());
    }
    let message =
        format!("no space: the image needs {needed} bytes, the filesystem has {free} bytes free");
    Err(Error::over(Bound::FreeSpace, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_exactly_fits() {
        assert!(require(5, 5).is_ok());
        let error = require(6, 5).unwrap_err();
        assert_eq!(error.bound(), Some(Bound::FreeSpace));
        assert!(error.to_string().contains("needs 6 bytes"), "{error}");
    }
}
