// SPDX-License-Identifier: Apache-2.0
//! Fuzzing on stable Rust, without other tools: seeds from `corpus/` are
//! changed by chance and by rule, and handed to what reads the input of
//! strangers. Each target holds the answer against more than "no panic".
//!
//! By default every target runs for a few seconds, from the same start each
//! time. `UMOCI_FUZZ_SECONDS` and `UMOCI_FUZZ_SEED` make of it as long a search
//! as you like (`cargo test --release --test fuzz -- --nocapture`). An input
//! that fails is written to a file that the message names; put it into the
//! corpus of its target, where every later run starts with it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a search tells how far it got")]

mod dice;
mod driver;
mod mutate;
mod targets;

use driver::search;

macro_rules! searches {
    ($($name:ident,)*) => {$(
        #[test]
        fn $name() {
            search(&targets::$name::TARGET);
        }
    )*};
}

searches! {
    tree, members, pax, mtree, documents, layouts, references, idmaps, metadata, grammar, accounts,
    record, aside, stat_index, compression,
}
