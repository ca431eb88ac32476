// SPDX-License-Identifier: Apache-2.0
//! Bits into bytes, the first in the lowest place (RFC 1951, 3.1.1).

/// What a literal's code or a length's code with its extra bits is written as:
/// up to 24 bits, and above them how many they are.
#[derive(Clone, Copy, Default)]
pub(super) struct Packed(u32);

impl Packed {
    pub(super) fn new(bits: u32, count: u8) -> Self {
        debug_assert!(count <= 24 && bits >> count == 0);
        Self(bits | u32::from(count) << 24)
    }

    /// This, or nothing where the mask has no bits.
    pub(super) fn masked(self, mask: u32) -> Self {
        Self(self.0 & mask)
    }
}

/// Collects bits in a word, and writes it by the byte to room that was made for it.
pub(super) struct Bits<'a> {
    room: &'a mut [u8],
    /// How many bytes of the room are full.
    at: usize,
    word: u64,
    /// How many bits of `word` are taken: below 8 after [`Bits::flush`].
    taken: u32,
}

impl Bits<'_> {
    /// Takes `count` bits. 56 fit between two flushes.
    #[inline]
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        debug_assert!(self.taken + count < 64);
        self.word |= bits << (self.taken & 63);
        self.taken = self.taken.wrapping_add(count);
    }

    #[inline]
    pub(super) fn put_packed(&mut self, packed: Packed) {
        self.put(u64::from(packed.0 & 0xff_ffff), packed.0 >> 24);
    }

    /// Moves whole bytes to the room.
    #[inline]
    pub(super) fn flush(&mut self) {
        self.room[self.at..self.at + 8].copy_from_slice(&self.word.to_le_bytes());
        self.at += (self.taken >> 3) as usize;
        self.word >>= self.taken & 0b11_1000;
        self.taken &= 7;
    }
}

/// What is behind whole bytes of the output: less than 8 bits.
#[derive(Default)]
pub(super) struct BitWriter {
    output: Vec<u8>,
    word: u64,
    taken: u32,
}

impl BitWriter {
    /// Writes behind what `output` holds.
    pub(super) fn new(output: Vec<u8>) -> Self {
        Self { output, word: 0, taken: 0 }
    }

    /// Writes what takes at most so many bits.
    pub(super) fn write(&mut self, most: u64, write: impl FnOnce(&mut Bits<'_>)) {
        let from = self.output.len();
        // A flush writes a whole word.
        let room = usize::try_from(most / 8).unwrap_or(usize::MAX).saturating_add(16);
        self.output.resize(from + room, 0);
        let mut bits =
            Bits { room: &mut self.output[from..], at: 0, word: self.word, taken: self.taken };
        write(&mut bits);
        bits.flush();
        let at = bits.at;
        (self.word, self.taken) = (bits.word, bits.taken);
        self.output.truncate(from + at);
    }

    /// A stored block (3.2.4) of at most 65535 bytes, which is not the last.
    pub(super) fn stored(&mut self, bytes: &[u8]) {
        let padding = (self.taken + 3).next_multiple_of(8) - self.taken;
        self.write(16, |bits| bits.put(0, padding));
        let length = u16::try_from(bytes.len()).expect("a stored block's length has 16 bits");
        self.output.extend_from_slice(&length.to_le_bytes());
        self.output.extend_from_slice(&(!length).to_le_bytes());
        self.output.extend_from_slice(bytes);
    }

    /// The bits that are still to be filled of the last byte.
    pub(super) fn padding(&self) -> u32 {
        self.taken.wrapping_neg() & 7
    }

    /// The output, whose last byte must be whole.
    pub(super) fn finish(self) -> Vec<u8> {
        debug_assert_eq!(self.taken, 0);
        self.output
    }
}
