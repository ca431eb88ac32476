// SPDX-License-Identifier: Apache-2.0
//! `--no-history` and `--history.*`: what a change leaves in the image's history.

use clap::Args;
use umoci::error::{Context, Error, Result};
use umoci::oci::{History, Timestamp};

/// Flags of commands that change an image.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct HistoryArgs {
    /// do not add a history entry
    #[arg(long)]
    no_history: bool,

    /// author of the history entry
    #[arg(id = "history.author", long = "history.author", value_name = "TEXT")]
    author: Option<String>,

    /// comment of the history entry
    #[arg(id = "history.comment", long = "history.comment", value_name = "TEXT")]
    comment: Option<String>,

    /// time of the history entry (RFC 3339)
    #[arg(id = "history.created", long = "history.created", value_name = "TIME")]
    created: Option<String>,

    /// command that the history entry names as its cause
    #[arg(id = "history.created_by", long = "history.created_by", value_name = "TEXT")]
    created_by: Option<String>,
}

/// What an entry says where no flag says otherwise.
#[derive(Debug, Clone)]
pub(crate) struct HistoryDefaults {
    /// The command.
    pub(crate) created_by: &'static str,
    /// The present.
    pub(crate) created: Timestamp,
}

/// An entry but for its author, whose default is known once the image is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HistoryEntry {
    entry: History,
    author: Option<String>,
}

impl HistoryEntry {
    /// The entry, by the author that was given or else by this one.
    pub(crate) fn by(self, author: &str) -> History {
        let author = self.author.unwrap_or_else(|| author.to_owned());
        History { author, ..self.entry }
    }
}

impl HistoryArgs {
    /// Refuses flags that exclude each other.
    pub(crate) fn check(&self) -> Result<()> {
        let given = [
            ("author", &self.author),
            ("comment", &self.comment),
            ("created", &self.created),
            ("created_by", &self.created_by),
        ];
        match given.iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) if self.no_history => Err(Error::invalid(format!(
                "--no-history and --history.{name} may not be specified together"
            ))),
            _ => Ok(()),
        }
    }

    /// The entry to add, if one is wanted.
    pub(crate) fn entry(&self, defaults: &HistoryDefaults) -> Result<Option<HistoryEntry>> {
        if self.no_history {
            return Ok(None);
        }
        let created = match &self.created {
            None => defaults.created,
            Some(text) => text.parse().context("parsing --history.created")?,
        };
        let created_by = self.created_by.as_deref().unwrap_or(defaults.created_by);
        let entry = History {
            created: Some(created),
            created_by: created_by.to_owned(),
            comment: self.comment.clone().unwrap_or_default(),
            ..History::default()
        };
        Ok(Some(HistoryEntry { entry, author: self.author.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> HistoryDefaults {
        HistoryDefaults {
            created_by: "umoci test",
            created: Timestamp::from_epoch_seconds(0).unwrap(),
        }
    }

    #[test]
    fn no_history_excludes_any_other_flag() {
        let mut args = HistoryArgs { no_history: true, ..HistoryArgs::default() };
        assert!(args.check().is_ok());
        assert_eq!(args.entry(&defaults()).unwrap(), None);
        args.created_by = Some(String::new());
        let message = "--no-history and --history.created_by may not be specified together";
        assert_eq!(args.check().unwrap_err().to_string(), message);
        args.comment = Some("x".into());
        assert!(args.check().unwrap_err().to_string().contains("--history.comment"));
    }

    #[test]
    fn what_is_given_wins_even_when_empty() {
        let args = HistoryArgs {
            created: Some("2020-01-02T03:04:05+09:00".into()),
            created_by: Some(String::new()),
            comment: Some("why".into()),
            ..HistoryArgs::default()
        };
        let entry = args.entry(&defaults()).unwrap().unwrap().by("image");
        assert_eq!(entry.created.unwrap().to_string(), "2020-01-02T03:04:05+09:00");
        assert_eq!((entry.created_by.as_str(), entry.comment.as_str()), ("", "why"));
        assert_eq!(entry.author, "image");
        let args = HistoryArgs { author: Some(String::new()), ..HistoryArgs::default() };
        assert_eq!(args.entry(&defaults()).unwrap().unwrap().by("image").author, "");
    }

    #[test]
    fn a_bad_time_names_its_flag() {
        let args = HistoryArgs { created: Some("2020-01-01".into()), ..HistoryArgs::default() };
        let message = args.entry(&defaults()).unwrap_err().to_string();
        assert!(message.starts_with("parsing --history.created: "), "{message}");
    }
}
