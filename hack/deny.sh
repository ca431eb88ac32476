#!/usr/bin/env bash
# Holds the dependencies to deny.toml: licences, what must not be among them, where they come from, and the
# advisories of the RustSec database, as far as that can be had.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}

skip() { printf '\n==> skipped: %s\n' "$*"; }

if ! $cargo deny --version >/dev/null 2>&1; then
    skip "licences and advisories of dependencies (cargo install --locked cargo-deny)"
    exit 0
fi
$cargo deny --locked check bans licenses sources

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if $cargo deny --locked fetch db >"$log" 2>&1; then
    $cargo deny --locked check advisories
elif $cargo deny --locked --offline check advisories >"$log" 2>&1; then
    echo "advisories ok, by the copy of the database that was fetched last"
elif grep -q '^error\[' "$log"; then
    cat "$log"
    exit 1
else
    skip "advisories of dependencies: the database cannot be fetched, and there is no copy of it"
fi
