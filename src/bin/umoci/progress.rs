// SPDX-License-Identifier: Apache-2.0
//! A line on the terminal that tells how far long work has come. It appears
//! after a second and is gone when the work ends. Where standard error is no
//! terminal, or one that cannot do that, nothing is shown.

use std::fmt::Write;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use umoci::progress::{Progress, Stage, State};

use crate::output;

/// Work that takes no longer is not worth a line.
const DELAY: Duration = Duration::from_secs(1);

/// How often the line is renewed: as often as people can read it.
const INTERVAL: Duration = Duration::from_millis(200);

/// Does some work and meanwhile shows how far it is.
pub(crate) fn shown<T>(progress: &Progress, work: impl FnOnce() -> T) -> T {
    if output::is_quiet() || !output::is_live() {
        return work();
    }
    let (working, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        // Without that thread the work is done all the same.
        let _ = Builder::new().spawn_scoped(scope, move || show(progress, &ended));
        let result = work();
        drop(working);
        result
    })
}

/// Draws the line until nobody is working any more.
fn show(progress: &Progress, ended: &Receiver<()>) {
    let mut meter = Meter::new(Instant::now());
    let mut pause = DELAY;
    while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        pause = INTERVAL;
        if let Some(line) = meter.line(&progress.state(), Instant::now()) {
            output::draw(&line);
        }
    }
    output::erase();
}

/// Knows since when a stage lasts.
struct Meter {
    stage: Stage,
    since: Instant,
}

impl Meter {
    fn new(start: Instant) -> Self {
        Self { stage: Stage::Waiting, since: start }
    }

    fn line(&mut self, state: &State, now: Instant) -> Option<String> {
        if state.stage != self.stage {
            // The first stage began with the work.
            let is_first = self.stage == Stage::Waiting;
            self.stage = state.stage;
            if !is_first {
                self.since = now;
            }
        }
        line(state, now.saturating_duration_since(self.since))
    }
}

/// The line, without anything that an image says in it; `None` while nothing is counted.
fn line(state: &State, elapsed: Duration) -> Option<String> {
    let mut line = match state.stage {
        Stage::Waiting => return None,
        Stage::CheckingOwners => "checking owners".to_owned(),
        Stage::Unpacking => format!("unpacking layer {} of {}", state.layer.max(1), state.layers),
        Stage::Comparing => "comparing files".to_owned(),
        Stage::Packing => "packing a layer".to_owned(),
        Stage::Recording => "recording files".to_owned(),
        Stage::Validating => format!("checking blob {} of {}", state.layer.max(1), state.layers),
    };
    if let Some(percent) = percent(state.bytes, state.expected_bytes) {
        let expected = megabytes(state.expected_bytes);
        let _ = write!(line, ": {percent}%, {} of {expected} MB", megabytes(state.bytes));
    } else {
        let _ = write!(line, ": {} MB", megabytes(state.bytes));
    }
    match (state.entries, state.expected_entries) {
        (0, 0) => {}
        (entries, 0) => write!(line, ", {entries} entries").unwrap_or_default(),
        (entries, expected) => {
            write!(line, ", {entries} of {expected} entries").unwrap_or_default();
        }
    }
    if let Some(rate) = rate(state.bytes, elapsed) {
        let _ = write!(line, ", {} MB/s", megabytes(rate));
    }
    Some(line)
}

fn percent(done: u64, expected: u64) -> Option<u64> {
    (u128::from(done) * 100).checked_div(u128::from(expected)).map(|percent| {
        // A blob that is longer than promised is an error soon.
        u64::try_from(percent).unwrap_or(100).min(100)
    })
}

/// Bytes per second.
fn rate(bytes: u64, elapsed: Duration) -> Option<u64> {
    let rate = (u128::from(bytes) * 1000).checked_div(elapsed.as_millis())?;
    u64::try_from(rate).ok()
}

/// With one digit after the point.
fn megabytes(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let unpacking = State {
            stage: Stage::Unpacking,
            layer: 2,
            layers: 5,
            bytes: 50_100_000,
            expected_bytes: 146_290_000,
            entries: 12_345,
            expected_entries: 0,
        };
        let second = Duration::from_secs(2);
        assert_eq!(
            line(&unpacking, second).unwrap(),
            "unpacking layer 2 of 5: 34%, 50.1 of 146.2 MB, 12345 entries, 25.0 MB/s"
        );
        let packing = State {
            stage: Stage::Packing,
            bytes: 999_999,
            entries: 3,
            expected_entries: 7,
            ..State::default()
        };
        assert_eq!(
            line(&packing, Duration::ZERO).unwrap(),
            "packing a layer: 0.9 MB, 3 of 7 entries"
        );
        assert_eq!(line(&State::default(), second), None);
        let wrong = State { bytes: u64::MAX, expected_bytes: 1, ..unpacking };
        assert!(line(&wrong, second).unwrap().contains(": 100%, "));
    }

    #[test]
    fn rates_are_of_the_stage() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        let state = |stage| State { stage, bytes: 10_000_000, ..State::default() };
        let mut rate_at = |stage, seconds| {
            let line = meter.line(&state(stage), start + Duration::from_secs(seconds)).unwrap();
            line.rsplit(", ").next().unwrap().to_owned()
        };
        assert_eq!(rate_at(Stage::Comparing, 2), "5.0 MB/s");
        assert_eq!(rate_at(Stage::Packing, 4), "packing a layer: 10.0 MB", "it has only begun");
        assert_eq!(rate_at(Stage::Packing, 5), "10.0 MB/s");
    }
}
