// SPDX-License-Identifier: Apache-2.0
//! Whiteouts (image-spec `layer.md`, "Whiteouts"): member names that say what
//! of the layers below is gone.

use crate::error::{Error, Result};
use crate::rootfs::Name;

/// What the name of a whiteout starts with.
pub const WHITEOUT_PREFIX: &[u8] = b".wh.";

/// The name of the marker that hides all lower children of its directory.
pub const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";

/// What the last component of a member's name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteout<'a> {
    /// An ordinary member.
    Plain,
    /// The sibling of this name is removed.
    Removed(Name<'a>),
    /// All children of the directory that come from lower layers are removed.
    Opaque,
}

/// Tells what the last component of a member's name means.
///
/// # Errors
/// For a whiteout of nothing, of `.` and of `..`.
pub fn classify(name: Name<'_>) -> Result<Whiteout<'_>> {
    let bytes = name.as_bytes();
    let Some(hidden) = bytes.strip_prefix(WHITEOUT_PREFIX) else {
        return Ok(Whiteout::Plain);
    };
    if bytes == OPAQUE_MARKER {
        return Ok(Whiteout::Opaque);
    }
    if hidden.is_empty() {
        return Err(Error::invalid(format!("invalid whiteout with empty name: {name:?}")));
    }
    let hidden =
        Name::new(hidden).map_err(|error| error.context(format!("invalid whiteout {name:?}")))?;
    Ok(Whiteout::Removed(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str) -> Result<Whiteout<'static>> {
        classify(Name::new(name.as_bytes()).unwrap())
    }

    #[test]
    fn only_the_prefix_makes_a_whiteout() {
        for name in ["x", ".wh", "x.wh.y", "..wh.x", ".WH.x"] {
            assert_eq!(of(name).unwrap(), Whiteout::Plain, "{name}");
        }
        assert_eq!(of(".wh..wh..opq").unwrap(), Whiteout::Opaque);
        for (name, hidden) in [
            (".wh.x", "x"),
            (".wh..wh.aufs", ".wh.aufs"),
            (".wh....", "..."),
            (".wh..wh..opq2", ".wh..opq2"),
        ] {
            let hidden = Name::new(hidden.as_bytes()).unwrap();
            assert_eq!(of(name).unwrap(), Whiteout::Removed(hidden), "{name}");
        }
    }

    #[test]
    fn refuses_to_remove_a_directory_from_inside() {
        let empty = of(".wh.").unwrap_err().to_string();
        assert!(empty.contains("invalid whiteout with empty name: \".wh.\""), "{empty}");
        for name in [".wh..", ".wh..."] {
            assert!(of(name).unwrap_err().to_string().contains("invalid whiteout"), "{name}");
        }
    }
}
