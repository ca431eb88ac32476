#!/bin/sh
# Makes a tar of a Debian root filesystem (minbase, standard, ...) once and prints its path.
set -eu
cd "$(dirname "$0")/.."
variant=${1:-minbase}
suite=${DEBIAN_SUITE:-bookworm}
tar=target/debian/$suite-$variant.tar

if [ ! -s "$tar" ]; then
    command -v mmdebstrap >/dev/null || { echo "needs mmdebstrap (hack/setup.sh)" >&2; exit 1; }
    mkdir -p target/debian
    trap 'rm -f "$tar.part"' EXIT
    trap 'exit 1' HUP INT TERM
    # Mirrors are out of reach now and then, for longer than apt waits.
    for pause in 5 15 45 end; do
        mmdebstrap --quiet --format=tar --variant="$variant" "$suite" "$tar.part" >&2 && break
        [ "$pause" != end ] || { echo "cannot fetch Debian $suite" >&2; exit 1; }
        echo "trying again in $pause seconds" >&2
        sleep "$pause"
    done
    mv "$tar.part" "$tar"
fi
echo "$tar"
