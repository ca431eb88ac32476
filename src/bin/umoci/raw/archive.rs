// SPDX-License-Identifier: Apache-2.0
//! The archive that becomes a layer: a file, a pipe or standard input.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use umoci::error::{Context, Error, Result};
use umoci::image::compression_of;
use umoci::interrupt::Interrupt;

use crate::args::hints::shell_word;

/// How much is read at once.
const BUFFER: usize = 256 << 10;

/// How long bytes are waited for before it is seen whether anybody asks to stop, in milliseconds.
const PATIENCE: u8 = 100;

/// An open archive.
pub(super) struct Archive<'a> {
    path: &'a OsStr,
    stream: BufReader<Input>,
    size: Option<u64>,
    /// The compression that its first bytes show.
    compression: Option<&'static str>,
}

impl<'a> Archive<'a> {
    /// Opens the archive; `-` is standard input.
    pub(super) fn open(path: &'a OsStr, interrupt: Interrupt) -> Result<Self> {
        let file = if path == "-" { standard_input() } else { open(path) }?;
        let metadata = file.metadata().at("stat", path)?;
        if metadata.is_dir() {
            return Err(Error::invalid(format!("new layer archive is a directory: {path:?}")));
        }
        let mut stream = BufReader::with_capacity(BUFFER, Input { file, interrupt });
        let head = stream.fill_buf().with_context(|| format!("read {path:?}"))?;
        // A file may be empty. A pipe that is had its writer fail.
        if path == "-" && head.is_empty() {
            return Err(Error::invalid("new layer archive: standard input is empty"));
        }
        let compression = compression_of(head);
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Self { path, stream, size, compression })
    }

    /// Its bytes.
    pub(super) fn stream(&mut self) -> &mut dyn Read {
        &mut self.stream
    }

    /// How many there are, if it is a file.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// The command that adds it without its compression, if it is compressed.
    pub(super) fn decompressed(&self) -> Option<String> {
        decompressed(self.path, self.compression?, std::env::args_os().skip(1))
    }
}

/// Opens a file. One that nobody writes to yet does not keep us here.
fn open(path: &OsStr) -> Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
    options.open(path).at("open", path).context("open new layer archive")
}

fn standard_input() -> Result<File> {
    let input = io::stdin().as_fd().try_clone_to_owned();
    Ok(File::from(input.context("open standard input")?))
}

/// The command line that was given, behind a program that decompresses.
fn decompressed(
    path: &OsStr,
    compression: &str,
    words: impl Iterator<Item = OsString>,
) -> Option<String> {
    let program = match compression {
        "gzip" | "compress" => "gzip",
        "xz" | "lzma" => "xz",
        "zstd" | "bzip2" | "lz4" | "lzip" => compression,
        _ => return None,
    };
    let mut command = format!("{program} -dc");
    if path != "-" {
        command = format!("{command} {}", shell_word(Path::new(path)));
    }
    command.push_str(" | umoci");
    for word in words {
        let word = if word == path { "-".into() } else { shell_word(Path::new(&word)) };
        command = format!("{command} {word}");
    }
    Some(command)
}

/// What is read until somebody asks to stop, even where there is nothing to read yet.
struct Input {
    file: File,
    interrupt: Interrupt,
}

impl Input {
    /// Waits for bytes, or for their end.
    fn wait(&self) -> io::Result<()> {
        loop {
            self.interrupt.check()?;
            let mut files = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            match poll(&mut files, PollTimeout::from(PATIENCE)) {
                Ok(0) | Err(Errno::EINTR) => {}
                ready => return ready.map(drop).map_err(io::Error::from),
            }
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.wait()?;
            match self.file.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_the_one_that_was_given() {
        let command = |path: &str, compression, words: &[&str]| {
            decompressed(path.as_ref(), compression, words.iter().map(OsString::from))
        };
        let words = ["raw", "add-layer", "--image=img:a b", "it's.tar.xz", "--tag", "c"];
        assert_eq!(
            command("it's.tar.xz", "xz", &words).unwrap(),
            "xz -dc 'it'\\''s.tar.xz' | umoci raw add-layer '--image=img:a b' - --tag c"
        );
        let words = ["raw", "add-layer", "-", "--image", "img"];
        let expected = "gzip -dc | umoci raw add-layer - --image img";
        assert_eq!(command("-", "gzip", &words).unwrap(), expected);
        assert_eq!(command("a.zip", "zip", &words), None);
    }
}
