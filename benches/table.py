# SPDX-License-Identifier: Apache-2.0
"""Turns measurements into a Markdown table of medians and of what is to be reached."""

import statistics

PEERS = ["umoci", "tar", "tar, gzip", "tar, pigz", "tar, zstd", "bsdtar", "cp -a"]

# Ratios of time that are to be reached: to umoci 0.6, and to tar with gzip.
TO_REACH = {
    "standard: unpack": {"umoci": 0.28, "tar, gzip": 0.55},
    "standard: raw unpack": {"umoci": 0.40},
    "standard: repack, nothing changed": {"umoci": 0.08},
    "standard: repack, one file changed": {"umoci": 0.10},
    "standard: repack, all touched, gzip": {"umoci": 0.55},
    "standard: repack, all touched, zstd": {"umoci": 0.35},
    "large tree: insert": {"umoci": 0.6},
    "large tar: raw add-layer": {"umoci": 0.6},
    "small layout: stat": {"umoci": 0.6},
    "small layout: ls": {"umoci": 0.6},
    "small layout: tag": {"umoci": 0.6},
    "small layout: config": {"umoci": 0.6},
    "many: unpack": {"umoci": 0.12, "tar, gzip": 1.0},
    "many: repack, nothing changed": {"umoci": 0.03},
}
# Debian's 0.4 takes about 1.3 times as long, so beside it a ratio has to be smaller.
OLD_UMOCI, OLD_FACTOR = "0.4.", 0.75


def median(runs, of):
    counted = [of(run) for run in runs if not run.warm_up]
    return statistics.median(counted) if counted and None not in counted else None


def duration(seconds):
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds:.2f} s"


def cell(runs):
    text = duration(median(runs, lambda run: run.seconds))
    if (memory := median(runs, lambda run: run.memory)) is not None:
        text += f", {memory / 1024:.0f} MiB"
    if (size := median(runs, lambda run: run.size)) is not None:
        text += f", layer {size / 1e6:.1f} MB"
    return text


def ratio(ours, others):
    return median(ours, lambda run: run.seconds) / median(others, lambda run: run.seconds)


# How many times as long a row may take as another, both by this program.
COMPARED = [("standard: unpack --rootless", "standard: unpack", 1.25)]


class Table:
    def __init__(self, rows, umoci_version):
        self.rows = rows
        self.factor = OLD_FACTOR if OLD_UMOCI in umoci_version else 1.0

    def limit(self, row, peer):
        limit = TO_REACH.get(row, {}).get(peer)
        return limit * self.factor if limit and peer == "umoci" else limit

    def peer(self, row, peer):
        tools = self.rows[row]
        if not tools.get(peer):
            return "–"
        value = ratio(tools["this program"], tools[peer])
        limit = self.limit(row, peer)
        reach = f" (≤ {limit:.2f})" if limit else ""
        return f"**{value:.2f}**{reach}: {cell(tools[peer])}"

    def lines(self):
        peers = [peer for peer in PEERS if any(tools.get(peer) for tools in self.rows.values())]
        yield "| work | this program | CPU | " + " | ".join(peers) + " |"
        yield "|---" * (3 + len(peers)) + "|"
        for row, tools in self.rows.items():
            ours = tools["this program"]
            cpu = duration(median(ours, lambda run: run.cpu))
            cells = [row, cell(ours), cpu, *(self.peer(row, peer) for peer in peers)]
            yield "| " + " | ".join(cells) + " |"

    def comparisons(self):
        for row, base, limit in COMPARED:
            if row in self.rows and base in self.rows:
                value = ratio(self.rows[row]["this program"], self.rows[base]["this program"])
                yield f"{row} takes {value:.2f} times as long as {base}, both by this program (≤ {limit})."
