// SPDX-License-Identifier: Apache-2.0
//! Work that is interrupted or fails half-way: killed at any system call, told to stop there, a
//! system call that fails, a full disk, blobs that are damaged. Afterwards what
//! was there is there, what was promised is there, and nothing is half there.
//!
//! Kills and errors are tried at some of the calls, spread over the run, and with
//! `UMOCI_TEST_SLOW=1` at every one. So are cuts of the power.

#![expect(clippy::print_stderr, reason = "a test that fails is to tell where it was")]

mod damage;
mod disk;
mod fail;
mod kill;
mod points;
mod power_cut;
mod scene;
mod signal;
