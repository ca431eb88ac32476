// SPDX-License-Identifier: Apache-2.0
//! `--layout`: a whole layout.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::{Args, ValueHint};
use umoci::error::Error;
use umoci::layout::Layout;

use super::{hints, missing};
use crate::failure::Outcome;
use crate::interrupt;

/// The flag of commands that work on a whole layout.
#[derive(Debug, Clone, Args)]
pub(crate) struct LayoutArg {
    /// path to an image layout
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    layout: Option<OsString>,
}

impl LayoutArg {
    /// Whether the flag is there.
    pub(crate) fn is_given(&self) -> bool {
        self.layout.is_some()
    }

    /// The path.
    pub(crate) fn path(&self) -> Outcome<&Path> {
        let Some(path) = &self.layout else { return Err(missing("--layout").into()) };
        if path.as_bytes().contains(&b':') {
            let message = format!("invalid --layout: path contains ':' character: {path:?}");
            return Err(hints::on_colon(Error::invalid(message), path));
        }
        if path.is_empty() {
            return Err(Error::invalid("invalid --layout: path is empty").into());
        }
        Ok(Path::new(path))
    }
}

/// Opens a layout that has to exist.
pub(crate) fn open(path: &Path) -> Outcome<Layout> {
    Layout::open(path).map_err(|error| hints::on_layout(error, path))
}

/// As [`open`], to be changed: signals no longer end the program at any moment, but stop the
/// work until the change is made, and come too late from then on.
pub(crate) fn open_to_change(path: &Path) -> Outcome<Layout> {
    Ok(open(path)?.with_interrupt(interrupt::watch()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_layouts_are_refused_with_the_known_texts() {
        let layout = |value: Option<&str>| {
            let arg = LayoutArg { layout: value.map(OsString::from) };
            arg.path().map(Path::to_owned).map_err(|failure| failure.error().to_string())
        };
        assert_eq!(layout(Some("a")), Ok("a".into()));
        assert_eq!(layout(None), Err("missing mandatory argument: --layout".into()));
        assert_eq!(layout(Some("")), Err("invalid --layout: path is empty".into()));
        let colon = "invalid --layout: path contains ':' character: \"a:b\"";
        assert_eq!(layout(Some("a:b")), Err(colon.into()));
    }
}
