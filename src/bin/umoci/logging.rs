// SPDX-License-Identifier: Apache-2.0
//! Messages while a command runs: one line each on standard error.

use std::ffi::OsString;
use std::io::Write;

use clap::Args;
use env_logger::Target;
use log::LevelFilter;
use umoci::error::{Error, Result};
use umoci::quote::quote;

use crate::output::{self, Label};

/// What `--log` takes, in any case.
pub(crate) const LEVELS: [(&str, LevelFilter); 6] = [
    ("debug", LevelFilter::Debug),
    ("info", LevelFilter::Info),
    ("warn", LevelFilter::Warn),
    ("warning", LevelFilter::Warn),
    ("error", LevelFilter::Error),
    // The error that ends the program is no log line and always shown.
    ("fatal", LevelFilter::Off),
];

/// Flags that stand before the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// do not show how far long work has come, nor what gc has freed
    #[arg(long)]
    quiet: bool,

    /// alias for --log=info
    #[arg(long)]
    verbose: bool,

    #[arg(
        long,
        value_name = "LEVEL",
        help = "set the log level (debug, info, warn, error, fatal) (default: \"warn\")"
    )]
    log: Option<String>,

    /// ignored; where others write a profile of themselves
    #[arg(long, value_name = "FILE", hide = true)]
    cpu_profile: Option<OsString>,
}

impl LogArgs {
    /// Whether nothing is to be shown but results, warnings and errors.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Warns of what was asked for and is not done.
    pub(crate) fn warn(&self) {
        if self.cpu_profile.is_some() {
            log::warn!("--cpu-profile is ignored: no profile is written");
        }
    }

    /// The level that was asked for.
    pub(crate) fn level(&self) -> Result<LevelFilter> {
        if self.verbose && self.log.is_some() {
            return Err(Error::invalid("--log=* and --verbose are mutually exclusive"));
        }
        if self.verbose {
            return Ok(LevelFilter::Info);
        }
        let Some(level) = &self.log else { return Ok(LevelFilter::Warn) };
        let named = LEVELS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(level));
        named.map(|(_, level)| level).ok_or_else(|| {
            Error::invalid(format!("parsing log level: invalid level: {}", quote(level)))
        })
    }
}

/// Starts logging.
pub(crate) fn start(level: LevelFilter) {
    let format = |buffer: &mut env_logger::fmt::Formatter, record: &log::Record<'_>| {
        let message = output::message(Label::Log(record.level()), &record.args().to_string());
        buffer.write_all(message.as_bytes())
    };
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level).format(format).target(Target::Pipe(Box::new(output::Messages)));
    let started = builder.try_init();
    debug_assert!(started.is_ok(), "logging is started once");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(verbose: bool, log: Option<&str>) -> Result<LevelFilter, String> {
        let args =
            LogArgs { quiet: false, verbose, log: log.map(str::to_owned), cpu_profile: None };
        args.level().map_err(|error| error.to_string())
    }

    #[test]
    fn levels() {
        assert_eq!(level(false, None), Ok(LevelFilter::Warn));
        assert_eq!(level(true, None), Ok(LevelFilter::Info));
        assert_eq!(level(false, Some("WARNING")), Ok(LevelFilter::Warn));
        assert_eq!(level(false, Some("Debug")), Ok(LevelFilter::Debug));
        assert!(level(false, Some("")).unwrap_err().contains("parsing log level: invalid level"));
        let both = "--log=* and --verbose are mutually exclusive";
        assert_eq!(level(true, Some("warn")), Err(both.to_owned()));
    }
}
