# SPDX-License-Identifier: Apache-2.0
"""Runs commands and keeps what they took: time and CPU time of the whole process, and the most memory of any process of it."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# A command of another program that takes longer than this, in seconds, is run only so many times in all: its cell says so.
SLOW, SLOW_RUNS = 20, 3


@dataclass
class Run:
    seconds: float
    cpu: float
    memory: int | None = None  # KiB
    size: int | None = None  # bytes of the layer that came out
    warm_up: bool = False


class Bench:
    """The programs, a directory to work in, and all measurements by row and program."""

    def __init__(self, program, work, runs):
        self.work = Path(work)
        self.runs = runs
        self.round = 0
        self.rows = {}
        # What is to be said below the table.
        self.notes = []
        # An ordinary user has to get at the program and the layouts.
        self.work.chmod(0o711)
        own = shutil.copy(program, self.work / "umoci")
        peer = os.environ.get("PEER") or shutil.which("umoci")
        self.umocis = {"this program": own} | ({"umoci": peer} if peer else {})
        if peer and self.can("umoci", "validate", "--image"):
            sys.exit(f"{peer} is this program, too: PEER=/path/to/umoci names Go umoci")

    def rounds(self):
        """One round to warm up and those that count. Programs take turns within one, so that a disturbance meets all."""
        for self.round in range(self.runs + 1):
            print(f"  round {self.round} of {self.runs}", file=sys.stderr)
            yield self.round

    def measure(self, row, tool, command, *, prepare=None, size=None, repeat=1):
        """Runs a command (a list, or a string for the shell) after `prepare`; `size` gives what came out of it."""
        runs = self.rows.setdefault(row, {}).setdefault(tool, [])
        if tool != "this program" and len(runs) >= SLOW_RUNS and runs[0].seconds > SLOW:
            return
        if prepare:
            prepare()
        argv = ["sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]
        run = self.once(argv) if repeat == 1 else self.often(argv, repeat)
        run.size = size() if size else None
        # What takes long needs no warming up.
        run.warm_up = self.round == 0 and run.seconds <= SLOW
        runs.append(run)
        print(f"    {row}, {tool}: {run.seconds:.3f} s", file=sys.stderr)

    def once(self, argv):
        """Below a small process, since a child begins with the peak memory of its parent."""
        peak = self.work / "peak"
        run = self.often(["/usr/bin/time", "-q", "-f", "%M", "-o", str(peak), *argv], 1)
        run.memory = int(peak.read_text().split()[-1])
        return run

    def often(self, argv, repeat):
        with open(self.work / "log", "w+", encoding="utf-8", errors="replace") as log:
            seconds = cpu = 0.0
            for _ in range(repeat):
                start = time.perf_counter()
                child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                _, status, usage = os.wait4(child.pid, 0)
                seconds += time.perf_counter() - start
                cpu += usage.ru_utime + usage.ru_stime
                child.returncode = os.waitstatus_to_exitcode(status)
                if child.returncode:
                    log.seek(0)
                    sys.exit(f"{' '.join(argv)}: exit status {child.returncode}\n{log.read()}")
        return Run(seconds / repeat, cpu / repeat)

    def path(self, *names):
        return self.work / "-".join(names)

    def remove(self, *paths):
        """Large trees faster than Python does it; of any owner."""
        subprocess.run(["rm", "-rf", *map(str, paths)], check=True)

    def fresh(self, path):
        self.remove(path)
        path.mkdir()

    def can(self, tool, *words):
        """Whether one of the umocis knows a command or flag."""
        *command, flag = words
        told = subprocess.run([self.umocis[tool], *command, "--help"], capture_output=True, text=True, check=False)
        return told.returncode == 0 and flag in told.stdout + told.stderr
