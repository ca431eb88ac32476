# SPDX-License-Identifier: Apache-2.0
"""Turns measurements into a Markdown table of medians and of what is to be reached."""

import statistics

from measure import SLOW_RUNS

PEERS = ["umoci", "tar", "tar, gzip", "tar, pigz", "tar, zstd", "bsdtar", "cp -a"]

# Ratios of time that are to be reached: to umoci 0.6, and to tar with gzip.
TO_REACH = {
    "standard: unpack": {"umoci": 0.28, "tar, gzip": 0.55},
    "standard: unpack --rootless": {"umoci": 0.28},
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
    "many: raw unpack": {"umoci": 0.40},
    "many: repack, nothing changed": {"umoci": 0.03},
    # The other shapes: none worse than the like above, or within 1.3 of the floor that two cores allow.
    "120,000 files in one directory: unpack": {"umoci": 0.12, "tar, gzip": 1.0},
    "40 layers of 10 MB: unpack": {"umoci": 0.28},
    # Half of the CPU time is 0.32 of what umoci takes, inflating alone, on its one thread, 0.36.
    "the tar of standard as one file: unpack": {"umoci": 0.40, "tar, gzip": 0.55},
    # Of one block again and again, which inflates by itself, half of the CPU time is 0.50 of what umoci takes: SHA-256 has 62 % of it, once over the tar and once over the file.
    "one file of 400 MB: unpack": {"umoci": 0.65, "tar, gzip": 0.55},
    "one file of 4 GB: unpack": {"umoci": 0.65, "tar, gzip": 0.55},
    "20,000 hard links: unpack": {"umoci": 0.12},
    "20,000 symbolic links: unpack": {"umoci": 0.12},
    # `many` alone is 0.10 of what umoci takes here, where it reads only the files that are left; a bare loop of `unlinkat` over the others adds 0.04.
    "100,000 whiteouts: unpack": {"umoci": 0.15},
    "standard in zstd: unpack": {"umoci": 0.28},
    "standard uncompressed: unpack": {"umoci": 0.28},
    "10,000 blobs, 1,000 tags: ls": {"umoci": 0.6},
    "10,000 blobs, 1,000 tags: tag": {"umoci": 0.6},
    "10,000 blobs, 1,000 tags: gc": {"umoci": 0.6},
    "20,000 blobs, 2,000 tags: ls": {"umoci": 0.6},
    "20,000 blobs, 2,000 tags: tag": {"umoci": 0.6},
    "20,000 blobs, 2,000 tags: gc": {"umoci": 0.6},
    "250,000 entries: repack, nothing changed": {"umoci": 0.03},
    "500,000 entries: repack, nothing changed": {"umoci": 0.03},
}
# What twice as much may take, if it is linear, with some room for the noise.
TWICE = 2.2
# What one row may take as a multiple of another, both by this program.
COMPARED = [
    ("standard: unpack --rootless", "standard: unpack", "seconds", 1.25),
    ("one file of 4 GB: unpack", "one file of 400 MB: unpack", "memory", 1.1),
    ("one file of 4 GB: repack, touched", "one file of 400 MB: repack, touched", "memory", 1.1),
    ("20,000 blobs, 2,000 tags: ls", "10,000 blobs, 1,000 tags: ls", "seconds", TWICE),
    ("20,000 blobs, 2,000 tags: tag", "10,000 blobs, 1,000 tags: tag", "seconds", TWICE),
    ("20,000 blobs, 2,000 tags: gc", "10,000 blobs, 1,000 tags: gc", "seconds", TWICE),
    ("500,000 entries: repack, nothing changed", "250,000 entries: repack, nothing changed", "cpu", TWICE),
]
# In MB, of any row.
MOST_MEMORY = 64
# In seconds, of the rows that begin so.
MOST_CPU, SMALL = 0.005, "small layout: "
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
    if len(runs) == SLOW_RUNS and not runs[0].warm_up:
        text += f" ({SLOW_RUNS} runs)"
    return text


def ratio(ours, others):
    return median(ours, lambda run: run.seconds) / median(others, lambda run: run.seconds)


class Table:
    def __init__(self, rows, umoci_version):
        self.rows = rows
        self.factor = OLD_FACTOR if OLD_UMOCI in umoci_version else 1.0
        # What was to be reached and is not.
        self.missed = []

    def within(self, what, value, limit):
        """Notes what is beyond its limit, and gives the mark for it."""
        if value <= limit:
            return ""
        self.missed.append(what)
        return " ✗"

    def limit(self, row, peer):
        limit = TO_REACH.get(row, {}).get(peer)
        return limit * self.factor if limit and peer == "umoci" else limit

    def peer(self, row, peer):
        ours, others = self.ours(row), self.rows[row].get(peer)
        if not others:
            return "–"
        value, reach = ratio(ours, others), ""
        if limit := self.limit(row, peer):
            reach = f" (≤ {limit:.2f}){self.within(f'{row}, beside {peer}', value, limit)}"
        if peer == "umoci" and (size := median(others, lambda run: run.size)):
            reach += self.within(f"{row}, size of the layer", median(ours, lambda run: run.size), size)
        return f"**{value:.2f}**{reach}: {cell(others)}"

    def lines(self):
        peers = [peer for peer in PEERS if any(tools.get(peer) for tools in self.rows.values())]
        yield "| work | this program | CPU | " + " | ".join(peers) + " |"
        yield "|---" * (3 + len(peers)) + "|"
        for row in self.rows:
            cpu = duration(median(self.ours(row), lambda run: run.cpu))
            cells = [row, cell(self.ours(row)), cpu, *(self.peer(row, peer) for peer in peers)]
            yield "| " + " | ".join(cells) + " |"

    def comparisons(self):
        """What is to be said below the table, with the limit."""
        for row, base, what, limit in COMPARED:
            if row in self.rows and base in self.rows:
                one, other = (median(self.ours(name), lambda run: getattr(run, what)) for name in (row, base))
                mark = self.within(f"{row}, {what} beside {base}", one / other, limit)
                yield f"{row} takes {one / other:.2f} times the {what} of {base}, both by this program (≤ {limit}){mark}."
        memory = {row: median(self.ours(row), lambda run: run.memory) for row in self.rows}
        if memory := {row: amount * 1024 / 1e6 for row, amount in memory.items() if amount is not None}:
            row = max(memory, key=memory.get)
            mark = self.within(f"{row}, memory", memory[row], MOST_MEMORY)
            yield f"The most memory that this program took is {memory[row]:.0f} MB (≤ {MOST_MEMORY}){mark}, for {row}."
        if cpu := [median(self.ours(row), lambda run: run.cpu) for row in self.rows if row.startswith(SMALL)]:
            mark = self.within("small layout, CPU time", max(cpu), MOST_CPU)
            yield f"On a small layout it took {duration(max(cpu))} of CPU time at most (≤ {duration(MOST_CPU)}){mark}."

    def verdict(self):
        """Of all lines above."""
        return f"Not reached (✗): {'; '.join(self.missed)}." if self.missed else "All that was to be reached is."

    def ours(self, row):
        return self.rows[row]["this program"]
