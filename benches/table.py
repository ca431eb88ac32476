#!/usr/bin/env python3
"""Turns measurements (row, tool, microseconds, KiB, layer bytes; tab-separated) into a Markdown table of medians."""
import statistics
import sys

# The ratios of time that the design asks for: to umoci, to tar.
TO_REACH = {
    "standard: unpack": (0.28, 0.55),
    "standard: raw unpack": (0.40, None),
    "standard: repack, nothing changed": (0.08, None),
    "standard: repack, one file changed": (0.10, None),
    "standard: repack, all touched, gzip": (0.55, None),
    "standard: repack, all touched, zstd": (0.35, None),
    "many: unpack": (0.12, None),
    "many: repack, nothing changed": (0.03, None),
}

# How many times as long a row may take as another, both by this program.
COMPARED = [("standard: unpack --rootless", "standard: unpack", 1.25)]

rows = {}
for line in sys.stdin:
    row, tool, *values = line.rstrip("\n").split("\t")
    rows.setdefault(row, {}).setdefault(tool, []).append([int(value or 0) for value in values])


def cell(runs):
    if not runs:
        return "–"
    time, memory, size = (statistics.median(column) for column in zip(*runs))
    text = f"{time / 1e6:.3f} s, {memory / 1024:.0f} MiB"
    return f"{text}, layer {size / 1e6:.1f} MB" if size else text


def ratio(ours, others, limit):
    if not ours or not others:
        return "–"
    value = statistics.median(run[0] for run in ours) / statistics.median(run[0] for run in others)
    return f"{value:.2f}" + (f" (≤ {limit:.2f})" if limit else "")


print("| work | this program | umoci | ratio (to reach) | GNU tar | ratio (to reach) |")
print("|---|---|---|---|---|---|")
for row, tools in rows.items():
    ours, peer, tar = (tools.get(tool) for tool in ("ours", "peer", "tar"))
    to_peer, to_tar = TO_REACH.get(row, (None, None))
    print(f"| {row} | {cell(ours)} | {cell(peer)} | {ratio(ours, peer, to_peer)} | {cell(tar)} | {ratio(ours, tar, to_tar)} |")

for row, base, limit in COMPARED:
    ours, others = (rows.get(name, {}).get("ours") for name in (row, base))
    print(f"\n{row} takes {ratio(ours, others, limit)} times as long as {base}, both by this program.")
