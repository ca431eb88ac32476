// SPDX-License-Identifier: Apache-2.0
//! Signals that ask to stop: the first lets the command clean up after itself,
//! one that comes a while later ends the program at once.
//!
//! A command that ends with a signal's status has changed nothing. When its change is made (the
//! index is replaced, the bundle is complete) nothing asks any more whether a signal has come.

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, raise};
use umoci::interrupt::Interrupt;

/// The signals that people and systems stop programs with.
const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// For how long signals after the first say nothing new: `timeout` sends one to its command and
/// another to all of its group, and when a terminal is closed several parties send theirs.
const SAME_WISH: Duration = Duration::from_secs(1);

/// The signal that has come first, 0 for none.
static RECEIVED: AtomicI32 = AtomicI32::new(0);

/// Starts to watch for signals; to be called before other threads are started.
///
/// Those that whoever started the program has turned off stay without effect.
pub(crate) fn watch() -> Interrupt {
    let interrupt = Interrupt::default();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored(&status);
    let mut signals = SigSet::empty();
    for signal in SIGNALS.into_iter().filter(|signal| !is_in(ignored, *signal)) {
        signals.add(signal);
    }
    // A signal that is blocked in all threads waits until the watcher takes it.
    if signals.thread_block().is_ok() {
        let raised = interrupt.clone();
        let watcher = std::thread::Builder::new().spawn(move || wait(&signals, &raised));
        if watcher.is_err() {
            // With nobody to take them, they end the program at once.
            let _ = signals.thread_unblock();
        }
    }
    interrupt
}

fn wait(signals: &SigSet, interrupt: &Interrupt) {
    let mut first: Option<Instant> = None;
    while let Ok(signal) = signals.wait() {
        match first {
            None => {
                first = Some(Instant::now());
                RECEIVED.store(signal as i32, Ordering::Release);
                interrupt.raise();
            }
            Some(first) if first.elapsed() < SAME_WISH => {}
            Some(_) => {
                let _ = signals.thread_unblock().and_then(|()| raise(signal));
            }
        }
    }
}

/// The signal that the program was asked to stop with.
pub(crate) fn received() -> Option<u8> {
    u8::try_from(RECEIVED.load(Ordering::Acquire)).ok().filter(|signal| *signal != 0)
}

/// Tells that a signal has not stopped the command, which had made its change by then.
pub(crate) fn tell_if_late() {
    let signal = received().and_then(|signal| Signal::try_from(i32::from(signal)).ok());
    if let Some(signal) = signal {
        log::warn!("{signal} came too late: what the command was asked for is done");
    }
}

/// The signals that are turned off, as the bits of `/proc/self/status`.
fn ignored(status: &str) -> u64 {
    let mut lines = status.lines();
    let bits = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default()
}

fn is_in(bits: u64, signal: Signal) -> bool {
    bits >> (signal as i32 - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_are_turned_off_are_known() {
        let bits = ignored("Name:\tumoci\nSigBlk:\t0000\nSigIgn:\t0000000000001003\nSigCgt:\t4\n");
        assert!(is_in(bits, Signal::SIGINT) && is_in(bits, Signal::SIGHUP));
        assert!(!is_in(bits, Signal::SIGTERM));
        assert_eq!(ignored(""), 0);
    }
}
