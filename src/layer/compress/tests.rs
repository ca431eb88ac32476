// SPDX-License-Identifier: Apache-2.0
//! Tests of both directions, against each other and the usual programs.

use std::io::Read;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

/// Bytes that compress about as well as a root filesystem does.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(len + 64);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let from = usize::try_from(state >> 33).unwrap() % bytes.len().max(1);
        if state.is_multiple_of(3) && bytes.len() > 64 {
            let from = from.min(bytes.len() - 64);
            bytes.extend_from_within(from..from + 7 + from % 50);
        } else {
            bytes.extend_from_slice(&state.to_le_bytes());
        }
    }
    bytes.truncate(len);
    bytes
}

fn encode(bytes: &[u8], compression: Compression, threads: usize, piece: usize) -> Vec<u8> {
    let options = EncoderOptions { threads: NonZeroUsize::new(threads) };
    let mut encoder = Encoder::new(Vec::new(), compression, &options).unwrap();
    for part in bytes.chunks(piece) {
        encoder.write_all(part).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
}

fn decode(bytes: &[u8], compression: Compression) -> Result<Vec<u8>> {
    let mut decoded = Vec::new();
    Decoder::new(bytes, compression)?.read_to_end(&mut decoded)?;
    Ok(decoded)
}

fn refused(bytes: &[u8], compression: Compression) -> String {
    let error = decode(bytes, compression).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Invalid, "{error}");
    error.to_string()
}

/// What a program makes of standard input; `None` where it is not installed.
fn through(program: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let child = Command::new(program).args(arguments).stdin(file).stderr(Stdio::null()).output();
    let output = child.ok()?;
    assert!(output.status.success(), "{program} refuses the stream");
    Some(output.stdout)
}

#[test]
fn media_types_name_the_compression() {
    let of = |suffix| {
        Compression::from_media_type(&format!("application/vnd.oci.image.layer.v1.tar{suffix}"))
    };
    assert_eq!(of("").unwrap(), Compression::None);
    assert_eq!(of("+gzip").unwrap(), Compression::Gzip);
    assert_eq!(of("+zstd").unwrap(), Compression::Zstd);
    for suffix in ["+xz", "+lz4", "+gzip+encrypted", "+gzip+zstd", "+"] {
        let error = of(suffix).unwrap_err().to_string();
        assert!(error.contains("unsupported layer media type"), "{error}");
    }
}

#[test]
fn bytes_depend_on_neither_threads_nor_writes() {
    // More blocks of either than it has threads.
    let bytes = sample(13_000_000);
    for (compression, bytes) in
        [(Compression::Gzip, &bytes[..4_300_000]), (Compression::Zstd, &bytes[..])]
    {
        let one = encode(bytes, compression, 1, 65_536);
        assert!(one.len() < bytes.len());
        for (threads, piece) in [(2, 999), (7, 1_000_003)] {
            let other = encode(bytes, compression, threads, piece);
            assert!(one == other, "{compression:?} with {threads} threads, writes of {piece}");
        }
        assert!(decode(&one, compression).unwrap() == bytes, "{compression:?}");
    }
}

#[test]
fn other_programs_read_the_streams() {
    let bytes = sample(1_700_000);
    let gzip = encode(&bytes, Compression::Gzip, 2, 65_536);
    for (program, arguments) in [
        ("gzip", &["-dc"][..]),
        ("pigz", &["-dc"]),
        (
            "python3",
            &[
                "-c",
                "import sys,gzip;sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))",
            ],
        ),
        // A reader that knows only a single member.
        (
            "python3",
            &[
                "-c",
                "import sys,zlib;d=zlib.decompressobj(31);sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read()));assert d.eof and not d.unused_data",
            ],
        ),
    ] {
        assert!(
            through(program, arguments, &gzip).is_none_or(|output| output == bytes),
            "{program}"
        );
    }
    let zstd = encode(&bytes, Compression::Zstd, 2, 65_536);
    assert!(through("zstd", &["-dc"], &zstd).is_none_or(|output| output == bytes));
}

#[test]
fn the_gzip_header_is_constant() {
    let empty = encode(b"", Compression::Gzip, 2, 1);
    let expected = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(empty, expected);
    assert!(encode(&sample(100), Compression::Gzip, 1, 7).starts_with(&expected[..10]));
}

#[test]
fn edges_of_blocks_round_trip() {
    for len in [0, 1, 2, 3, 4, 100, (512 << 10) - 1, 512 << 10, (512 << 10) + 1, 1 << 20] {
        let bytes = sample(len);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let encoded = encode(&bytes, compression, 2, 70_000);
            assert!(decode(&encoded, compression).unwrap() == bytes, "{compression:?} {len}");
        }
    }
}

#[test]
fn what_cannot_be_compressed_hardly_grows() {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u8::try_from(state >> 56).unwrap()
    });
    let bytes: Vec<u8> = noise.take(1 << 20).collect();
    let encoded = encode(&bytes, Compression::Gzip, 2, 65_536);
    assert!(encoded.len() < bytes.len() + bytes.len() / 100);
    assert!(decode(&encoded, Compression::Gzip).unwrap() == bytes);
}

#[test]
fn failures_of_the_output_are_told() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 =
                self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::from_raw_os_error(28))?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for compression in [Compression::Gzip, Compression::Zstd] {
        let options = EncoderOptions { threads: NonZeroUsize::new(2) };
        let mut encoder = Encoder::new(Full(300_000), compression, &options).unwrap();
        let written = encoder.write_all(&sample(9_000_000)).map_err(Error::from);
        let error = written.and_then(|()| encoder.finish().map(drop)).unwrap_err();
        assert_eq!(error.to_string(), "no space left on device", "{compression:?}");
    }
}

#[test]
fn gzip_members_may_follow_each_other() {
    let bytes = sample(300_000);
    let mut stream = encode(&bytes[..100_000], Compression::Gzip, 1, 65_536);
    stream.extend(encode(b"", Compression::Gzip, 1, 1));
    stream.extend(encode(&bytes[100_000..], Compression::Gzip, 1, 65_536));
    assert!(decode(&stream, Compression::Gzip).unwrap() == bytes);
}

#[test]
fn junk_after_gzip_is_read_and_ignored() {
    struct ByteWise<'a>(&'a [u8]);
    impl Read for ByteWise<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // One byte at a time: a member's first two bytes may come apart.
            let buffer = &mut buffer[..1];
            self.0.read(buffer)
        }
    }
    let gzip = encode(b"abc", Compression::Gzip, 1, 1);
    for junk in [&b"\0"[..], b"\x1f", b"\x1fx", &[0; 1000]] {
        let stream = [&gzip[..], junk].concat();
        assert_eq!(decode(&stream, Compression::Gzip).unwrap(), b"abc", "{junk:?}");
        let mut decoder = Decoder::new(ByteWise(&stream), Compression::Gzip).unwrap();
        let mut decoded = Vec::new();
        decoder.read_to_end(&mut decoded).unwrap();
        assert_eq!(decoded, b"abc");
    }
}

#[test]
fn broken_gzip_is_refused() {
    let gzip = encode(&sample(200_000), Compression::Gzip, 1, 65_536);
    assert_eq!(refused(b"", Compression::Gzip), "gzip: unexpected EOF");
    assert_eq!(refused(b"ustar or whatever", Compression::Gzip), "gzip: invalid header");
    assert_eq!(refused(b"\x1f", Compression::Gzip), "gzip: invalid header");
    for end in [2, 9, 10, 11, 5000, gzip.len() - 9, gzip.len() - 8, gzip.len() - 1] {
        assert_eq!(refused(&gzip[..end], Compression::Gzip), "gzip: unexpected EOF", "{end}");
    }
    let mut flipped = gzip.clone();
    let crc = flipped.len() - 8;
    flipped[crc] ^= 1;
    assert!(refused(&flipped, Compression::Gzip).contains("checksum"));
    let second = [&gzip[..], &gzip[..20]].concat();
    assert_eq!(refused(&second, Compression::Gzip), "gzip: unexpected EOF");
}

#[test]
fn zstd_frames_may_follow_each_other() {
    let mut stream = encode(b"one ", Compression::Zstd, 1, 9);
    stream.extend([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    stream.extend(encode(b"two", Compression::Zstd, 1, 9));
    assert_eq!(decode(&stream, Compression::Zstd).unwrap(), b"one two");
}

#[test]
fn broken_zstd_is_refused() {
    let zstd = encode(&sample(200_000), Compression::Zstd, 1, 65_536);
    for end in [3, 8, 5000, zstd.len() - 4, zstd.len() - 1] {
        assert_eq!(refused(&zstd[..end], Compression::Zstd), "zstd: unexpected EOF", "{end}");
    }
    let mut flipped = zstd.clone();
    let checksum = flipped.len() - 1;
    flipped[checksum] ^= 1;
    for stream in [flipped, [&zstd[..], &[0; 9]].concat(), b"not zstd at all".to_vec()] {
        assert!(refused(&stream, Compression::Zstd).starts_with("zstd: "));
    }
    // A single segment of 2^40 bytes, and a window of 256 MiB.
    let segment = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0];
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 1, 0, 0];
    for stream in [&segment[..], &window] {
        let error = refused(stream, Compression::Zstd);
        assert!(error.contains("too much memory"), "{error}");
    }
}

#[test]
fn errors_of_the_input_pass_through() {
    struct Bad;
    impl Read for Bad {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(Error::new(crate::ErrorKind::Mismatch, "digest differs").into())
        }
    }
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let mut decoder = Decoder::new(Bad, compression).unwrap();
        let error = Error::from(decoder.read(&mut [0; 10]).unwrap_err());
        assert_eq!(error.to_string(), "digest differs", "{compression:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), gzip: bool) {
        let (compression, magic) = if gzip {
            (Compression::Gzip, &[0x1f, 0x8b, 8][..])
        } else {
            (Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd][..])
        };
        let _ = decode(&bytes, compression);
        let _ = decode(&[magic, &bytes].concat(), compression);
    }
}
