// SPDX-License-Identifier: Apache-2.0
//! Where in the tree a manifest's line is: [`Place`] follows directory lines and `..`.

use crate::error::{Error, ErrorKind, Result};
use crate::rootfs::{Kind, Name};
use crate::snapshot::vis;

/// How deep a tree may be, as with layers.
const MAX_DEPTH: usize = 1024;

/// The current directory of a manifest that is being read.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Only meaningful with `depth` over 0.
    current: Vec<u8>,
    /// How many directories are entered, the root among them.
    depth: usize,
}

impl Place {
    /// The path of a line's first word. A directory's becomes the current one.
    pub(super) fn path(&mut self, word: &[u8], kind: Kind) -> Result<Vec<u8>> {
        // A word with a slash is a path from the root and enters nothing.
        if word.contains(&b'/') { full_path(word) } else { self.relative(word, kind) }
    }

    /// Goes back to the directory above.
    pub(super) fn leave(&mut self) -> Result<()> {
        self.depth = match self.depth.checked_sub(1) {
            Some(depth) => depth,
            None => return Err(Error::invalid("\"..\" leads out of the tree")),
        };
        let cut = self.current.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.current.truncate(cut);
        Ok(())
    }

    /// The path of a name in the current directory, which is entered if it is one itself.
    fn relative(&mut self, word: &[u8], kind: Kind) -> Result<Vec<u8>> {
        let entered = kind == Kind::Dir;
        if word == b"." {
            if self.depth > 0 {
                return Err(Error::invalid("the root comes twice"));
            }
            self.depth += usize::from(entered);
            return Ok(Vec::new());
        }
        check_depth(self.depth.max(1))?;
        let before = self.current.len();
        push(&mut self.current, word)?;
        let path = self.current.clone();
        if entered {
            // Without a line of its own the root counts as entered by its first name.
            self.depth = self.depth.max(1) + 1;
        } else {
            self.current.truncate(before);
        }
        Ok(path)
    }
}

fn full_path(word: &[u8]) -> Result<Vec<u8>> {
    let mut path = Vec::with_capacity(word.len());
    let parts = word.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    for (above, part) in parts.enumerate() {
        check_depth(above + 1)?;
        push(&mut path, part)?;
    }
    Ok(path)
}

fn check_depth(depth: usize) -> Result<()> {
    if depth <= MAX_DEPTH {
        return Ok(());
    }
    let message = format!("path has more than the limit of {MAX_DEPTH} components");
    Err(Error::new(ErrorKind::Limit, message))
}

/// Appends the component that `word` stands for.
fn push(path: &mut Vec<u8>, word: &[u8]) -> Result<()> {
    let name = vis::decode(word)?;
    let name = Name::new(&name)?;
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.as_bytes());
    Ok(())
}
