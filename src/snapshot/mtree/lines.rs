// SPDX-License-Identifier: Apache-2.0
//! The lines of a manifest: folded ones joined, blank ones and comments left out.

use std::io::{BufRead, Read};

use crate::error::{Context, Error, ErrorKind, Result};

/// The longest line, with all it is folded from. The attributes of one file
/// take at most some hundred KiB on the filesystems there are.
pub(super) const MAX_LINE: usize = 16 << 20;

/// Reads the lines that say something.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), number: 0 }
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
        let limit = (MAX_LINE + 1).saturating_sub(self.line.len());
        let mut reader = (&mut self.reader).take(limit as u64);
        let count = reader.read_until(b'\n', &mut self.line).context("read mtree")?;
        self.number = self.number.saturating_add(u64::from(count > 0));
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        }
        if self.line.len() > MAX_LINE {
            let message = format!("line {}: longer than {MAX_LINE} bytes", self.number);
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
        let mut folded = b"a\\\n".repeat(MAX_LINE + 2);
        folded.truncate(3 * (MAX_LINE + 2));
        for text in [vec![b'x'; MAX_LINE + 1], vec![b'#'; MAX_LINE + 1], folded] {
            let error = Lines::new(&text[..]).next().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Limit);
        }
        let mut longest = vec![b'x'; MAX_LINE];
        longest.push(b'\n');
        assert!(Lines::new(&longest[..]).next().unwrap().is_some());
    }
}
