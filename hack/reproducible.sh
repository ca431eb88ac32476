#!/usr/bin/env bash
# Builds the program twice, in directories of different names, and compares the bytes. Then
# runs it where there is nothing else: no loader, no library. Takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
built() { echo "$1"/target/*/release/umoci; }

places=("$work/a" "$work/somewhere/else")
for place in "${places[@]}"; do
    mkdir -p "$place"
    git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$place"
    # Neither when it was built nor where is to matter.
    find "$place" -exec touch -d "@$RANDOM" {} +
done
for place in "${places[@]}"; do
    make -C "$place" static >&2
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
