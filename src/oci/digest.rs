// SPDX-License-Identifier: Apache-2.0
//! Digests (image-spec `descriptor.md`, "Digests") and [`Hashing`], the reader
//! and writer that hashes what passes through it.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

use crate::error::{Error, Result};
use crate::quote::quote;

/// A registered digest algorithm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, which every tool reads.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The algorithm's name, also the name of its directory under `blobs/`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal digits a digest has.
    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name);
        named.ok_or_else(|| {
            Error::unsupported(format!("unsupported digest algorithm {}", quote(name)))
        })
    }
}

/// A digest of a registered algorithm: `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

impl Digest {
    /// Hashes bytes that are in memory.
    pub fn of(algorithm: Algorithm, bytes: impl AsRef<[u8]>) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes.as_ref());
        hasher.finish()
    }

    /// Names 32 bytes that SHA-256 gave.
    pub fn from_sha256(sum: &[u8; 32]) -> Self {
        Self { algorithm: Algorithm::Sha256, hex: hex(sum) }
    }

    /// The 32 bytes, if the algorithm is SHA-256.
    pub fn to_sha256(&self) -> Option<[u8; 32]> {
        let mut sum = [0; 32];
        if self.algorithm != Algorithm::Sha256 || self.hex.len() != 2 * sum.len() {
            return None;
        }
        for (byte, digits) in sum.iter_mut().zip(self.hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(sum)
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The part after the colon, safe as a file name.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

fn hex(bytes: &[u8]) -> Box<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>().into()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        [self.algorithm.as_str(), ":", &self.hex].into_iter().try_for_each(|part| f.write_str(part))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |why: &str| Error::invalid(format!("invalid digest: {}: {why}", quote(text)));
        let (name, hex) =
            text.split_once(':').ok_or_else(|| invalid("invalid checksum digest format"))?;
        let algorithm = Algorithm::from_str(name)
            .map_err(|error| error.context(format!("invalid digest: {}", quote(text))))?;
        if hex.len() != algorithm.hex_len() {
            return Err(invalid("invalid checksum digest length"));
        }
        // All of them are looked at: that takes less time than to stop at the first.
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !hex.bytes().fold(true, |all, byte| all & is_digit(byte)) {
            return Err(invalid("invalid checksum digest format"));
        }
        Ok(Self { algorithm, hex: hex.into() })
    }
}

/// Whether a text has the form of a digest of any algorithm.
pub(crate) fn is_digest(text: &str) -> bool {
    let Some((algorithm, encoded)) = text.split_once(':') else { return false };
    let is_word = |word: &str| {
        let mut bytes = word.bytes();
        bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) && !word.is_empty()
    };
    let is_encoded = |byte: u8| byte.is_ascii_alphanumeric() || b"=_-".contains(&byte);
    algorithm.split(['+', '.', '_', '-']).all(is_word)
        && !encoded.is_empty()
        && encoded.bytes().all(is_encoded)
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DigestVisitor)
    }
}

/// Takes a digest from its text without a copy of that.
struct DigestVisitor;

impl Visitor<'_> for DigestVisitor {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
        text.parse().map_err(E::custom)
    }
}

/// A running hash.
#[derive(Clone)]
pub enum Hasher {
    /// SHA-256.
    Sha256(sha2::Sha256),
    /// SHA-384.
    Sha384(sha2::Sha384),
    /// SHA-512.
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// Starts a hash.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Sha384 => Self::Sha384(sha2::Sha384::new()),
            Algorithm::Sha512 => Self::Sha512(sha2::Sha512::new()),
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha384(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    /// Ends the hash.
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self {
            Self::Sha256(hash) => (Algorithm::Sha256, hex(&hash.finalize())),
            Self::Sha384(hash) => (Algorithm::Sha384, hex(&hash.finalize())),
            Self::Sha512(hash) => (Algorithm::Sha512, hex(&hash.finalize())),
        };
        Digest { algorithm, hex }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

/// A reader or writer that hashes and counts what passes through it.
#[derive(Debug)]
pub struct Hashing<T> {
    inner: T,
    hasher: Hasher,
    count: u64,
}

impl<T> Hashing<T> {
    /// Wraps a reader or writer.
    pub fn new(algorithm: Algorithm, inner: T) -> Self {
        Self { inner, hasher: Hasher::new(algorithm), count: 0 }
    }

    /// How many bytes have passed.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Gives back what was wrapped, with the digest and the number of bytes that passed.
    pub fn finish(self) -> (T, Digest, u64) {
        (self.inner, self.hasher.finish(), self.count)
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.count += bytes.len() as u64;
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.passed(&buffer[..count]);
        Ok(count)
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.passed(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_JSON: &str =
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn hashes_what_passes() {
        let mut reader = Hashing::new(Algorithm::Sha256, &b"{}"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        let (_, digest, count) = reader.finish();
        assert_eq!((digest.to_string().as_str(), count), (EMPTY_JSON, 2));
        assert_eq!(digest, Digest::of(Algorithm::Sha256, "{}"));
    }

    #[test]
    fn reads_only_well_formed_digests() {
        let digest: Digest = EMPTY_JSON.parse().unwrap();
        assert_eq!(digest.to_string(), EMPTY_JSON);
        assert_eq!(Digest::from_sha256(&digest.to_sha256().unwrap()), digest);
        for text in [
            "",
            "sha256",
            "sha256:",
            "sha256:44",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha256:../../../../../../../../../../../../../../../../../../../etc/passwd0",
            "sha256:44136FA355B3678A1146AD16F7E8649E94FB4FC21FE77E8310C060F61CAAFF8A",
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
