#!/usr/bin/env bash
# Measures this program beside the installed umoci and GNU tar on the same images, in one run, and
# prints a table. Usage: benches/run.sh PROGRAM (`make bench` builds it). See benches/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
ours=$(realpath "${1:?usage: benches/run.sh PROGRAM}")
runs=${RUNS:-5}
PATH=$PATH:/usr/sbin:/sbin

for command in /usr/bin/time skopeo pigz zstd jq python3; do
    command -v "$command" >/dev/null || { echo "needs $command (hack/setup.sh)" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "needs root, as unpacking with owners does" >&2; exit 1; }

work=$(mktemp -d "${BENCH_DIR:-/dev/shm}/umoci-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
results=$work/results.tsv
# An ordinary user has to get at the program and the layouts.
chmod 711 "$work"
install -m 755 "$ours" "$work/umoci"
ours=$work/umoci

tools=(ours)
if peer=$(command -v umoci); then tools+=(peer); fi
program() { case $1 in ours) echo "$ours" ;; peer) echo "$peer" ;; esac; }

# measure ROW TOOL COMMAND...: wall time of the whole process and the most memory any process of it had.
measure() {
    local row=$1 tool=$2 start end
    shift 2
    start=$EPOCHREALTIME
    /usr/bin/time -f %M -o "$work/memory" "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    end=$EPOCHREALTIME
    # The first round only warms up.
    [ "$round" = 0 ] || printf '%s\t%s\t%d\t%d\t%s\n' "$row" "$tool" $((${end/./} - ${start/./})) "$(cat "$work/memory")" "${size:-}" >>"$results"
}
# The size of the top layer of a tag.
layer_size() {
    local manifest
    manifest=$(jq -r --arg tag "$2" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $tag) | .digest' "$1/index.json")
    jq '.layers[-1].size' "$1/blobs/${manifest/://}"
}
add_size() { [ "$round" = 0 ] || sed -i "\$s/\$/$1/" "$results"; }

# image NAME TAR: a layout for each tool with one gzip layer, and the layer for tar.
image() {
    pigz -6 -n -c "$2" >"$work/$1.tar.gz"
    for tool in "${tools[@]}"; do
        skopeo --insecure-policy copy --quiet "tarball:$work/$1.tar.gz" "oci:$work/$1-$tool:image"
    done
}

unpack_rows() {
    for tool in "${tools[@]}"; do
        rm -rf "$work/bundle-$1-$tool"
        measure "$1: unpack" "$tool" "$(program "$tool")" unpack --image "$work/$1-$tool:image" "$work/bundle-$1-$tool"
    done
    rm -rf "$work/tree"
    mkdir "$work/tree"
    measure "$1: unpack" tar tar -xzf "$work/$1.tar.gz" -C "$work/tree"
    rm -rf "$work/tree"
    for tool in "${tools[@]}"; do
        "$(program "$tool")" raw unpack --help >/dev/null 2>&1 || continue
        measure "$1: raw unpack" "$tool" "$(program "$tool")" raw unpack --image "$work/$1-$tool:image" "$work/tree"
        rm -rf "$work/tree"
    done
}

# repack_row ROW TOOL NAME [OPTION...]
repack_row() {
    local row=$1 tool=$2 name=$3
    shift 3
    measure "$name: repack, $row" "$tool" "$(program "$tool")" repack "$@" --image "$work/$name-$tool:repacked" "$work/bundle-$name-$tool"
}

# The same unpack by an ordinary user, who sets no owners but keeps a record of them.
rootless_row() {
    local user=65534
    rm -rf "$work/user"
    install -d -o "$user" -g "$user" "$work/user"
    for tool in "${tools[@]}"; do
        measure "$1: unpack --rootless" "$tool" setpriv --reuid "$user" --regid "$user" --clear-groups \
            "$(program "$tool")" unpack --rootless --image "$work/$1-$tool:image" "$work/user/bundle-$tool"
    done
}

touched_rows() {
    for tool in "${tools[@]}"; do
        local bundle=$work/bundle-standard-$tool layout=$work/standard-$tool
        find "$bundle/rootfs" -type f -exec touch -d "@$((1000000000 + round))" {} +
        repack_row "all touched, gzip" "$tool" standard
        add_size "$(layer_size "$layout" repacked)"
        "$(program "$tool")" repack --help 2>&1 | grep -q -e --compress || continue
        repack_row "all touched, zstd" "$tool" standard --compress=zstd
        add_size "$(layer_size "$layout" repacked)"
    done
    local rootfs=$work/bundle-standard-ours/rootfs
    measure "standard: repack, all touched, gzip" tar sh -c "tar -cf - -C '$rootfs' . | pigz -6 >'$work/out'"
    add_size "$(stat -c %s "$work/out")"
    measure "standard: repack, all touched, zstd" tar sh -c "tar -cf - -C '$rootfs' . | zstd -q -T2 >'$work/out'"
    add_size "$(stat -c %s "$work/out")"
}

image standard "$(hack/debian-rootfs.sh standard)"
python3 benches/many_files.py >"$work/many.tar"
image many "$work/many.tar"
rm "$work/many.tar"

repack_rows() {
    local row=$1 name=$2 tool
    for tool in "${tools[@]}"; do repack_row "$row" "$tool" "$name"; done
}

for round in $(seq 0 "$runs"); do
    echo "round $round of $runs" >&2
    unpack_rows standard
    rootless_row standard
    repack_rows "nothing changed" standard
    for tool in "${tools[@]}"; do echo "$round" >"$work/bundle-standard-$tool/rootfs/etc/bench"; done
    repack_rows "one file changed" standard
    touched_rows
    unpack_rows many
    repack_rows "nothing changed" many
done

printf '%s, %s processors, %s; medians of %s runs, peak memory, size of the new layer; ratios of time to this program\n' \
    "$(uname -srm)" "$(nproc)" "$(df --output=fstype "$work" | tail -n 1)" "$runs"
printf 'this program: %s; peer: %s; %s\n\n' "$("$ours" --version | head -n 1)" \
    "$([ -z "$peer" ] && echo none || "$peer" --version | head -n 1)" "$(tar --version | head -n 1)"
python3 benches/table.py <"$results"
