#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Edits a file through memory, puts the time of its last change back, and has it mapped while a command runs.

Usage: map.py FILE [synced] [COMMAND...]
"""
import mmap
import os
import subprocess
import sys

path, *command = sys.argv[1:]
old = os.stat(path)
file = open(path, "r+b")
memory = mmap.mmap(file.fileno(), 0)
assert memory[:] == b"before"
memory[:] = b"AFTER!"
if command[:1] == ["synced"]:
    command.pop(0)
    memory.flush()
os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
if command:
    subprocess.check_call(command)
