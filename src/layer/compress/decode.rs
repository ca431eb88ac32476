// SPDX-License-Identifier: Apache-2.0
//! [`Decoder`], the reading half of the compression around a layer.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::Compression;
use crate::error::{Error, ErrorKind, Result};

/// How much compressed input is read at once.
const BUFFER: usize = 128 << 10;

/// The largest window a Zstandard frame may ask for is 2 to this power: 128 MiB.
const WINDOW_LOG: u32 = 27;

/// How the members of a gzip stream begin.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Decompresses what it reads. At its end the input was read to its end too.
pub struct Decoder<R: Read>(Inner<R>);

enum Inner<R: Read> {
    None(R),
    Gzip(Box<Gzip<R>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<R>>>),
}

impl<R: Read> Decoder<R> {
    /// Reads `input`.
    pub fn new(input: R, compression: Compression) -> Result<Self> {
        Ok(Self(match compression {
            Compression::None => Inner::None(input),
            Compression::Gzip => Inner::Gzip(Box::new(Gzip::new(input, Junk::Warn))),
            Compression::Zstd => {
                let input = BufReader::with_capacity(BUFFER, input);
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(WINDOW_LOG)?;
                Inner::Zstd(Box::new(decoder))
            }
        }))
    }
}

impl<R: Read> Decoder<R> {
    /// Does not warn of bytes that follow the compressed stream, for who asks how many there are.
    pub(crate) fn count_junk(mut self) -> Self {
        if let Inner::Gzip(gzip) = &mut self.0 {
            gzip.junk = Junk::Count(0);
        }
        self
    }

    /// How many bytes have followed the compressed stream, if they were to be counted.
    pub(crate) fn junk(&self) -> u64 {
        match &self.0 {
            Inner::Gzip(gzip) => match gzip.junk {
                Junk::Count(count) => count,
                Junk::Warn => 0,
            },
            _ => 0,
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::None(input) => input.read(buffer),
            Inner::Gzip(gzip) => gzip.read(buffer).map_err(|error| say(error, "gzip")),
            Inner::Zstd(zstd) => zstd.read(buffer).map_err(|error| say(error, "zstd")),
        }
    }
}

impl<R: Read> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compression = match self.0 {
            Inner::None(_) => Compression::None,
            Inner::Gzip(_) => Compression::Gzip,
            Inner::Zstd(_) => Compression::Zstd,
        };
        f.debug_struct("Decoder").field("compression", &compression).finish_non_exhaustive()
    }
}

/// Says which format is broken, unless it was the input that failed.
fn say(error: io::Error, format: &str) -> io::Error {
    let own = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>);
    if own || error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Interrupted {
        return error;
    }
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return invalid(&format!("{format}: unexpected EOF"));
    }
    invalid(&format!("{format}: {}", error.to_string().escape_default()))
}

fn invalid(message: &str) -> io::Error {
    Error::new(ErrorKind::Invalid, message).into()
}

/// A stream of gzip members, and junk that may follow them.
struct Gzip<R> {
    state: State<R>,
    junk: Junk,
}

/// What is done about bytes behind the stream.
#[derive(Clone, Copy)]
enum Junk {
    Warn,
    Count(u64),
}

enum State<R> {
    Start(Input<R>),
    Member(Box<GzDecoder<Input<R>>>),
    End,
}

impl<R: Read> Gzip<R> {
    fn new(input: R, junk: Junk) -> Self {
        Self { state: State::Start(Input::new(input)), junk }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.state {
                State::End => return Ok(0),
                State::Member(member) => {
                    let count = member.read(buffer)?;
                    if count > 0 || buffer.is_empty() {
                        return Ok(count);
                    }
                    member.get_mut().fill(GZIP_MAGIC.len())?;
                }
                State::Start(input) => {
                    let start = input.fill(GZIP_MAGIC.len())?;
                    if start.is_empty() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    if !start.starts_with(&GZIP_MAGIC) {
                        return Err(invalid("gzip: invalid header"));
                    }
                }
            }
            self.next_member()?;
        }
    }

    /// Goes from the end of a member to what follows it.
    fn next_member(&mut self) -> io::Result<()> {
        let mut input = match std::mem::replace(&mut self.state, State::End) {
            State::Start(input) => input,
            State::Member(member) => member.into_inner(),
            State::End => return Ok(()),
        };
        if input.filled().starts_with(&GZIP_MAGIC) {
            self.state = State::Member(Box::new(GzDecoder::new(input)));
            return Ok(());
        }
        let junk = io::copy(&mut input, &mut io::sink())?;
        match &mut self.junk {
            Junk::Count(count) => *count = junk,
            Junk::Warn if junk > 0 => {
                log::warn!("ignoring {junk} trailing 'junk' bytes behind the gzip stream");
            }
            Junk::Warn => {}
        }
        Ok(())
    }
}

/// A buffered input that can be asked for a few bytes in one piece.
struct Input<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R> Input<R> {
    fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; BUFFER].into(), start: 0, end: 0 }
    }

    fn filled(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }
}

impl<R: Read> Input<R> {
    /// Reads until at least `count` bytes are there, or the input ends.
    fn fill(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.filled().len() < count {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.filled())
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill(1)
    }

    fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill(1)?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
