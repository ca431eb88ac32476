#!/usr/bin/env python3
"""Writes a tar of 120,000 files of 1 KiB in 1,200 directories to stdout; always the same bytes."""
import io
import random
import sys
import tarfile

content = random.Random(1)
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as archive:
    for directory in range(1200):
        member = tarfile.TarInfo(f"d{directory:04}")
        member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, 1_000_000_000
        archive.addfile(member)
        for file in range(100):
            member = tarfile.TarInfo(f"d{directory:04}/f{file:02}")
            member.size, member.mode, member.mtime = 1024, 0o644, 1_000_000_000
            archive.addfile(member, io.BytesIO(content.randbytes(512).hex().encode()))
