#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures this program beside Go umoci (PEER, or the first in PATH), GNU tar, bsdtar and cp on the same images, in one run, and prints a table.

    benches/run.py PROGRAM [GROUP...]

`make bench` builds the program and runs all groups. See benches/README.md.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import groups
from measure import Bench
from table import Table

NEEDED = ["pigz", "zstd", "bsdtar", "setpriv", "/usr/bin/time"]


def lines(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def debian_root():
    top = Path(__file__).absolute().parent.parent
    script = top / "hack/debian-rootfs.sh"
    return top / lines(script, "standard")[0]


def measure(program, names, work):
    bench = Bench(program, work, int(os.environ.get("RUNS", "5")))
    for name in names:
        print(name, file=sys.stderr)
        group = groups.GROUPS[name]
        if group in groups.NEED_TAR:
            tar = Path(shutil.copy(debian_root(), bench.path("standard.tar")))
            group(bench, tar)
        else:
            group(bench)
    return bench


def report(bench):
    versions = {tool: lines(program, "--version")[0] for tool, program in bench.umocis.items()}
    where = lines("df", "--output=fstype", bench.work)[-1]
    print(f"{lines('uname', '-srm')[0]}, {os.cpu_count()} processors, {where}; medians of {bench.runs} runs.")
    others = [lines("tar", "--version")[0], lines("bsdtar", "--version")[0]]
    print("; ".join([f"{tool}: {version}" for tool, version in versions.items()] + others) + ".\n")
    table = Table(bench.rows, versions.get("umoci", ""))
    print("\n".join(table.lines()))
    notes = [*table.comparisons(), *bench.notes]
    print("".join(f"\n{note}\n" for note in [*notes, table.verdict()]), end="")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program, names = sys.argv[1], sys.argv[2:] or list(groups.GROUPS)
    if unknown := [name for name in names if name not in groups.GROUPS]:
        sys.exit(f"no group {' '.join(unknown)}; there are {' '.join(groups.GROUPS)}")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if missing := [command for command in NEEDED if not shutil.which(command)]:
        sys.exit(f"needs {' '.join(missing)} (hack/setup.sh)")
    if os.getuid() != 0:
        sys.exit("needs root, as unpacking with owners does")
    with tempfile.TemporaryDirectory(prefix="umoci-bench.", dir=os.environ.get("BENCH_DIR", "/dev/shm")) as work:
        report(measure(program, names, work))


main()
