#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A filesystem in user space that shows another directory and refuses what it is told to refuse.

Usage: limited.py DIRECTORY MOUNTPOINT [owners] [links] [symlinks] [attributes] [nodes] [modes] [stubborn] [case] [folded] [lower] [numbers] [labels] [hard_remove] [clock] [one_time]

With `stubborn` it says that it has changed owners and modes, but does not. With `labels` every inode
has attributes that nobody has set and nobody can take away, as SELinux and NFS give them. With `numbers`
inodes have other numbers each time that it runs. With `case` names that differ in nothing but the case of
ASCII letters are one and the same; with `folded` only in directories of that name, as in those of ext4 with
`casefold`. With `lower` they also lose their upper case. With `hard_remove` a file that is removed while it is open is
gone, and whoever has it open is told so. With `clock` the time of day is what the file `clock` beside DIRECTORY says, in
seconds since the epoch, and a new name is no change of an inode. With `one_time` an inode has no time of change but
that of its contents, as over SFTP and on FAT. It runs until it is unmounted.
"""
import errno
import os
import sys

from fusepy import FUSE, FuseOSError, Operations

TIMES = ("st_atime", "st_mtime", "st_ctime")
LABELS = {"security.selinux": b"system_u:object_r:some_t:s0", "system.nfs4_acl": b"\0\0\0\0"}
REFUSALS = {"owners": errno.EPERM, "links": errno.EPERM, "symlinks": errno.EPERM, "attributes": errno.EOPNOTSUPP, "nodes": errno.EPERM, "modes": errno.EPERM}


def fold(name):
    """Letters that are not ASCII stay as they are."""
    return os.fsencode(name).lower()


class Limited(Operations):
    def __init__(self, directory, limits):
        self.directory = directory
        self.limits = limits
        self.use_ns = True  # Times are whole numbers of nanoseconds.
        self.clock = os.path.join(os.path.dirname(os.path.abspath(directory)), "clock")
        self.changes = {}  # When an inode was changed, by the clock that is set by hand.

    def refuse(self, limit):
        if limit in self.limits:
            raise FuseOSError(REFUSALS[limit])

    def real(self, path):
        """The path of the directory that is shown."""
        real = self.directory
        for name in (path.lower() if "lower" in self.limits else path).split("/")[1:]:
            folds = "case" in self.limits or "folded" in self.limits and os.path.basename(real) == "folded"
            if folds and not os.path.lexists(os.path.join(real, name)):
                names = os.listdir(real) if os.path.isdir(real) else []
                name = next((other for other in names if fold(other) == fold(name)), name)
            real = os.path.join(real, name) if name else real
        return real

    def changed(self, path, contents=False):
        if "clock" not in self.limits:
            return
        with open(self.clock) as clock:
            now = int(clock.read()) * 10**9
        stat = os.lstat(self.real(path))
        self.changes[stat.st_ino] = now
        if contents:
            os.utime(self.real(path), ns=(stat.st_atime_ns, now))

    def getattr(self, path, fh=None):
        stat = os.lstat(self.real(path)) if fh is None else os.fstat(fh)
        keys = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_rdev", "st_ino", "st_blocks")
        times = {key: getattr(stat, key + "_ns") for key in TIMES}
        times["st_ctime"] = self.changes.get(stat.st_ino, times["st_ctime"])
        if "one_time" in self.limits:
            times["st_ctime"] = times["st_mtime"]
        return {key: getattr(stat, key) for key in keys} | times

    def readdir(self, path, fh):
        return [".", "..", *os.listdir(self.real(path))]

    def readlink(self, path):
        return os.readlink(self.real(path))

    def mknod(self, path, mode, dev):
        self.refuse("nodes")
        os.mknod(self.real(path), mode, dev)
        self.changed(path)

    def mkdir(self, path, mode):
        os.mkdir(self.real(path), mode)
        self.changed(path)

    def rmdir(self, path):
        os.rmdir(self.real(path))

    def unlink(self, path):
        os.unlink(self.real(path))

    def symlink(self, path, target):
        self.refuse("symlinks")
        os.symlink(target, self.real(path))
        self.changed(path)

    def rename(self, old, new):
        os.rename(self.real(old), self.real(new))

    def link(self, path, source):
        self.refuse("links")
        os.link(self.real(source), self.real(path), follow_symlinks=False)
        self.changed(path)

    def chmod(self, path, mode):
        self.refuse("modes")
        if "stubborn" in self.limits:
            return
        os.chmod(self.real(path), mode & 0o7777)
        self.changed(path)

    def chown(self, path, uid, gid):
        self.refuse("owners")
        if "stubborn" in self.limits:
            return
        os.lchown(self.real(path), uid, gid)
        self.changed(path)

    def utimens(self, path, times=None):
        os.utime(self.real(path), ns=times, follow_symlinks=False)
        self.changed(path)

    def open(self, path, flags):
        return os.open(self.real(path), flags & ~os.O_CREAT)

    def create(self, path, mode, fi=None):
        fh = os.open(self.real(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        self.changed(path, contents=True)
        return fh

    def read(self, path, size, offset, fh):
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        size = os.pwrite(fh, data, offset)
        self.changed(path, contents=True)
        return size

    def truncate(self, path, length, fh=None):
        os.truncate(self.real(path) if fh is None else fh, length)
        self.changed(path, contents=True)

    def release(self, path, fh):
        os.close(fh)

    def label(self, name):
        return LABELS.get(name) if "labels" in self.limits else None

    def getxattr(self, path, name, position=0):
        self.refuse("attributes")
        return self.label(name) or os.getxattr(self.real(path), name, follow_symlinks=False)

    def listxattr(self, path):
        self.refuse("attributes")
        labels = LABELS if "labels" in self.limits else ()
        return [*labels, *os.listxattr(self.real(path), follow_symlinks=False)]

    def setxattr(self, path, name, value, options, position=0):
        self.refuse("attributes")
        if self.label(name):
            raise FuseOSError(errno.EACCES)
        os.setxattr(self.real(path), name, value, options, follow_symlinks=False)
        self.changed(path)

    def removexattr(self, path, name):
        self.refuse("attributes")
        if self.label(name):
            raise FuseOSError(errno.EACCES)
        os.removexattr(self.real(path), name, follow_symlinks=False)
        self.changed(path)


if __name__ == "__main__":
    directory, mountpoint, *limits = sys.argv[1:]
    use_ino = "numbers" not in limits
    options = {"foreground": True, "nothreads": True, "allow_other": True, "use_ino": use_ino}
    options["hard_remove"] = "hard_remove" in limits
    # Else one name of a file may be older than another for a second.
    FUSE(Limited(directory, limits), mountpoint, attr_timeout=0, **options)
