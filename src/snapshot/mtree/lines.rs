// SPDX-License-Identifier: Apache-2.0
//! The lines of a manifest: folded ones joined, blank ones and comments left out.

use std::io::{BufRead, Read};

use crate::error::{Context, Error, ErrorKind, Result};

/// The longest line, with all it is folded from. The attributes of one file
/// take at most some hundred KiB on the filesystems there are.
const MAX_LINE: usize = 16 << 20;

/// Reads the lines that say something.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    longest: usize,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, longest: MAX_LINE, line: Vec::new(), number: 0 }
    }

    /// The number of the line that was read last, from 1; of a folded line its last one.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Reads the next line that is neither blank nor a comment.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            if !self.read_piece()? {
                return Ok(None);
            }
            if matches!(self.line.trim_ascii_start().first(), None | Some(b'#')) {
                // A comment goes to the end of its line, whatever that line ends with.
                continue;
            }
            while ends_folded(&self.line) {
                self.line.pop();
                if !self.read_piece()? {
                    break;
                }
            }
            return Ok(Some(&self.line));
        }
    }

    /// Appends one line of the text without its end; false at the end of the text.
    fn read_piece(&mut self) -> Result<bool> {
        let limit = (self.longest + 1).saturating_sub(self.line.len());
        let mut reader = (&mut self.reader).take(limit as u64);
        let count = reader.read_until(b'\n', &mut self.line).context("read mtree")?;
        self.number = self.number.saturating_add(u64::from(count > 0));
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        }
        if self.line.len() > self.longest {
            let message = format!("line {}: longer than {} bytes", self.number, self.longest);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(count > 0)
    }
}

/// Whether the line ends with a backslash that is not itself escaped.
fn ends_folded(line: &[u8]) -> bool {
    line.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<String> {
        let mut lines = Lines::new(text);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(String::from_utf8(line.to_vec()).unwrap());
        }
        all
    }

    #[test]
    fn joins_and_skips() {
        let text = b"# c\\\n\n  # d\na \\\n b\\\nc\n  \t\nx\\\\\ny\\\n";
        assert_eq!(lines(text), ["a  bc", "x\\\\", "y"]);
        assert_eq!(lines(b"no end"), ["no end"]);
    }

    #[test]
    fn refuses_endless_lines() {
        fn next(text: &[u8]) -> Result<bool> {
            let mut lines = Lines { longest: 9, ..Lines::new(text) };
            lines.next().map(|line| line.is_some())
        }
        for text in ["0123456789", "#123456789\n", "01234\\\n56789", "a\\\n\\\n0123456789\n"] {
            assert_eq!(next(text.as_bytes()).unwrap_err().kind(), ErrorKind::Limit, "{text}");
        }
        for text in ["012345678", "012345678\n", "01234\\\n5678\nx"] {
            assert!(next(text.as_bytes()).unwrap(), "{text}");
        }
    }
}
