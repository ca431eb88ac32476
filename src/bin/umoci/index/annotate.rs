// SPDX-License-Identifier: Apache-2.0
//! `umoci index annotate`: what an index says of itself and of its entries.

use std::collections::BTreeMap;
use std::ffi::OsString;

use umoci::error::{Context, Error, Result};
use umoci::image::EntryChoice;

use super::change;
use crate::args::{EntryArg, PairName, pairs};
use crate::failure::Outcome;

/// change the annotations of an image for several platforms
///
/// Each "<name>=<value>" becomes an annotation of the index that "<tag>" (default "latest") names,
/// or with --entry of one of its entries. Names that --remove lists are removed first; they need
/// not be there.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci index annotate [command options] --image <image-path>[:<tag>] [--entry <entry>] <name>=<value>..."
)]
pub(crate) struct Args {
    /// platform ('os/arch[/variant]') or digest of an entry, to annotate that instead of the index
    #[arg(long, value_name = "ENTRY")]
    entry: Option<String>,

    /// name of an annotation that is to be removed; may be repeated
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,

    #[command(flatten)]
    image: EntryArg,

    /// annotations
    #[arg(value_name = "NAME=VALUE")]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.image.target()?;
    let entry: Option<EntryChoice> =
        args.entry.as_deref().map(str::parse).transpose().context("invalid --entry")?;
    let annotations = args.annotations()?;
    change(&target, |editor| {
        let edit = |found: &mut BTreeMap<String, String>| {
            found.retain(|name, _| !args.remove.contains(name));
            found.extend(annotations.iter().cloned());
        };
        Ok(editor.annotate(entry.as_ref(), edit).context("annotate index")?)
    })
}

impl Args {
    fn annotations(&self) -> Result<Vec<(String, String)>> {
        if self.words.is_empty() && self.remove.is_empty() {
            let message = "invalid number of positional arguments: expected <name>=<value>";
            return Err(Error::invalid(message));
        }
        let read = |word: &OsString| {
            word.to_str()
                .map(str::to_owned)
                .ok_or_else(|| Error::invalid(format!("{word:?} is not UTF-8")))
        };
        let words: Vec<String> = self.words.iter().map(read).collect::<Result<_>>()?;
        pairs("annotation", &words, PairName::Required)
    }
}
