#!/usr/bin/env bash
# What `make check` does: everything that has to hold before a change is taken.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}

step() { printf '\n==> %s\n' "$*"; "$@"; }
skip() { printf '\n==> skipped: %s\n' "$*"; }

if $cargo fmt --version >/dev/null 2>&1; then step $cargo fmt --check; else skip "format (no rustfmt)"; fi
if $cargo clippy --version >/dev/null 2>&1; then
    step $cargo clippy --locked --all-targets -- -D warnings
    step $cargo clippy --locked --lib --no-default-features -- -D warnings
else
    skip "lints (no clippy)"
fi
step $cargo test --locked --no-fail-fast --lib --bins --tests
step $cargo test --locked --doc
RUSTDOCFLAGS="-D warnings" step $cargo doc --locked --no-deps
CARGO="$cargo" step hack/deny.sh
printf '\nall checks passed\n'
