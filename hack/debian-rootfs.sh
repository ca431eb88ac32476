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
    mmdebstrap --quiet --format=tar --variant="$variant" "$suite" "$tar.part" >&2
    mv "$tar.part" "$tar"
fi
echo "$tar"
