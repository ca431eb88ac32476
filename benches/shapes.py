# SPDX-License-Identifier: Apache-2.0
"""Tars of certain shapes; always the same bytes. `python3 benches/shapes.py SHAPE` writes one to stdout."""

import io
import os
import random
import sys
import tarfile

TIME = 1_000_000_000


class Writer:
    """A tar being written to a file."""

    def __init__(self, output):
        self.tar = tarfile.open(fileobj=output, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20)
        self.random = random.Random(1)

    def member(self, path, kind=tarfile.REGTYPE, data=b"", target="", size=None, mode=0o644):
        info = tarfile.TarInfo(path)
        info.type, info.mtime, info.linkname = kind, TIME, target
        info.mode = 0o755 if kind == tarfile.DIRTYPE else mode
        info.size = len(data) if size is None else size
        self.tar.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else data)

    def directory(self, path):
        self.member(path, tarfile.DIRTYPE)

    def text(self, size):
        """Compresses to about half, as files do."""
        return self.random.randbytes(size // 2).hex().encode()


def many(writer, files=120_000):
    """Files of 1 KiB, 100 in a directory."""
    for directory in range(files // 100):
        writer.directory(f"d{directory:04}")
        for file in range(100):
            writer.member(f"d{directory:04}/f{file:02}", data=writer.text(1024))


def wide(writer, files=120_000):
    """Small files in one directory."""
    writer.directory("d")
    for file in range(files):
        writer.member(f"d/f{file:06}", data=writer.text(64))


def whiteouts(writer, count=100_000):
    """Removes most of what `many` has."""
    for directory in range(count // 100):
        for file in range(100):
            writer.member(f"d{directory:04}/.wh.f{file:02}")


def tree(writer, entries=500_000):
    """Very small files, 100 in a directory."""
    for directory in range(entries // 101):
        writer.directory(f"d{directory:04}")
        for file in range(100):
            writer.member(f"d{directory:04}/f{file:02}", data=b"x")


def hard_links(writer, count=20_000):
    """Names of 200 files."""
    writer.directory("files")
    for file in range(200):
        writer.member(f"files/{file}", data=writer.text(4096))
    for link in range(count):
        if link % 100 == 0:
            writer.directory(f"links{link // 100}")
        writer.member(f"links{link // 100}/l{link}", tarfile.LNKTYPE, target=f"files/{link % 200}")


def symlinks(writer, count=20_000):
    """In paths of 20 directories, 100 in each of the deepest."""
    for group in range(count // 100):
        path = f"g{group}"
        writer.directory(path)
        for depth in range(19):
            path += f"/directory{depth}"
            writer.directory(path)
        for link in range(100):
            writer.member(f"{path}/link{link}", tarfile.SYMTYPE, target=f"../target/of/the/link/{link}")


def files_of_layer(writer, number=0):
    """10 MB in 100 files, a tenth of which replace those of the layer below."""
    writer.random = random.Random(number)
    writer.directory("data")
    for file in range(100):
        owner = max(number - 1, 0) if file < 10 else number
        writer.member(f"data/{owner}-{90 + file if file < 10 else file}", data=writer.text(100_000))


class Endless(io.RawIOBase):
    """So many bytes of one block again and again, each time with another number in front."""

    def __init__(self, size):
        self.left, self.number = size, 0
        self.block = random.Random(1).randbytes(1 << 15).hex().encode()

    def read(self, size=-1):
        count = min(size, self.left, len(self.block))
        self.left -= count
        self.number += 1
        return (b"%016d" % self.number + self.block[16:])[:count]


def one_file(writer, size=4 << 30):
    writer.member("large", data=Endless(size), size=size)


def as_one_file(writer, path):
    """What is in a file, as it compresses and inflates."""
    with open(path, "rb") as data:
        writer.member("large", data=data, size=os.path.getsize(path))


SHAPES = {
    "many": many,
    "whiteouts": whiteouts,
    "tree": tree,
    "hard-links": hard_links,
    "symlinks": symlinks,
    "one-file": one_file,
}


def write(path, shape, *arguments):
    with open(path, "wb") as output:
        writer = Writer(output)
        shape(writer, *arguments)
        writer.tar.close()
    return path


if __name__ == "__main__":
    own = Writer(sys.stdout.buffer)
    SHAPES[sys.argv[1]](own, *map(int, sys.argv[2:]))
    own.tar.close()
