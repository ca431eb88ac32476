#!/usr/bin/env bash
# What packagers do: makes a package of the sources, installs by cargo, builds the packaged sources twice
# in directories of different names and compares the bytes, runs the program where there is nothing else
# (no loader, no library), installs it, and removes it again. Takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
# The directories for what is built are this script's affair.
unset CARGO_TARGET_DIR MAKEFLAGS MFLAGS MAKELEVEL

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
built() { echo "$1"/target/*/release/umoci; }
fail() { echo "$*" >&2; exit 1; }

# There is no public place that `repository` could name yet.
tolerated='manifest has no documentation, homepage or repository'
$cargo package --locked --list --allow-dirty >"$work/list" 2>"$work/warnings"
! grep '^warning' "$work/warnings" | grep -v "$tolerated" || fail "cargo package warns"
for file in Cargo.lock COPYING README.md man/umoci.1 completions/_umoci tests/it/golden/version.txt; do
    grep -qxF "$file" "$work/list" || fail "$file is not in the package"
done
$cargo package --locked --no-verify --allow-dirty --quiet --target-dir "$work/package"
echo "package: $(du -h "$work"/package/package/umoci-*.crate | cut -f 1), $(wc -l <"$work/list") files"

# Which profile it is built with does not matter here, and this one has been built for the tests.
$cargo install --locked --quiet --debug --path . --root "$work/by cargo" 2>"$work/log" || fail "$(cat "$work/log")"
"$work/by cargo/bin/umoci" --version >/dev/null
echo "cargo install: the program runs"

places=("$work/a" "$work/somewhere/else")
for place in "${places[@]}"; do
    mkdir -p "$place"
    tar -xf "$work"/package/package/umoci-*.crate --strip-components=1 -C "$place"
    # Neither when it was built nor where is to matter.
    find "$place" -exec touch -d "@$RANDOM" {} +
done
for place in "${places[@]}"; do
    make CARGO="$cargo" -C "$place" static >&2
done

sha256sum "$(built "$work/a")" "$(built "$work/somewhere/else")"
cmp "$(built "$work/a")" "$(built "$work/somewhere/else")"
echo "reproducible: both builds have the same bytes"

mkdir "$work/empty"
cp "$(built "$work/a")" "$work/empty/umoci"
if [ "$(id -u)" = 0 ]; then
    chroot "$work/empty" /umoci --version
    echo "static: it runs where there is nothing else"
else
    echo "skipped: running it in an empty root, since that needs root"
fi

# As sudo does it, without a compiler.
install() { PATH=/usr/bin:/bin make -s -C "$work/a" CARGO=false HOST= PREFIX=/usr DESTDIR="$work/to here" "$@"; }
install install
cmp "$(built "$work/a")" "$work/to here/usr/bin/umoci"
installed=$(find "$work/to here" -type f | wc -l)
install uninstall
left=$(find "$work/to here" ! -type d)
[ -z "$left" ] || fail "left by uninstall: $left"
echo "make install: $installed files, and none after make uninstall"
