// SPDX-License-Identifier: Apache-2.0
//! [`sha256`]: the SHA-256 of what a file holds.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// Hashes all that is to be read, through `buffer`. `read` is told how many bytes each time.
pub(crate) fn sha256(
    mut file: impl Read,
    buffer: &mut [u8],
    mut read: impl FnMut(usize),
) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => {
                hash.update(buffer.get(..count).unwrap_or_default());
                read(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
