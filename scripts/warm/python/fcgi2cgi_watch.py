"""Hears from the system (inotify) whether something may have happened to files, so that not each of them has to be looked
at before each request. Where nothing can be heard for sure, each is looked at.

Heard at once is all that is done to a file or directory, by whichever name, to what leads there, and where a missing one
would be. What a process writes to a file that it has mapped to memory is heard when it closes the file.
"""

import os
import select
import time
from stat import S_ISLNK

import fcgi2cgi_libc as libc

# <sys/inotify.h>. What may happen to something that is on the way, to what is named, and in a directory that lacks a name.
ATTRIB, CREATE, MOVED_TO, DELETE_SELF, MOVE_SELF, DONT_FOLLOW, MASK_ADD = 4, 0x100, 0x80, 0x400, 0x800, 1 << 25, 1 << 29
WAY = ATTRIB | DELETE_SELF | MOVE_SELF
MODIFY, CLOSE_WRITE, MOVED_FROM, DELETE = 2, 8, 0x40, 0x200
NAMED = WAY | MODIFY | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE
MISSING = CREATE | MOVED_TO
NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
# <linux/magic.h>: ext2 to ext4, xfs and tmpfs, whose files nothing changes that this system does not tell of.
SURE = {0xEF53, 0x58465342, 0x1021994}
# How long is waited after something has happened, where more may follow, and after watching was not possible.
PAUSE_SECONDS, FAILED_SECONDS = 1, 60
MAX_LINKS = 40

_init, _add = libc.function('inotify_init1'), libc.function('inotify_add_watch')


class Unsure(Exception):
    """What happens to something would not be heard."""


class Watch:
    def __init__(self):
        # By which is asked; None while nothing is watched.
        self.poll = None
        self.descriptors = ()
        self.not_before = 0

    def is_quiet(self):
        """Whether nothing has happened, for sure, since `begin`."""
        if self.poll is None:
            return False
        if not self.poll.poll(0):
            return True
        self.close()
        self.not_before = time.monotonic() + PAUSE_SECONDS
        return False

    def begin(self, paths, way):
        """To be called before these are looked at, and where `way` leads."""
        if self.poll is not None or time.monotonic() < self.not_before or _init is None or _add is None:
            return
        self.not_before = time.monotonic() + FAILED_SECONDS
        descriptor = _init(NONBLOCK_CLOEXEC)
        if descriptor < 0:
            return
        self.descriptors = descriptor,
        try:
            # Before anything is looked for, too.
            self.descriptors += os.open('/proc/self/mountinfo', os.O_RDONLY | os.O_CLOEXEC),
            watched = Watched(descriptor)
            watched.follow(way)
            for path in paths:
                watched.name(path)
        except (OSError, Unsure, RecursionError):
            self.close()
            return
        self.poll = select.poll()
        self.poll.register(descriptor, select.POLLIN)
        # Of what was mounted since.
        self.poll.register(self.descriptors[1], select.POLLPRI)

    def close(self):
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.poll, self.descriptors = None, ()


class Watched:
    """What one descriptor hears of. Each thing is watched before what follows from it is looked at."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.passed = {}
        self.kinds = {}

    def name(self, path, links=0):
        """What the path names, through symbolic links."""
        status = self.follow(path)
        if status is not None and S_ISLNK(status.st_mode):
            if links == MAX_LINKS:
                raise Unsure
            self.name(os.path.join(os.path.dirname(path), os.readlink(path)), links + 1)
        elif status is not None:
            self.add(path, NAMED)

    def follow(self, path):
        """The same only as what leads elsewhere; gives what it is, if it is there."""
        if path in self.passed:
            return self.passed[path]
        above = os.path.dirname(path)
        # A path without a beginning leads to wherever this process is by then.
        if not path.startswith(b'/'):
            raise Unsure
        if above != path:
            status = self.follow(above)
            if status is not None and S_ISLNK(status.st_mode):
                self.name(above)
        try:
            self.add(path, WAY)
            status = os.lstat(path)
            self.check(above if S_ISLNK(status.st_mode) else path, status.st_dev)
        except (FileNotFoundError, NotADirectoryError):
            status = None
            if self.passed.get(above) is not None:
                self.add(above, MISSING, 0)
        self.passed[path] = status
        return status

    def add(self, path, mask, flags=DONT_FOLLOW):
        if _add(self.descriptor, path, mask | flags | MASK_ADD) < 0:
            os.lstat(path)
            raise Unsure

    def check(self, path, device):
        if device not in self.kinds:
            self.kinds[device] = libc.file_system(path)
        if self.kinds[device] not in SURE:
            raise Unsure
