// SPDX-License-Identifier: Apache-2.0
//! The program as its users see it, and beside it other programs that work on
//! the same files. One binary, so that it links once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod annotations;
mod architecture;
mod bundles;
mod callers;
mod command_line;
mod concurrent;
mod config;
mod destinations;
mod digests;
mod failures;
mod garbage;
mod golden;
mod harness;
mod help;
mod hostile;
mod insert;
mod interrupted;
mod layouts;
mod library;
mod memory;
mod packaging;
mod platforms;
mod progress;
mod racy;
mod raw;
mod real_image;
mod referrers;
mod reported_bugs;
mod rootless;
mod stat;
mod system_calls;
mod traced;
mod validate;

/// Every file beside this one is listed above, or its tests would silently not run.
#[test]
fn no_test_file_is_forgotten() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        let listed = include_str!("main.rs").contains(&format!("mod {module};\n"));
        assert!(listed || module == "main", "{name} is not listed");
    }
}
