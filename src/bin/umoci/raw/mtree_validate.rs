// SPDX-License-Identifier: Apache-2.0
//! `umoci raw mtree-validate`: whether a tree is what an mtree manifest says.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use clap::CommandFactory;
use umoci::bundle::open_tree;
use umoci::error::{Context, Error, Result};
use umoci::rootfs::{FsOps, Native};
use umoci::snapshot::{Keyword, ValidateOptions, validate};

use crate::failure::Outcome;
use crate::{Program, help, interrupt, output, progress};

/// check a directory against an mtree manifest
///
/// Prints one line for each path that is not what the manifest says, and fails if there is any.
/// Without --use-keywords and --umoci-keywords, all keywords of the manifest are checked. Lists of
/// keywords are separated by commas or blanks.
///
/// Known are type, size, mode, uid, gid, link, nlink, time, tar_time, sha256digest, sha384digest,
/// sha512digest and xattr. Others, such as md5digest, sha1digest and uname, are an error unless
/// the lists leave them out.
#[expect(clippy::doc_markdown, reason = "the words are those of the help")]
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "umoci raw mtree-validate [command options] --file <manifest> --path <directory>"
)]
pub(crate) struct Args {
    /// mtree manifest (required)
    #[arg(long, short = 'f', visible_alias = "file", value_name = "FILE")]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    manifest: Option<OsString>,

    /// directory to check (required)
    #[arg(long, short = 'p', value_name = "PATH", value_hint = clap::ValueHint::DirPath)]
    path: Option<OsString>,

    /// check these keywords only
    #[arg(long, short = 'k', value_name = "KEYWORDS")]
    use_keywords: Option<String>,

    /// check these keywords too
    #[arg(long, short = 'K', value_name = "KEYWORDS")]
    add_keywords: Option<String>,

    /// check the keywords of manifests that umoci-unpack(1) makes
    #[arg(long)]
    umoci_keywords: bool,

    /// work without privileges: get into directories that their owner has closed
    #[arg(long)]
    rootless: bool,

    #[arg(hide = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let (Some(manifest), Some(path)) = (&args.manifest, &args.path) else {
        let missing = if args.manifest.is_none() { "file" } else { "path" };
        return required(missing);
    };
    let differences = args
        .check(manifest, path)
        .with_context(|| format!("check mtree manifest {manifest:?} against root {path:?}"))?;
    if differences.is_empty() {
        log::info!("no errors found during mtree validation");
        return Ok(());
    }
    let lines = differences.iter().fold(String::new(), |mut lines, difference| {
        let _ = writeln!(lines, "{difference}");
        lines
    });
    output::result(&lines)?;
    let count = differences.len();
    // NOTE(compat): 1, not the status of a "no": scripts have known this check for long.
    Err(Error::invalid(format!("validation failed: {count} differences found")).into())
}

/// Shows how the command is to be used, and fails.
fn required(flag: &str) -> Outcome {
    let mut program = Program::command();
    program.build();
    output::result(&help::render(&program, &["raw".to_owned(), "mtree-validate".to_owned()]))?;
    Err(Error::invalid(format!("Required flag \"{flag}\" not set")).into())
}

impl Args {
    fn check(&self, manifest: &OsStr, path: &OsStr) -> Result<Vec<umoci::snapshot::Difference>> {
        let options = self.options()?;
        let manifest = File::open(manifest).context("open mtree manifest")?;
        let fs = self.open(Path::new(path)).context("open root")?;
        let manifest = BufReader::with_capacity(256 << 10, manifest);
        progress::shown(&options.progress, || validate(&*fs, manifest, &options))
    }

    /// Opens the tree; without privileges whatever its owner has forbidden to himself.
    fn open(&self, path: &Path) -> Result<Box<dyn FsOps>> {
        if !self.rootless {
            return Ok(Box::new(File::open(path).and_then(Native::from_dir)?));
        }
        Ok(Box::new(open_tree(path, &interrupt::watch())?))
    }

    fn options(&self) -> Result<ValidateOptions> {
        let chosen = match (&self.use_keywords, self.umoci_keywords) {
            (Some(names), _) => Some(keywords(names)?),
            (None, true) => Some(Keyword::OF_BUNDLES.to_vec()),
            (None, false) => None,
        };
        let added = self.add_keywords.as_deref().map(keywords).transpose()?;
        let added = added.unwrap_or_default();
        Ok(ValidateOptions { keywords: chosen, added, ..ValidateOptions::default() })
    }
}

fn keywords(names: &str) -> Result<Vec<Keyword>> {
    let names = names.split([',', ' ']).filter(|name| !name.is_empty());
    names.map(Keyword::named).collect()
}
