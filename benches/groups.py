# SPDX-License-Identifier: Apache-2.0
"""The rows of the table, in groups that can be run alone. A group makes its images, measures, and cleans up."""

import os
import subprocess

import layouts
import shapes
import table

USER = "65534"
OURS = "this program"


def slug(tool):
    return tool.replace(" ", "-")


class Image:
    """An image in a layout for each umoci, with rows that unpack and repack it."""

    def __init__(self, bench, what, tars, compression="gzip"):
        self.bench, self.what = bench, what
        self.tools = dict(bench.umocis)
        self.layouts = layouts.make(bench, slug(what), tars, compression)
        self.blobs = [layouts.compressed(tar, compression) for tar in tars]
        self.compression = compression

    def bundle(self, tool):
        return self.bench.path(slug(self.what), slug(tool), "bundle")

    def unpack(self, peers=()):
        row = f"{self.what}: unpack"
        for tool, program in self.tools.items():
            bundle = self.bundle(tool)
            command = [program, "unpack", "--image", f"{self.layouts[tool]}:image", bundle]
            self.bench.measure(row, tool, command, prepare=lambda bundle=bundle: self.bench.remove(bundle))
        out = self.bench.path("tree")
        for peer, command in self.extract(out):
            if peer in peers:
                self.bench.measure(row, peer, command, prepare=lambda: self.bench.fresh(out))
        self.bench.remove(out)

    def make_bundles(self):
        """Without measuring, where that would take too long."""
        for tool, program in self.tools.items():
            command = [program, "unpack", "--image", f"{self.layouts[tool]}:image", self.bundle(tool)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def extract(self, out):
        """The commands that extract the layers one after another."""
        options = {"tar, gzip": "-z", "tar, pigz": "-I pigz", "tar, zstd": "-I zstd", "tar": ""}
        for peer, option in options.items():
            yield peer, " && ".join(f"tar {option} -xf {blob} -C {out}" for blob in self.blobs)
        yield "bsdtar", " && ".join(f"bsdtar -xpf {blob} -C {out}" for blob in self.blobs)
        yield "cp -a", ["cp", "-a", self.bundle(OURS) / "rootfs/.", out]

    def raw_unpack(self):
        out = self.bench.path("tree")
        for tool, program in self.tools.items():
            if self.bench.can(tool, "raw", "unpack", "--image"):
                command = [program, "raw", "unpack", "--image", f"{self.layouts[tool]}:image", out]
                self.bench.measure(f"{self.what}: raw unpack", tool, command, prepare=lambda: self.bench.remove(out))
        self.bench.remove(out)

    def rootless_unpack(self):
        """By an ordinary user, who sets no owners but keeps a record of them."""
        home = self.bench.path("home")
        become = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"]

        def prepare(layout):
            self.bench.fresh(home)
            os.chown(home, int(USER), int(USER))
            # Go umoci writes what only its owner reads.
            subprocess.run(["chmod", "-R", "a+rX", layout], check=True)

        for tool, program in self.tools.items():
            command = [*become, program, "unpack", "--rootless", "--image", f"{self.layouts[tool]}:image", home / "bundle"]
            self.bench.measure(f"{self.what}: unpack --rootless", tool, command, prepare=lambda tool=tool: prepare(self.layouts[tool]))
        self.bench.remove(home)

    def repack(self, how, tool, *options, prepare=None, measured=False):
        layout = self.layouts[tool]
        command = [self.tools[tool], "repack", *options, "--image", f"{layout}:repacked", self.bundle(tool)]
        size = (lambda: layouts.top_layer_size(layout, "repacked")) if measured else None
        self.bench.measure(f"{self.what}: repack, {how}", tool, command, prepare=prepare, size=size)

    def remove(self):
        bench = self.bench
        bench.remove(*self.layouts.values(), *map(self.bundle, self.tools), *self.blobs)


def write_etc(image, tool):
    path = image.bundle(tool) / "rootfs/etc/bench"
    path.write_text(f"{image.bench.round}\n")


def touch_all(image, tool):
    time = f"@{1_000_000_000 + image.bench.round}"
    rootfs = image.bundle(tool) / "rootfs"
    subprocess.run(["find", rootfs, "-type", "f", "-exec", "touch", "-d", time, "{}", "+"], check=True)


def repack_all(image):
    bench, rootfs, out = image.bench, image.bundle(OURS) / "rootfs", image.bench.path("out")
    for tool in image.tools:
        image.repack("all touched, gzip", tool, prepare=lambda tool=tool: touch_all(image, tool), measured=True)
    for tool in image.tools:
        if bench.can(tool, "repack", "--compress"):
            image.repack("all touched, zstd", tool, "--compress=zstd", prepare=lambda tool=tool: touch_all(image, tool), measured=True)
        else:
            bench.rows[f"{image.what}: repack, all touched, zstd"][tool] = bench.rows[f"{image.what}: repack, all touched, gzip"][tool]
    for peer, how, program in [("tar, gzip", "gzip", "gzip"), ("tar, pigz", "gzip", "pigz -6"), ("tar, zstd", "zstd", "zstd -q -T2")]:
        command = f"tar -cf - -C {rootfs} . | {program} >{out}"
        bench.measure(f"{image.what}: repack, all touched, {how}", peer, command, size=lambda: out.stat().st_size)


def standard(bench, tar):
    """A Debian root filesystem in one gzip layer."""
    image = Image(bench, "standard", [tar])
    for _ in bench.rounds():
        image.unpack(("tar, gzip", "tar, pigz", "bsdtar", "cp -a"))
        image.rootless_unpack()
        image.raw_unpack()
        for tool in image.tools:
            image.repack("nothing changed", tool)
        for tool in image.tools:
            image.repack("one file changed", tool, prepare=lambda tool=tool: write_etc(image, tool))
        repack_all(image)
    image.remove()


def add(bench, tar):
    """New layers of what is there already: a tree, and a tar."""
    tree, out = bench.path("source"), bench.path("out")
    bench.fresh(tree)
    subprocess.run(["tar", "-xf", tar, "-C", tree], check=True)
    small = small_layouts(bench)
    for _ in bench.rounds():
        for tool, program in bench.umocis.items():
            layout = small[tool]
            size = lambda layout=layout: layouts.top_layer_size(layout, "added")
            command = [program, "insert", "--image", f"{layout}:added", tree, "/tree"]
            fresh = lambda program=program, layout=layout: retag(program, layout)
            bench.measure("large tree: insert", tool, command, prepare=fresh, size=size)
            command = [program, "raw", "add-layer", "--image", f"{layout}:added", tar]
            bench.measure("large tar: raw add-layer", tool, command, prepare=fresh, size=size)
        size = lambda: out.stat().st_size
        bench.measure("large tree: insert", "tar, pigz", f"tar -cf - -C {tree} . | pigz -6 >{out}", size=size)
        bench.measure("large tar: raw add-layer", "tar, pigz", f"pigz -6 -c {tar} >{out}", size=size)
    bench.remove(tree, out, *small.values())


def retag(program, layout):
    subprocess.run([program, "tag", "--image", f"{layout}:image", "added"], check=True)


def small_layouts(bench):
    tar = shapes.write(bench.path("small.tar"), shapes.many, 100)
    return layouts.make(bench, "small", [tar])


def small(bench):
    """What is short anyhow, so that it is the start of the program that counts."""
    small = small_layouts(bench)
    for _ in bench.rounds():
        for tool, program in bench.umocis.items():
            image = f"{small[tool]}:image"
            for row, command in {
                "stat": ["stat", "--image", image],
                "ls": ["ls", "--layout", small[tool]],
                "tag": ["tag", "--image", image, "other"],
                "config": ["config", "--image", image, "--tag", "new", "--config.user", "1000"],
            }.items():
                bench.measure(f"small layout: {row}", tool, [program, *command], repeat=20)
    bench.remove(*small.values())


def many(bench):
    """120,000 files of 1 KiB."""
    image = Image(bench, "many", [shapes.write(bench.path("many.tar"), shapes.many)])
    for _ in bench.rounds():
        image.unpack(("tar, gzip", "tar, pigz", "bsdtar", "cp -a"))
        image.raw_unpack()
        for tool in image.tools:
            image.repack("nothing changed", tool)
    image.remove()


def unpack_only(bench, what, tars, peers=("tar, gzip", "bsdtar", "cp -a"), compression="gzip"):
    image = Image(bench, what, tars, compression)
    if compression == "zstd":
        image.tools = {tool: program for tool, program in image.tools.items() if reads_zstd(tool, program)}
    for _ in bench.rounds():
        image.unpack(peers)
    image.remove()


def reads_zstd(tool, program):
    """Go umoci does since 0.5."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return tool == OURS or table.OLD_UMOCI not in version


def layers(bench):
    """40 layers of 10 MB, each with files that replace some of the one below."""
    tars = [shapes.write(bench.path(f"layer{n}.tar"), shapes.files_of_layer, n) for n in range(40)]
    unpack_only(bench, "40 layers of 10 MB", tars)


def large(bench, tar):
    """One file that inflates as files do; and memory must not grow with the image: one of 400 MB, one of 4 GB."""
    unpack_only(bench, "the tar of standard as one file", [shapes.write(bench.path("large.tar"), shapes.as_one_file, tar)])
    for what, size in {"one file of 400 MB": 400_000_000, "one file of 4 GB": 4_000_000_000}.items():
        image = Image(bench, what, [shapes.write(bench.path("large.tar"), shapes.one_file, size)])
        for _ in bench.rounds():
            image.unpack(("tar, gzip", "bsdtar", "cp -a"))
            image.repack("touched", OURS, prepare=lambda image=image: touch_all(image, OURS), measured=True)
        image.remove()


def wide(bench):
    """One directory of 120,000 files."""
    unpack_only(bench, "120,000 files in one directory", [shapes.write(bench.path("wide.tar"), shapes.wide)])


def links(bench):
    """20,000 hard links, and 20,000 symbolic links in deep paths."""
    unpack_only(bench, "20,000 hard links", [shapes.write(bench.path("hard.tar"), shapes.hard_links)])
    unpack_only(bench, "20,000 symbolic links", [shapes.write(bench.path("symbolic.tar"), shapes.symlinks)])


def whiteouts(bench):
    """100,000 whiteouts over 120,000 files."""
    tars = [shapes.write(bench.path("many.tar"), shapes.many), shapes.write(bench.path("whiteouts.tar"), shapes.whiteouts)]
    unpack_only(bench, "100,000 whiteouts", tars, ())


def formats(bench, tar):
    """The standard image in other compressions."""
    unpack_only(bench, "standard in zstd", [tar], ("tar, zstd", "bsdtar", "cp -a"), "zstd")
    unpack_only(bench, "standard uncompressed", [tar], ("tar", "bsdtar", "cp -a"), "")


def blobs(bench):
    """Layouts of many blobs and tags: twice as many should take twice as long, and no layer should be read."""
    for count in (10_000, 20_000):
        what = f"{count:,} blobs, {count // 10:,} tags"
        found = {tool: layouts.of_many_blobs(bench.path(f"blobs-{slug(tool)}"), count) for tool in bench.umocis}
        for _ in bench.rounds():
            for tool, program in bench.umocis.items():
                layout = found[tool]
                bench.measure(f"{what}: ls", tool, [program, "ls", "--layout", layout], repeat=20)
                bench.measure(f"{what}: tag", tool, [program, "tag", "--image", f"{layout}:tag0", "other"], repeat=20)
                bench.measure(f"{what}: gc", tool, [program, "gc", "--layout", layout])
        bench.remove(*found.values())


def tree(bench):
    """Bundles of very many entries: twice as many should take twice as long, and 4 µs of CPU time each at most."""
    for entries in (250_000, 500_000):
        image = Image(bench, f"{entries:,} entries", [shapes.write(bench.path("tree.tar"), shapes.tree, entries)])
        image.make_bundles()
        for _ in bench.rounds():
            for tool in image.tools:
                image.repack("nothing changed", tool)
        runs = bench.rows[f"{entries:,} entries: repack, nothing changed"][OURS]
        cpu = table.median(runs, lambda run: run.cpu) / entries * 1e6
        bench.notes.append(f"{entries:,} entries: repack, nothing changed, takes {cpu:.2f} µs of CPU time an entry (≤ 4).")
        image.remove()


GROUPS = {group.__name__: group for group in (standard, add, small, many, wide, layers, large, links, whiteouts, formats, blobs, tree)}
NEED_TAR = (standard, add, large, formats)
